//! The command line.

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Query logs at rest, and write what training needs: rates, statistics, whole windows of requests.
#[derive(Clone, Debug, Parser)]
#[command(name = "evenkeel-lake", version)]
pub(crate) struct Options {
    /// Files, folders, patterns, or addresses of an object store: 's3://logs/**/*.parquet'.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<String>,
    /// The requests, as a query of the table `logs`: columns arrival, and as far as there are any
    /// prompt_tokens, output_tokens, class, session, upstream, service_s, first_byte_s.
    #[arg(long, default_value = "SELECT * FROM logs")]
    pub(crate) sql: String,
    /// Requests of the chosen windows; rates, statistics and a CSV for `train` lie beside it.
    #[arg(short, long, value_name = "FILE.parquet")]
    pub(crate) output: PathBuf,
    /// The files' format; by their names if not given.
    #[arg(long)]
    pub(crate) format: Option<FileFormat>,
    /// The unit of arrivals that are plain numbers; by their size if not given.
    #[arg(long)]
    pub(crate) time_unit: Option<TimeUnit>,
    /// Seconds between two values of the rates.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) step: u32,
    /// Length of a window of requests in seconds, a multiple of the step.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub(crate) window: u32,
    /// How many windows are chosen.
    #[arg(long, default_value_t = 24)]
    pub(crate) windows: usize,
    /// Requests that are kept at most; beyond it whole sessions are left out, evenly.
    #[arg(long, value_name = "N", default_value_t = 5_000_000)]
    pub(crate) requests_max: u64,
    /// Memory for queries in MB; what needs more goes to disk.
    #[arg(long, value_name = "MB", default_value_t = 512)]
    pub(crate) memory_mb: usize,
    /// Folder for what does not fit into memory; the system's own if not given.
    #[arg(long, value_name = "DIR")]
    pub(crate) temp: Option<PathBuf>,
    /// Threads that read and reckon; the cores if not given.
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// A Ballista scheduler that runs the queries.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) cluster: Option<String>,
}

/// A format of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileFormat {
    Parquet,
    Csv,
    Json,
}

/// The unit of times that are plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TimeUnit {
    S,
    Ms,
    Us,
    Ns,
}

impl Options {
    /// Checks what the parser cannot.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!((1..=86_400).contains(&self.step), "--step: found {}, expected 1 to 86400 seconds", self.step);
        ensure!(
            self.window % self.step == 0 && (self.step..=7 * 86_400).contains(&self.window),
            "--window: found {} s, expected a multiple of the step of {} s, at most a week",
            self.window,
            self.step
        );
        ensure!((1..=10_000).contains(&self.windows), "--windows: found {}, expected 1 to 10000", self.windows);
        ensure!(self.requests_max > 0, "--requests-max: found 0, expected at least 1");
        ensure!(
            (64..=1_000_000).contains(&self.memory_mb),
            "--memory-mb: found {}, expected 64 to 1000000",
            self.memory_mb
        );
        ensure!(self.threads.is_none_or(|threads| (1..=1024).contains(&threads)), "--threads: expected 1 to 1024");
        Ok(())
    }
}
