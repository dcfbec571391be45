//! A rate at a constant step.

use crate::{BadRows, DataError, Split};
use serde::Serialize;
use std::str::FromStr;

/// A rate (or another level) at a constant step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Where the series came from: a file's name and, where it has several, the column's.
    pub name: String,
    /// Unix time of the first value; counted from the source's own zero where it has no date.
    pub start_epoch_s: f64,
    /// Seconds between two values.
    pub step_s: f64,
    /// The values in time order; NaN where missing.
    pub values: Vec<f32>,
    /// Every run of missing values.
    pub gaps: Vec<Gap>,
    /// The unit of the values.
    pub unit: SeriesUnit,
}

/// The unit of a series' values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum SeriesUnit {
    /// So much a second, as all rates are that the file names the unit of.
    PerSecond,
    /// A level, such as sessions or queued requests, which is not counted over time.
    Level,
    /// The file does not say.
    #[default]
    Unknown,
}

impl SeriesUnit {
    /// The unit in words, as it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "per second",
            Self::Level => "a level",
            Self::Unknown => "not stated",
        }
    }
}

/// How rows of one time that differ in their labels become one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Combine {
    /// Their sum, as for rates.
    Sum,
    /// Their mean.
    Mean,
    /// The largest.
    Max,
}

impl FromStr for Combine {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        match text {
            "sum" => Ok(Self::Sum),
            "mean" => Ok(Self::Mean),
            "max" => Ok(Self::Max),
            other => {
                Err(DataError::Option { option: "combine", found: other.to_owned(), expected: "one of sum, mean, max" })
            }
        }
    }
}

/// How the values of a file of series are to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ValueUnit {
    /// So many a second.
    PerSecond,
    /// So many a minute.
    PerMinute,
    /// So many an hour.
    PerHour,
    /// So many in each step.
    PerStep,
    /// A count since some beginning, which only grows.
    Counter,
    /// A level.
    Level,
}

impl FromStr for ValueUnit {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        match text {
            "per-second" => Ok(Self::PerSecond),
            "per-minute" => Ok(Self::PerMinute),
            "per-hour" => Ok(Self::PerHour),
            "per-step" => Ok(Self::PerStep),
            "counter" => Ok(Self::Counter),
            "level" => Ok(Self::Level),
            other => Err(DataError::Option {
                option: "series unit",
                found: other.to_owned(),
                expected: "one of per-second, per-minute, per-hour, per-step, counter, level",
            }),
        }
    }
}

/// A run of missing values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Index of the first missing value.
    pub begin: usize,
    /// Number of missing values.
    pub len: usize,
}

/// What was found and mended while a file of series was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SeriesReport {
    /// Rows used.
    pub rows: u64,
    /// Rows that could not be read and were left out.
    pub dropped_rows: u64,
    /// Rows that were off the constant step by more than 1 % of it and went to the nearest point.
    pub irregular_rows: u64,
    /// Rows that shared their point with the row before and were averaged with it.
    pub duplicate_rows: u64,
    /// Missing values, over all columns.
    pub missing: u64,
    /// The dropped rows by kind.
    pub bad_rows: Vec<BadRows>,
    /// What the columns were taken for, and what was assumed: a sentence each.
    pub notes: Vec<String>,
}

impl Series {
    /// Number of values, missing ones included.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Length in seconds.
    pub fn duration_s(&self) -> f64 {
        self.values.len() as f64 * self.step_s
    }

    /// Unix time of the value at `index`, on the clock of [`Series::start_epoch_s`].
    pub fn time_s(&self, index: usize) -> f64 {
        self.start_epoch_s + index as f64 * self.step_s
    }

    /// Number of missing values.
    pub fn missing(&self) -> usize {
        self.gaps.iter().map(|gap| gap.len).sum()
    }

    /// What one step adds up to: the values where they are amounts of a step, and the values
    /// times the step where they are rates per second.
    pub fn per_step(&self) -> f64 {
        if self.unit == SeriesUnit::PerSecond { self.step_s } else { 1.0 }
    }

    /// Mean of the values that are there; 0 when there is none.
    pub fn mean(&self) -> f64 {
        let present = self.values.len() - self.values.iter().filter(|value| value.is_nan()).count();
        let sum: f64 = self.values.iter().filter(|value| !value.is_nan()).map(|&value| f64::from(value)).sum();
        if present == 0 { 0.0 } else { sum / present as f64 }
    }

    /// Splits the series in time order into training, validation and test parts.
    pub fn split(&self, split: &Split) -> [Self; 3] {
        let len = self.values.len();
        let index = |share: f64| ((len as f64 * share).round() as usize).min(len);
        let train_end = index(split.train);
        let validation_end = index(split.train + split.validation).max(train_end);
        [(0, train_end), (train_end, validation_end), (validation_end, len)].map(|(begin, end)| self.slice(begin, end))
    }

    /// The values from index `begin` up to but not including `end`, both cut to the length.
    #[must_use]
    pub fn slice(&self, begin: usize, end: usize) -> Self {
        let end = end.min(self.values.len());
        let begin = begin.min(end);
        let values = self.values[begin..end].to_vec();
        Self {
            name: self.name.clone(),
            start_epoch_s: self.time_s(begin),
            step_s: self.step_s,
            gaps: gaps_of(&values),
            values,
            unit: self.unit,
        }
    }
}

/// Every run of NaN in `values`.
pub(crate) fn gaps_of(values: &[f32]) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    for (index, _) in values.iter().enumerate().filter(|(_, value)| value.is_nan()) {
        match gaps.last_mut() {
            Some(gap) if gap.begin + gap.len == index => gap.len += 1,
            _ => gaps.push(Gap { begin: index, len: 1 }),
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting_keeps_gaps_and_the_clock() {
        let values = vec![1.0, f32::NAN, f32::NAN, 4.0, f32::NAN, 6.0, 7.0, 8.0];
        let series = Series { start_epoch_s: 50.0, step_s: 10.0, gaps: gaps_of(&values), values, ..Series::default() };
        assert_eq!(series.gaps, [Gap { begin: 1, len: 2 }, Gap { begin: 4, len: 1 }]);
        let [train, validation, test] = series.split(&Split { train: 0.25, validation: 0.375 });
        assert_eq!((train.len(), validation.len(), test.len()), (2, 3, 3));
        assert_eq!(validation.start_epoch_s, 70.0);
        assert_eq!(validation.gaps, [Gap { begin: 0, len: 1 }, Gap { begin: 2, len: 1 }]);
        assert_eq!(test.mean(), 7.0);
    }
}
