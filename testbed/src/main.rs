//! The command line of the testbed.

mod cli;
mod commands;

use std::process::ExitCode;

use evenkeel_console::{parse, with_causes};

fn main() -> ExitCode {
    let result = match parse::<cli::Cli>().command {
        cli::Command::Host(arguments) => commands::host::run(&arguments),
        cli::Command::Replay(arguments) => commands::replay::run(&arguments),
        cli::Command::Compare(arguments) => commands::compare::run(&arguments),
        cli::Command::CompareRunning(arguments) => commands::compare_running::run(&arguments),
        cli::Command::Demo(arguments) => commands::demo::run(&arguments),
        cli::Command::Conversations(arguments) => commands::conversations::run(&arguments),
        cli::Command::Faster(arguments) => commands::faster::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}
