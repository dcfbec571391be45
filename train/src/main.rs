//! `evenkeel`: learns how to balance and foresee an inference service's load.

use std::process::ExitCode;

use evenkeel_train::cli::{self, Command};
use evenkeel_train::stop::Stopped;
use evenkeel_train::{commands, pipeline};

/// Exit status after Ctrl-C, as shells expect it (128 + SIGINT).
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    // `evenkeel inspect FILE | head` ends quietly.
    sigpipe::reset();
    let result = match cli::parse().command {
        Command::Train(arguments) => pipeline::run(&arguments),
        Command::Eval(arguments) => commands::eval::run(&arguments),
        Command::Tune(arguments) => commands::tune::run(&arguments),
        Command::Calibrate(arguments) => commands::calibrate::run(&arguments),
        Command::ForecastTrain(arguments) => commands::forecast_train::run(&arguments),
        Command::ForecastEval(arguments) => commands::forecast_eval::run(&arguments),
        Command::AutoscaleEval(arguments) => commands::autoscale_eval::run(&arguments),
        Command::ScaleTune(arguments) => commands::scale_tune::run(&arguments),
        Command::Capacity(arguments) => commands::capacity::run(&arguments),
        Command::Compile(arguments) => commands::compile::run(&arguments),
        Command::Int8(arguments) => commands::int8::run(&arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
        Command::Audit(arguments) => commands::audit::run(&arguments),
        Command::Ablate(arguments) => commands::ablate::run(&arguments),
        Command::Dataset(arguments) => commands::dataset::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Stopped>() => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("error: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, each said once: some name their cause themselves.
fn with_causes(error: &anyhow::Error) -> String {
    error
        .chain()
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error = Err::<(), _>(std::io::Error::other("disk full")).context("cannot write a: disk full");
        let error = error.context("train").unwrap_err();
        assert_eq!(with_causes(&error), "train: cannot write a: disk full");
        assert_eq!(with_causes(&anyhow::anyhow!("x").context("y")), "y: x");
    }
}
