//! What a run learns from: traces for balancing, series for forecasting.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use evenkeel_datasets::{
    BadRows, LoadOptions, Series, SeriesReport, SeriesUnit, Split, Trace, Understanding, load_series_with_report,
    load_trace_with_report, synth,
};
use evenkeel_env::host::fifo::FifoOptions;
use evenkeel_env::host::llm::LlmOptions;
use evenkeel_env::host::{ServiceOptions, file};
use evenkeel_runtime::ServiceKind;

use crate::input::InputArgs;

/// Days of the synthetic service's demand.
const SYNTHETIC_DAYS: f64 = 28.0;
/// Step of the synthetic service's demand.
const SYNTHETIC_STEP_S: f64 = 600.0;
/// Length of the synthetic service's trace.
const SYNTHETIC_TRACE_S: f64 = 3.0 * 3600.0;
/// The trace is taken from the middle of a day.
const SYNTHETIC_TRACE_START_S: f64 = 10.0 * 3600.0;
/// Steps at which the rates of a trace are tried as a series, coarsest first.
const RATE_STEPS_S: [f64; 4] = [3600.0, 600.0, 300.0, 60.0];
/// A series needs this many points to be worth learning from.
const SERIES_POINTS_MIN: usize = 500;
/// A trace needs this many requests to be split and replayed.
const TRACE_REQUESTS_MIN: usize = 500;

/// Input of a run, whole; the split is made where it is used.
#[derive(Clone, Debug)]
pub struct Data {
    /// Requests, for balancing.
    pub traces: Vec<Trace>,
    /// Rates, for forecasting.
    pub series: Vec<Series>,
    /// What was read, and what stands in for what was not given: one line each.
    pub notes: Vec<String>,
    /// How both are split in time.
    pub split: Split,
}

/// Reads the input, and generates the synthetic service where none is given, or beside what is.
/// Traces that are too short for a series of rates come without one: what was learned from
/// another service's demand says nothing of theirs.
pub fn load(
    traces: &[PathBuf],
    series: &[PathBuf],
    with_synthetic: bool,
    input: &InputArgs,
    seed: u64,
) -> Result<Data> {
    let mut data = Data { traces: Vec::new(), series: Vec::new(), notes: Vec::new(), split: Split::default() };
    for path in traces {
        let (trace, understanding) = load_one_trace(path, input, seed)?;
        data.notes.push(describe_trace(&trace));
        data.notes.extend(understanding.to_string().lines().map(|line| format!("  {line}")));
        data.traces.push(trace);
    }
    for path in series {
        let (loaded, report) = load_series_with_report(path, &options(input, seed)?)?;
        data.notes.extend(loaded.iter().map(describe_series));
        data.notes.extend(describe_reading(path, &report));
        data.series.extend(loaded);
    }
    let synthetic = synth::Service::new(seed);
    if data.series.is_empty() {
        data.series = data.traces.iter().filter_map(rates).collect();
        data.notes.extend(data.series.iter().map(describe_series));
    }
    if data.series.is_empty() && (with_synthetic || data.traces.is_empty()) {
        let demand = synthetic.series(SYNTHETIC_STEP_S, SYNTHETIC_DAYS);
        let why = if with_synthetic { "--synthetic" } else { "neither --trace nor --series" };
        data.notes.push(format!("{} ({why})", describe_series(&demand)));
        data.series.push(demand);
    }
    if data.series.is_empty() {
        data.notes.push(format!("no forecaster: {}", data.missing_series()));
    }
    if data.traces.is_empty() || with_synthetic {
        let trace = synthetic.trace(SYNTHETIC_TRACE_START_S, SYNTHETIC_TRACE_S);
        let why = if with_synthetic { "--synthetic" } else { "no --trace" };
        data.notes.push(format!("{} ({why})", describe_trace(&trace)));
        data.traces.push(trace);
    }
    Ok(data)
}

impl Data {
    /// The reason for no series, and what to do about it.
    fn missing_series(&self) -> String {
        let longest_s = self.traces.iter().map(Trace::duration_s).fold(0.0, f64::max);
        let [.., finest_s] = RATE_STEPS_S;
        format!(
            "no --series was given, and the longest trace, of {:.1} h, is shorter than the {:.1} h that its rates need; \
             add --series FILE with a few days of request rates (`evenkeel dataset rates` makes one of a longer log), \
             or --synthetic for a forecaster of the embedded service",
            longest_s / 3600.0,
            finest_s * SERIES_POINTS_MIN as f64 / 3600.0
        )
    }

    /// What the report says where there is no forecaster; none if there is one.
    pub fn no_forecaster(&self) -> Option<String> {
        self.series.is_empty().then(|| self.missing_series())
    }
}

/// Reads files of series, and says on the terminal how they were understood and what was mended.
pub fn load_series(paths: &[PathBuf], input: &InputArgs) -> Result<Vec<Series>> {
    let mut series = Vec::new();
    for path in paths {
        let (loaded, report) = load_series_with_report(path, &options(input, 0)?)?;
        for line in describe_reading(path, &report) {
            eprintln!("{line}");
        }
        series.extend(loaded);
    }
    Ok(series)
}

/// How the hosts of a service work, in the simulator: as a file says, else as by default.
pub fn host_model(kind: ServiceKind, service_model: Option<&Path>) -> Result<ServiceOptions> {
    let Some(path) = service_model else {
        return Ok(match kind {
            ServiceKind::Llm => ServiceOptions::Llm(LlmOptions::default()),
            ServiceKind::Fifo => ServiceOptions::Fifo(FifoOptions::default()),
        });
    };
    let service = file::read(path).context("--service-model")?;
    let found = match service {
        ServiceOptions::Llm(_) => ServiceKind::Llm,
        ServiceOptions::Fifo(_) => ServiceKind::Fifo,
    };
    anyhow::ensure!(
        found == kind,
        "--service-model {}: holds another kind of service than the traces are of; with token counts they are a \
         language model's, without a FIFO service's",
        path.display()
    );
    Ok(service)
}

/// The options for reading one file.
pub fn options(input: &InputArgs, seed: u64) -> Result<LoadOptions> {
    input.options(seed)
}

fn load_one_trace(path: &Path, input: &InputArgs, seed: u64) -> Result<(Trace, Understanding)> {
    let (trace, understanding) = load_trace_with_report(path, input.format, &options(input, seed)?)?;
    if trace.requests.len() < TRACE_REQUESTS_MIN {
        bail!(
            "{}: {} requests are too few to learn from; expected at least {TRACE_REQUESTS_MIN}",
            path.display(),
            trace.requests.len()
        );
    }
    Ok((trace, understanding))
}

/// The request rates of a trace at the coarsest step that gives enough points.
fn rates(trace: &Trace) -> Option<Series> {
    let step_s = RATE_STEPS_S.into_iter().find(|step_s| trace.duration_s() / step_s >= SERIES_POINTS_MIN as f64)?;
    Some(trace.rates(step_s))
}

fn describe_trace(trace: &Trace) -> String {
    let dropped = match trace.dropped_rows {
        0 => String::new(),
        rows => format!(", {rows} unreadable rows dropped"),
    };
    format!(
        "trace {}: {} requests over {:.1} h, {:.2} a second{dropped}",
        trace.name,
        trace.requests.len(),
        trace.duration_s() / 3600.0,
        trace.mean_rate_per_s()
    )
}

fn describe_series(series: &Series) -> String {
    let unit = if series.unit == SeriesUnit::Unknown { String::new() } else { format!(", {}", series.unit.name()) };
    format!(
        "series {}: {} points of {} s{unit}, {} missing",
        series.name,
        series.len(),
        series.step_s,
        series.missing()
    )
}

/// How a file of series was understood, and what had to be mended in it: a line each.
pub fn describe_reading(path: &Path, report: &SeriesReport) -> Vec<String> {
    let counts = [
        (report.dropped_rows, "unreadable rows dropped"),
        (report.irregular_rows, "rows off the step moved to the nearest point"),
        (report.duplicate_rows, "rows averaged with others of the same time"),
    ];
    let parts: Vec<String> =
        counts.iter().filter(|(rows, _)| *rows > 0).map(|(rows, what)| format!("{rows} {what}")).collect();
    let mended = (!parts.is_empty()).then(|| format!("  {}", parts.join(", ")));
    let bad =
        report.bad_rows.iter().map(|BadRows { rows, first }| format!("  unreadable: {rows} rows, the first {first}"));
    let notes = report.notes.iter().map(|note| format!("  {note}"));
    std::iter::once(format!("read {}", path.display())).chain(notes).chain(mended).chain(bad).collect()
}
