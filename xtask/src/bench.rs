//! `cargo xtask bench`: the crates' benchmarks.

mod agent;
mod envoy;
mod lake;
mod network;
mod nginx;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::process;

#[derive(Args)]
pub(crate) struct Options {
    /// What to measure; the crates' benchmarks if nothing is named
    subjects: Vec<Subject>,
    /// Rows of the generated log that `lake` queries
    #[arg(long, default_value_t = 100_000_000)]
    rows: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Subject {
    /// Reading traces
    Datasets,
    /// The simulator
    Env,
    /// Decisions
    Runtime,
    /// What the NGINX module costs NGINX (needs a model: run `cargo xtask test` first)
    Nginx,
    /// What the Envoy module costs Envoy (needs a model: run `cargo xtask test` first)
    Envoy,
    /// NGINX's rules and the policy before two llama.cpp servers of different speed
    Llama,
    /// What scraping a hundred hosts costs the telemetry agent
    Agent,
    /// Queries of logs at rest beside another engine's, and statistics of large files (`--rows`)
    Lake,
}

impl Subject {
    /// The crate whose benchmarks these are, if it is one.
    fn package(self) -> Option<&'static str> {
        match self {
            Self::Datasets => Some("evenkeel-datasets"),
            Self::Env => Some("evenkeel-env"),
            Self::Runtime => Some("evenkeel-runtime"),
            Self::Nginx | Self::Envoy | Self::Llama | Self::Agent | Self::Lake => None,
        }
    }
}

/// Runs the benchmarks in the release profile: cargo's bench profile would build every
/// dependency a second time.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.subjects.is_empty() || options.subjects.iter().any(|subject| subject.package().is_some()) {
        process::run(&mut process::cargo(arguments(&options.subjects)))?;
    }
    if options.subjects.is_empty() || options.subjects.contains(&Subject::Runtime) {
        network::run()?;
    }
    if options.subjects.contains(&Subject::Nginx) {
        nginx::run()?;
    }
    if options.subjects.contains(&Subject::Envoy) {
        envoy::run()?;
    }
    if options.subjects.contains(&Subject::Llama) {
        crate::test::llama::bench(&process::root().join("models/general.ekm"))?;
    }
    if options.subjects.contains(&Subject::Agent) {
        agent::run()?;
    }
    if options.subjects.contains(&Subject::Lake) { lake::run(options.rows) } else { Ok(()) }
}

fn arguments(subjects: &[Subject]) -> Vec<&'static str> {
    let all = Subject::value_variants();
    let subjects = if subjects.is_empty() { all } else { subjects };
    let mut arguments = vec!["bench", "--profile", "release", "--bench", "*"];
    arguments
        .extend(subjects.iter().filter_map(|subject| subject.package()).flat_map(|package| ["--package", package]));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_subjects_are_measured_or_else_all() {
        assert_eq!(
            arguments(&[Subject::Env]),
            ["bench", "--profile", "release", "--bench", "*", "--package", "evenkeel-env"]
        );
        assert_eq!(arguments(&[]).iter().filter(|argument| **argument == "--package").count(), 3);
    }
}
