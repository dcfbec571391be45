//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use evenkeel_datasets::Format;
use serde::{Deserialize, Serialize};

use crate::commands::forecast_eval::ForecastEvalArgs;
use crate::device::DeviceChoice;
use crate::policy::objective::RewardWeights;
use crate::policy::train::FineTune;

/// Learns from an inference service's traces how to balance its load and foresee its
/// demand, and compiles both into one small file for NGINX and Envoy.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train, export, verify and evaluate, from a trace to evenkeel.ekm.
    Train(TrainArgs),
    /// Replay traces under an artifact's policy and the rules it competes with.
    Eval(EvalArgs),
    /// Forecast the test part of series and compare with other models.
    ForecastEval(ForecastEvalArgs),
    /// Compile ONNX files, trained here or elsewhere, into an artifact.
    Compile(CompileArgs),
    /// Print all that is in an artifact.
    Inspect(InspectArgs),
    /// Look at traces and series, and fetch public ones.
    Dataset(DatasetArgs),
}

/// Arguments of `evenkeel train`.
#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    /// Trace of requests to learn balancing from; repeatable. Without one, and without
    /// --series, the embedded synthetic service is used.
    #[arg(long, value_name = "PATH")]
    pub trace: Vec<PathBuf>,
    /// Series of rates to learn forecasting from; repeatable. Without one, the rates of
    /// the traces are used where they are long enough, otherwise the synthetic service's.
    #[arg(long, value_name = "PATH")]
    pub series: Vec<PathBuf>,
    /// How to read the traces and series.
    #[command(flatten)]
    pub input: InputArgs,
    /// Folder for the results [default: artifacts/TIMESTAMP, with artifacts/latest pointing to it].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on from the last checkpoint of an interrupted run, with its data, seed and options.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["trace", "series", "out", "seed", "quick"])]
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
    /// What follows imitation of the oracle.
    #[arg(long, value_enum, default_value_t = FineTune::Ppo)]
    pub fine_tune: FineTune,
    /// What to fine-tune for.
    #[command(flatten)]
    pub reward: RewardWeights,
}

/// How input files are read.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
pub struct InputArgs {
    /// Format of the traces [default: found from the contents].
    #[arg(long, value_name = "NAME")]
    #[serde(skip)]
    pub format: Option<Format>,
    /// For --format csv: which column holds what, e.g.
    /// `arrival=ts,prompt=in_tokens,output=out_tokens,unit=ms`.
    #[arg(long, value_name = "MAP")]
    pub columns: Option<String>,
    /// Tolerate this many unreadable rows in each file; they are counted and reported.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_bad_rows: u64,
    /// Sort the requests by arrival instead of refusing time that goes backwards.
    #[arg(long)]
    pub sort: bool,
}

/// Arguments of `evenkeel eval`.
#[derive(Clone, Debug, Args)]
pub struct EvalArgs {
    /// The artifact.
    #[arg(long, value_name = "FILE.ekm")]
    pub model: PathBuf,
    /// Trace to replay; repeatable. Its test part is used, as `train` splits it.
    #[arg(long, value_name = "PATH", required = true)]
    pub trace: Vec<PathBuf>,
    /// How to read the traces.
    #[command(flatten)]
    pub input: InputArgs,
    /// Policies to compare, or `all`.
    #[arg(long, value_delimiter = ',', default_value = "all")]
    pub policies: Vec<String>,
    /// Offered loads, as shares of the fleet's capacity.
    #[arg(long, value_delimiter = ',', default_value = "0.5,0.7,0.8,0.9")]
    pub loads: Vec<f64>,
    /// Hosts of the fleet.
    #[arg(long, value_delimiter = ',', default_value = "16")]
    pub hosts: Vec<usize>,
    /// Balancers that decide, each with its own view.
    #[arg(long, value_delimiter = ',', default_value = "4")]
    pub balancers: Vec<usize>,
    /// Milliseconds between two polls of a host's telemetry; `lost` for none at all.
    #[arg(long, value_delimiter = ',', default_value = "250")]
    pub telemetry_ms: Vec<TelemetryPeriod>,
    /// Telemetry by polling alone: not with responses, no probes.
    #[arg(long)]
    pub polled_only: bool,
    /// The hosts' speeds.
    #[arg(long, value_enum, default_value_t = FleetChoice::Het)]
    pub fleet: FleetChoice,
    /// No host is slowed from time to time.
    #[arg(long)]
    pub quiet: bool,
    /// Replays of each setting, with different seeds.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// Most requests of a replay.
    #[arg(long, default_value_t = 12_000)]
    pub requests: usize,
    /// Write every figure to this file, as JSON.
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
}

/// How often a host's telemetry is polled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TelemetryPeriod {
    /// Every so many milliseconds.
    Every(f64),
    /// Never: no report reaches the balancers.
    Lost,
}

impl FromStr for TelemetryPeriod {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(period_ms) if period_ms >= 1.0 && period_ms.is_finite() => Ok(Self::Every(period_ms)),
            _ if text == "lost" => Ok(Self::Lost),
            _ => Err("expected milliseconds, at least 1, or `lost`".to_owned()),
        }
    }
}

/// The hosts' speeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FleetChoice {
    /// Three classes: 1, 1.6 and 2.5.
    Het,
    /// All alike.
    Hom,
    /// Two classes: 1 and 2.
    TwoClass,
}

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

/// Arguments of `evenkeel inspect`.
#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    /// The artifact.
    #[arg(value_name = "FILE.ekm")]
    pub artifact: PathBuf,
}

/// Arguments of `evenkeel dataset`.
#[derive(Clone, Debug, Args)]
pub struct DatasetArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DatasetCommand,
}

/// Subcommands of `evenkeel dataset`.
#[derive(Clone, Debug, Subcommand)]
pub enum DatasetCommand {
    /// Print rows, span, rates, token quantiles and seasonality of a trace or series.
    Stats {
        /// The trace or series.
        path: PathBuf,
        /// How to read it.
        #[command(flatten)]
        input: InputArgs,
    },
    /// List the public data sets that `fetch` knows.
    List,
    /// Download a public data set; goes on where a broken download stopped.
    Fetch {
        /// Its name, as `list` prints it.
        name: String,
        /// Folder to put it in.
        #[arg(long, value_name = "DIR", default_value = "data")]
        out: PathBuf,
    },
}
