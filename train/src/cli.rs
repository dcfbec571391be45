//! The command line.

pub mod benchmark;
mod input;

pub use input::InputArgs;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cli::benchmark::{EvalArgs, TuneArgs};
use crate::commands::ablate::AblateArgs;
use crate::commands::audit::AuditArgs;
use crate::commands::autoscale_eval::AutoscaleEvalArgs;
use crate::commands::calibrate::CalibrateArgs;
use crate::commands::capacity::CapacityArgs;
use crate::commands::forecast_eval::ForecastEvalArgs;
use crate::commands::forecast_train::ForecastTrainArgs;
use crate::commands::int8::Int8Args;
use crate::commands::scale_tune::ScaleTuneArgs;
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

/// Parses the command line, or prints what is wrong with it and ends.
pub fn parse() -> Cli {
    let matches = with_negative_numbers(Cli::command()).get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Takes `--option -1` for a value, so that the complaint is about the value and not about an option
/// `-1`.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    command
        .mut_args(|argument| {
            let takes_values = argument.get_action().takes_values();
            if takes_values { argument.allow_negative_numbers(true) } else { argument }
        })
        .mut_subcommands(with_negative_numbers)
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train, export, verify and evaluate, from a trace to evenkeel.ekm.
    Train(TrainArgs),
    /// Replay traces under an artifact's policy and the rules it competes with.
    Eval(EvalArgs),
    /// Search the rules' best parameters on the validation part of traces.
    Tune(TuneArgs),
    /// Estimate hosts' speeds and the service's times from a log, so that simulations resemble them.
    Calibrate(CalibrateArgs),
    /// Train a forecaster alone, from series to an artifact.
    ForecastTrain(ForecastTrainArgs),
    /// Forecast the test part of series and compare with other models.
    ForecastEval(ForecastEvalArgs),
    /// Compare autoscalers on the test part of series, each tuned on the validation part.
    AutoscaleEval(AutoscaleEvalArgs),
    /// Tune how an artifact's forecast becomes a demand for replicas.
    ScaleTune(ScaleTuneArgs),
    /// Find what one warm replica carries at the objective.
    Capacity(CapacityArgs),
    /// Train variants of the policy, and compare what each part is worth.
    Ablate(AblateArgs),
    /// Compile ONNX files, trained here or elsewhere, into an artifact.
    Compile(CompileArgs),
    /// Store an artifact's forecaster in 8-bit integers: a smaller, slightly less accurate one.
    Int8(Int8Args),
    /// Print all that is in an artifact.
    Inspect(InspectArgs),
    /// Make the decisions again that a balancer recorded.
    Audit(AuditArgs),
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
    /// Write the rates of a trace as series: requests, prompt and output tokens a second.
    Rates {
        /// The trace.
        path: PathBuf,
        /// How to read it.
        #[command(flatten)]
        input: InputArgs,
        /// Seconds between two values.
        #[arg(long, value_name = "SECONDS", default_value_t = 300.0)]
        step: f64,
        /// Series to write, as CSV.
        #[arg(short, long, value_name = "FILE.csv")]
        output: PathBuf,
    },
    /// Query logs at rest (Parquet, CSV, JSON; files or an object store), and write what training needs.
    #[command(disable_help_flag = true)]
    Ingest {
        /// Handed to `evenkeel-lake`: try --help.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_value_is_named_as_the_values_fault() {
        let parsed = |arguments: &[&str]| {
            let command = with_negative_numbers(Cli::command());
            command.try_get_matches_from(arguments).map_err(|error| error.to_string())
        };
        let error = parsed(&["evenkeel", "eval", "--model", "x.ekm", "--telemetry-ms", "-1"]).unwrap_err();
        assert!(error.contains("invalid value '-1'") && error.contains("--telemetry-ms"), "{error}");
        let error = parsed(&["evenkeel", "train", "--seed", "-1"]).unwrap_err();
        assert!(error.contains("invalid value '-1'"), "{error}");
        Cli::command().debug_assert();
    }
}
