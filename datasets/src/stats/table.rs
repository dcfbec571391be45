//! The summaries as text of at most 80 columns.

use super::{Quantiles, Seasonality, SeriesStats, TraceStats};
use crate::SeriesUnit;
use crate::input::time::utc;
use std::fmt;

/// The width of the labels.
const LABEL: usize = 18;
/// The width of a number.
const NUMBER: usize = 11;

impl fmt::Display for TraceStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        let dropped =
            if self.dropped_rows > 0 { format!(", {} rows dropped", self.dropped_rows) } else { String::new() };
        line(f, "rows", &format!("{} requests{dropped}", self.rows))?;
        let from = self.start_epoch_s.map_or(String::new(), |epoch_s| format!(" from {}", utc(epoch_s)));
        line(f, "span", &format!("{}{from}", duration(self.span_s)))?;
        line(f, "mean rate", &format!("{} requests/s", number(self.mean_rate_per_s)))?;
        let [peak, ratio] = [self.peak_rate_per_s, self.peak_to_mean].map(number);
        line(f, "peak rate", &format!("{peak} requests/s in {}, {ratio} times the mean", duration(self.bin_s)))?;
        line(f, "inter-arrival CV", &number(self.interarrival_cv))?;
        if self.upstreams > 0 {
            line(f, "upstream hosts", &self.upstreams.to_string())?;
        }
        if let Some(sessions) = self.sessions {
            line(f, "sessions", &sessions.to_string())?;
        }
        if let Some(share) = self.repeated_blocks {
            line(f, "prefix blocks", &format!("{:.1} % were seen before in the trace", 100.0 * share))?;
        }
        write!(f, "{}", self.seasonality)?;
        let rows = [
            ("prompt (tokens)", self.prompt_tokens),
            ("output (tokens)", self.output_tokens),
            ("first byte (s)", self.first_byte_s),
            ("response (s)", self.service_s),
        ];
        quantiles(f, &rows)
    }
}

impl fmt::Display for SeriesStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        line(f, "rows", &format!("{} values, one every {}", self.rows, duration(self.step_s)))?;
        line(f, "span", &format!("{} from {}", duration(self.span_s), utc(self.start_epoch_s)))?;
        let longest = duration(self.longest_gap as f64 * self.step_s);
        let gaps = format!("{} values in {} gaps, the longest {longest}", self.missing, self.gaps);
        line(f, "missing", if self.missing == 0 { "none" } else { &gaps })?;
        let unit = if self.unit == SeriesUnit::PerSecond { " per second" } else { "" };
        line(f, "mean", &format!("{}{unit}", number(self.mean)))?;
        line(f, "peak", &format!("{}, {} times the mean", number(self.peak), number(self.peak_to_mean)))?;
        line(f, "CV of the values", &number(self.cv))?;
        write!(f, "{}", self.seasonality)?;
        quantiles(f, &[("values", self.values)])
    }
}

impl fmt::Display for Seasonality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lag = |name, value: Option<f64>| value.map(|value| format!("{name} {value:.2}"));
        let period =
            self.period_s.zip(self.period).map(|(s, value)| format!("strongest {value:.2} at {}", duration(s)));
        let parts: Vec<String> = [lag("day", self.day), lag("week", self.week), period].into_iter().flatten().collect();
        let found = if parts.is_empty() { "none found".to_owned() } else { parts.join(", ") };
        line(f, "autocorrelation", &found)
    }
}

fn line(f: &mut fmt::Formatter<'_>, label: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {label:<LABEL$}{value}")
}

fn quantiles(f: &mut fmt::Formatter<'_>, rows: &[(&str, Option<Quantiles>)]) -> fmt::Result {
    if rows.iter().all(|(_, row)| row.is_none()) {
        return Ok(());
    }
    let names = ["mean", "p50", "p90", "p99", "max"].map(|name| format!("{name:>NUMBER$}")).concat();
    writeln!(f, "  {:<LABEL$}{names}", "")?;
    for (label, row) in rows {
        if let Some(Quantiles { mean, p50, p90, p99, max }) = row {
            let numbers = [mean, p50, p90, p99, max].map(|&value| format!("{:>NUMBER$}", number(value))).concat();
            writeln!(f, "  {label:<LABEL$}{numbers}")?;
        }
    }
    Ok(())
}

/// A number with three or more significant digits and no more than it needs.
fn number(value: f64) -> String {
    match value.abs() {
        size if !value.is_finite() || size == 0.0 => {
            if value.is_nan() {
                "-".to_owned()
            } else {
                value.to_string()
            }
        }
        size if size >= 1e7 => format!("{value:.3e}"),
        size if size >= 1000.0 || value == value.trunc() => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        size if size >= 0.001 => format!("{value:.4}"),
        _ => format!("{value:.2e}"),
    }
}

/// A length of time in its two largest units.
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    let two = |big: u64, name: &str, small: u64, small_name: &str| match small {
        0 => format!("{big} {name}"),
        _ => format!("{big} {name} {small} {small_name}"),
    };
    match whole {
        0..60 => format!("{} s", (seconds * 1000.0).round() / 1000.0),
        60..3600 => two(whole / 60, "min", whole % 60, "s"),
        3600..86_400 => two(whole / 3600, "h", whole % 3600 / 60, "min"),
        _ => two(whole / 86_400, "d", whole % 86_400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_short() {
        let numbers = [0.0, 3.0, 0.01234, 2.5678, 123.456, 45678.9, 1.5e9, 1e-6, f64::NAN].map(number);
        assert_eq!(numbers, ["0", "3", "0.0123", "2.57", "123.5", "45679", "1.500e9", "1.00e-6", "-"]);
        let durations = [0.25, 59.0, 3436.0, 7200.0, 90_000.0].map(duration);
        assert_eq!(durations, ["0.25 s", "59 s", "57 min 16 s", "2 h", "1 d 1 h"]);
    }
}
