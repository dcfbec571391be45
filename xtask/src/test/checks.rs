//! The steps that are a call of cargo.
//!
//! All of them select the same packages with the same features: cargo unites features
//! over what is selected, and with another selection it would build the heavy
//! dependencies a second time.

use anyhow::Result;

use super::{Machine, python};
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

fn workspace<'a>(machine: &Machine, command: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![command, "--workspace", "--release"];
    if machine.with_wgpu() {
        arguments.extend(["--features", "evenkeel-train/wgpu"]);
    }
    arguments.extend(rest);
    arguments
}
