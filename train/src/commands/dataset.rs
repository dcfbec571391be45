//! `evenkeel dataset`: look at traces and series, list and fetch public ones.

use std::path::Path;

use anyhow::{Context, Result};
use evenkeel_datasets::{DataError, Format, catalogue, load_series_with_report, stats};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{DatasetArgs, DatasetCommand, InputArgs};
use crate::data;

/// Runs the subcommand.
pub fn run(arguments: &DatasetArgs) -> Result<()> {
    match &arguments.command {
        DatasetCommand::Stats { path, input } => print_stats(path, input),
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
