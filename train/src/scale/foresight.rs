//! An artifact's forecasts, as an autoscaler asks for them.

use evenkeel_env::scale::Foresight;
use evenkeel_runtime::demand::{at_quantile, most_within};
use evenkeel_runtime::forecast::{HORIZONS, Quantiles};

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
        let values = forecast.each_ref().map(|row| at_quantile(row, quantile as f32));
        let elapsed_s = now_s - step as f64 * self.step_s;
        let most = most_within(&self.horizons, &values, self.step_s as f32, elapsed_s as f32, lead_s as f32);
        Some(f64::from(most) * self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_runtime::forecast::QUANTILE_COUNT;

    #[test]
    fn the_most_within_the_lead_is_foreseen() {
        let mut first = [[0.0; QUANTILE_COUNT]; HORIZONS];
        for (index, row) in first.iter_mut().enumerate() {
            *row = std::array::from_fn(|quantile| (10 * (index + 1) + quantile) as f32);
        }
        let horizons = std::array::from_fn(|index| index as u32 + 1);
        let foreseen = Foreseen::new(vec![first], horizons, 60.0, 2.0);
        // In the middle of the first step the curve is at its value, half a minute later half way on.
        assert_eq!(foreseen.most_per_s(30.0, 0.0, 0.9), Some(2.0 * 18.0));
        assert_eq!(foreseen.most_per_s(30.0, 30.0, 0.9), Some(2.0 * 23.0));
        assert_eq!(foreseen.most_per_s(30.0, 60.0, 0.5), Some(2.0 * 24.0));
        assert_eq!(foreseen.most_per_s(0.0, 0.0, 0.85), Some(2.0 * 17.5));
        assert_eq!(foreseen.most_per_s(60.0, 0.0, 0.5), None);
    }
}
