//! What an upstream has counted and timed.

use super::code::{EkCode, run};
use super::memory;
use super::types::EkCounters;
use super::upstream::{self, EkUpstream};
use crate::histogram::{BUCKETS, bucket_end_ns};
use crate::reason::Reason;

/// Buckets of the histogram of choices' times.
pub const EK_HISTOGRAM_BUCKETS: u32 = 64;

const _: () = assert!(EK_HISTOGRAM_BUCKETS as usize == BUCKETS);

/// Reads what an upstream has counted.
///
/// `counters`: filled in; its `struct_size` must be set.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `counters` points to `counters->struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_counters(upstream: *const EkUpstream, counters: *mut EkCounters) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        // SAFETY: forwarded to the caller.
        let struct_size = unsafe { memory::struct_size(counters) }? as u32;
        let counted = upstream.counters();
        let times = upstream.choice_time();
        let of = |reason: Reason| counted.decisions[reason as usize];
        let read = EkCounters {
            struct_size,
            reserved: 0,
            policy: of(Reason::Policy),
            stale_telemetry: counted.stale_decisions,
            only_host: of(Reason::OnlyHost),
            no_policy: of(Reason::NoPolicy),
            no_score: of(Reason::NoScore),
            no_host: of(Reason::NoHost),
            taken_back: counted.taken_back,
            untried: of(Reason::Untried),
            choice_time_sum_ns: times.sum_ns(),
            choice_time_p99_ns: times.quantile_ns(0.99),
        };
        // SAFETY: checked above.
        unsafe { counters.write(read) };
        Ok(())
    })
}

/// Adds the time that a choice took, as the caller measured it.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_timed(upstream: *mut EkUpstream, choice_time_ns: u64) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        unsafe { upstream::view(upstream) }?.choice_time().record(choice_time_ns);
        Ok(())
    })
}

/// Reads one of `EK_HISTOGRAM_BUCKETS` buckets of the choices' times: where it ends (the last one
/// has no end), and how many are in it. The first begins at 0, each other one where the one
/// before it ends.
///
/// # Safety
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `end_ns` and `count` point to numbers that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_upstream_time_bucket(
    upstream: *const EkUpstream,
    bucket: u32,
    end_ns: *mut u64,
    count: *mut u64,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        memory::check(end_ns)?;
        memory::check(count)?;
        if bucket >= EK_HISTOGRAM_BUCKETS {
            return Err(EkCode::Capacity);
        }
        // SAFETY: checked above.
        unsafe { end_ns.write(bucket_end_ns(bucket as usize)) };
        // SAFETY: checked above.
        unsafe { count.write(upstream.choice_time().count(bucket as usize)) };
        Ok(())
    })
}
