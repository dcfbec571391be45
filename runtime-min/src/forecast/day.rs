//! Days, in steps of a series.

const DAY_S: f64 = 86_400.0;

/// Steps of a day, at least 2.
pub fn steps_per_day(step_s: f32) -> usize {
    ((DAY_S as f32 / step_s + 0.5) as usize).clamp(2, 1 << 20)
}
