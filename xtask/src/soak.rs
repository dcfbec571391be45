//! `cargo xtask soak`: Envoy with the module under load for a long time, while hosts die,
//! come and go, and artifacts are swapped.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::test;

#[derive(Args)]
pub(crate) struct Options {
    /// How long; the promise is half an hour
    #[arg(long, default_value_t = 1800)]
    seconds: u32,
    /// Requests a second
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// The artifact; that of the tests' training if none is given
    #[arg(long)]
    artifact: Option<PathBuf>,
}

/// Fails if a request was lost, or if memory grew.
pub(crate) fn run(options: &Options) -> Result<()> {
    let artifact = options.artifact.clone().unwrap_or_else(test::default_artifact);
    let arguments = ["--seconds".into(), options.seconds.to_string(), "--rate".into(), options.rate.to_string()];
    test::envoy::script("soak.py", &arguments, &artifact)
}
