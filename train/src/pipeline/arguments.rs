//! Arguments of `evenkeel train`.

use std::path::PathBuf;

use clap::Args;

use crate::device::DeviceChoice;
use crate::input::InputArgs;
use crate::policy::objective::RewardWeights;
use crate::policy::train::FineTune;

/// Arguments of `evenkeel train`.
#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    /// Trace of requests to learn balancing from; repeatable. Without one, and without
    /// --series, the embedded synthetic service is used.
    #[arg(long, value_name = "PATH")]
    pub trace: Vec<PathBuf>,
    /// Series of rates to learn forecasting from; repeatable. Without one, the rates of
    /// the traces are used where they are long enough; otherwise there is no forecaster.
    #[arg(long, value_name = "PATH")]
    pub series: Vec<PathBuf>,
    /// How to read the traces and series.
    #[command(flatten)]
    pub input: InputArgs,
    /// Learn from the embedded synthetic service too: its requests beside the traces, and its
    /// demand where there are no series.
    #[arg(long)]
    pub synthetic: bool,
    /// Hosts like yours: two thirds of the training is on them, as is the evaluation. A JSON file,
    /// as `evenkeel calibrate` writes it.
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub fleet: Option<PathBuf>,
    /// What the hosts run: a JSON file, as `evenkeel calibrate` writes it [default: about a
    /// 13-billion-parameter model on one A100, or two servers of a FIFO service].
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub service_model: Option<PathBuf>,
    /// Folder for the results [default: artifacts/TIMESTAMP; artifacts/latest points to the last run
    /// that was finished].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on from the last checkpoint of an interrupted run, with its data, seed and options.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["trace", "series", "synthetic", "out", "seed", "quick"])]
    pub resume: Option<PathBuf>,
    /// Seed of everything random; a CPU run with the same seed repeats bit for bit.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Train briefly: a first look, not a model to deploy.
    #[arg(long)]
    pub quick: bool,
    /// Artifact to go on from: its policy is specialised to the traces in a shorter run, and
    /// kept as it is if that does not make it better on their validation part.
    #[arg(long, value_name = "FILE.ekm", conflicts_with = "resume")]
    pub from: Option<PathBuf>,
    /// What follows imitation of the oracle.
    #[arg(long, value_enum, default_value_t = FineTune::Es)]
    pub fine_tune: FineTune,
    /// What to fine-tune for.
    #[command(flatten)]
    pub reward: RewardWeights,
}
