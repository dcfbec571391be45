//! Demand over time, and who foresees it.

use evenkeel_datasets::{Series, random};

use super::TICK_S;

/// A rate of requests, known at steps and interpolated in between; and how many of them were counted
/// in each tick, which is a matter of chance (Poisson), the same for whoever looks.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// Seconds between two values.
    step_s: f64,
    /// Requests a second, at the middle of each step. Those before `begin` are the past.
    values_per_s: Vec<f64>,
    begin: usize,
    /// Requests counted from the first tick that is known up to each, exclusive: a mean over
    /// any window of ticks is one difference.
    counted: Vec<f64>,
    /// Number of ticks before the beginning.
    past_ticks: usize,
}

impl Demand {
    /// The demand of a series from value `begin` on; what is before is history. Each value
    /// is multiplied by `factor` (1 over the step for counts a step). Missing values take
    /// the one before.
    ///
    /// # Panics
    /// If no value follows `begin`.
    pub fn new(series: &Series, begin: usize, factor: f64) -> Self {
        assert!(begin < series.len(), "the demand begins within the series");
        let mut last = 0.0;
        let values_per_s = series
            .values
            .iter()
            .map(|value| {
                if value.is_finite() {
                    last = (f64::from(*value) * factor).max(0.0);
                }
                last
            })
            .collect();
        let past_ticks = (begin as f64 * series.step_s / TICK_S) as usize;
        let mut demand = Self { step_s: series.step_s, values_per_s, begin, counted: Vec::new(), past_ticks };
        let mut rng = random::generator(1, 0xC0_0A7ED);
        let mut counted = 0.0;
        demand.counted = (0..=past_ticks + demand.ticks())
            .map(|tick| {
                let before = counted;
                let rate_per_s = demand.at_per_s((tick as f64 - past_ticks as f64) * TICK_S);
                counted += random::poisson(&mut rng, rate_per_s * TICK_S) as f64;
                before
            })
            .collect();
        demand
    }

    /// Requests a second at a time after the beginning; before it, of the past.
    pub fn at_per_s(&self, now_s: f64) -> f64 {
        let place = self.begin as f64 + now_s / self.step_s - 0.5;
        let left = (place.floor().max(0.0) as usize).min(self.values_per_s.len() - 1);
        let right = (left + 1).min(self.values_per_s.len() - 1);
        let share = (place - left as f64).clamp(0.0, 1.0);
        self.values_per_s[left] * (1.0 - share) + self.values_per_s[right] * share
    }

    /// What was counted in the minute before, a second.
    pub fn last_minute_per_s(&self, now_s: f64) -> f64 {
        self.mean_before_per_s(now_s, 60.0)
    }

    /// What was counted in the last so many seconds, a second: whole ticks, that of `now_s`
    /// included, of those only that the past knows.
    pub fn mean_before_per_s(&self, now_s: f64, window_s: f64) -> f64 {
        let last = (self.past_ticks as f64 + now_s / TICK_S).max(0.0) as usize + 1;
        let last = last.min(self.counted.len() - 1);
        let first = last.saturating_sub((window_s / TICK_S).round().max(1.0) as usize);
        if first == last {
            return self.at_per_s(now_s);
        }
        (self.counted[last] - self.counted[first]) / ((last - first) as f64 * TICK_S)
    }

    /// The most between two times after the beginning.
    pub fn most_per_s(&self, from_s: f64, until_s: f64) -> f64 {
        // Between its ends a demand that is interpolated is greatest at one of its values.
        let place = |now_s: f64| self.begin as f64 + now_s / self.step_s - 0.5;
        let first = (place(from_s).ceil().max(0.0) as usize).min(self.values_per_s.len());
        let end = ((place(until_s).floor() + 1.0).max(0.0) as usize).clamp(first, self.values_per_s.len());
        let ends = self.at_per_s(from_s).max(self.at_per_s(until_s.max(from_s)));
        self.values_per_s[first..end].iter().copied().fold(ends, f64::max)
    }

    /// Whether the past reaches back to this time.
    pub fn knows(&self, now_s: f64) -> bool {
        self.begin as f64 * self.step_s + now_s >= 0.0
    }

    /// Number of ticks from the beginning to the end.
    pub fn ticks(&self) -> usize {
        ((self.values_per_s.len() - self.begin) as f64 * self.step_s / TICK_S) as usize
    }

    /// Seconds between two values.
    pub fn step_s(&self) -> f64 {
        self.step_s
    }

    /// Number of the step under way, counted from the beginning.
    pub fn step(&self, now_s: f64) -> usize {
        (now_s / self.step_s) as usize
    }

    /// Mean from the beginning on.
    pub fn mean_per_s(&self) -> f64 {
        let values = &self.values_per_s[self.begin..];
        values.iter().sum::<f64>() / values.len() as f64
    }
}

/// What is foreseen of a demand.
pub trait Foresight: Sync {
    /// The most expected from now until `lead_s` from now, at a quantile, in requests a
    /// second; `None` where nothing is foreseen. Rests on completed steps alone.
    fn most_per_s(&self, now_s: f64, lead_s: f64, quantile: f64) -> Option<f64>;
}

/// Foresees nothing.
#[derive(Clone, Copy, Debug)]
pub struct Unforeseen;

impl Foresight for Unforeseen {
    fn most_per_s(&self, _: f64, _: f64, _: f64) -> Option<f64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_middle_of_their_step() {
        let values = vec![60.0, f32::NAN, 120.0, 240.0];
        let demand = Demand::new(&Series { step_s: 60.0, values, ..Series::default() }, 1, 1.0 / 60.0);
        assert_eq!([-30.0, 30.0, 60.0, 90.0, 120.0, 1e9].map(|s| demand.at_per_s(s)), [1.0, 1.0, 1.5, 2.0, 3.0, 4.0]);
        assert_eq!(demand.most_per_s(0.0, 90.0), 2.0);
        assert_eq!(demand.most_per_s(0.0, 105.0), 2.5);
        assert_eq!(demand.ticks(), 12);
        assert!(demand.knows(-60.0) && !demand.knows(-61.0));
    }

    #[test]
    fn what_is_counted_is_the_rate_and_its_chance() {
        let demand = Demand::new(&Series { step_s: 60.0, values: vec![20.0; 6000], ..Series::default() }, 0, 1.0);
        let minutes: Vec<f64> = (1..6000).map(|minute| demand.last_minute_per_s(f64::from(minute) * 60.0)).collect();
        let mean = minutes.iter().sum::<f64>() / minutes.len() as f64;
        let variance = minutes.iter().map(|rate| (rate - mean) * (rate - mean)).sum::<f64>() / minutes.len() as f64;
        assert!((mean - 20.0).abs() < 0.05, "{mean}");
        // 1200 requests a minute deviate by their root.
        assert!((variance * 60.0 / 20.0 - 1.0).abs() < 0.1, "{variance}");
    }
}
