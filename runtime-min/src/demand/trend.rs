//! Where the demand is, and where it is going, beyond chance.
//!
//! Brown's double exponential smoothing ("Smoothing, Forecasting and Prediction of Discrete Time
//! Series", 1963), for samples that are any time apart: a mean and the mean of that mean lag behind a
//! steady rise by one and by two time constants, so that their distance is its slope.
//!
//! Arrivals are counted, and counts of a steady stream deviate by their root (Poisson): 20 requests
//! in a minute may as well be 15 or 25. What lies within chance is not followed.

use crate::math;

/// Time constant, in seconds.
pub const TREND_S: f32 = 120.0;

/// The present rate is taken for what it is once it is so many standard deviations above the level.
const SURE_DEVIATIONS: f32 = 1.0;
/// So much time the present rate rests on, in seconds: a minute, or a mean with half a minute's time
/// constant, which weighs as much.
const PRESENT_WINDOW_S: f32 = 60.0;

/// A level and a slope. All zeros knows nothing yet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trend {
    /// Mean of the samples, and mean of that.
    pub(super) once: f32,
    pub(super) twice: f32,
    /// Seconds that were seen, up to where it makes no difference.
    pub(super) seen_s: f32,
}

impl Trend {
    /// Takes in the mean rate of the last `elapsed_s` seconds.
    pub fn update(&mut self, rate_per_s: f32, elapsed_s: f32) {
        if !(elapsed_s > 0.0 && rate_per_s.is_finite()) {
            return;
        }
        self.seen_s = (self.seen_s + elapsed_s).min(4.0 * TREND_S);
        // At first a mean of all so far, so that the start from nothing is no rise.
        let share = (1.0 - math::exp(-elapsed_s / TREND_S)).max((elapsed_s / self.seen_s).min(1.0));
        self.once += share * (rate_per_s - self.once);
        self.twice += share * (self.once - self.twice);
    }

    /// By how much the rate changes, each second; 0 before a time constant was seen.
    pub fn slope_per_s2(&self) -> f32 {
        if self.seen_s < TREND_S { 0.0 } else { (self.once - self.twice) / TREND_S }
    }

    /// The slope of a rise, less the standard deviation that the slope of a steady stream has: at most
    /// what chance does not explain. The difference of the two means of a rate `r` has the variance
    /// `r / 4 TREND_S`, the integral of its squared response.
    pub fn sure_slope_per_s2(&self) -> f32 {
        let deviation = 0.5 * root(self.once.max(0.0) / TREND_S) / TREND_S;
        (self.slope_per_s2() - deviation).max(0.0)
    }

    /// The present demand: the level that the trend has reached, or, where it is above that beyond
    /// chance, the present rate less what may be chance of it. Before a time constant was seen, the
    /// present rate.
    pub fn sure_level_per_s(&self, present_per_s: f32) -> f32 {
        if self.seen_s < TREND_S {
            return present_per_s;
        }
        let level = self.once + TREND_S * self.slope_per_s2();
        let chance = SURE_DEVIATIONS * root(present_per_s.max(0.0) / PRESENT_WINDOW_S);
        level.max(present_per_s - chance).max(0.0)
    }
}

/// Square root of what is not negative; there is none without the standard library.
fn root(x: f32) -> f32 {
    if x > 0.0 { math::exp(0.5 * math::ln(x)) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(rate: impl Fn(f32) -> f32, seconds: u32, step: usize) -> Trend {
        let mut trend = Trend::default();
        for second in (0..seconds).step_by(step) {
            trend.update(rate(second as f32), step as f32);
        }
        trend
    }

    #[test]
    fn the_slope_of_a_steady_rise_is_found() {
        for step in [1, 15] {
            let slope = after(|now_s| 20.0 + 0.02 * now_s, 3600, step).slope_per_s2();
            // Looking every 15 s takes up to 6 % off.
            assert!((slope - 0.02).abs() < 1.3e-3, "{slope}");
        }
    }

    #[test]
    fn a_level_has_no_slope_from_the_start_on() {
        for seconds in [1, 100, 299, 301, 1000, 10_000] {
            let slope = after(|_| 50.0, seconds, 1).slope_per_s2();
            assert!(slope.abs() < 1e-5, "{slope} after {seconds} s");
        }
    }

    #[test]
    fn what_chance_explains_is_not_followed_and_a_surge_is() {
        let steady = after(|_| 4.0, 1000, 1);
        assert!((steady.sure_level_per_s(4.2) - 4.0).abs() < 0.01, "a minute of 252 requests in place of 240");
        let surge = steady.sure_level_per_s(12.0);
        assert!((11.0..12.0).contains(&surge), "{surge}");
        assert_eq!(steady.sure_slope_per_s2(), 0.0);
        let rising = after(|now_s| 4.0 + 0.01 * now_s, 2000, 1);
        assert!((0.005..0.01).contains(&rising.sure_slope_per_s2()), "{}", rising.sure_slope_per_s2());
        assert_eq!(after(|_| 4.0, 100, 1).sure_level_per_s(7.0), 7.0, "too early to tell");
    }

    #[test]
    fn nonsense_changes_nothing() {
        let mut trend = after(|_| 50.0, 1000, 1);
        let before = trend;
        for (rate, elapsed_s) in [(f32::NAN, 1.0), (f32::INFINITY, 1.0), (5.0, 0.0), (5.0, -1.0), (5.0, f32::NAN)] {
            trend.update(rate, elapsed_s);
        }
        assert_eq!(trend, before);
    }
}
