//! How good a forecast was: the figures of `forecast-eval`, and their definitions.

use std::ops::AddAssign;

use evenkeel_datasets::{Series, Split};
use evenkeel_runtime::forecast::{HORIZONS, QUANTILE_COUNT, QUANTILES, Quantiles, steps_per_day};

/// Sums of the errors of a forecast, which add up over windows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Twice the pinball loss, over all values and quantiles.
    loss_sum: f64,
    actual_sum: f64,
    median_error_sum: f64,
    symmetric_error_sum: f64,
    covered: [u64; QUANTILE_COUNT],
    count: u64,
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.loss_sum += other.loss_sum;
        self.actual_sum += other.actual_sum;
        self.median_error_sum += other.median_error_sum;
        self.symmetric_error_sum += other.symmetric_error_sum;
        self.count += other.count;
        for (own, other) in self.covered.iter_mut().zip(other.covered) {
            *own += other;
        }
    }
}

impl Score {
    /// The score of one window's forecast; missing values do not count.
    pub fn of(forecast: &Quantiles, actual: &[f32; HORIZONS]) -> Self {
        let mut score = Self::default();
        for (quantiles, actual) in forecast.iter().zip(actual) {
            score.add(quantiles, *actual);
        }
        score
    }

    fn add(&mut self, quantiles: &[f32; QUANTILE_COUNT], actual: f32) {
        if actual.is_nan() {
            return;
        }
        for ((quantile, probability), covered) in quantiles.iter().zip(QUANTILES).zip(&mut self.covered) {
            let error = f64::from(actual) - f64::from(*quantile);
            let probability = f64::from(probability);
            self.loss_sum += 2.0 * (probability * error).max((probability - 1.0) * error);
            *covered += u64::from(actual <= *quantile);
        }
        let (actual, median) = (f64::from(actual), f64::from(quantiles[QUANTILE_COUNT / 2]));
        let (error, magnitude) = ((actual - median).abs(), actual.abs() + median.abs());
        self.actual_sum += actual.abs();
        self.median_error_sum += error;
        self.symmetric_error_sum += if magnitude > 0.0 { 2.0 * error / magnitude } else { 0.0 };
        self.count += 1;
    }

    /// Number of values scored.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Weighted quantile loss: the mean over quantiles of twice the pinball loss, over the
    /// sum of the magnitudes of the actual values (Gasthaus et al., AISTATS 2019). For a
    /// point forecast it is the sum of the absolute errors over the sum of the magnitudes.
    pub fn wql(&self) -> f64 {
        self.loss_sum / QUANTILE_COUNT as f64 / self.actual_sum
    }

    /// Mean absolute error of the median.
    pub fn median_error(&self) -> f64 {
        self.median_error_sum / self.count as f64
    }

    /// Symmetric mean absolute percentage error of the median as a share, 0 to 2: the mean
    /// of `2·|y − ŷ| / (|y| + |ŷ|)` (Makridakis et al., 2000), 0 where both are 0.
    pub fn smape(&self) -> f64 {
        self.symmetric_error_sum / self.count as f64
    }

    /// Share of the actual values at or under each quantile.
    pub fn coverage(&self) -> [f64; QUANTILE_COUNT] {
        self.covered.map(|covered| covered as f64 / self.count as f64)
    }
}

/// Names of the [`figures`], in their order.
pub const FIGURES: [&str; 4 + QUANTILE_COUNT] = [
    "wql",
    "wql_over_seasonal_naive",
    "mase",
    "smape",
    "coverage_q10",
    "coverage_q20",
    "coverage_q30",
    "coverage_q40",
    "coverage_q50",
    "coverage_q60",
    "coverage_q70",
    "coverage_q80",
    "coverage_q90",
];

/// All figures of a forecast: `naive` is the score of seasonal naive at the same windows,
/// `seasonal_error` what [`seasonal_error`] says of the series.
pub fn figures(own: &Score, naive: &Score, seasonal_error: f64) -> [f64; FIGURES.len()] {
    let mut figures = [
        own.wql(),
        own.wql() / naive.wql(),
        own.median_error() / seasonal_error,
        own.smape(),
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
    ];
    figures[FIGURES.len() - QUANTILE_COUNT..].copy_from_slice(&own.coverage());
    figures
}

/// Mean absolute difference to the day before within the training part: what the mean
/// absolute scaled error (Hyndman and Koehler, 2006) is scaled by. NaN for a training part
/// of less than a day, 0 for one that repeats itself exactly.
pub fn seasonal_error(series: &Series, split: &Split) -> f64 {
    let day = steps_per_day(series.step_s as f32);
    let [training, ..] = series.split(split);
    let values = &training.values;
    let errors = values.iter().zip(values.iter().skip(day)).map(|(old, new)| f64::from((new - old).abs()));
    let (sum, count) =
        errors.filter(|error| !error.is_nan()).fold((0.0, 0), |(sum, count), error| (sum + error, count + 1));
    sum / f64::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "found {found}, expected {expected}");
    }

    /// Forecasts and actual values at the first horizons; nothing is known of the others.
    fn score(pairs: &[([f32; QUANTILE_COUNT], f32)]) -> Score {
        let mut forecast = [[0.0; QUANTILE_COUNT]; HORIZONS];
        let mut actual = [f32::NAN; HORIZONS];
        for (index, (quantiles, value)) in pairs.iter().enumerate() {
            forecast[index] = *quantiles;
            actual[index] = *value;
        }
        Score::of(&forecast, &actual)
    }

    #[test]
    fn figures_are_those_worked_out_by_hand() {
        let spread = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        let score = score(&[(spread, 6.0), ([10.0; QUANTILE_COUNT], 8.0)]);
        assert_eq!(score.count(), 2);
        // Twice the pinball loss of the first, quantile by quantile:
        // 2·(0.1·5 + 0.2·4 + 0.3·3 + 0.4·2 + 0.5·1 + 0 + 0.3·1 + 0.2·2 + 0.1·3) = 9,
        // and of the second: 2·2·(0.9 + 0.8 + … + 0.1) = 18; both over 9 quantiles and 6 + 8.
        close(score.wql(), 27.0 / 9.0 / 14.0);
        close(score.median_error(), f64::midpoint(1.0, 2.0));
        close(score.smape(), f64::midpoint(2.0 / 11.0, 4.0 / 18.0));
        let covered = [0.5, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0];
        assert_eq!(score.coverage(), covered);
        let naive = self::score(&[([3.0; QUANTILE_COUNT], 6.0), ([8.0; QUANTILE_COUNT], 8.0)]);
        close(naive.wql(), 3.0 / 14.0);
        let figures = figures(&score, &naive, 0.5);
        close(figures[1], 27.0 / 9.0 / 3.0);
        close(figures[2], 3.0);
        assert_eq!(figures[4..], covered);
    }

    #[test]
    fn scores_add_up_and_missing_values_do_not_count() {
        let (first, second) = (([2.0; QUANTILE_COUNT], 1.0), ([5.0; QUANTILE_COUNT], 7.0));
        let mut sum = score(&[first]);
        sum += score(&[second]);
        assert_eq!(sum, score(&[first, ([0.0; QUANTILE_COUNT], f32::NAN), second]));
        assert_eq!(score(&[([0.0; QUANTILE_COUNT], 0.0)]).smape(), 0.0);
    }

    #[test]
    fn the_seasonal_error_is_that_of_the_training_part() {
        // Two steps a day; the last values lie outside the training part.
        let values = vec![1.0, 5.0, 2.0, 3.0, f32::NAN, 4.0, 90.0, 90.0, 90.0, 90.0];
        let series = Series { step_s: 43_200.0, values, ..Series::default() };
        let split = Split { train: 0.6, validation: 0.2 };
        close(seasonal_error(&series, &split), (1.0 + 2.0 + 1.0) / 3.0);
        assert!(seasonal_error(&series.slice(0, 2), &split).is_nan());
    }
}
