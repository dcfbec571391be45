//! `evenkeel-testbed compare-running`

use anyhow::{Result, ensure};
use evenkeel_datasets::{LoadOptions, load_trace};
use evenkeel_testbed::compare::figure::Result as ProxyResult;
use evenkeel_testbed::compare::rivals;
use evenkeel_testbed::compare::running::{Running, order};
use evenkeel_testbed::compare::table;
use evenkeel_testbed::replay::summary::Summary;
use serde_json::json;

use super::compare::{read_proxies, write};
use crate::cli::CompareRunningArgs;

/// Share of a replay's requests, from the first on, that figures leave out.
const WARM_UP_SHARE: f64 = 0.1;

pub(crate) fn run(arguments: &CompareRunningArgs) -> Result<()> {
    let rate_per_s = arguments.rate_per_s;
    ensure!(rate_per_s > 0.0 && rate_per_s.is_finite(), "--rate-per-s is {rate_per_s}, expected a positive number");
    let running = Running {
        trace: load_trace(&arguments.trace, arguments.format, &LoadOptions::default())?,
        requests: usize::try_from(arguments.requests)?,
        rate_per_s,
        deadline_s: arguments.deadline_s,
        model: arguments.model_name.clone(),
    };
    ensure!(running.trace.has_tokens(), "{}: expected a trace with tokens", arguments.trace.display());
    let mut results: Vec<ProxyResult> = read_proxies(&arguments.proxies)?
        .into_iter()
        .map(|proxy| ProxyResult { proxy, measured: Vec::new(), predicted: Vec::new() })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(arguments, &running, &mut results))?;
    print!("{}{}", table::table(&results), rivals::table(&results));
    if let Some(path) = &arguments.json {
        let about = json!({
            "trace": running.trace.name,
            "split": "test",
            "rate_per_s": rate_per_s,
            "requests": running.requests,
            "seeds": (arguments.seed..).take(usize::try_from(arguments.repeats)?).collect::<Vec<_>>(),
        });
        let mut all = table::json(&results, &about);
        all["rivals"] = rivals::json(&results);
        write(path, &serde_json::to_string_pretty(&all)?)?;
    }
    Ok(())
}

/// Repeat by repeat, each in an order of its own.
async fn measure(arguments: &CompareRunningArgs, running: &Running, results: &mut [ProxyResult]) -> Result<()> {
    for result in &*results {
        running.wait_until_ready(&result.proxy).await?;
    }
    let replays = results.len() as f64 * arguments.repeats as f64;
    eprintln!(
        "{} policies, {} replays each: more than {:.0} minutes",
        results.len(),
        arguments.repeats,
        (replays * running.duration_s() / 60.0).floor()
    );
    for seed in (arguments.seed..).take(usize::try_from(arguments.repeats)?) {
        for place in order(results.len(), seed) {
            let result = &mut results[place];
            let observations = running.replay_through(&result.proxy, place, seed).await?;
            let summary = Summary::new(&observations, WARM_UP_SHARE);
            let metrics = summary.metrics;
            eprintln!(
                "{}, seed {seed}: mean {:.3} s, p99 {:.2} s, TTFT {:.3} s; sent late by {:.1} ms at most",
                result.proxy.name,
                metrics.latency_mean_s,
                metrics.latency_p99_s,
                metrics.ttft_mean_s,
                1e3 * observations.iter().map(|observation| observation.lag_s).fold(0.0, f64::max),
            );
            for (error, count) in &summary.errors {
                eprintln!("  {count} × {error}");
            }
            result.measured.push(metrics);
        }
    }
    Ok(())
}
