//! Time by the caller's monotonic clock, in microseconds.

/// Returns the seconds from one reading of the clock to a later one; 0 if it went backwards.
#[inline]
pub(crate) fn elapsed_s(from_us: u64, to_us: u64) -> f32 {
    to_us.saturating_sub(from_us) as f32 * 1e-6
}
