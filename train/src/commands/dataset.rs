//! `evenkeel dataset`: look at traces and series, list and fetch public ones.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use evenkeel_datasets::{DataError, Format, catalogue, load_series, load_trace, stats};

use crate::cli::{DatasetArgs, DatasetCommand, InputArgs};
use crate::data;

/// Runs the subcommand.
pub fn run(arguments: &DatasetArgs) -> Result<()> {
    match &arguments.command {
        DatasetCommand::Stats { path, input } => print_stats(path, input),
        DatasetCommand::List => {
            for entry in catalogue::ENTRIES {
                println!("{entry}\n");
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
    match load_trace(path, input.format, &options) {
        Ok(trace) => println!("{}", stats::TraceStats::of(&trace)),
        // Found to be rates rather than requests.
        Err(DataError::WrongFormat { looks_like: Some(Format::Series), .. }) if input.format.is_none() => {
            print_series(path, &options)?
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn print_series(path: &Path, options: &evenkeel_datasets::LoadOptions) -> Result<()> {
    for series in load_series(path, options)? {
        println!("{}", stats::SeriesStats::of(&series));
    }
    Ok(())
}

fn fetch(name: &str, out: &Path) -> Result<()> {
    let entry = catalogue::find(name)
        .with_context(|| format!("no data set is called `{name}`; `evenkeel dataset list` prints the names"))?;
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let path = catalogue::fetch(entry, out)?;
    println!("{}\n{}", path.display(), entry.attribution);
    Ok(())
}
