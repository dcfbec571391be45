//! Units told from the numbers themselves, and refused where these contradict them.

use crate::{DataError, TimeUnit};
use std::path::Path;

/// Requests a second that a service may plausibly have, on average, where a unit is to be told.
const RATE_MIN_PER_S: f64 = 1e-4;
const RATE_MAX_PER_S: f64 = 100.0;
/// Fewer rows than this show no rate.
const ROWS_MIN: usize = 16;
/// Share of the rows that a block size has to explain.
const BLOCKS_EXPLAINED_MIN: f64 = 0.9;

/// Times that are plain numbers, in the file's order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    pub(crate) values: Vec<f64>,
    /// Whether any has a fraction.
    pub(crate) has_fractions: bool,
}

/// A unit, and the reason for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) unit: TimeUnit,
    pub(crate) why: String,
}

impl Times {
    /// The unit since 1970 that all values are of the magnitude of: years 1973 to 2286.
    fn since_1970(&self) -> Option<TimeUnit> {
        let min = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if min < 1e8 || max > 1.1 * min {
            return None;
        }
        match min {
            1e8..1e10 => Some(TimeUnit::Seconds),
            1e11..1e13 => Some(TimeUnit::Milliseconds),
            1e14..1e16 => Some(TimeUnit::Microseconds),
            1e17..1e19 => Some(TimeUnit::Nanoseconds),
            _ => None,
        }
    }

    /// Requests a second if the values are in `unit`; `None` for too few rows.
    fn rate_per_s(&self, unit: TimeUnit) -> Option<f64> {
        let min = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let span_s = (max - min) * unit.nanoseconds() as f64 / 1e9;
        (self.values.len() >= ROWS_MIN && span_s > 0.0).then(|| (self.values.len() - 1) as f64 / span_s)
    }

    fn is_plausible(&self, unit: TimeUnit) -> bool {
        self.rate_per_s(unit).is_none_or(|rate| (RATE_MIN_PER_S..=RATE_MAX_PER_S).contains(&rate))
    }

    /// The unit of the values. `nominal` is that of the format, `asked` that of the options.
    ///
    /// Values since 1970 show their unit by their size. For others the format's unit is taken if
    /// it gives a plausible rate and no other unit is more likely: whole numbers are taken for
    /// milliseconds, fractions for seconds.
    pub(crate) fn unit(
        &self,
        field: &str,
        nominal: Option<TimeUnit>,
        asked: Option<TimeUnit>,
        path: &Path,
    ) -> Result<Told, DataError> {
        let told = |unit: TimeUnit, why: &str| Ok(Told { unit, why: why.to_owned() });
        if let Some(unit) = asked {
            return told(unit, "as the options say");
        }
        if let Some(unit) = self.since_1970() {
            return told(unit, "since 1970, by the size of the numbers");
        }
        if let Some(unit) = unit_in_name(field) {
            return told(unit, "as the field's name says");
        }
        let is_plausible = |unit| self.is_plausible(unit);
        match nominal {
            // Formats whose times are whole milliseconds.
            Some(TimeUnit::Milliseconds) => {
                let [ms, s] = [TimeUnit::Milliseconds, TimeUnit::Seconds].map(is_plausible);
                if ms && !(s && self.has_fractions) {
                    return told(TimeUnit::Milliseconds, "by the format");
                }
                Err(self.contradiction(field, "ms by the format", path))
            }
            Some(unit) if is_plausible(unit) => told(unit, "by the format"),
            Some(unit) => {
                let expected = format!("{} by the format", unit.name());
                if TimeUnit::ALL.into_iter().any(is_plausible) {
                    return Err(self.contradiction(field, &expected, path));
                }
                told(unit, "by the format")
            }
            None => {
                let [s, ms] = [TimeUnit::Seconds, TimeUnit::Milliseconds].map(is_plausible);
                let slow = self.rate_per_s(TimeUnit::Seconds).is_some_and(|rate| rate < 0.01) && !self.has_fractions;
                match (s, ms) {
                    (true, _) if !slow => told(TimeUnit::Seconds, "assumed, since nothing says otherwise"),
                    (_, false) if !s => Err(self.contradiction(field, "unknown", path)),
                    (true, false) => told(TimeUnit::Seconds, "assumed, since nothing says otherwise"),
                    _ => Err(self.contradiction(field, "unknown", path)),
                }
            }
        }
    }

    fn contradiction(&self, field: &str, unit: &str, path: &Path) -> DataError {
        let rate = |unit: TimeUnit| {
            self.rate_per_s(unit).map(|rate| format!("{} requests/s if in {}", significant(rate), unit.name()))
        };
        let rates: Vec<String> =
            [TimeUnit::Seconds, TimeUnit::Milliseconds, TimeUnit::Microseconds].into_iter().filter_map(rate).collect();
        let sample = self.values.iter().find(|value| **value != 0.0).copied().unwrap_or(0.0);
        let fraction = if self.has_fractions { ", with fractions" } else { "" };
        DataError::Unit {
            path: path.to_owned(),
            field: field.to_owned(),
            found: format!(
                "the unit is {unit}, but the numbers (such as {sample}{fraction}) fit others, too, or none: {}",
                if rates.is_empty() { "there are too few rows to tell".to_owned() } else { rates.join(", ") }
            ),
            advice: "say which it is with --time-unit s or --time-unit ms".to_owned(),
        }
    }
}

/// Three significant digits.
pub(crate) fn significant(value: f64) -> String {
    match value.abs() {
        size if (0.001..1e6).contains(&size) => {
            let digits = (2.0 - size.log10().floor()).clamp(0.0, 6.0) as usize;
            format!("{value:.digits$}")
        }
        _ => format!("{value:.2e}"),
    }
}

/// The unit at the end of a field's name: `arrival_ms`, `start (s)`, `request_start_ns`.
pub(crate) fn unit_in_name(name: &str) -> Option<TimeUnit> {
    let name = name.trim_end_matches([')', ']']).to_ascii_lowercase();
    let last = name.rsplit(['_', ' ', '(', '[', '.', '-']).next().filter(|last| last.len() < name.len())?;
    match last {
        "s" | "sec" | "secs" | "seconds" => Some(TimeUnit::Seconds),
        "ms" | "msec" | "millis" | "milliseconds" => Some(TimeUnit::Milliseconds),
        "us" | "µs" | "micros" | "microseconds" => Some(TimeUnit::Microseconds),
        "ns" | "nanos" | "nanoseconds" => Some(TimeUnit::Nanoseconds),
        _ => None,
    }
}

/// Tokens that a block stands for, of prompts' lengths and their numbers of blocks.
///
/// `nominal` is the format's size. A power of two is taken that explains the numbers: as many
/// blocks as the prompt fills, the last one in part or left out.
pub(crate) fn block_tokens(
    prompts: &[(u32, u32)],
    nominal: u32,
    asked: Option<u32>,
    path: &Path,
) -> Result<(u32, String), DataError> {
    if let Some(tokens) = asked {
        return Ok((tokens, "as the options say".to_owned()));
    }
    let long: Vec<(u32, u32)> = prompts.iter().copied().filter(|&(_, blocks)| blocks > 0).collect();
    let explained = |size: u32| {
        let fits = |&&(tokens, blocks): &&(u32, u32)| blocks.abs_diff(tokens.div_ceil(size)) <= 1;
        long.iter().filter(fits).count() as f64 >= BLOCKS_EXPLAINED_MIN * long.len() as f64
    };
    // Few blocks a prompt fit many sizes; the exact ones then decide.
    let exact = |size: u32| long.iter().filter(|&&(tokens, blocks)| blocks == tokens.div_ceil(size)).count();
    if long.is_empty() || explained(nominal) && exact(nominal) * 2 >= long.len() {
        return Ok((nominal, "by the format".to_owned()));
    }
    let sizes = (0..=16).map(|power| 1_u32 << power).filter(|&size| explained(size));
    if let Some(size) = sizes.max_by_key(|&size| exact(size)) {
        return Ok((size, "by the prompts' lengths and numbers of blocks".to_owned()));
    }
    let (tokens, blocks) = long[long.len() / 2];
    Err(DataError::Unit {
        path: path.to_owned(),
        field: "prefix blocks".to_owned(),
        found: format!("no size of a block explains their numbers, such as {blocks} for a prompt of {tokens} tokens"),
        advice: "say how many tokens a block stands for with --block-tokens N".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(values: impl Iterator<Item = f64>, nominal: Option<TimeUnit>) -> Option<TimeUnit> {
        let values: Vec<f64> = values.collect();
        let has_fractions = values.iter().any(|value| value.fract() != 0.0);
        Times { values, has_fractions }.unit("t", nominal, None, Path::new("x")).ok().map(|told| told.unit)
    }

    fn every(step: f64) -> impl Iterator<Item = f64> {
        (0..100).map(move |row| f64::from(row) * step)
    }

    #[test]
    fn epochs_show_their_unit() {
        for (factor, expected) in [1.0, 1e3, 1e6, 1e9].into_iter().zip(TimeUnit::ALL) {
            let times = every(1.5).map(|t| (1.764e9 + t) * factor);
            assert_eq!(unit(times, Some(TimeUnit::Milliseconds)), Some(expected));
        }
    }

    #[test]
    fn rates_decide_between_units() {
        let ms = Some(TimeUnit::Milliseconds);
        assert_eq!(unit(every(300.0), ms), ms);
        // A request every 1.2 s, or 1.2 ms.
        assert_eq!(unit(every(1.17), ms), None);
        assert_eq!(unit(every(1.0), None), Some(TimeUnit::Seconds));
        assert_eq!(unit(every(1.17), Some(TimeUnit::Seconds)), Some(TimeUnit::Seconds));
        assert_eq!(unit(every(2000.0), None), None);
        assert_eq!(unit([0.0, 3000.0, 3000.0].into_iter(), ms), ms);
        assert_eq!(unit_in_name("arrival_ms"), ms);
        assert_eq!(unit_in_name("ms"), None);
    }

    #[test]
    fn blocks_are_measured_by_prompts() {
        let tokens =
            |prompts: &[(u32, u32)], nominal| block_tokens(prompts, nominal, None, Path::new("x")).ok().map(|b| b.0);
        assert_eq!(tokens(&[(200, 13), (1800, 113), (5000, 313)], 512), Some(16));
        assert_eq!(tokens(&[(6758, 14), (7322, 15), (600, 2)], 512), Some(512));
        assert_eq!(tokens(&[(6758, 13), (7322, 14)], 512), Some(512));
        assert_eq!(tokens(&[(6758, 700), (100, 90)], 512), None);
    }
}
