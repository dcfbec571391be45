//! Simulated time, in the units of the runtime.

/// The clock that balancers' states are kept in: microseconds, and never 0.
#[inline]
pub(crate) fn microseconds(now_s: f64) -> u64 {
    1_000_000 + (now_s * 1e6) as u64
}
