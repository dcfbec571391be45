//! Axes: a scale from values to the unit interval, and ticks at round values.

use super::number;

/// One axis of a chart.
pub(super) struct Axis {
    /// What it shows, with its unit.
    pub(super) label: String,
    /// Values that get a tick, with their text.
    pub(super) ticks: Vec<(f64, String)>,
    low: f64,
    high: f64,
    scale: Scale,
}

/// How values become lengths.
#[derive(Clone, Copy)]
enum Scale {
    Linear,
    Log,
    /// `ln(p / (1 − p))`: both tails of a distribution are stretched.
    Logit,
}

impl Scale {
    fn apply(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.ln(),
            Self::Logit => (value / (1.0 - value)).ln(),
        }
    }
}

impl Axis {
    /// A linear axis over all finite `values`, widened to round ends.
    pub(super) fn linear(label: &str, values: impl IntoIterator<Item = f64>, format: impl Fn(f64) -> String) -> Self {
        let (mut low, mut high) = range(values).unwrap_or((0.0, 1.0));
        if low == high {
            let margin = (low.abs() * 0.1).max(1e-12);
            (low, high) = (low - margin, high + margin);
        }
        let step = round_step((high - low) / 5.0);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let ticks = (0..=(last - first) as usize)
            .map(|index| {
                let value = (first + index as f64) * step;
                (value, format(value))
            })
            .collect();
        Self { label: label.to_owned(), ticks, low: first * step, high: last * step, scale: Scale::Linear }
    }

    /// A logarithmic axis over all finite positive `values`.
    pub(super) fn log(label: &str, values: impl IntoIterator<Item = f64>, format: impl Fn(f64) -> String) -> Self {
        let positive = values.into_iter().filter(|value| *value > 0.0);
        let (mut low, mut high) = range(positive).unwrap_or((0.1, 10.0));
        // Under half a decade there would be too few ticks to read.
        if high < low * 3.0 {
            let middle = (low * high).sqrt();
            (low, high) = (low.min(middle / 1.75), high.max(middle * 1.75));
        }
        let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let candidates = |digits: &[f64]| -> Vec<f64> {
            decades
                .clone()
                .flat_map(|decade| digits.iter().map(move |digit| digit * 10f64.powi(decade)))
                .filter(|value| (low * 0.999..=high * 1.001).contains(value))
                .collect()
        };
        let mut values = candidates(&[1.0, 2.0, 5.0]);
        if values.len() > 6 {
            values = candidates(&[1.0, 3.0]);
        }
        if values.len() > 6 {
            values = candidates(&[1.0]);
        }
        let every = values.len().div_ceil(7).max(1);
        Self {
            label: label.to_owned(),
            ticks: values.into_iter().step_by(every).map(|value| (value, format(value))).collect(),
            low,
            high,
            scale: Scale::Log,
        }
    }

    /// An axis of shares from 1 % to `high`, with both ends stretched so that the tail can
    /// be read.
    pub(super) fn share(label: &str, high: f64) -> Self {
        let ticks = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999].into_iter();
        let ticks = ticks.filter(|share| *share <= high).map(|share| (share, number::load(share)));
        Self { label: label.to_owned(), ticks: ticks.collect(), low: 0.01, high, scale: Scale::Logit }
    }

    /// A linear axis over `values` with no margin, ticks at `ticks`.
    pub(super) fn fixed(label: &str, values: [f64; 2], ticks: Vec<(f64, String)>) -> Self {
        Self { label: label.to_owned(), ticks, low: values[0], high: values[1], scale: Scale::Linear }
    }

    /// A time axis in UTC over `values_s`, seconds since the epoch; small times count
    /// from the start instead.
    pub(super) fn time(values_s: impl IntoIterator<Item = f64>) -> Self {
        let (low, mut high) = range(values_s).unwrap_or((0.0, 3600.0));
        if high <= low {
            high = low + 1.0;
        }
        let is_calendar = low > 1e8;
        let step_s = time_step((high - low) / 8.0);
        let first = (low / step_s).ceil();
        let ticks = (0..)
            .map(|index| (first + f64::from(index)) * step_s)
            .take_while(|time_s| *time_s <= high)
            .take(20)
            .map(|time_s| {
                let text = if is_calendar { calendar(time_s, step_s) } else { number::span(time_s) };
                (time_s, text)
            })
            .collect();
        let label = if is_calendar { "time (UTC)" } else { "time since the start" };
        Self::fixed(label, [low, high], ticks)
    }

    /// The same axis, ending at `high` rather than at a round value.
    pub(super) fn ending_at(mut self, high: f64) -> Self {
        self.high = high;
        self.ticks.retain(|(value, _)| *value <= high);
        self
    }

    /// Where `value` lies: 0 at the low end, 1 at the high end; `None` where the scale
    /// has no place for it.
    pub(super) fn position(&self, value: f64) -> Option<f64> {
        let (low, high) = (self.scale.apply(self.low), self.scale.apply(self.high));
        let position = (self.scale.apply(value) - low) / (high - low);
        position.is_finite().then_some(position)
    }
}

/// Smallest and largest of the finite values.
pub(super) fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .into_iter()
        .filter(|value| value.is_finite())
        .map(|value| (value, value))
        .reduce(|(low, high), (value, _)| (low.min(value), high.max(value)))
}

/// The smallest of 1, 2, 2.5, 5 times a power of ten that is not under `step`.
fn round_step(step: f64) -> f64 {
    let decade = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|digit| digit * decade)
        .find(|candidate| *candidate >= step * 0.999)
        .unwrap_or(step)
}

/// The smallest usual calendar step that is not under `step_s`.
fn time_step(step_s: f64) -> f64 {
    const HOUR: f64 = 3600.0;
    const DAY: f64 = 24.0 * HOUR;
    const STEPS_S: [f64; 20] = [
        1.0,
        5.0,
        15.0,
        30.0,
        60.0,
        300.0,
        900.0,
        1800.0,
        HOUR,
        2.0 * HOUR,
        3.0 * HOUR,
        6.0 * HOUR,
        12.0 * HOUR,
        DAY,
        2.0 * DAY,
        4.0 * DAY,
        7.0 * DAY,
        14.0 * DAY,
        28.0 * DAY,
        56.0 * DAY,
    ];
    STEPS_S
        .into_iter()
        .find(|candidate| *candidate >= step_s)
        .unwrap_or_else(|| (step_s / (364.0 * DAY)).ceil() * 364.0 * DAY)
}

/// The date at midnight or for steps of days, otherwise the time of day.
fn calendar(time_s: f64, step_s: f64) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, second) = ((time_s / 86_400.0).floor() as i64, time_s.rem_euclid(86_400.0) as u32);
    if second > 0 || step_s < 1800.0 {
        let (hour, minute) = (second / 3600, second / 60 % 60);
        return if step_s < 60.0 {
            format!("{hour:02}:{minute:02}:{:02}", second % 60)
        } else {
            format!("{hour:02}:{minute:02}")
        };
    }
    // Days to a civil date in the Gregorian calendar, with years counted from March so
    // that the leap day comes last (Howard Hinnant, "chrono-Compatible Low-Level Date
    // Algorithms").
    let shifted = days + 719_468;
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    format!("{day} {}", MONTHS[(month_from_march as usize + 2) % 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round() {
        let axis = Axis::linear("", [0.13, 9.2], |value| format!("{value}"));
        assert_eq!(texts(&axis), ["0", "2", "4", "6", "8", "10"]);
        let axis = Axis::log("", [0.08, 12.0], number::seconds_short);
        assert_eq!(texts(&axis), ["100 ms", "300 ms", "1 s", "3 s", "10 s"]);
    }

    #[test]
    fn dates_are_right() {
        assert_eq!(calendar(0.0, 86_400.0), "1 Jan");
        assert_eq!(calendar(951_782_400.0, 86_400.0), "29 Feb");
        assert_eq!(calendar(1_420_070_400.0 + 5_400.0, 1800.0), "01:30");
        let axis = Axis::time([1_420_070_400.0, 1_420_070_400.0 + 3.0 * 86_400.0]);
        assert_eq!(texts(&axis)[..3], ["1 Jan", "12:00", "2 Jan"]);
    }

    #[test]
    fn hopeless_input_still_makes_an_axis() {
        for values in [vec![], vec![f64::NAN], vec![0.0], vec![5.0, 5.0]] {
            for axis in [
                Axis::linear("", values.clone(), number::significant),
                Axis::log("", values.clone(), number::significant),
                Axis::time(values.clone()),
            ] {
                assert!(axis.ticks.len() <= 20);
            }
        }
        let axis = Axis::log("", [1.0, 10.0], number::significant);
        assert_eq!(axis.position(0.0), None);
        assert_eq!(axis.position(f64::NAN), None);
    }
}
