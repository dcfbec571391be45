//! The benchmark: the trained policy against the rules, on replayed traces.
//!
//! ```text
//! preset (which studies) ─► setting ─► replay ─► entry (JSON), table, report
//! search (on the validation part) ─► tuned ─► contender ─┘
//! ```

pub mod contender;
pub mod entry;
pub mod options;
pub mod outcome;
pub mod paired;
pub mod preset;
pub mod replay;
pub mod search;
pub mod setting;
pub mod tuned;

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use evenkeel_env::host::ServiceOptions;
use evenkeel_env::metrics::estimate;
use evenkeel_env::{Workload, policies};
use evenkeel_runtime::{Model, ServiceKind};

use crate::evaluate::options::{FleetChoice, SettingArgs};
use crate::metrics::{Estimate, PolicyResult};
use crate::stop::StopFlag;

use contender::Contender;
use replay::{CDF_POINTS, Run};
use search::SearchOptions;
use setting::{Label, Setting};

/// What a training run compares: the common rules, the oracle that knows all but the sizes,
/// and the trained policy.
pub const POLICIES: [&str; 7] =
    ["round_robin", "p2c", "least_request", "peak_ewma", "ext", "oracle_no_sizes", "evenkeel"];

/// The rule of the proxies that has something to tune: how many hosts are compared (Envoy's
/// `choice_count`; NGINX compares all).
const TUNED: &str = "least_request";
/// Seed of the search's first replay; the evaluation and `evenkeel tune` use others.
const FIRST_TUNING_SEED: u64 = 4_000_003;

/// The parts of traces that an evaluation replays.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// For the search of the best least request.
    pub validation: &'a [Workload],
    /// For the figures.
    pub test: &'a [Workload],
}

/// How much a training run evaluates.
#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// Offered loads as shares of the fleet's capacity.
    pub loads: Vec<f64>,
    /// Seeds of each (trace, load, policy).
    pub seeds: u64,
    /// Requests replayed in each run.
    pub requests: u32,
    /// Numbers of hosts that least request is tried with on the validation part.
    pub tuning_budget: usize,
    /// Hosts of the fleet, unless it comes from a file.
    pub hosts: usize,
    /// File of the fleet; one of three speeds without.
    pub fleet: Option<PathBuf>,
    /// File of what the hosts run.
    pub service_model: Option<PathBuf>,
}

impl EvaluateOptions {
    /// What a report is made from.
    pub fn full() -> Self {
        Self {
            loads: vec![0.5, 0.7, 0.8, 0.9],
            seeds: 6,
            requests: 12_000,
            tuning_budget: 8,
            hosts: 16,
            fleet: None,
            service_model: None,
        }
    }

    /// A first look.
    pub fn quick() -> Self {
        Self {
            loads: vec![0.7, 0.9],
            seeds: 2,
            requests: 3000,
            tuning_budget: 4,
            hosts: 16,
            fleet: None,
            service_model: None,
        }
    }

    /// The setting in words, for the report.
    pub fn describe(&self) -> String {
        let fleet = match &self.fleet {
            None => format!("{} hosts of speeds 1, 1.6 and 2.5", self.hosts),
            Some(path) => format!("the hosts of {}", path.display()),
        };
        format!(
            "{fleet}, 4 balancers, telemetry every 250 ms, with every response and \
             by 3 probes a request, each host slowed 2 to 4 times for 20 % of the time, up to {} requests a run",
            self.requests
        )
    }

    fn arguments(&self) -> SettingArgs {
        SettingArgs {
            loads: Some(self.loads.clone()),
            hosts: Some(vec![self.hosts]),
            requests: Some(self.requests),
            fleet: self.fleet.clone().map(|path| vec![FleetChoice::File(path)]),
            service_model: self.service_model.clone(),
            ..SettingArgs::default()
        }
    }

    /// Simulations in an evaluation of so many traces.
    pub fn runs(&self, traces: usize) -> usize {
        let settings = traces * self.loads.len();
        // All policies, and least request tuned.
        settings * (self.tuning_budget + (POLICIES.len() + 1) * self.seeds as usize)
    }
}

/// Replays each trace at each load under the common policies. All policies see the same
/// arrivals, sizes and antagonists for a seed.
///
/// # Errors
/// If the artifact is none, or the user asked to stop.
pub fn evaluate(
    parts: Parts<'_>,
    service: ServiceOptions,
    artifact: &[u8],
    options: &EvaluateOptions,
    seed: u64,
    stop: &StopFlag,
    on_run: &(dyn Fn() + Sync),
) -> Result<Vec<PolicyResult>> {
    let kind = match service {
        ServiceOptions::Llm(_) => ServiceKind::Llm,
        ServiceOptions::Fifo(_) => ServiceKind::Fifo,
    };
    let arguments = options.arguments();
    let studies = preset::evaluation(None, &arguments);
    let settings = setting::settings(&studies, &arguments, kind, parts.test)?;
    let mut contenders = contender::contenders(&POLICIES.map(str::to_owned), None)?;
    let validation = setting::settings(&studies, &arguments, kind, parts.validation)?;
    contenders.extend(tuned_least_request(&validation, options, seed, stop, on_run)?);
    let model = Model::parse(artifact)?;
    let seeds = seed..seed + options.seeds;
    let runs = replay::replay_all(&settings, &contenders, Some(&model), &seeds, stop, on_run)?;
    let mut results = Vec::new();
    for (setting, runs) in settings.iter().zip(&runs) {
        results.extend(contenders.iter().zip(runs).map(|(contender, runs)| result(&setting.label, contender, runs)));
    }
    Ok(results)
}

/// Least request with the number of hosts that is best on the validation part, unless that is all
/// or two, which are compared anyway.
fn tuned_least_request(
    validation: &[Setting],
    options: &EvaluateOptions,
    seed: u64,
    stop: &StopFlag,
    on_run: &(dyn Fn() + Sync),
) -> Result<Option<Contender>> {
    let entry = policies::find(TUNED).context("least request is in the registry")?;
    let first = FIRST_TUNING_SEED + seed;
    let search = SearchOptions { budget: options.tuning_budget, seeds: first..first + 1, seed };
    let found = search::search(&[entry], validation, &search, stop, on_run)?;
    let choices = found.first().and_then(|found| found.parameters.get("choices")).map(|choices| choices.round());
    let hosts = validation.iter().map(|setting| setting.label.hosts).max().unwrap_or(0);
    Ok(choices
        .filter(|choices| *choices > 2.0 && *choices < hosts as f64)
        .map(|choices| Contender::searched(entry, vec![choices])))
}

/// Name in tables: with the number of hosts for a tuned least request.
fn name(contender: &Contender) -> String {
    match contender {
        Contender::Rule { entry, parameters, searched: true } if entry.name == TUNED => {
            format!("{TUNED}_of_{}", parameters.first().copied().unwrap_or_default())
        }
        _ => contender.name().to_owned(),
    }
}

fn result(label: &Label, contender: &Contender, runs: &[Run]) -> PolicyResult {
    let over_seeds = |figure: fn(&Run) -> f64| -> Estimate {
        let mean = estimate(&runs.iter().map(figure).collect::<Vec<_>>());
        Estimate { value: mean.value, ci95: [mean.low, mean.high] }
    };
    PolicyResult {
        trace: label.trace.clone(),
        policy: name(contender),
        load: label.load,
        latency_mean_s: over_seeds(|run| run.metrics.latency_mean_s),
        latency_p50_s: over_seeds(|run| run.metrics.latency_p50_s),
        latency_p99_s: over_seeds(|run| run.metrics.latency_p99_s),
        ttft_mean_s: over_seeds(|run| run.metrics.ttft_mean_s),
        ttft_p99_s: over_seeds(|run| run.metrics.ttft_p99_s),
        failed_share: over_seeds(|run| run.metrics.failed_share + run.metrics.timeout_share),
        balance_efficiency: over_seeds(|run| run.metrics.balance_efficiency),
        latency_quantiles_s: mean_quantiles(runs),
    }
}

/// Latency quantiles, averaged over seeds.
pub fn mean_quantiles(runs: &[Run]) -> Vec<f64> {
    let quantile =
        |point: usize| runs.iter().map(|run| run.latency_quantiles_s[point]).sum::<f64>() / runs.len() as f64;
    (0..CDF_POINTS).map(quantile).collect()
}

/// How the hosts of this service work, from the kind of its traces.
///
/// # Errors
/// If the traces are of different kinds.
pub fn service_kind(has_tokens: &[bool]) -> Result<ServiceKind> {
    match (has_tokens.iter().any(|tokens| *tokens), has_tokens.iter().all(|tokens| *tokens)) {
        (_, true) => Ok(ServiceKind::Llm),
        (false, _) => Ok(ServiceKind::Fifo),
        (true, false) => Err(anyhow!(
            "some traces have token counts and some have none: a policy serves one kind of service; train them apart"
        )),
    }
}
