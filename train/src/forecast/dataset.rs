//! Windows of series: what was known at a time, and what came.

use std::ops::Range;

use evenkeel_datasets::{Series, Split, random};
use evenkeel_runtime::forecast::calibration::horizons;
use evenkeel_runtime::forecast::features::{fill, history_len};
use evenkeel_runtime::forecast::{FORECAST_FEATURES, Frame, HORIZONS, Past, steps_per_day};
use rand_pcg::Pcg64Mcg;

/// Numbers that the features of one window take.
const WINDOW: usize = FORECAST_FEATURES * HORIZONS;

/// Share of the training windows whose history is cut short, as it is after a start.
const COLD_SHARE: f64 = 0.15;

/// Where the parts of a series begin and end, as indices of values.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    training_end: usize,
    validation_end: usize,
    end: usize,
    /// The first value from which a forecast is worth making.
    first_origin: usize,
}

impl Parts {
    /// The same parts as [`Series::split`] gives.
    pub fn new(series: &Series, split: &Split) -> Self {
        let [training, validation, _] = series.split(split);
        let training_end = training.len();
        let day = steps_per_day(series.step_s as f32);
        Self {
            training_end,
            validation_end: training_end + validation.len(),
            end: series.len(),
            first_origin: (day / 2).min(training_end / 4).max(2),
        }
    }

    /// Targets within the training part.
    pub fn training(&self) -> Range<usize> {
        self.first_origin..self.training_end
    }

    /// Targets within the validation part.
    pub fn validation(&self) -> Range<usize> {
        self.training_end.max(self.first_origin)..self.validation_end
    }

    /// Targets within the test part.
    pub fn test(&self) -> Range<usize> {
        self.validation_end.max(self.first_origin)..self.end
    }
}

/// Windows of one series.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    /// `[windows][FORECAST_FEATURES][HORIZONS]`, as the runtime fills them.
    features: Vec<f32>,
    /// Scale and simple forecasts of each window.
    pub frames: Vec<Frame>,
    /// What came at each horizon, in the unit of the series; NaN where it is missing or
    /// lies outside the part.
    pub actual: Vec<[f32; HORIZONS]>,
    /// Index of the newest known value of each window.
    pub origins: Vec<usize>,
}

impl Windows {
    /// Windows at `count` times drawn at random, whose targets lie within `targets`. Some
    /// have their history cut short.
    pub fn sample(series: &Series, targets: Range<usize>, count: usize, rng: &mut Pcg64Mcg) -> Self {
        let mut windows = Self::default();
        let first = targets.start.saturating_sub(1);
        let choices = targets.end.saturating_sub(first + 1);
        let day = steps_per_day(series.step_s as f32);
        // A series shorter than its share is not repeated more than threefold.
        for _ in 0..count.min(3 * choices) {
            let origin = first + random::below(rng, choices as u64) as usize;
            let cold = random::uniform(rng) < COLD_SHARE;
            let history = if cold { 2 + random::below(rng, 3 * day as u64) as usize } else { usize::MAX };
            windows.push(series, origin, history, &targets);
        }
        windows
    }

    /// Windows at most `count` times, evenly spaced, whose targets lie within `targets`.
    pub fn spaced(series: &Series, targets: Range<usize>, count: usize) -> Self {
        let mut windows = Self::default();
        let first = targets.start.saturating_sub(1);
        let choices = targets.end.saturating_sub(first + 1);
        for origin in (first..first + choices).step_by(choices.div_ceil(count.max(1)).max(1)) {
            windows.push(series, origin, usize::MAX, &targets);
        }
        windows
    }

    /// Adds the window whose newest known value is the one at `origin`, unless nothing was
    /// known or nothing is to be learnt.
    fn push(&mut self, series: &Series, origin: usize, history: usize, targets: &Range<usize>) {
        let step_s = series.step_s as f32;
        let horizons = horizons(step_s);
        let actual = horizons.map(|horizon| {
            let target = origin + horizon as usize;
            if targets.contains(&target) { series.values[target] } else { f32::NAN }
        });
        if actual.iter().all(|value| value.is_nan()) {
            return;
        }
        let begin = (origin + 1).saturating_sub(history.min(history_len(step_s)));
        let past = Past::new(&series.values[begin..=origin]);
        let place = self.features.len();
        self.features.resize(place + WINDOW, 0.0);
        match fill(&past, step_s, &horizons, series.time_s(origin), &mut self.features[place..]) {
            Some(frame) => {
                self.frames.push(frame);
                self.actual.push(actual);
                self.origins.push(origin);
            }
            None => self.features.truncate(place),
        }
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Features of a window as the runtime takes them: `[FORECAST_FEATURES][HORIZONS]`.
    pub fn features(&self, window: usize) -> &[f32] {
        &self.features[window * WINDOW..(window + 1) * WINDOW]
    }

    /// Features of one horizon of one window; rows count horizons within windows.
    pub fn row(&self, row: usize) -> impl Iterator<Item = f32> + '_ {
        self.features(row / HORIZONS).iter().skip(row % HORIZONS).step_by(HORIZONS).copied()
    }
}
