//! The hosts of an upstream: they come, go, change, come back, and report.

use core::ffi::c_char;

use super::code::{EkCode, run};
use super::memory;
use super::types::{EkStats, EkTelemetry};
use super::upstream::{self, EkUpstream};
use crate::orca;
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
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `host` points to a `uint32_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_host_register(
    upstream: *mut EkUpstream,
    key: u64,
    weight: f32,
    now_us: u64,
    host: *mut u32,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        memory::check(host)?;
        let index = upstream.state().register(key, weight, now_us).map_err(|error| match error {
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
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_host_remove(upstream: *mut EkUpstream, key: u64) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        if key != 0 && upstream.state().remove(key) { Ok(()) } else { Err(EkCode::HostUnknown) }
    })
}

/// Finds a host by its key.
///
/// `host`: gets the host's index.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `host` points to a `uint32_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_host_find(upstream: *const EkUpstream, key: u64, host: *mut u32) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        memory::check(host)?;
        let index = upstream.state().find(key).ok_or(EkCode::HostUnknown)?;
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
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_host_weight(upstream: *mut EkUpstream, host: u32, weight: f32) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        if upstream.state().set_weight(host, weight) { Ok(()) } else { Err(EkCode::HostUnknown) }
    })
}

/// A host came up, or came back: it was added to a fleet that is at work, or passed its
/// health check after having failed it. What its failures and reports told before is
/// forgotten, and if there is a slow start (`ek_upstream_tick`), it begins.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_host_restarted(upstream: *mut EkUpstream, host: u32, now_us: u64) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        if upstream.restarted(host, now_us) { Ok(()) } else { Err(EkCode::HostUnknown) }
    })
}

/// A host's own report came in: from response headers, a probe, or scraped metrics.
///
/// `measured_us`: when the host measured it, not when it arrived. `EK_CODE_REPORT_STALE` if that
/// is older than what is known, or lies after `now_us`.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `telemetry` points to `telemetry->struct_size` initialised bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_host_report(
    upstream: *mut EkUpstream,
    host: u32,
    telemetry: *const EkTelemetry,
    measured_us: u64,
    now_us: u64,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        // SAFETY: forwarded to the caller.
        let telemetry = unsafe { memory::input(telemetry) }?;
        if upstream.state().host(host).is_none() {
            return Err(EkCode::HostUnknown);
        }
        if upstream.report(host, &telemetry.to_runtime(), measured_us, now_us) {
            Ok(())
        } else {
            Err(EkCode::ReportStale)
        }
    })
}

/// A host's own report came in with a response: the value of the header
/// `endpoint-load-metrics`, in ORCA's text or JSON form.
///
/// `header`: `header_len` bytes, from the host as they are. Returns `EK_CODE_REPORT_FORMAT`
/// for what does not follow the format, and for reports without a metric of use.
/// `now_us`: when the response's header came in.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `header` points to `header_len` initialised bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_host_report_orca(
    upstream: *mut EkUpstream,
    host: u32,
    header: *const c_char,
    header_len: usize,
    now_us: u64,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        // SAFETY: forwarded to the caller.
        let header = unsafe { memory::slice(header.cast::<u8>(), header_len) }?;
        if upstream.state().host(host).is_none() {
            return Err(EkCode::HostUnknown);
        }
        let telemetry = orca::parse(header).ok_or(EkCode::ReportFormat)?;
        if upstream.report(host, &telemetry, now_us, now_us) { Ok(()) } else { Err(EkCode::ReportStale) }
    })
}

/// Reads what is known of a host.
///
/// `stats`: filled in; its `struct_size` must be set.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `stats` points to `stats->struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_host_stats(
    upstream: *const EkUpstream,
    host: u32,
    now_us: u64,
    stats: *mut EkStats,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        // SAFETY: forwarded to the caller.
        let struct_size = unsafe { memory::struct_size(stats) }?;
        let slot = upstream.state().host(host).ok_or(EkCode::HostUnknown)?;
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
        full_share: slot.full_share(),
        knowledge: slot.knowledge(),
        reserved: 0,
    }
}
