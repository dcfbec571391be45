//! The command line.

use clap::{Parser, Subcommand};

use crate::commands::ablate::AblateArgs;
use crate::commands::audit::AuditArgs;
use crate::commands::autoscale_eval::AutoscaleEvalArgs;
use crate::commands::calibrate::CalibrateArgs;
use crate::commands::capacity::CapacityArgs;
use crate::commands::compile::CompileArgs;
use crate::commands::dataset::DatasetArgs;
use crate::commands::eval::EvalArgs;
use crate::commands::forecast_eval::ForecastEvalArgs;
use crate::commands::forecast_train::ForecastTrainArgs;
use crate::commands::inspect::InspectArgs;
use crate::commands::int8::Int8Args;
use crate::commands::scale_tune::ScaleTuneArgs;
use crate::commands::tune::TuneArgs;
use crate::pipeline::TrainArgs;

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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use evenkeel_console::with_negative_numbers;

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
