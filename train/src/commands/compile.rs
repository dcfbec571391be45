//! `evenkeel compile`: ONNX files, trained anywhere, into an artifact.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use evenkeel_runtime::Model;
use evenkeel_runtime::artifact::{Sections, format};

use crate::export::generic_service;
use crate::output::write_whole;

/// Inputs compared for each number of rows.
const PARITY_SAMPLES: usize = 8;

/// Arguments of `evenkeel compile`.
#[derive(Clone, Debug, Args)]
pub struct CompileArgs {
    /// The policy: one row of features per host in, one score per host out (lowest wins).
    #[arg(value_name = "POLICY.onnx")]
    pub policy: PathBuf,
    /// The forecaster: one row of features per horizon in, nine quantiles per horizon out.
    #[arg(long, value_name = "FORECAST.onnx", requires = "base")]
    pub forecast: Option<PathBuf>,
    /// Artifact to take the service model and the forecast calibration from
    /// [default: a generic language-model service].
    #[arg(long, value_name = "FILE.ekm")]
    pub base: Option<PathBuf>,
    /// Artifact to write.
    #[arg(short, long, value_name = "FILE.ekm")]
    pub output: PathBuf,
}

/// Compiles the policy and checks the artifact against tract.
pub fn run(arguments: &CompileArgs) -> Result<()> {
    let base_bytes = match &arguments.base {
        Some(path) => Some(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?),
        None => None,
    };
    let (service, calibration) = match &base_bytes {
        Some(bytes) => {
            let model = Model::parse(bytes).context("--base")?;
            let calibration = Sections::parse(bytes)?.iter().find(|(kind, _)| *kind == format::CALIBRATION);
            (*model.service(), calibration.map(|(_, contents)| contents))
        }
        None => (generic_service(), None),
    };
    let forecast = match (&arguments.forecast, calibration) {
        (Some(onnx), Some(calibration)) => Some(evenkeel_export::Forecast { onnx, calibration }),
        (Some(_), None) => {
            bail!("--forecast: the --base artifact has no forecast calibration; name one that has a forecaster")
        }
        (None, _) => None,
    };
    let metadata = serde_json::json!({
        "made_by": format!("evenkeel compile {}", env!("CARGO_PKG_VERSION")),
        "policy": arguments.policy.file_name().map(|name| name.to_string_lossy()),
    });
    let artifact = evenkeel_export::compile(Some(&arguments.policy), forecast, &service, &metadata.to_string())?;
    let model = Model::parse(&artifact)?;
    let policy = model.policy().context("the artifact has no policy")?.program();
    let parity =
        evenkeel_export::verify(&arguments.policy, policy, &evenkeel_export::ROW_COUNTS, PARITY_SAMPLES, 1, None)?;
    let translation = evenkeel_export::onnx::translate(&arguments.policy)?;
    anyhow::ensure!(
        parity.largest() <= translation.tolerance,
        "the compiled policy differs from {} by {:.1e} (relative), more than {:.0e}: it was not written",
        arguments.policy.display(),
        parity.largest(),
        translation.tolerance
    );
    write_whole(&arguments.output, &artifact)?;
    println!(
        "{}: {} bytes, {} weights, differs from the ONNX file by at most {:.1e} (relative)",
        arguments.output.display(),
        artifact.len(),
        policy.weight_count(),
        parity.largest()
    );
    for note in translation.notes {
        println!("note: {note}");
    }
    if let Some(rounding) = parity.rounding_of_file {
        println!("note: with the rounding of the quantised file the difference is at most {rounding:.1e} (relative)");
    }
    Ok(())
}
