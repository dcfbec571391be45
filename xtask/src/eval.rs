//! `cargo xtask eval`: builds the benchmark and hands over.

use std::ffi::OsString;

use anyhow::Result;

use crate::process;

/// Builds `evenkeel` and runs `evenkeel eval`. Replays run on the CPU, so that no GPU
/// backend is built.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    eprintln!("building the benchmark");
    process::run(&mut process::cargo(["build", "--release", "--package", "evenkeel-train"]))?;
    process::hand_over("eval", arguments)
}
