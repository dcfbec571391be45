//! `evenkeel`: learns how to balance and foresee an inference service's load.

use std::process::ExitCode;

use evenkeel_console::{parse, with_causes};
use evenkeel_train::cli::{Cli, Command};
use evenkeel_train::stop::Stopped;
use evenkeel_train::{commands, pipeline};

/// Exit status after Ctrl-C, as shells expect it (128 + SIGINT).
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    // `evenkeel inspect FILE | head` ends quietly.
    sigpipe::reset();
    let result = match parse::<Cli>().command {
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
