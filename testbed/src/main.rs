//! The command line of the testbed.

mod cli;
mod commands;

use clap::Parser;

fn main() -> anyhow::Result<()> {
    match cli::Cli::parse().command {
        cli::Command::Host(arguments) => commands::host::run(&arguments),
        cli::Command::Replay(arguments) => commands::replay::run(&arguments),
        cli::Command::Compare(arguments) => commands::compare::run(&arguments),
        cli::Command::Demo(arguments) => commands::demo::run(&arguments),
        cli::Command::Faster(arguments) => commands::faster::run(&arguments),
    }
}
