//! The hosts of an upstream: they come, go, change, and come back.

use super::code::{EkCode, run};
use super::memory;
use super::state::{self, EkState};
use super::types::EkStats;
use crate::slot::HostSlot;
use crate::state::RegisterError;

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
        let state = unsafe { state::view(state) }?;
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
        let state = unsafe { state::view(state) }?;
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
        let state = unsafe { state::view(state) }?;
        memory::check(host)?;
        let index = state.find(key).ok_or(EkCode::HostUnknown)?;
        // SAFETY: checked above.
        unsafe { host.write(index) };
        Ok(())
    })
}

/// Gives a known host another weight, and leaves what was learned of it as it is.
///
/// `weight`: capacity relative to the other hosts; outside 0.001 to 1000 counts as 1.
///
/// # Safety
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_host_weight(state: *mut EkState, host: u32, weight: f32) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let state = unsafe { state::view(state) }?;
        if state.set_weight(host, weight) { Ok(()) } else { Err(EkCode::HostUnknown) }
    })
}

/// A host came up, or came back: it was added to a fleet that is at work, or passed its
/// health check after having failed it. What its failures and reports told before is
/// forgotten, and if there is a slow start (`ek_hosts_warm`), it begins.
///
/// # Safety
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_host_restarted(state: *mut EkState, host: u32, now_us: u64) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let state = unsafe { state::view(state) }?;
        if state.restarted(host, now_us) { Ok(()) } else { Err(EkCode::HostUnknown) }
    })
}

/// Brings slow starts up to date. To be called about once a second, by one thread or process
/// that shares the state, and once before the first `ek_host_restarted`; decisions cost no
/// more for it.
///
/// At a host that came up `t` ago each request counts for `1 / max(0.1, t / slow_start)`, so
/// that it gets about that share of the requests that others have under way, and one at a
/// time in any case.
///
/// `slow_start_us`: the time that a host takes to get its full share; 0 for no slow start,
/// which ends those under way.
///
/// # Safety
/// - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_hosts_warm(state: *mut EkState, slow_start_us: u64, now_us: u64) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        unsafe { state::view(state) }?.warm(slow_start_us, now_us);
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
        let state = unsafe { state::view(state) }?;
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
        failure_share: slot.failure_share(now_us),
        silence_s: slot.silence_s(now_us),
        telemetry_age_s: slot.telemetry_age_s(now_us).unwrap_or(f32::NAN),
        running: telemetry.running,
        waiting: telemetry.waiting,
        pending_prefill_tokens: telemetry.pending_prefill_tokens,
        kv_use: telemetry.kv_use,
        step_s: telemetry.step_s,
        slow_start: slot.slow_start(),
        knowledge: slot.knowledge(),
        reserved: 0,
    }
}
