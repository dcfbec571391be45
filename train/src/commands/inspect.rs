//! `evenkeel inspect`: all that is in an artifact.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

/// Arguments of `evenkeel inspect`.
#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    /// The artifact.
    #[arg(value_name = "FILE.ekm")]
    pub artifact: PathBuf,
}

/// Prints the artifact.
pub fn run(arguments: &InspectArgs) -> Result<()> {
    let path = &arguments.artifact;
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let inspection = evenkeel_export::inspect(&bytes).with_context(|| path.display().to_string())?;
    print!("{inspection}");
    Ok(())
}
