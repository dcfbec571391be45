//! The project's chores: `cargo xtask train`, `eval`, `test`, `bench`, `fuzz`, `dist`,
//! `package`.
//!
//! It runs processes and links none of the project's crates, so that it builds in
//! seconds and works when they do not.

mod bench;
mod demo;
mod dist;
mod e2e;
mod ending;
mod eval;
mod fuzz;
mod mockers;
mod package;
mod process;
mod proxies;
mod soak;
mod test;
mod train;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about = "Evenkeel's chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build the trainer, with GPU support where there is a GPU, and train a model
    #[command(disable_help_flag = true)]
    Train {
        /// Handed to `evenkeel train`: try --help
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Build the benchmark, and compare a model's policy with the rules on a trace
    #[command(disable_help_flag = true)]
    Eval {
        /// Handed to `evenkeel eval`: try --help
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Check everything: formatting, lints, tests, the C library, short trainings
    Test(test::Options),
    /// Measure the crates' hot paths
    Bench(bench::Options),
    /// Try hostile artifacts on the runtime
    Fuzz(fuzz::Options),
    /// Put the Envoy module under load for a long time
    Soak(soak::Options),
    /// Compare real proxies and their policies in front of emulated hosts
    E2e(e2e::Options),
    /// Show NGINX without and with Evenkeel side by side on a live page
    Demo(demo::Options),
    /// Build the C library and collect what a C program needs in dist/
    Dist,
    /// Build everything and pack it in dist/: Debian packages, Envoy's module, sums, bill of materials
    Package,
}

fn main() -> anyhow::Result<()> {
    let chore = Arguments::parse().chore;
    process::workspace()?;
    match chore {
        Chore::Train { arguments } => train::run(&arguments),
        Chore::Eval { arguments } => eval::run(&arguments),
        Chore::Test(options) => test::run(&options),
        Chore::Bench(options) => bench::run(&options),
        Chore::Fuzz(options) => fuzz::run(&options),
        Chore::Soak(options) => soak::run(&options),
        Chore::E2e(options) => ending::on_signals(|| e2e::run(&options)),
        Chore::Demo(options) => ending::on_signals(|| demo::run(&options)),
        Chore::Dist => dist::run(),
        Chore::Package => package::run(),
    }
}
