//! An artifact's forecasts, as an autoscaler asks for them.

use evenkeel_env::scale::Foresight;
use evenkeel_runtime::forecast::{HORIZONS, QUANTILE_COUNT, QUANTILES, Quantiles};

/// Forecasts made at the end of each step.
#[derive(Clone, Debug)]
pub struct Foreseen {
    /// Of each step from the beginning on: what was known when it began.
    forecasts: Vec<Quantiles>,
    horizons: [u32; HORIZONS],
    step_s: f64,
    factor: f64,
}

impl Foreseen {
    /// Forecasts, the first of which was made when the demand began. Values times `factor`
    /// are requests a second.
    pub fn new(forecasts: Vec<Quantiles>, horizons: [u32; HORIZONS], step_s: f64, factor: f64) -> Self {
        Self { forecasts, horizons, step_s, factor }
    }
}

impl Foresight for Foreseen {
    fn most_per_s(&self, now_s: f64, lead_s: f64, quantile: f64) -> Option<f64> {
        let step = (now_s / self.step_s) as usize;
        let forecast = self.forecasts.get(step)?;
        // Horizon 1 is the step under way.
        let last = (((now_s + lead_s) / self.step_s) as usize - step + 1) as u32;
        let place = (quantile * 10.0 - 1.0).clamp(0.0, (QUANTILE_COUNT - 1) as f64);
        let (left, share) = (place as usize, place.fract());
        let mut most = 0.0f64;
        for (horizon, row) in self.horizons.iter().zip(forecast) {
            let right = f64::from(row[(left + 1).min(QUANTILES.len() - 1)]);
            most = most.max(f64::from(row[left]) * (1.0 - share) + right * share);
            if *horizon >= last {
                break;
            }
        }
        Some(most * self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_within_the_lead_is_foreseen() {
        let mut first = [[0.0; QUANTILE_COUNT]; HORIZONS];
        for (index, row) in first.iter_mut().enumerate() {
            *row = std::array::from_fn(|quantile| (10 * (index + 1) + quantile) as f32);
        }
        let horizons = std::array::from_fn(|index| index as u32 + 1);
        let foreseen = Foreseen::new(vec![first], horizons, 60.0, 2.0);
        assert_eq!(foreseen.most_per_s(0.0, 30.0, 0.9), Some(2.0 * 18.0));
        assert_eq!(foreseen.most_per_s(45.0, 30.0, 0.5), Some(2.0 * 24.0));
        assert_eq!(foreseen.most_per_s(0.0, 0.0, 0.85), Some(2.0 * 17.5));
        assert_eq!(foreseen.most_per_s(60.0, 0.0, 0.5), None);
    }
}
