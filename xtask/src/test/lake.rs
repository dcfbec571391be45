//! `evenkeel-lake`: built in its own workspace, tested, and its output read by the trainer.

use std::path::Path;

use anyhow::{Result, ensure};

use super::{Machine, checks};
use crate::process::{self, cargo, program};

const MANIFEST: [&str; 2] = ["--manifest-path", "lake/Cargo.toml"];

/// Builds and tests it, cluster included, and hands its output to `evenkeel dataset`.
pub(super) fn run(machine: &Machine) -> Result<()> {
    process::run(cargo(["fmt", "--check"]).args(MANIFEST))?;
    process::run(cargo(["test", "--release", "--locked", "--features", "cluster"]).args(MANIFEST))?;
    checks::build(machine)?;
    let folder = tempfile::tempdir()?;
    ingest(folder.path())
}

/// `evenkeel dataset ingest`, and `evenkeel dataset stats` on what it wrote.
fn ingest(folder: &Path) -> Result<()> {
    let release = process::lake_target().join("release");
    let (logs, output) = (folder.join("logs"), folder.join("service.parquet"));
    process::run(program(release.join("examples/generate"), ["100000"]).arg(&logs).args(["--days", "2"]))?;
    let sql =
        "SELECT start_time AS arrival, route AS class, session_id AS session, prompt_tokens, output_tokens FROM logs";
    let mut ingest = program(process::evenkeel(), ["dataset", "ingest"]);
    // Nothing else is searched for the program.
    ingest.arg(&logs).args(["--sql", sql, "--windows", "6", "-o"]).arg(&output).env("PATH", &release);
    process::run(&mut ingest)?;
    let stats = |ending: &str| {
        let path = output.with_extension(ending);
        process::output(program(process::evenkeel(), ["dataset", "stats"]).arg(path))
    };
    let (trace, rates) = (stats("requests.csv.gz")?, stats("rates.csv")?);
    ensure!(trace.contains("read as lake") && trace.contains("one behind another"), "as a trace: {trace}");
    ensure!(rates.contains("chat_requests_per_s"), "as series: {rates}");
    Ok(())
}
