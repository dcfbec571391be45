//! What commands that judge an artifact on series have in common.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use evenkeel_datasets::Series;
use serde::Serialize;

use crate::data;
use crate::input::InputArgs;
use crate::output::write_whole;

/// An artifact, series, and where figures go.
#[derive(Clone, Debug, Args)]
pub struct OnSeriesArgs {
    /// The artifact, whose forecaster foresees the series.
    #[arg(long, value_name = "FILE.ekm")]
    pub model: PathBuf,
    /// Series, of which the test part is judged; several, and repeatable.
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    pub series: Vec<PathBuf>,
    /// How to read the series.
    #[command(flatten)]
    pub input: InputArgs,
    /// Write every figure to this file, as JSON.
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
    /// Write tables and plots to this file, as HTML.
    #[arg(long, value_name = "PATH")]
    pub report: Option<PathBuf>,
}

impl OnSeriesArgs {
    /// The artifact and the series.
    pub fn read(&self) -> Result<(Vec<u8>, Vec<Series>)> {
        let artifact = fs::read(&self.model).with_context(|| format!("cannot read {}", self.model.display()))?;
        Ok((artifact, data::load_series(&self.series, &self.input)?))
    }

    /// Writes what was asked for.
    pub fn write(&self, figures: &impl Serialize, report: impl FnOnce() -> String) -> Result<()> {
        if let Some(path) = &self.json {
            write_whole(path, &serde_json::to_vec_pretty(figures)?)?;
        }
        if let Some(path) = &self.report {
            write_whole(path, report().as_bytes())?;
        }
        Ok(())
    }
}
