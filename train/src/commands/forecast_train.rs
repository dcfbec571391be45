//! `evenkeel forecast-train`: an artifact with a forecaster alone, for scaling without balancing.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use evenkeel_datasets::Split;
use evenkeel_runtime::Model;
use serde_json::json;

use crate::data;
use crate::device::{self, DeviceChoice};
use crate::export::{PARITY_LIMIT, generic_service};
use crate::forecast::{self, Options};
use crate::input::InputArgs;
use crate::output::{RunFolder, write_whole};
use crate::progress::Stages;
use crate::stop::StopFlag;

/// Inputs compared for each number of rows.
const PARITY_SAMPLES: usize = 16;

/// Arguments of `evenkeel forecast-train`.
#[derive(Clone, Debug, Args)]
pub struct ForecastTrainArgs {
    /// Series of rates to learn from; several, and repeatable. One network learns from the
    /// training parts of all.
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    pub series: Vec<PathBuf>,
    /// How to read the series.
    #[command(flatten)]
    pub input: InputArgs,
    /// Artifact to write.
    #[arg(short, long, value_name = "FILE.ekm")]
    pub output: PathBuf,
    /// Seed of everything random; a CPU run with the same seed repeats bit for bit.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Train briefly: a first look, not a model to deploy.
    #[arg(long)]
    pub quick: bool,
}

/// Trains, compiles, verifies and writes.
pub fn run(arguments: &ForecastTrainArgs) -> Result<()> {
    let stop = StopFlag::on_interrupt()?;
    let device = device::choose(arguments.device)?;
    let series = data::load_series(&arguments.series, &arguments.input)?;
    let scratch = tempfile::tempdir().context("cannot create a temporary folder")?;
    let folder = RunFolder::create(Some(scratch.path()))?;
    let options = if arguments.quick { Options::QUICK } else { Options::FULL };
    let mut stages = Stages::default();
    let stage = stages.begin("forecast", 0);
    let split = Split::default();
    let forecaster =
        forecast::train(&folder, &series, &split, &options, arguments.seed, &device.device, &stop, &stage)?;
    stage.done(&forecaster.describe());

    let onnx = folder.file("forecast.onnx");
    forecaster.onnx()?.write(&onnx)?;
    let calibration = forecaster.calibration.encode();
    let metadata = json!({
        "made_by": format!("evenkeel forecast-train {}", env!("CARGO_PKG_VERSION")),
        "seed": arguments.seed,
        "quick": arguments.quick,
        "device": device.name,
        "series": series.iter().map(|series| &series.name).collect::<Vec<_>>(),
    });
    let files = evenkeel_export::Forecast { onnx: &onnx, calibration: &calibration };
    let artifact = evenkeel_export::compile(None, Some(files), &generic_service(), &metadata.to_string())?;
    let model = Model::parse(&artifact)?;
    let program = model.forecaster().context("the artifact has no forecaster")?.program();
    let burn = |features: &[f32], rows: usize| forecaster.predict_rows(features, rows);
    let rows = &evenkeel_export::ROW_COUNTS;
    let parity = evenkeel_export::verify(&onnx, program, rows, PARITY_SAMPLES, arguments.seed, Some(&burn))?;
    ensure!(
        parity.largest() <= PARITY_LIMIT,
        "burn, tract and the runtime differ by {:.1e} (relative), more than {PARITY_LIMIT:.0e}; nothing was written",
        parity.largest()
    );
    write_whole(&arguments.output, &artifact)?;
    println!(
        "{}: {} bytes, {} weights; burn, tract and the runtime differ by at most {:.1e} (relative)",
        arguments.output.display(),
        artifact.len(),
        program.weight_count(),
        parity.largest()
    );
    Ok(())
}
