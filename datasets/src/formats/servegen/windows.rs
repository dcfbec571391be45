//! Rates and inter-arrival times of clients, window by window.

use super::archive;
use crate::DataError;
use crate::input::number;
use crate::random::{self, Pcg64Mcg};
use crate::row::Fault;
use std::collections::BTreeMap;
use std::path::Path;

/// The windows of every client, in order of time.
pub(super) type ByClient = BTreeMap<u64, Vec<Window>>;

/// Length of a window where a client has just one.
const WINDOW_S: f64 = 600.0;

/// Latest begin of a window: ten years.
const BEGIN_S_MAX: f64 = 10.0 * 365.0 * 86_400.0;
/// Requests a second of one client at most: numbers above it are no rates.
const RATE_PER_S_MAX: f64 = 1e6;

/// What a client does from `begin_s` to `end_s`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) begin_s: f64,
    pub(super) end_s: f64,
    pub(super) rate_per_s: f64,
    pub(super) gaps: Gaps,
}

/// Distribution of inter-arrival times, scaled to mean 1.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gaps {
    Gamma { shape: f64 },
    Weibull { shape: f64, scale: f64 },
}

impl Gaps {
    pub(super) fn draw(self, rng: &mut Pcg64Mcg) -> f64 {
        match self {
            Self::Gamma { shape } => random::gamma(rng, shape, 1.0 / shape),
            Self::Weibull { shape, scale } => random::weibull(rng, shape, scale),
        }
    }
}

/// The windows in an archive, and how many rows had to be left out.
pub(super) fn read(path: &Path, max_bad_rows: u64) -> Result<(ByClient, u64), DataError> {
    let mut clients = ByClient::new();
    let mut dropped_rows = 0;
    archive::members(path, "trace.csv", |id, member| {
        let windows = clients.entry(id).or_default();
        for (index, line) in member.content.split(|&byte| byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let after_s = windows.last().map_or(f64::NEG_INFINITY, |last: &Window| last.begin_s);
            match window(line, after_s) {
                Ok(window) => windows.push(window),
                Err(fault) => {
                    dropped_rows += 1;
                    if dropped_rows > max_bad_rows {
                        let first = Box::new(member.bad_row(index as u64 + 1, fault));
                        return Err(DataError::BadRows { allowed: max_bad_rows, first });
                    }
                }
            }
        }
        close(windows);
        Ok(())
    })?;
    if clients.values().all(Vec::is_empty) {
        return Err(DataError::Empty { path: path.to_owned(), what: "windows of clients (chunk-N-trace.csv)" });
    }
    Ok((clients, dropped_rows))
}

/// Lets each window end where the next begins, but last no longer than the shortest.
fn close(windows: &mut [Window]) {
    let step_s = windows.windows(2).map(|pair| pair[1].begin_s - pair[0].begin_s).fold(f64::INFINITY, f64::min);
    let step_s = if step_s.is_finite() { step_s } else { WINDOW_S };
    for window in windows {
        window.end_s = window.begin_s + step_s;
    }
}

/// One row: `t,rate,cv,pattern,param1,param2`. Idle windows have no pattern.
fn window(line: &[u8], after_s: f64) -> Result<Window, Fault> {
    const NAMES: [&str; 6] = ["t", "rate", "cv", "pattern", "param1", "param2"];
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b',').collect();
    let [t, rate, _cv, pattern, shape, _scale] = fields[..] else {
        return Err(Fault::new("line", line, format!("six columns: {}", NAMES.join(","))));
    };
    let time = "seconds, at least 0, at most ten years, and at least one more than in the row before";
    let begin_s = number::float(t)
        .filter(|&t| (0.0..=BEGIN_S_MAX).contains(&t) && t >= after_s + 1.0)
        .ok_or_else(|| Fault::new("t", t, time))?;
    let rate_per_s = number::float(rate)
        .filter(|&rate| (0.0..=RATE_PER_S_MAX).contains(&rate))
        .ok_or_else(|| Fault::new("rate", rate, "requests per second, from 0 to 1000000"))?;
    let window = |gaps| Window { begin_s, end_s: begin_s, rate_per_s, gaps };
    if rate_per_s == 0.0 {
        return Ok(window(Gaps::Gamma { shape: 1.0 }));
    }
    // Below these shapes nearly all requests of a window would fall onto one instant.
    let shape_from = |min: f64| {
        number::float(shape)
            .filter(|&value| value >= min)
            .ok_or_else(|| Fault::new("param1", shape, format!("the distribution's shape, at least {min}")))
    };
    match pattern {
        b"Gamma" => Ok(window(Gaps::Gamma { shape: shape_from(1e-4)? })),
        b"Weibull" => {
            let shape = shape_from(0.05)?;
            // The mean of a Weibull distribution is scale · Γ(1 + 1/shape).
            Ok(window(Gaps::Weibull { shape, scale: libm::exp(-libm::lgamma(1.0 + 1.0 / shape)) }))
        }
        other => Err(Fault::new("pattern", other, "Gamma or Weibull")),
    }
}
