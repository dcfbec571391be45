//! The steps that are a call of cargo.
//!
//! All of them select the same packages with the same features: cargo unites features
//! over what is selected, and with another selection it would build the heavy
//! dependencies a second time.

use anyhow::Result;

use super::{Machine, packages, python};
use crate::process::{self, cargo};

pub(super) fn formatting() -> Result<()> {
    process::run(&mut cargo(["fmt", "--all", "--check"]))
}

pub(super) fn clippy(machine: &Machine) -> Result<()> {
    let arguments = workspace(machine, "clippy", &["--all-targets", "--", "-D", "warnings"]);
    process::run(&mut cargo(arguments))
}

/// Everything that the tests and the trainings need, so that their times are their own.
pub(super) fn build(machine: &Machine) -> Result<()> {
    process::run(&mut cargo(workspace(machine, "build", &["--bins", "--tests"])))
}

pub(super) fn tests(machine: &Machine) -> Result<()> {
    let mut command = cargo(workspace(machine, "test", &["--bins", "--tests", "--no-fail-fast"]));
    if machine.python().is_ok() {
        command.env("EVENKEEL_PYTHON", python::interpreter());
    }
    process::run(&mut command)
}

pub(super) fn doc_tests(machine: &Machine) -> Result<()> {
    process::run(&mut cargo(workspace(machine, "test", &["--doc", "--no-fail-fast"])))
}

pub(super) fn documentation(machine: &Machine) -> Result<()> {
    let mut command = cargo(workspace(machine, "doc", &["--no-deps", "--document-private-items"]));
    process::run(command.env("RUSTDOCFLAGS", "-D warnings --allow rustdoc::private_intra_doc_links"))
}

pub(super) fn header(machine: &Machine) -> Result<()> {
    process::run(&mut cargo(workspace(machine, "test", &["--test", "header"])))
}

/// gym-rs forces SDL2 on whoever uses it, hence a test on its own.
pub(super) fn gym_rs() -> Result<()> {
    packages::ensure(&["cmake", "libsdl2-dev", "libsdl2-gfx-dev"])?;
    let arguments =
        ["test", "--release", "--package", "evenkeel-env", "--features", "gym-rs", "--test", "it", "gym_rs"];
    // Its SDL2 asks for a CMake so old that new ones refuse to pretend, unless told to.
    process::run(cargo(arguments).env("CMAKE_POLICY_VERSION_MINIMUM", "3.5"))
}

fn workspace<'a>(machine: &Machine, command: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![command, "--workspace", "--release"];
    if machine.with_wgpu() {
        arguments.extend(["--features", "evenkeel-train/wgpu"]);
    }
    arguments.extend(rest);
    arguments
}
