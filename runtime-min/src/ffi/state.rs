//! The state of an upstream in the caller's memory, shared between processes if need be.
//!
//! ```text
//! 0    u64 mark   u32 layout   u32 hosts at most   u64 size in bytes
//! 24   u32 processes at most   u32 lock
//! 128  counters: u64 decisions on stale telemetry   u64 requests taken back
//! 256  StateHeader
//! 384  a slot for each host, 128-byte aligned
//! …    of each process 128 bytes, then of each process a row of 64-bit counts by host
//! ```

use core::ffi::c_void;
use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Release, SeqCst},
    fence,
};

use super::code::{EkCode, run};
use super::memory;
use super::types::{EK_HOSTS_MAX, EK_PROCESSES_MAX};
use crate::ledger::{Ledger, Process, row_len};
use crate::slot::HostSlot;
use crate::state::{State, StateHeader};

/// Alignment in bytes of the memory of a state.
pub const EK_STATE_ALIGNMENT: usize = 128;

const MAGIC: u64 = u64::from_le_bytes(*b"EKstate1");

/// To be raised when a field of header or slot changes its place or meaning. The slot's
/// size is part of the layout, so that a change of it is noticed in any case.
const LAYOUT_VERSION: u32 = 4;
const LAYOUT: u32 = LAYOUT_VERSION << 16 | size_of::<HostSlot>() as u32;

/// What is known of the hosts of an upstream: counts, averages, last reports. It lives in
/// memory of the caller, which several processes may share, at different addresses. All
/// functions but `ek_state_init`, `ek_host_register` and `ek_host_remove` may be called
/// by any number of threads and processes at once.
#[derive(Debug)]
pub struct EkState(#[expect(dead_code, reason = "read through pointers alone")] Region);

#[derive(Debug)]
#[repr(C, align(128))]
struct Region {
    magic: AtomicU64,
    layout: u32,
    hosts_max: u32,
    size: u64,
    processes_max: u32,
    lock: AtomicU32,
    counters: Counters,
    header: StateHeader,
}

/// What the region itself counts, apart from what every call reads.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(super) struct Counters {
    /// Decisions for a host whose telemetry was stale.
    pub(super) stale_decisions: AtomicU64,
    /// Requests of dead processes taken back.
    pub(super) taken_back: AtomicU64,
}

const _: () = assert!(align_of::<Region>() == EK_STATE_ALIGNMENT && align_of::<HostSlot>() <= EK_STATE_ALIGNMENT);
const _: () = assert!(size_of::<Region>().is_multiple_of(align_of::<HostSlot>()));

/// Size in bytes of the memory of a state for up to `hosts_max` hosts; 0 if that is 0 or
/// above `EK_HOSTS_MAX`.
#[unsafe(no_mangle)]
pub extern "C" fn ek_state_size(hosts_max: u32) -> usize {
    size(hosts_max, 0)
}

/// Size in bytes of a state for some hosts and processes; 0 for numbers out of range.
pub(super) fn size(hosts_max: u32, processes_max: u32) -> usize {
    if !(1..=EK_HOSTS_MAX).contains(&hosts_max) || processes_max > EK_PROCESSES_MAX {
        return 0;
    }
    let process_bytes = size_of::<Process>() + row_len(hosts_max as usize) * size_of::<AtomicU64>();
    size_of::<Region>() + hosts_max as usize * size_of::<HostSlot>() + processes_max as usize * process_bytes
}

/// Makes an empty state, whatever the memory held before.
///
/// `memory`: `ek_state_size(hosts_max)` bytes or more, aligned to `EK_STATE_ALIGNMENT`.
/// `seed`: what random choices (ties, fallback) follow from; a different one for each
/// process that decides alone.
/// `state`: gets the state, which is the memory itself.
///
/// # Safety
/// - `memory` points to `memory_size` bytes which are the state's as long as it is used,
///   and which nobody uses during the call.
/// - `state` points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_state_init(
    memory: *mut c_void,
    memory_size: usize,
    hosts_max: u32,
    seed: u64,
    state: *mut *mut EkState,
) -> EkCode {
    run(|| {
        memory::check(state)?;
        // SAFETY: forwarded to the caller.
        let made = unsafe { init(memory, memory_size, hosts_max, 0, seed) }?;
        // SAFETY: checked above.
        unsafe { state.write(made) };
        Ok(())
    })
}

/// Makes an empty state.
///
/// # Safety
/// - If neither NULL nor misaligned, `memory` points to `memory_size` bytes which are the
///   state's, and which nobody uses during the call.
pub(super) unsafe fn init(
    memory: *mut c_void,
    memory_size: usize,
    hosts_max: u32,
    processes_max: u32,
    seed: u64,
) -> Result<*mut EkState, EkCode> {
    let region = memory.cast::<Region>();
    memory::check(region)?;
    let size = size(hosts_max, processes_max);
    if size == 0 {
        return Err(EkCode::MaxHosts);
    }
    if memory_size < size {
        return Err(EkCode::MemorySize);
    }
    // SAFETY: aligned, large enough, and the caller's to give. The mark goes first: killed
    // on the way, we leave what is no state rather than half of one.
    unsafe { AtomicU64::from_ptr(region.cast()) }.store(0, SeqCst);
    fence(SeqCst);
    // SAFETY: `size` bytes are ours.
    unsafe { region.cast::<u8>().write_bytes(0, size) };
    let empty = Region {
        magic: AtomicU64::new(0),
        layout: LAYOUT,
        hosts_max,
        size: size as u64,
        processes_max,
        lock: AtomicU32::new(0),
        counters: Counters::default(),
        header: StateHeader::new(seed),
    };
    // SAFETY: aligned and large enough. The rest stays zero: free slots, and processes that
    // never joined.
    unsafe { region.write(empty) };
    // SAFETY: written above. The mark comes last: whoever sees it sees the rest.
    unsafe { &*region }.magic.store(MAGIC, Release);
    Ok(region.cast())
}

/// Finds the state in memory that another process, or this one before a reload,
/// initialised. States of another layout are refused. (`ek_state_open` makes a new state
/// of them instead, where that is asked for.)
///
/// `state`: gets the state, which is the memory itself.
///
/// # Safety
/// - `memory` points to `memory_size` initialised bytes which are the state's as long as
///   it is used.
/// - `state` points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_state_attach(memory: *mut c_void, memory_size: usize, state: *mut *mut EkState) -> EkCode {
    run(|| {
        memory::check(state)?;
        // SAFETY: forwarded to the caller.
        let found = unsafe { attach(memory, memory_size) }?;
        // SAFETY: checked above.
        unsafe { state.write(found.state) };
        Ok(())
    })
}

/// A state that was found in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) state: *mut EkState,
    pub(super) hosts_max: u32,
    pub(super) processes_max: u32,
}

/// Finds a state.
///
/// # Safety
/// - If neither NULL nor misaligned, `memory` points to `memory_size` initialised bytes.
pub(super) unsafe fn attach(memory: *mut c_void, memory_size: usize) -> Result<Found, EkCode> {
    let region = memory.cast::<Region>();
    memory::check(region)?;
    if memory_size < size_of::<Region>() {
        return Err(EkCode::MemorySize);
    }
    // SAFETY: aligned, large enough, initialised; every bit pattern is a valid region.
    let found = unsafe { &*region };
    if found.magic.load(Acquire) != MAGIC {
        return Err(EkCode::StateForeign);
    }
    let size = size(found.hosts_max, found.processes_max);
    if found.layout != LAYOUT || size == 0 || found.size != size as u64 {
        return Err(EkCode::StateLayout);
    }
    if memory_size < size {
        return Err(EkCode::MemorySize);
    }
    Ok(Found { state: region.cast(), hosts_max: found.hosts_max, processes_max: found.processes_max })
}

/// The runtime's view of a state.
///
/// # Safety
/// - If neither NULL nor misaligned, `state` points to as many readable bytes as the
///   region's header has, and comes from [`ek_state_init`] or [`ek_state_attach`] if it
///   carries the mark.
pub(super) unsafe fn view<'a>(state: *const EkState) -> Result<State<'a>, EkCode> {
    // SAFETY: forwarded to the caller.
    let region = unsafe { region(state) }?;
    // SAFETY: forwarded to the caller.
    let slots = unsafe { slots(state, region) };
    Ok(State::new(&region.header, slots))
}

/// The processes of a state; `None` if it was made for a single one.
///
/// # Safety
/// - As [`view`].
pub(super) unsafe fn ledger<'a>(state: *const EkState) -> Result<Option<Ledger<'a>>, EkCode> {
    // SAFETY: forwarded to the caller.
    let region = unsafe { region(state) }?;
    let processes_max = region.processes_max as usize;
    if processes_max == 0 {
        return Ok(None);
    }
    // SAFETY: forwarded to the caller.
    let slots = unsafe { slots(state, region) };
    let begin = slots.as_ptr_range().end.cast::<Process>();
    // SAFETY: the state's size has room for the processes behind the slots; zero when it
    // was made, and changed through atomics alone.
    let processes = unsafe { core::slice::from_raw_parts(begin, processes_max) };
    let entries_len = processes_max * row_len(slots.len());
    // SAFETY: the entries lie behind the processes; as above.
    let entries = unsafe { core::slice::from_raw_parts(begin.add(processes_max).cast::<AtomicU64>(), entries_len) };
    Ok(Some(Ledger::new(&region.lock, processes, entries, slots)))
}

/// The counters of a state.
///
/// # Safety
/// - As [`view`].
pub(super) unsafe fn counters<'a>(state: *const EkState) -> Result<&'a Counters, EkCode> {
    // SAFETY: forwarded to the caller.
    unsafe { region(state) }.map(|region| &region.counters)
}

/// The fixed part of a state, its mark checked.
///
/// # Safety
/// - As [`view`].
unsafe fn region<'a>(state: *const EkState) -> Result<&'a Region, EkCode> {
    let region = state.cast::<Region>();
    memory::check(region)?;
    // SAFETY: aligned, and the caller vouches for the bytes; all bit patterns are valid.
    let region = unsafe { &*region };
    if region.magic.load(Acquire) == MAGIC { Ok(region) } else { Err(EkCode::StateForeign) }
}

/// The slots behind a region. The pointer is the state's own, since a reference to the
/// region reaches no further than the region.
///
/// # Safety
/// - As [`view`]; `region` is that of `state`.
unsafe fn slots<'a>(state: *const EkState, region: &Region) -> &'a [HostSlot] {
    // SAFETY: slots lie right behind the region.
    let first = unsafe { state.cast::<Region>().add(1) }.cast::<HostSlot>();
    // SAFETY: initialised with the mark, and as many as the region says; all fields are
    // atomic, so that shared references are no promise of constancy.
    unsafe { core::slice::from_raw_parts(first, region.hosts_max as usize) }
}
