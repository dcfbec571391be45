//! `evenkeel-testbed compare`

use std::path::Path;

use anyhow::{Context, Result, ensure};
use evenkeel_datasets::synth::Service;
use evenkeel_datasets::{LoadOptions, Trace, load_trace};
use evenkeel_env::fleet::Antagonists;
use evenkeel_env::host::llm::LlmOptions;
use evenkeel_env::host::{ServiceOptions, file as service_file};
use evenkeel_testbed::compare::figure::Result as ProxyResult;
use evenkeel_testbed::compare::run::{self, Hosts, replay_through};
use evenkeel_testbed::compare::table;
use evenkeel_testbed::compare::{Proxy, Setting, plot, predict, ratio};
use evenkeel_testbed::replay::summary::Summary;
use serde_json::json;

use crate::cli::{CompareArgs, SettingArgs};

pub(crate) fn run(arguments: &CompareArgs) -> Result<()> {
    let setting = setting(&arguments.setting)?;
    let proxies = read_proxies(&arguments.proxies)?;
    let artifact = match &arguments.model {
        Some(path) => std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?,
        None => Vec::new(),
    };
    let seeds: Vec<u64> = (arguments.setting.seed..).take(arguments.repeats as usize).collect();
    let mut results = Vec::new();
    for proxy in proxies {
        let predicted: Result<Vec<Vec<_>>, _> = match &proxy.simulated_as {
            Some(policy) => seeds.iter().map(|seed| predict::predict(&setting, policy, &artifact, *seed)).collect(),
            None => Ok(Vec::new()),
        };
        let predicted = predicted.with_context(|| proxy.name.clone())?;
        results.push(ProxyResult { proxy, measured: Vec::new(), predicted: predicted.concat() });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(arguments, &setting, &seeds, &mut results))?;
    print!("{}{}", table::table(&results), ratio::check(&results));
    let about = json!({
        "trace": setting.trace.name,
        "split": "test",
        "speeds": setting.speeds,
        "load": setting.load,
        "time_scale": setting.time_scale,
        "requests": setting.requests,
        "telemetry_wall_s": setting.telemetry_wall_s.is_finite().then_some(setting.telemetry_wall_s),
        "piggyback": setting.piggyback,
        "seeds": seeds,
    });
    if let Some(path) = &arguments.json {
        write(path, &serde_json::to_string_pretty(&table::json(&results, &about))?)?;
    }
    if let Some(path) = &arguments.html {
        write(path, &plot::page(&results, &about))?;
    }
    Ok(())
}

/// Writes a file and says so.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Repeat by repeat, so that what changes on the machine meets all proxies alike.
async fn measure(arguments: &CompareArgs, setting: &Setting, seeds: &[u64], results: &mut [ProxyResult]) -> Result<()> {
    let hosts = Hosts::start(setting, arguments.setting.first_port, arguments.setting.stream_head).await?;
    for result in &*results {
        run::wait_until_ready(setting, &hosts, &result.proxy).await?;
    }
    let wall_s: f64 = seeds.iter().map(|seed| run::wall_s(setting, *seed)).sum();
    eprintln!(
        "{} policies, {} replays each: some {:.0} minutes",
        results.len(),
        seeds.len(),
        (wall_s * results.len() as f64 / 60.0).ceil()
    );
    for seed in seeds {
        for result in &mut *results {
            let observations = replay_through(setting, &hosts, &result.proxy, *seed).await?;
            let summary = Summary::new(&observations, setting.warm_up_share);
            let metrics = summary.metrics;
            eprintln!(
                "{}, seed {seed}: mean {:.3} s, p99 {:.2} s, TTFT {:.3} s; sent late by {:.1} ms at most",
                result.proxy.name,
                metrics.latency_mean_s,
                metrics.latency_p99_s,
                metrics.ttft_mean_s,
                1e3 * observations.iter().map(|observation| observation.lag_s).fold(0.0, f64::max) / setting.time_scale,
            );
            for (error, count) in &summary.errors {
                eprintln!("  {count} × {error}");
            }
            result.measured.push(metrics);
        }
    }
    Ok(())
}

pub(super) fn read_proxies(path: &Path) -> Result<Vec<Proxy>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let proxies: Vec<Proxy> =
        serde_json::from_str(&text).with_context(|| format!("{}: expected a list of proxies", path.display()))?;
    ensure!(!proxies.is_empty(), "{}: no proxies", path.display());
    Ok(proxies)
}

/// The setting that the arguments ask for; without a trace, the synthetic service.
pub(crate) fn setting(arguments: &SettingArgs) -> Result<Setting> {
    let service = match &arguments.service_model {
        Some(path) => service_file::read(path)?,
        None => ServiceOptions::Llm(LlmOptions::default()),
    };
    let positive = [
        ("--time-scale", arguments.time_scale),
        ("--load", arguments.load),
        ("--slow-mean-s", arguments.slow_mean_s),
        ("--telemetry-ms", arguments.telemetry_ms.unwrap_or(1.0)),
    ];
    for (option, value) in positive {
        ensure!(value > 0.0 && value.is_finite(), "{option}: found {value}, expected a positive number");
    }
    ensure!(arguments.deadline_s > 0.0, "--deadline-s: found {}, expected a positive number", arguments.deadline_s);
    ensure!(!arguments.speeds.is_empty(), "a fleet needs a host");
    let antagonists = if arguments.quiet { Antagonists::NONE } else { Antagonists::standard(arguments.slow_mean_s) };
    Ok(Setting {
        service,
        speeds: arguments.speeds.clone(),
        time_scale: arguments.time_scale,
        load: arguments.load,
        antagonists,
        requests: arguments.requests,
        warm_up_share: 0.1,
        deadline_s: arguments.deadline_s,
        telemetry_wall_s: arguments.telemetry_ms.map_or(f64::INFINITY, |period_ms| 1e-3 * period_ms),
        piggyback: arguments.piggyback,
        trace: trace(arguments)?,
    })
}

fn trace(arguments: &SettingArgs) -> Result<Trace> {
    match &arguments.trace {
        Some(path) => Ok(load_trace(path, arguments.format, &LoadOptions::default())?),
        // Three hours from ten o'clock on, as the trainer's default.
        None => Ok(Service::new(arguments.seed).trace(36_000.0, 10_800.0)),
    }
}
