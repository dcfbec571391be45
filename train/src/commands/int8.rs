//! `evenkeel int8`: an artifact with a smaller forecaster.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use evenkeel_runtime::Model;

use crate::output::write_whole;

/// Arguments of `evenkeel int8`.
#[derive(Clone, Debug, Args)]
pub struct Int8Args {
    /// An artifact with a forecaster.
    #[arg(value_name = "FILE.ekm")]
    pub artifact: PathBuf,
    /// Artifact to write.
    #[arg(short, long, value_name = "FILE.ekm")]
    pub output: PathBuf,
}

/// Rounds and writes.
pub fn run(arguments: &Int8Args) -> Result<()> {
    let path = &arguments.artifact;
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let model = Model::parse(&bytes).with_context(|| path.display().to_string())?;
    ensure!(model.forecaster().is_some(), "{}: found no forecaster, whose weights could be rounded", path.display());
    let rounded = evenkeel_export::with_int8_forecaster(&bytes).with_context(|| path.display().to_string())?;
    write_whole(&arguments.output, &rounded)?;
    println!(
        "{}: {} bytes, {} before; `evenkeel forecast-eval --int8` says what it costs in accuracy",
        arguments.output.display(),
        rounded.len(),
        bytes.len()
    );
    Ok(())
}
