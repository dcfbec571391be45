//! An upstream in one block of the caller's memory, shared between processes if need be.
//!
//! ```text
//! 0    u64 mark   u32 layout   u32 hosts at most   u64 size in bytes
//! 24   u32 processes at most   u32 lock   u32 sets of prefixes   u32 sets of classes
//! 40   u32 values of history   (and what the one who ticks keeps of it)
//! 128  what there is once: counters, demand, times of choices
//! …    a slot for each host, 128-byte aligned
//! …    of each process 128 bytes, then of each process a row of 64-bit counts by host
//! …    sets of prefixes, sets of classes, 64-byte aligned
//! …    rolling calibration and history of the demand
//! ```

use core::ffi::c_void;
use core::ops::Range;
use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

use super::code::{EkCode, run};
use super::memory;
use super::types::{
    EK_ENTRIES_MAX, EK_HISTORY_VALUES_MAX, EK_HOSTS_MAX, EK_PROCESSES_MAX, EkIfOther, EkUpstreamOptions,
};
use crate::forecast::{History, Rolling};
use crate::ledger::{Ledger, Process, row_len};
use crate::slot::HostSlot;
use crate::table::{Set, WAYS};
use crate::upstream::{Header, Memory, Upstream};

/// Alignment in bytes of the memory of an upstream.
pub const EK_UPSTREAM_ALIGNMENT: usize = 128;

const MAGIC: u64 = u64::from_le_bytes(*b"EKupstr1");

/// To be raised when a field of header or slot changes its place or meaning. The sizes of
/// slot and header are part of the layout, so that a change of them is noticed in any case.
const LAYOUT_VERSION: u32 = 2;
const LAYOUT: u32 = LAYOUT_VERSION << 24 | ((size_of::<HostSlot>() + size_of::<Header>()) as u32 & 0xFF_FFFF);

/// The balancer of an upstream: what is known of its hosts, its prefixes, its demand. It lives in
/// memory of the caller, which several processes may share, at different addresses. All
/// functions may be called by any number of threads and processes at once but for
/// `ek_upstream_open`, `ek_upstream_tick`, `ek_host_register` and `ek_host_remove`.
#[derive(Debug)]
pub struct EkUpstream(#[expect(dead_code, reason = "read through pointers alone")] Region);

#[derive(Debug)]
#[repr(C, align(128))]
struct Region {
    magic: AtomicU64,
    layout: u32,
    hosts_max: u32,
    size: u64,
    processes_max: u32,
    lock: AtomicU32,
    affinity_sets: u32,
    class_sets: u32,
    history_values: u32,
    /// The ring that the history has now: its values, and the bits of its step in seconds.
    ring_values: AtomicU32,
    ring_step: AtomicU32,
    ring_pushed: AtomicU64,
    header: Header,
}

const _: () = assert!(align_of::<Region>() == EK_UPSTREAM_ALIGNMENT && align_of::<HostSlot>() <= EK_UPSTREAM_ALIGNMENT);
const _: () = assert!(size_of::<Region>().is_multiple_of(align_of::<HostSlot>()));
const _: () = assert!(align_of::<Rolling>() <= align_of::<Set>() && size_of::<Rolling>().is_multiple_of(4));

/// Sizes of the parts of a block, in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    hosts: u32,
    processes: u32,
    affinity_sets: u32,
    class_sets: u32,
    history_values: u32,
}

/// Places of the parts behind the region, in bytes from its start.
#[derive(Clone, Debug)]
struct Places {
    slots: usize,
    processes: usize,
    entries: usize,
    affinity: usize,
    classes: usize,
    history: Range<usize>,
}

impl Sizes {
    fn of(options: &EkUpstreamOptions) -> Result<Self, EkCode> {
        if !(1..=EK_HOSTS_MAX).contains(&options.hosts_max) || options.processes_max > EK_PROCESSES_MAX {
            return Err(EkCode::MaxHosts);
        }
        let is_in_range = options.affinity_entries <= EK_ENTRIES_MAX
            && options.class_entries <= EK_ENTRIES_MAX
            && options.history_values <= EK_HISTORY_VALUES_MAX;
        if !is_in_range {
            return Err(EkCode::Capacity);
        }
        Ok(Self {
            hosts: options.hosts_max,
            processes: options.processes_max,
            affinity_sets: options.affinity_entries.div_ceil(WAYS as u32),
            class_sets: options.class_entries.div_ceil(WAYS as u32),
            history_values: options.history_values,
        })
    }

    fn found(region: &Region) -> Self {
        Self {
            hosts: region.hosts_max,
            processes: region.processes_max,
            affinity_sets: region.affinity_sets,
            class_sets: region.class_sets,
            history_values: region.history_values,
        }
    }

    /// In the range that [`of`](Self::of) allows, so that no sum of sizes wraps.
    fn is_plausible(&self) -> bool {
        (1..=EK_HOSTS_MAX).contains(&self.hosts)
            && self.processes <= EK_PROCESSES_MAX
            && self.affinity_sets <= EK_ENTRIES_MAX / WAYS as u32
            && self.class_sets <= EK_ENTRIES_MAX / WAYS as u32
            && self.history_values <= EK_HISTORY_VALUES_MAX
    }

    fn places(&self) -> Places {
        let [hosts, processes] = [self.hosts, self.processes].map(|number| number as usize);
        let slots = size_of::<Region>();
        let processes_at = slots + hosts * size_of::<HostSlot>();
        let entries = processes_at + processes * size_of::<Process>();
        let affinity = entries + processes * row_len(hosts) * size_of::<AtomicU64>();
        let classes = affinity + self.affinity_sets as usize * size_of::<Set>();
        let history = classes + self.class_sets as usize * size_of::<Set>();
        let history_bytes = match self.history_values as usize {
            0 => 0,
            values => size_of::<Rolling>() + values * size_of::<f32>(),
        };
        Places { slots, processes: processes_at, entries, affinity, classes, history: history..history + history_bytes }
    }

    fn bytes(&self) -> usize {
        self.places().history.end
    }
}

/// Size in bytes of the memory of an upstream; 0 if a number is out of range or the structure is
/// refused.
///
/// # Safety
/// - `options` is NULL or points to `options->struct_size` initialised bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_size(options: *const EkUpstreamOptions) -> usize {
    // SAFETY: forwarded to the caller.
    let options = unsafe { memory::input(options) };
    options.and_then(|options| Sizes::of(&options)).map_or(0, |sizes| sizes.bytes())
}

/// Finds the upstream in memory, or makes one.
///
/// Memory that is all zero gets a new one. So does, if `options->if_other` is
/// `EK_IF_OTHER_INITIALISE`, memory that holds something else: an upstream of another version of
/// this library, one of other sizes, one whose making was interrupted. Otherwise these are
/// refused.
///
/// `memory`: `ek_upstream_size(options)` bytes or more, aligned to `EK_UPSTREAM_ALIGNMENT`, zero
/// at first.
/// `upstream`: gets the upstream, which is the memory itself.
/// `was_made`: gets 1 for a new one, 0 for one that was found; may be NULL.
///
/// # Safety
/// - `memory` points to `memory_size` initialised bytes which are the upstream's as long as it
///   is used; if one is made, nobody uses them during the call.
/// - `options` points to `options->struct_size` initialised bytes.
/// - `upstream` points to a pointer, `was_made` to a `uint32_t` if it is not NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_open(
    memory: *mut c_void,
    memory_size: usize,
    options: *const EkUpstreamOptions,
    upstream: *mut *mut EkUpstream,
    was_made: *mut u32,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let options = unsafe { memory::input(options) }?;
        memory::check(upstream)?;
        if !was_made.is_null() {
            memory::check(was_made)?;
        }
        if options.if_other > EkIfOther::Initialise as u32 {
            return Err(EkCode::Enumeration);
        }
        if options.reserved != 0 {
            return Err(EkCode::Reserved);
        }
        let sizes = Sizes::of(&options)?;
        memory::check(memory.cast::<Region>())?;
        if memory_size < sizes.bytes() {
            return Err(EkCode::MemorySize);
        }
        // SAFETY: forwarded to the caller.
        let is_new = match unsafe { found(memory, memory_size) } {
            Ok(there) if there == sizes => 0,
            other => {
                // SAFETY: the caller vouches for that many initialised bytes.
                let bytes = unsafe { core::slice::from_raw_parts(memory.cast::<u8>(), sizes.bytes()) };
                if options.if_other == EkIfOther::Refuse as u32 && !bytes.iter().all(|byte| *byte == 0) {
                    return Err(other.err().unwrap_or(EkCode::UpstreamLayout));
                }
                // SAFETY: checked above.
                unsafe { make(memory, &sizes, options.seed) };
                1
            }
        };
        // SAFETY: checked above.
        unsafe { upstream.write(memory.cast()) };
        if !was_made.is_null() {
            // SAFETY: checked above.
            unsafe { was_made.write(is_new) };
        }
        Ok(())
    })
}

/// Finds the upstream in memory that another process, or this one before a reload, made, and
/// writes nothing there. Others, and those of another version of this library, are refused.
///
/// `upstream`: gets the upstream, which is the memory itself.
///
/// # Safety
/// - `memory` points to `memory_size` initialised bytes which are the upstream's as long as
///   it is used.
/// - `upstream` points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_attach(
    memory: *mut c_void,
    memory_size: usize,
    upstream: *mut *mut EkUpstream,
) -> EkCode {
    run(|| {
        memory::check(upstream)?;
        // SAFETY: forwarded to the caller.
        unsafe { found(memory, memory_size) }?;
        // SAFETY: checked above.
        unsafe { upstream.write(memory.cast()) };
        Ok(())
    })
}

/// A process takes its number, and takes back the requests that a former process of this
/// number left under way. The former one must be dead. To be called before the first
/// `ek_upstream_begin`; also by anybody else for the number of a process that died and will
/// not be replaced.
///
/// Returns `EK_CODE_BUSY`, with nothing lost, while another process is joining, or was
/// suspended or killed inside an update of the same host: call again later, and have the
/// other one joined if it is dead.
///
/// `process`: below the upstream's `processes_max`.
/// `taken_back`: gets the number of requests taken back; may be NULL.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `taken_back` is NULL or points to a `uint32_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_join(upstream: *mut EkUpstream, process: u32, taken_back: *mut u32) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { view(upstream) }?;
        if !taken_back.is_null() {
            memory::check(taken_back)?;
        }
        let requests = upstream.join(process)?;
        if !taken_back.is_null() {
            // SAFETY: checked above.
            unsafe { taken_back.write(requests) };
        }
        Ok(())
    })
}

/// Makes an empty upstream, whatever the memory held before.
///
/// # Safety
/// - `memory` is aligned and points to as many bytes as the sizes say, which nobody uses.
unsafe fn make(memory: *mut c_void, sizes: &Sizes, seed: u64) {
    let region = memory.cast::<Region>();
    // SAFETY: aligned, large enough, and the caller's to give. The mark goes first: killed
    // on the way, we leave what is no upstream rather than half of one.
    unsafe { AtomicU64::from_ptr(region.cast()) }.store(0, SeqCst);
    fence(SeqCst);
    // SAFETY: that many bytes are ours.
    unsafe { region.cast::<u8>().write_bytes(0, sizes.bytes()) };
    let empty = Region {
        magic: AtomicU64::new(0),
        layout: LAYOUT,
        hosts_max: sizes.hosts,
        size: sizes.bytes() as u64,
        processes_max: sizes.processes,
        lock: AtomicU32::new(0),
        affinity_sets: sizes.affinity_sets,
        class_sets: sizes.class_sets,
        history_values: sizes.history_values,
        ring_values: AtomicU32::new(0),
        ring_step: AtomicU32::new(0),
        ring_pushed: AtomicU64::new(0),
        header: Header::new(seed),
    };
    // SAFETY: aligned and large enough. The rest stays zero: free slots, processes that never
    // joined, empty tables.
    unsafe { region.write(empty) };
    // SAFETY: written above. The mark comes last: whoever sees it sees the rest.
    unsafe { &*region }.magic.store(MAGIC, Release);
}

/// Sizes of the upstream in memory.
///
/// # Safety
/// - If neither NULL nor misaligned, `memory` points to `memory_size` initialised bytes.
unsafe fn found(memory: *const c_void, memory_size: usize) -> Result<Sizes, EkCode> {
    let region = memory.cast::<Region>();
    memory::check(region)?;
    if memory_size < size_of::<Region>() {
        return Err(EkCode::MemorySize);
    }
    // SAFETY: aligned, large enough, initialised; every bit pattern is a valid region.
    let region = unsafe { &*region };
    if region.magic.load(Acquire) != MAGIC {
        return Err(EkCode::UpstreamForeign);
    }
    let sizes = Sizes::found(region);
    if region.layout != LAYOUT || !sizes.is_plausible() || region.size != sizes.bytes() as u64 {
        return Err(EkCode::UpstreamLayout);
    }
    if memory_size < sizes.bytes() { Err(EkCode::MemorySize) } else { Ok(sizes) }
}

/// The runtime's view of an upstream.
///
/// # Safety
/// - If neither NULL nor misaligned, `upstream` points to as many readable bytes as the
///   region's header has, and comes from [`ek_upstream_open`] or [`ek_upstream_attach`] if it
///   carries the mark.
pub(super) unsafe fn view<'a>(upstream: *const EkUpstream) -> Result<Upstream<'a>, EkCode> {
    // SAFETY: forwarded to the caller.
    let region = unsafe { region(upstream) }?;
    let places = Sizes::found(region).places();
    // SAFETY: each part lies where the sizes say, was zeroed when the upstream was made, and is
    // changed through atomics alone, so that shared references are no promise of constancy.
    let (slots, affinity, classes) = unsafe {
        (
            part::<HostSlot>(upstream, places.slots, region.hosts_max as usize),
            part::<Set>(upstream, places.affinity, region.affinity_sets as usize),
            part::<Set>(upstream, places.classes, region.class_sets as usize),
        )
    };
    let processes_max = region.processes_max as usize;
    let ledger = if processes_max == 0 {
        None
    } else {
        // SAFETY: as above.
        let (processes, entries) = unsafe {
            (
                part::<Process>(upstream, places.processes, processes_max),
                part::<AtomicU64>(upstream, places.entries, processes_max * row_len(slots.len())),
            )
        };
        Some(Ledger::new(&region.lock, processes, entries, slots))
    };
    Ok(Upstream::new(&Memory { header: &region.header, slots, affinity, classes, ledger }))
}

/// A part of the block. The pointer is the upstream's own, since a reference to the region
/// reaches no further than the region.
///
/// # Safety
/// - The block has `len` initialised elements at this place, changed through atomics alone.
unsafe fn part<'a, T>(upstream: *const EkUpstream, place: usize, len: usize) -> &'a [T] {
    // SAFETY: inside of the block, says the caller.
    let first = unsafe { upstream.cast::<u8>().add(place) }.cast::<T>();
    // SAFETY: aligned, since all parts before are whole multiples of its alignment.
    unsafe { core::slice::from_raw_parts(first, len) }
}

/// Values and step of the ring of history that a forecaster wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) values: u32,
    pub(super) step_s: f32,
}

/// Lends the history of the demand, which belongs to whoever ticks. One of another step starts
/// anew, and the demand with it. `None` if there is no room for it.
///
/// # Safety
/// - As [`view`]; and nobody else borrows the history.
pub(super) unsafe fn with_history<R>(
    upstream: *mut EkUpstream,
    wanted: Option<Wanted>,
    lend: impl FnOnce(&mut History<'_>) -> R,
) -> Result<Option<R>, EkCode> {
    // SAFETY: forwarded to the caller.
    let region = unsafe { region(upstream) }?;
    let place = Sizes::found(region).places().history.start;
    let Some(wanted) = wanted.filter(|wanted| (1..=region.history_values).contains(&wanted.values)) else {
        return Ok(None);
    };
    // SAFETY: inside of the block; aligned, as the sets before it are.
    let rolling = unsafe { upstream.byte_add(place) }.cast::<Rolling>();
    // SAFETY: right behind it.
    let first = unsafe { rolling.add(1) }.cast::<f32>();
    let step = wanted.step_s.to_bits();
    if region.ring_values.load(Relaxed) != wanted.values || region.ring_step.load(Relaxed) != step {
        // SAFETY: nobody else borrows it.
        unsafe { rolling.write(Rolling::new()) };
        region.ring_pushed.store(0, Relaxed);
        region.ring_values.store(wanted.values, Relaxed);
        region.ring_step.store(step, Relaxed);
        region.header.demand().restart();
    }
    // SAFETY: initialised when the upstream was made, as many as it has room for, and only
    // whoever ticks uses them.
    let (values, rolling) = unsafe { (core::slice::from_raw_parts_mut(first, wanted.values as usize), &mut *rolling) };
    let mut history = History::attach(values, region.ring_pushed.load(Relaxed)).with_rolling(rolling);
    let result = lend(&mut history);
    region.ring_pushed.store(history.pushed(), Relaxed);
    Ok(Some(result))
}

/// The fixed part of an upstream, its mark checked.
///
/// # Safety
/// - As [`view`].
unsafe fn region<'a>(upstream: *const EkUpstream) -> Result<&'a Region, EkCode> {
    let region = upstream.cast::<Region>();
    memory::check(region)?;
    // SAFETY: aligned, and the caller vouches for the bytes; all bit patterns are valid.
    let region = unsafe { &*region };
    if region.magic.load(Acquire) == MAGIC { Ok(region) } else { Err(EkCode::UpstreamForeign) }
}
