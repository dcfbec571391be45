//! Instructions of a decision, counted by callgrind and compared with what is recorded: a
//! regression shows however busy the machine is.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::{Skip, packages};
use crate::process;

/// Decisions of the shorter and the longer run, whose difference is free of the start.
const DECISIONS: [u64; 2] = [100, 300];

/// Share by which a count may differ from the recorded one: compilers differ.
const TOLERANCE: f64 = 0.05;

/// Counts, and compares with `expected.txt`; writes it anew where `EVENKEEL_BLESS` is set.
pub(super) fn run() -> Result<()> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Err(Skip("counts are recorded for Linux on x86-64".into()).into());
    }
    packages::ensure(&["valgrind"])?;
    let path = process::root().join("runtime-min/benches/instructions/expected.txt");
    let recorded = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut counted = Vec::new();
    let mut differing = Vec::new();
    for line in recorded.lines() {
        let Some((level, hosts, expected)) = parse(line) else {
            counted.push(line.to_owned());
            continue;
        };
        let found = of_decision(level, hosts)?;
        println!("{level}, {hosts} hosts: {found} instructions a decision, {expected} recorded");
        if (found as f64 / expected as f64 - 1.0).abs() > TOLERANCE {
            differing.push(format!("{level} with {hosts} hosts takes {found} instructions, not {expected}"));
        }
        counted.push(format!("{level} {hosts} {found}"));
    }
    if std::env::var_os("EVENKEEL_BLESS").is_some() {
        return std::fs::write(&path, counted.join("\n") + "\n").with_context(|| format!("writing {}", path.display()));
    }
    if differing.is_empty() {
        return Ok(());
    }
    bail!("{}; if that is meant, run `EVENKEEL_BLESS=1 cargo xtask test` for this step", differing.join("; "))
}

/// Level, hosts and instructions of a recorded line, unless it is a comment.
fn parse(line: &str) -> Option<(&str, u64, u64)> {
    let mut words = line.split_whitespace();
    let level = words.next().filter(|word| !word.starts_with('#'))?;
    Some((level, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

fn of_decision(level: &str, hosts: u64) -> Result<u64> {
    let [fewer, more] = DECISIONS;
    let difference = of_run(level, hosts, more)?.saturating_sub(of_run(level, hosts, fewer)?);
    Ok(difference / (more - fewer))
}

fn of_run(level: &str, hosts: u64, decisions: u64) -> Result<u64> {
    let report: PathBuf = process::target().join("tmp/instructions.callgrind");
    if let Some(folder) = report.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let runner = format!("valgrind --quiet --tool=callgrind --callgrind-out-file={}", report.display());
    let arguments = ["bench", "--quiet", "--profile", "release", "--package", "evenkeel-runtime"];
    let rest = ["--bench", "instructions", "--", level, &hosts.to_string(), &decisions.to_string()];
    let mut command = process::cargo(arguments.into_iter().chain(rest));
    process::output(command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner))?;
    let counts = std::fs::read_to_string(&report).with_context(|| format!("reading {}", report.display()))?;
    let total =
        counts.lines().find_map(|line| line.strip_prefix("totals: ")).and_then(|total| total.trim().parse().ok());
    total.with_context(|| format!("{} has no line `totals: …`", report.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_no_counts() {
        assert_eq!(parse("avx2 16 9000"), Some(("avx2", 16, 9000)));
        assert_eq!(parse("# avx2 16 9000"), None);
        assert_eq!(parse(""), None);
    }
}
