//! `evenkeel eval`: an artifact's policy against the rules, over a grid of settings.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Context, Result, ensure};
use evenkeel_datasets::Split;
use evenkeel_env::fleet::{Antagonists, Fleet};
use evenkeel_env::host::ServiceOptions;
use evenkeel_env::host::fifo::FifoOptions;
use evenkeel_env::host::llm::LlmOptions;
use evenkeel_env::metrics::relative_difference;
use evenkeel_env::telemetry::TelemetryOptions;
use evenkeel_env::{Scenario, Workload, policies};
use evenkeel_runtime::{Model, ServiceKind};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use crate::cli::{EvalArgs, FleetChoice, TelemetryPeriod};
use crate::data;
use crate::evaluate::{Run, over_seeds, replay};
use crate::output::write_whole;
use crate::progress::Stages;
use crate::stop::StopFlag;

/// The policy of the artifact, among the names of the rules.
const TRAINED: &str = "evenkeel";
/// The rule and the oracle between which headroom is measured.
const HEADROOM: (&str, &str) = ("least_request", "oracle_no_sizes");
/// Seed of the first replay; training uses others.
const FIRST_SEED: u64 = 1_000_003;

/// One figure of a replay.
type Figure = fn(&Run) -> f64;

/// A setting in which every policy is replayed.
struct Setting<'a> {
    workload: &'a Workload,
    scenario: Scenario,
    telemetry: TelemetryPeriod,
}

/// Replays, prints a table for each setting, and writes the JSON.
pub fn run(arguments: &EvalArgs) -> Result<()> {
    let stop = StopFlag::on_interrupt()?;
    let artifact = fs::read(&arguments.model).with_context(|| format!("cannot read {}", arguments.model.display()))?;
    let model = Model::parse(&artifact).with_context(|| arguments.model.display().to_string())?;
    ensure!(model.policy().is_some(), "{}: the artifact has no policy", arguments.model.display());
    let names = policy_names(&arguments.policies)?;
    let service = match model.service().kind {
        ServiceKind::Llm => ServiceOptions::Llm(LlmOptions::default()),
        ServiceKind::Fifo => ServiceOptions::Fifo(FifoOptions::default()),
    };
    let workloads = arguments.trace.iter().map(|path| test_part(path, arguments)).collect::<Result<Vec<_>>>()?;
    let settings = settings(arguments, service, &workloads);

    let mut stages = Stages::default();
    let stage = stages.begin("eval", settings.len() * names.len() * arguments.seeds as usize);
    let done = AtomicUsize::new(0);
    let on_run = || stage.at(1 + done.fetch_add(1, Relaxed));
    let cells: Vec<(usize, &str)> =
        (0..settings.len()).flat_map(|setting| names.iter().map(move |name| (setting, *name))).collect();
    let runs = cells
        .par_iter()
        .map(|(index, name)| {
            let Setting { workload, scenario, .. } = &settings[*index];
            replay(workload, scenario, name, &artifact, FIRST_SEED..FIRST_SEED + arguments.seeds, &stop, &on_run)
        })
        .collect::<Result<Vec<_>>>()?;
    stage.done(&format!("{} settings, {} policies, {} seeds", settings.len(), names.len(), arguments.seeds));

    let mut entries = Vec::new();
    for (setting, runs) in settings.iter().zip(runs.chunks(names.len())) {
        println!("{}", table(setting, &names, runs));
        entries.extend(names.iter().zip(runs).map(|(name, own)| entry(setting, name, own, &names, runs)));
    }
    if let Some(path) = &arguments.json {
        write_whole(path, &serde_json::to_vec_pretty(&entries)?)?;
    }
    Ok(())
}

fn policy_names(asked: &[String]) -> Result<Vec<&'static str>> {
    let known = || policies::REGISTRY.iter().map(|entry| entry.name).chain([TRAINED]);
    if asked == ["all"] {
        return Ok(known().collect());
    }
    let find = |name: &String| {
        known().find(|known| known == name).with_context(|| {
            format!(
                "--policies: there is no `{name}`; expected `all` or some of {}",
                known().collect::<Vec<_>>().join(", ")
            )
        })
    };
    asked.iter().map(find).collect()
}

fn test_part(path: &Path, arguments: &EvalArgs) -> Result<Workload> {
    let trace =
        evenkeel_datasets::load_trace(path, arguments.input.format, &data::options(&arguments.input, FIRST_SEED)?)?;
    let [train, _, test] = trace.split(&Split::default());
    ensure!(
        !train.requests.is_empty() && !test.requests.is_empty(),
        "{}: the trace is too short to have a training and a test part",
        path.display()
    );
    Ok(Workload::new(test, &train))
}

fn settings<'a>(arguments: &EvalArgs, service: ServiceOptions, workloads: &'a [Workload]) -> Vec<Setting<'a>> {
    let mut settings = Vec::new();
    for workload in workloads {
        for &hosts in &arguments.hosts {
            for &balancers in &arguments.balancers {
                for &telemetry in &arguments.telemetry_ms {
                    for &load in &arguments.loads {
                        let scenario = scenario(arguments, service, hosts, balancers, telemetry, load);
                        settings.push(Setting { workload, scenario, telemetry });
                    }
                }
            }
        }
    }
    settings
}

fn scenario(
    arguments: &EvalArgs,
    service: ServiceOptions,
    hosts: usize,
    balancers: usize,
    telemetry: TelemetryPeriod,
    load: f64,
) -> Scenario {
    let fleet = match arguments.fleet {
        FleetChoice::Het => Fleet::het(hosts),
        FleetChoice::Hom => Fleet::hom(hosts),
        FleetChoice::TwoClass => Fleet::two_class(hosts),
    };
    let base = match service {
        ServiceOptions::Llm(_) => Scenario::llm(fleet),
        ServiceOptions::Fifo(_) => Scenario::fifo(fleet),
    };
    let polled = match telemetry {
        TelemetryPeriod::Every(period_ms) => TelemetryOptions::polled(period_ms * 1e-3),
        TelemetryPeriod::Lost => TelemetryOptions::none(),
    };
    let telemetry = match telemetry {
        TelemetryPeriod::Every(_) if !arguments.polled_only => {
            TelemetryOptions { piggyback: true, probes_per_request: 3, ..polled }
        }
        _ => polled,
    };
    let antagonists = if arguments.quiet { Antagonists::NONE } else { base.antagonists };
    Scenario { service, balancers, telemetry, antagonists, load, requests_max: arguments.requests, ..base }
}

/// Mean over seeds of one figure of a policy's runs.
fn mean(runs: &[Run], figure: Figure) -> f64 {
    runs.iter().map(figure).sum::<f64>() / runs.len() as f64
}

/// The share of the way from the rule to the oracle that a policy goes, seed by seed;
/// `None` where one of the two was not replayed.
fn headroom_closed(own: &[Run], names: &[&str], runs: &[Vec<Run>], figure: Figure) -> Option<Vec<f64>> {
    let of = |name: &str| Some(&runs[names.iter().position(|known| *known == name)?]);
    let (rule, oracle) = (of(HEADROOM.0)?, of(HEADROOM.1)?);
    let closed =
        |((own, rule), oracle): ((&Run, &Run), &Run)| (figure(rule) - figure(own)) / (figure(rule) - figure(oracle));
    Some(own.iter().zip(rule).zip(oracle).map(closed).collect())
}

fn entry(setting: &Setting<'_>, name: &str, own: &[Run], names: &[&str], runs: &[Vec<Run>]) -> Value {
    let mut metrics = Map::new();
    for (index, (field, _)) in own[0].metrics.fields().into_iter().enumerate() {
        let values: Vec<f64> = own.iter().map(|run| run.metrics.fields()[index].1).collect();
        metrics.insert(field.to_owned(), json!(over_seeds(&values)));
    }
    let headroom: [(&str, Figure); 2] = [
        ("headroom_closed_mean", |run| run.metrics.latency_mean_s),
        ("headroom_closed_p99", |run| run.metrics.latency_p99_s),
    ];
    for (field, figure) in headroom {
        if let Some(closed) = headroom_closed(own, names, runs, figure) {
            metrics.insert(field.to_owned(), json!(over_seeds(&closed)));
        }
    }
    let telemetry_ms = match setting.telemetry {
        TelemetryPeriod::Every(period_ms) => json!(period_ms),
        TelemetryPeriod::Lost => Value::Null,
    };
    json!({
        "scenario": {
            "trace": setting.workload.trace().name,
            "service": match setting.scenario.kind() { ServiceKind::Llm => "llm", ServiceKind::Fifo => "fifo" },
            "fleet": setting.scenario.fleet.name,
            "hosts": setting.scenario.fleet.speeds.len(),
            "balancers": setting.scenario.balancers,
            "telemetry_ms": telemetry_ms,
            "load": setting.scenario.load,
        },
        "policy": name,
        "tuned": false,
        "seeds": own.len(),
        "metrics": metrics,
    })
}

fn table(setting: &Setting<'_>, names: &[&str], runs: &[Vec<Run>]) -> String {
    let telemetry = match setting.telemetry {
        TelemetryPeriod::Every(period_ms) => format!("telemetry {period_ms} ms"),
        TelemetryPeriod::Lost => "no telemetry".to_owned(),
    };
    let mut text = format!(
        "{}, {} {} hosts, {} balancers, {telemetry}, load {:.0} %\n{:<22}{:>8}{:>8}{:>8}{:>10}{:>10}{:>12}\n",
        setting.workload.trace().name,
        setting.scenario.fleet.speeds.len(),
        setting.scenario.fleet.name,
        setting.scenario.balancers,
        setting.scenario.load * 100.0,
        "policy",
        "mean s",
        "p50 s",
        "p99 s",
        "TTFT s",
        "TTFT p99",
        "mean vs ek",
    );
    let trained = names.iter().position(|name| *name == TRAINED);
    let means = |runs: &[Run]| runs.iter().map(|run| run.metrics.latency_mean_s).collect::<Vec<f64>>();
    for (name, own) in names.iter().zip(runs) {
        let against = match trained {
            Some(trained) if *name != TRAINED => {
                format!("{:+.1} %", 100.0 * relative_difference(&means(own), &means(&runs[trained])).value)
            }
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "{name:<22}{:>8.3}{:>8.3}{:>8.2}{:>10.3}{:>10.3}{against:>12}",
            mean(own, |run| run.metrics.latency_mean_s),
            mean(own, |run| run.metrics.latency_p50_s),
            mean(own, |run| run.metrics.latency_p99_s),
            mean(own, |run| run.metrics.ttft_mean_s),
            mean(own, |run| run.metrics.ttft_p99_s),
        );
    }
    text
}
