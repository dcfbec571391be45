//! `evenkeel dataset`: look at traces and series, list and fetch public ones.

mod arguments;
mod ingest;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use evenkeel_datasets::{
    DataError, Format, LoadOptions, Quantity, Series, catalogue, load_series_with_report, load_trace_with_report, stats,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::data;
use crate::input::InputArgs;
use crate::output::write_whole;

pub use arguments::{DatasetArgs, DatasetCommand};

/// Runs the subcommand.
pub fn run(arguments: &DatasetArgs) -> Result<()> {
    match &arguments.command {
        DatasetCommand::Stats { path, input } => print_stats(path, input),
        DatasetCommand::Rates { path, input, step, output } => write_rates(path, input, *step, output),
        DatasetCommand::Ingest { arguments } => ingest::run(arguments),
        DatasetCommand::List => {
            for entry in catalogue::ENTRIES {
                println!("{entry}");
            }
            Ok(())
        }
        DatasetCommand::Fetch { name, out } => fetch(name, out),
    }
}

fn print_stats(path: &Path, input: &InputArgs) -> Result<()> {
    let options = data::options(input, 0)?;
    if input.format == Some(Format::Series) {
        return print_series(path, &options);
    }
    let mut progress = Progress::new();
    let read =
        stats::TraceStats::of_file_with_report(path, input.format, &options, stats::BIN_S, &mut |share, rows| {
            progress.show(share, rows);
        });
    progress.bar.finish_and_clear();
    match read {
        Ok((summary, understanding)) => println!("{summary}\n{understanding}"),
        // Found to be rates rather than requests.
        Err(DataError::NotATrace { .. }) if input.format.is_none() => print_series(path, &options)?,
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn print_series(path: &Path, options: &LoadOptions) -> Result<()> {
    let (series, report) = load_series_with_report(path, options)?;
    for series in series {
        println!("{}", stats::SeriesStats::new(&series));
    }
    for line in data::describe_reading(path, &report) {
        println!("{line}");
    }
    Ok(())
}

/// How far a long file has been read: a bar on a terminal, a line from time to time elsewhere.
struct Progress {
    bar: ProgressBar,
    begin: Instant,
    said_s: f64,
}

impl Progress {
    fn new() -> Self {
        let bar = ProgressBar::new(1000);
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {percent} %, {msg}, {eta} left") {
            bar.set_style(style);
        }
        Self { bar, begin: Instant::now(), said_s: 0.0 }
    }

    fn show(&mut self, share: f64, requests: u64) {
        const LINE_S: f64 = 20.0;
        let message = format!("{:.1} million requests", requests as f64 / 1e6);
        self.bar.set_position((share * 1000.0) as u64);
        self.bar.set_message(message.clone());
        let now_s = self.begin.elapsed().as_secs_f64();
        if self.bar.is_hidden() && now_s - self.said_s >= LINE_S && share > 0.0 {
            self.said_s = now_s;
            let left_s = now_s * (1.0 - share) / share;
            eprintln!("{:.0} %, {message}, about {left_s:.0} s left", 100.0 * share);
        }
    }
}

/// Rates of a trace in columns, as every command that takes series reads them.
fn write_rates(path: &Path, input: &InputArgs, step_s: f64, output: &Path) -> Result<()> {
    ensure!((1e-3..=1e7).contains(&step_s), "--step: expected seconds from 0.001 to 10000000, found {step_s}");
    // Without tokens the rates of requests are what they are.
    let options = LoadOptions { without_tokens: true, ..data::options(input, 0)? };
    let (trace, understanding) = load_trace_with_report(path, input.format, &options)?;
    eprint!("{understanding}");
    ensure!(!trace.requests.is_empty(), "{}: the trace has no requests", path.display());
    // A log of a web server has no tokens.
    let quantities = if trace.has_tokens() { &Quantity::ALL[..] } else { &Quantity::ALL[..1] };
    let series: Vec<Series> = quantities.iter().map(|quantity| trace.rates_of(*quantity, step_s)).collect();
    let mut text = format!("t_s,{}\n", quantities.iter().map(|quantity| quantity.name()).collect::<Vec<_>>().join(","));
    // The last step is not over.
    for index in 0..series[0].len().saturating_sub(1) {
        let values: Vec<String> = series.iter().map(|series| series.values[index].to_string()).collect();
        let _ = writeln!(text, "{},{}", series[0].time_s(index), values.join(","));
    }
    write_whole(output, text.as_bytes())?;
    println!("{}: {} steps of {step_s} s", output.display(), series[0].len().saturating_sub(1));
    Ok(())
}

fn fetch(name: &str, out: &Path) -> Result<()> {
    let entry = catalogue::find(name)
        .with_context(|| format!("no data set is called `{name}`; `evenkeel dataset list` prints the names"))?;
    let bar = ProgressBar::no_length();
    bar.set_style(ProgressStyle::with_template("{bar:24} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}")?);
    let fetched = catalogue::fetch(entry, out, &mut |done, total| {
        bar.set_position(done);
        if let Some(total) = total {
            bar.set_length(total);
        }
    })?;
    bar.finish_and_clear();
    let verified = if fetched.is_verified { "as expected" } else { "no other is known to compare it with" };
    println!("{}: {} bytes", fetched.path.display(), fetched.bytes);
    println!("SHA-256 {} ({verified})", fetched.sha256);
    println!("{}; {}", entry.licence, entry.attribution);
    Ok(())
}
