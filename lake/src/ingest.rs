//! The whole road: logs, counts, windows, requests, files.

use crate::choice::choose;
use crate::columns::{Columns, REQUESTS};
use crate::options::Options;
use crate::output::{Chosen, Requests, Summary, write_rates, write_windows};
use crate::rates::{self, Rates, US_PER_S, Window};
use crate::{progress, session, source};
use anyhow::{Context as _, Result};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt as _;
use std::path::PathBuf;
use std::time::Instant;

/// Runs the program.
pub(crate) fn run(options: &Options) -> Result<()> {
    options.check()?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = options.threads {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.enable_all().build().context("no threads")?;
    runtime.block_on(async { ingest(&session::open(options).await?, options).await })
}

async fn ingest(context: &SessionContext, options: &Options) -> Result<()> {
    let begin = Instant::now();
    let files = source::register(context, &options.paths, options.format).await?;
    eprintln!("read {files}");
    let query = context.sql(&options.sql).await.with_context(|| format!("--sql: {}", options.sql))?;
    let schema = query.schema().as_arrow().clone();
    context.register_table(REQUESTS, query.into_view())?;
    let columns = Columns::find(context, &schema, options.time_unit).await?;
    columns.account.iter().for_each(|line| eprintln!("  {line}"));

    let rates = count(context, &columns, options).await?;
    let windows = rates.windows(i64::from(options.window / options.step))?;
    let chosen = choose(&windows, options.windows);
    let share = share(&windows, &chosen, options.requests_max);
    let output = Output::beside(&options.output);
    write_rates(&rates, &output.rates)?;
    let kept = fetch(context, &columns, options, &windows, &chosen, share, &output).await?;
    write_windows(&windows, &chosen, &kept, &output.windows)?;
    say(options, &rates, &windows, &chosen, &kept, &output);
    eprintln!("took {:.2} s{}", begin.elapsed().as_secs_f64(), peak_memory());
    Ok(())
}

/// The process's peak of resident memory, where the system says it (Linux).
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    peak.map_or_else(String::new, |kb: f64| format!(", at most {:.0} MB of memory", kb * 1.024 / 1e3))
}

/// Counts requests and tokens by step and class.
async fn count(context: &SessionContext, columns: &Columns, options: &Options) -> Result<Rates> {
    let begin = Instant::now();
    let step_us = i64::from(options.step) * US_PER_S;
    session::expect_few_rows(context, false);
    let query = context.sql(&rates::sql(columns, step_us)).await?;
    let mut running = progress::start(query, "rates", true).await?;
    let mut rates = Rates::new(step_us);
    while let Some(batch) = running.batches.try_next().await.context("rates: the query failed")? {
        rates.add(&batch)?;
    }
    eprintln!("rates: {:.2} s", begin.elapsed().as_secs_f64());
    Ok(rates)
}

/// The share of the chosen windows' requests that may be kept.
fn share(windows: &[Window], chosen: &[usize], requests_max: u64) -> f64 {
    let all: f64 = chosen.iter().map(|&index| windows[index].counts.requests).sum();
    (requests_max as f64 / all).min(1.0)
}

/// Fetches the requests of the chosen windows in order of time, and writes them.
async fn fetch(
    context: &SessionContext,
    columns: &Columns,
    options: &Options,
    windows: &[Window],
    chosen: &[usize],
    share: f64,
    output: &Output,
) -> Result<Vec<Summary>> {
    let begin = Instant::now();
    let window_us = i64::from(options.window) * US_PER_S;
    let chosen: Vec<Chosen> =
        chosen.iter().map(|&index| Chosen { begin_us: windows[index].begin_us, window_us }).collect();
    let mut ranges: Vec<[i64; 2]> = Vec::new();
    for window in &chosen {
        match ranges.last_mut() {
            Some([_, end]) if *end == window.begin_us => *end += window_us,
            _ => ranges.push([window.begin_us, window.begin_us + window_us]),
        }
    }
    let order =
        if columns.has_sessions { "t_us, session, prompt_tokens" } else { "t_us, prompt_tokens, output_tokens" };
    session::expect_few_rows(context, true);
    let query = context.sql(&format!("{} ORDER BY {order}", columns.within(&ranges))).await?;
    let mut running = progress::start(query, "requests", false).await?;
    let mut requests = Requests::create(&output.parquet, &output.trace, chosen, share)?;
    while let Some(batch) = running.batches.try_next().await.context("requests: the query failed")? {
        requests.add(&batch)?;
    }
    let kept = requests.finish()?;
    eprintln!("requests: {:.2} s", begin.elapsed().as_secs_f64());
    Ok(kept)
}

/// The files that are written.
struct Output {
    parquet: PathBuf,
    trace: PathBuf,
    rates: PathBuf,
    windows: PathBuf,
}

impl Output {
    fn beside(parquet: &std::path::Path) -> Self {
        let beside = |ending: &str| parquet.with_extension(ending);
        Self {
            parquet: parquet.to_owned(),
            trace: beside("requests.csv.gz"),
            rates: beside("rates.csv"),
            windows: beside("windows.csv"),
        }
    }
}

fn say(options: &Options, rates: &Rates, windows: &[Window], chosen: &[usize], kept: &[Summary], output: &Output) {
    let all: f64 = rates.total().values().map(|counts| counts.requests).sum();
    let requests: u64 = kept.iter().map(|window| window.requests).sum();
    let left_out: u64 = kept.iter().map(|window| window.left_out).sum();
    println!("{all:.0} requests in {} windows of {} s with any", windows.len(), options.window);
    if rates.without_time > 0 {
        println!("left out: {} rows without a time", rates.without_time);
    }
    if left_out > 0 {
        println!(
            "left out: {left_out} requests of the chosen windows, by whole sessions where there are any, since --requests-max \
             is {}: rates in the windows are lower than they were",
            options.requests_max
        );
    }
    println!("{}: {requests} requests of {} windows, one behind another", output.parquet.display(), chosen.len());
    println!("{}: the same, for `evenkeel train --trace`", output.trace.display());
    println!("{}: rates by {} s and class, for `--series`", output.rates.display(), options.step);
    println!("{}: load, lengths and gaps of every window", output.windows.display());
}
