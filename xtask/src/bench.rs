//! `cargo xtask bench`: the crates' benchmarks.

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::process;

#[derive(Args)]
pub(crate) struct Options {
    /// What to measure; everything if nothing is named
    subjects: Vec<Subject>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Subject {
    /// Reading traces
    Datasets,
    /// The simulator
    Env,
    /// Decisions
    Runtime,
}

impl Subject {
    fn package(self) -> &'static str {
        match self {
            Self::Datasets => "evenkeel-datasets",
            Self::Env => "evenkeel-env",
            Self::Runtime => "evenkeel-runtime",
        }
    }
}

/// Runs the benchmarks in the release profile: cargo's bench profile would build every
/// dependency a second time.
pub(crate) fn run(options: &Options) -> Result<()> {
    process::run(&mut process::cargo(arguments(&options.subjects)))
}

fn arguments(subjects: &[Subject]) -> Vec<&'static str> {
    let all = Subject::value_variants();
    let subjects = if subjects.is_empty() { all } else { subjects };
    let mut arguments = vec!["bench", "--profile", "release", "--bench", "*"];
    arguments.extend(subjects.iter().flat_map(|subject| ["--package", subject.package()]));
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
