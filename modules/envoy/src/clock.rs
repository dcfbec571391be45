//! The clock of the whole module: the system's monotonic one, which the telemetry agent
//! uses too.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// As [`now_ns`], in microseconds.
pub(crate) fn now_us() -> u64 {
    now_ns() / 1_000
}

/// Where a moment of the wall clock lies on the monotonic one, and where that is now, in
/// microseconds. As good as the wall clock was steady in between; never in the future.
pub(crate) fn from_unix_ns(unix_ns: i64) -> (u64, u64) {
    /// The thread was not interrupted between two readings this close.
    const CLOSE_NS: u64 = 10_000;

    let (mut before_ns, mut wall_ns) = (now_ns(), unix_now_ns());
    for _ in 0..3 {
        let after_ns = now_ns();
        if after_ns - before_ns < CLOSE_NS {
            break;
        }
        (before_ns, wall_ns) = (after_ns, unix_now_ns());
    }
    let now_us = before_ns / 1_000;
    (now_us.saturating_sub((wall_ns.saturating_sub(unix_ns) / 1_000).max(0) as u64), now_us)
}

fn unix_now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos() as i64)
}

/// Seconds since 1970.
pub(crate) fn unix_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}
