//! The state of an upstream in the caller's memory, shared between processes if need be.
//!
//! ```text
//! 0    u64 mark   u32 layout   u32 hosts at most   u64 size in bytes
//! 128  StateHeader
//! 256  slots, 128-byte aligned
//! ```

use core::ffi::c_void;
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Release},
};

use super::code::{EkCode, run};
use super::memory;
use super::types::{EK_HOSTS_MAX, EkStats};
use crate::slot::HostSlot;
use crate::state::{RegisterError, State, StateHeader};

/// Alignment in bytes of the memory of a state.
pub const EK_STATE_ALIGNMENT: usize = 128;

const MAGIC: u64 = u64::from_le_bytes(*b"EKstate1");

/// To be raised when a field of header or slot changes its place or meaning. The slot's
/// size is part of the layout, so that a change of it is noticed in any case.
const LAYOUT_VERSION: u32 = 1;
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
    header: StateHeader,
}

const _: () = assert!(align_of::<Region>() == EK_STATE_ALIGNMENT && align_of::<HostSlot>() <= EK_STATE_ALIGNMENT);
const _: () = assert!(size_of::<Region>().is_multiple_of(align_of::<HostSlot>()));

/// Size in bytes of the memory of a state for up to `hosts_max` hosts; 0 if that is 0 or
/// above `EK_HOSTS_MAX`.
#[unsafe(no_mangle)]
pub extern "C" fn ek_state_size(hosts_max: u32) -> usize {
    if (1..=EK_HOSTS_MAX).contains(&hosts_max) {
        size_of::<Region>() + hosts_max as usize * size_of::<HostSlot>()
    } else {
        0
    }
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
        let region = memory.cast::<Region>();
        memory::check(region)?;
        memory::check(state)?;
        let size = ek_state_size(hosts_max);
        if size == 0 {
            return Err(EkCode::MaxHosts);
        }
        if memory_size < size {
            return Err(EkCode::MemorySize);
        }
        let header = StateHeader::new(seed);
        let empty = Region { magic: AtomicU64::new(0), layout: LAYOUT, hosts_max, size: size as u64, header };
        // SAFETY: aligned, large enough, and the caller's to give.
        unsafe { region.write(empty) };
        // SAFETY: a slot's place lies right behind the region's header.
        let slots = unsafe { region.add(1) }.cast::<HostSlot>();
        for index in 0..hosts_max as usize {
            // SAFETY: `size` bytes have room for as many slots.
            unsafe { slots.add(index).write(HostSlot::default()) };
        }
        // SAFETY: written above. The mark comes last: whoever sees it sees the rest.
        unsafe { &*region }.magic.store(MAGIC, Release);
        // SAFETY: checked above.
        unsafe { state.write(region.cast()) };
        Ok(())
    })
}

/// Finds the state in memory that another process, or this one before a reload,
/// initialised. States of another layout are refused.
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
        let region = memory.cast::<Region>();
        memory::check(region)?;
        memory::check(state)?;
        if memory_size < size_of::<Region>() {
            return Err(EkCode::MemorySize);
        }
        // SAFETY: aligned, large enough, initialised; every bit pattern is a valid region.
        let found = unsafe { &*region };
        if found.magic.load(Acquire) != MAGIC {
            return Err(EkCode::StateForeign);
        }
        let size = ek_state_size(found.hosts_max);
        if found.layout != LAYOUT || size == 0 || found.size != size as u64 {
            return Err(EkCode::StateLayout);
        }
        if memory_size < size {
            return Err(EkCode::MemorySize);
        }
        // SAFETY: checked above.
        unsafe { state.write(region.cast()) };
        Ok(())
    })
}

/// Registers a host. One whose key is there already keeps its index and what was learned.
///
/// To be called by one thread or process at a time.
///
/// `key`: any number but 0 that stays the host's, such as a hash of its address.
/// `weight`: capacity relative to the other hosts; outside 0.001 to 1000 counts as 1.
/// `host`: gets the host's index.
///
/// # Safety
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
/// - `host` points to a `uint32_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_host_register(
    state: *mut EkState,
    key: u64,
    weight: f32,
    now_us: u64,
    host: *mut u32,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let state = unsafe { view(state) }?;
        memory::check(host)?;
        let index = state.register(key, weight, now_us).map_err(|error| match error {
            RegisterError::KeyZero => EkCode::HostKeyZero,
            RegisterError::Full => EkCode::HostsFull,
        })?;
        // SAFETY: checked above.
        unsafe { host.write(index) };
        Ok(())
    })
}

/// Removes a host. Requests still under way there are finished as usual.
///
/// To be called by one thread or process at a time.
///
/// # Safety
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_host_remove(state: *mut EkState, key: u64) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let state = unsafe { view(state) }?;
        if key != 0 && state.remove(key) { Ok(()) } else { Err(EkCode::HostUnknown) }
    })
}

/// Finds a host by its key.
///
/// `host`: gets the host's index.
///
/// # Safety
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
/// - `host` points to a `uint32_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_host_find(state: *const EkState, key: u64, host: *mut u32) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let state = unsafe { view(state) }?;
        memory::check(host)?;
        let index = state.find(key).ok_or(EkCode::HostUnknown)?;
        // SAFETY: checked above.
        unsafe { host.write(index) };
        Ok(())
    })
}

/// Reads what is known of a host.
///
/// `stats`: filled in; its `struct_size` must be set.
///
/// # Safety
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
/// - `stats` points to `stats->struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_host_stats(state: *const EkState, host: u32, now_us: u64, stats: *mut EkStats) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let state = unsafe { view(state) }?;
        // SAFETY: forwarded to the caller.
        let struct_size = unsafe { memory::struct_size(stats) }?;
        let slot = state.host(host).ok_or(EkCode::HostUnknown)?;
        // SAFETY: checked above.
        unsafe { stats.write(read_stats(slot, now_us, struct_size as u32)) };
        Ok(())
    })
}

fn read_stats(slot: &HostSlot, now_us: u64, struct_size: u32) -> EkStats {
    let telemetry = slot.telemetry();
    EkStats {
        struct_size,
        in_flight: slot.in_flight(),
        key: slot.key(),
        sent_total: slot.sent_total(),
        done_total: slot.done_total(),
        failed_total: slot.failed_total(),
        in_flight_prompt_tokens: slot.in_flight_prompt_tokens(),
        weight: slot.weight(),
        latency_ewma_s: slot.latency_ewma_s(),
        peak_latency_s: slot.peak_latency_s(now_us),
        ttft_ewma_s: slot.ttft_ewma_s(),
        local_step_s: slot.local_step_s(),
        completions_per_s: slot.completions_per_s(now_us),
        failure_share: slot.failure_share(),
        silence_s: slot.silence_s(now_us),
        telemetry_age_s: slot.telemetry_age_s(now_us).unwrap_or(f32::NAN),
        running: telemetry.running,
        waiting: telemetry.waiting,
        pending_prefill_tokens: telemetry.pending_prefill_tokens,
        kv_use: telemetry.kv_use,
        step_s: telemetry.step_s,
        reserved: 0,
    }
}

/// The runtime's view of a state.
///
/// # Safety
/// - If neither NULL nor misaligned, `state` points to as many readable bytes as the
///   region's header has, and comes from [`ek_state_init`] or [`ek_state_attach`] if it
///   carries the mark.
pub(super) unsafe fn view<'a>(state: *const EkState) -> Result<State<'a>, EkCode> {
    let region = state.cast::<Region>();
    memory::check(region)?;
    // SAFETY: aligned, and the caller vouches for the bytes; all bit patterns are valid.
    let header = unsafe { &*region };
    if header.magic.load(Acquire) != MAGIC {
        return Err(EkCode::StateForeign);
    }
    // SAFETY: slots lie right behind the header.
    let slots = unsafe { region.add(1) }.cast::<HostSlot>();
    // SAFETY: initialised with the mark, and as many as the header says; all fields are
    // atomic, so that shared references are no promise of constancy.
    let slots = unsafe { core::slice::from_raw_parts(slots, header.hosts_max as usize) };
    Ok(State::new(&header.header, slots))
}
