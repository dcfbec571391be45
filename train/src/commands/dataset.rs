//! `evenkeel dataset`: look at traces and series, list and fetch public ones.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use evenkeel_datasets::{DataError, Format, Quantity, Series, catalogue, load_series_with_report, load_trace, stats};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{DatasetArgs, DatasetCommand, InputArgs};
use crate::data;
use crate::output::write_whole;

/// Runs the subcommand.
pub fn run(arguments: &DatasetArgs) -> Result<()> {
    match &arguments.command {
        DatasetCommand::Stats { path, input } => print_stats(path, input),
        DatasetCommand::Rates { path, input, step, output } => write_rates(path, input, *step, output),
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
    match stats::TraceStats::of_file(path, input.format, &options, stats::BIN_S) {
        Ok(summary) => println!("{summary}"),
        // Found to be rates rather than requests.
        Err(DataError::NotATrace { .. }) if input.format.is_none() => print_series(path, &options)?,
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn print_series(path: &Path, options: &evenkeel_datasets::LoadOptions) -> Result<()> {
    let (series, report) = load_series_with_report(path, options)?;
    for series in series {
        println!("{}", stats::SeriesStats::new(&series));
    }
    if let Some(mended) = data::describe_mending(path, &report) {
        println!("{mended}");
    }
    Ok(())
}

/// Rates of a trace in columns, as every command that takes series reads them.
fn write_rates(path: &Path, input: &InputArgs, step_s: f64, output: &Path) -> Result<()> {
    ensure!((1e-3..=1e7).contains(&step_s), "--step: expected seconds from 0.001 to 10000000, found {step_s}");
    let trace = load_trace(path, input.format, &data::options(input, 0)?)?;
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
