//! `cargo xtask bench lake`: queries of logs at rest beside `DuckDB`, on a cluster, and statistics of
//! large files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;

use anyhow::{Context, Result, ensure};

use crate::process::{self, cargo, program, target};
use crate::test::python;

const MANIFEST: [&str; 2] = ["--manifest-path", "lake/Cargo.toml"];
const DUCKDB: &str = "duckdb==1.4.2";
/// Each is run so often, and the least time counts.
const REPEATS: usize = 2;
/// Lines of 146 bytes on average: 10 GB.
const LOG_LINES: u64 = 69_000_000;

/// What a run cost.
#[derive(Clone, Copy)]
struct Cost {
    rates_s: f64,
    requests_s: f64,
    memory_mb: f64,
    rows: f64,
}

impl Cost {
    fn all_s(&self) -> f64 {
        self.rates_s + self.requests_s
    }

    fn least(self, other: Self) -> Self {
        if other.all_s() < self.all_s() { other } else { self }
    }
}

pub(super) fn run(rows: u64) -> Result<()> {
    process::run(
        cargo(["build", "--release", "--locked", "--features", "cluster", "--bins", "--examples"]).args(MANIFEST),
    )?;
    let python = python::environment("duckdb", &[DUCKDB], &["duckdb"])?;
    let folder = target().join("bench-lake");
    println!(
        "{:>12} {:<28} {:>9} {:>9} {:>9} {:>10} {:>12}",
        "rows", "", "rates s", "fetch s", "all s", "memory MB", "rows out"
    );
    let mut here = Vec::new();
    for rows in [rows / 10, rows] {
        let logs = folder.join(format!("logs-{rows}"));
        generate(&logs, rows)?;
        let output = folder.join("service.parquet");
        let ours = (0..REPEATS).map(|_| ours(&logs, &output)).reduce(|a, b| Ok(a?.least(b?)));
        let ours = ours.context("no run")??;
        line(rows, "evenkeel-lake (DataFusion)", ours);
        let theirs = (0..REPEATS).map(|_| duckdb(&python, &logs, &output)).reduce(|a, b| Ok(a?.least(b?)));
        let theirs = theirs.context("no run")??;
        line(rows, DUCKDB, theirs);
        ensure!(ours.rows == theirs.rows, "{} rows came out of evenkeel-lake, {} of DuckDB", ours.rows, theirs.rows);
        println!("             time over DuckDB's: {:.2}", ours.all_s() / theirs.all_s());
        here.push(ours.all_s());
        fs::remove_dir_all(&logs)?;
    }
    println!("             10 times the rows cost {:.1} times the time", here[1] / here[0]);
    println!("\nA Ballista scheduler and two executors, one of which is killed:");
    let cluster = ["test", "--release", "--locked", "--features", "cluster", "--test", "it", "cluster"];
    process::run(cargo(cluster).args(MANIFEST).args(["--", "--nocapture"]))?;
    sizes()
}

fn line(rows: u64, name: &str, cost: Cost) {
    let Cost { rates_s, requests_s, memory_mb, rows: out } = cost;
    println!(
        "{rows:>12} {name:<28} {rates_s:>9.2} {requests_s:>9.2} {:>9.2} {memory_mb:>10.0} {out:>12.0}",
        cost.all_s()
    );
}

fn generate(logs: &Path, rows: u64) -> Result<()> {
    let _ = fs::remove_dir_all(logs);
    let generate = process::lake_target().join("release/examples/generate");
    process::run(program(generate, ["--files", "16"]).arg(logs).arg(rows.to_string()))
}

fn threads() -> String {
    available_parallelism().map_or(1, usize::from).to_string()
}

fn ours(logs: &Path, output: &Path) -> Result<Cost> {
    let sql = "SELECT start_time AS arrival, route AS class, session_id AS session, prompt_tokens, output_tokens, upstream, \
               duration_ms / 1000.0 AS service_s FROM logs WHERE status = 200";
    let mut lake =
        program(process::lake_target().join("release/evenkeel-lake"), ["--threads", &threads(), "--sql", sql]);
    lake.args(["--requests-max", "1000000000", "-o"]).arg(output).arg(logs);
    let done = lake.output().context("evenkeel-lake could not be started")?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{said}");
    let number = |before: &str, after: &str| {
        let rest = said.split(before).nth(1).and_then(|rest| rest.split(after).next());
        rest.and_then(|number| number.trim().parse::<f64>().ok()).with_context(|| format!("no {before} in: {said}"))
    };
    Ok(Cost {
        rates_s: number("\nrates: ", " s\n")?,
        requests_s: number("\nrequests: ", " s\n")?,
        memory_mb: number("at most ", " MB").unwrap_or(f64::NAN),
        rows: number(".parquet: ", " requests")?,
    })
}

fn duckdb(python: &PathBuf, logs: &Path, output: &Path) -> Result<Cost> {
    let script = process::root().join("xtask/src/bench/lake.py");
    let mut command: Command = program(python, [&script]);
    command
        .arg(logs)
        .arg(output.with_extension("windows.csv"))
        .arg(output.with_extension("duckdb.parquet"))
        .arg(threads());
    let said = process::output(&mut command)?;
    let numbers: Vec<f64> = said.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [rates_s, requests_s, memory_mb, rows] = numbers[..] else { anyhow::bail!("DuckDB's script said: {said}") };
    Ok(Cost { rates_s, requests_s, memory_mb, rows })
}

/// Statistics of 10 GB of access log, packed, and of the largest of `ServeGen`'s services at hand.
fn sizes() -> Result<()> {
    println!("\nStatistics of large files, as `evenkeel dataset stats` makes them:");
    let bench = ["bench", "--profile", "release", "--package", "evenkeel-datasets", "--bench", "access_log", "--"];
    let lines = LOG_LINES.to_string();
    process::run(cargo(bench).args(["--format", "nginx-combined", "--stats", "--gzip", "--lines", &lines]))?;
    let folder =
        std::env::var_os("EVENKEEL_TRACES").map_or_else(|| process::root().join("../shared/traces"), PathBuf::from);
    let names = ["small", "large", "mid"].map(|name| format!("llm_windows/servegen_m-{name}_traces.tar.zst"));
    let Some(path) = names.into_iter().map(|name| folder.join(name)).find(|path| path.is_file()) else {
        println!("skipped: ServeGen's windows are not there (EVENKEEL_TRACES names the folder of the real traces)");
        return Ok(());
    };
    process::run(cargo(bench).arg("--path").arg(path))
}
