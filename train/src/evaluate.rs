//! The benchmark: the trained policy against the rules, on replayed traces.
//!
//! ```text
//! preset (which studies) ─► setting ─► replay ─► entry (JSON), table, report
//! search (on the validation part) ─► tuned ─► contender ─┘
//! ```

pub mod contender;
pub mod entry;
pub mod outcome;
pub mod paired;
pub mod preset;
pub mod replay;
pub mod search;
pub mod setting;
pub mod tuned;

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use evenkeel_env::Workload;
use evenkeel_env::host::ServiceOptions;
use evenkeel_env::metrics::estimate;
use evenkeel_runtime::{Model, ServiceKind};

use crate::cli::benchmark::{FleetChoice, SettingArgs};
use crate::metrics::{Estimate, PolicyResult};
use crate::stop::StopFlag;

use contender::Contender;
use replay::{CDF_POINTS, Run};
use setting::Label;

/// What a training run compares: the common rules, the oracle that knows all but the sizes,
/// and the trained policy.
pub const POLICIES: [&str; 7] =
    ["round_robin", "p2c", "least_request", "peak_ewma", "ext", "oracle_no_sizes", "evenkeel"];

/// How much a training run evaluates.
#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// Offered loads as shares of the fleet's capacity.
    pub loads: Vec<f64>,
    /// Seeds of each (trace, load, policy).
    pub seeds: u64,
    /// Requests replayed in each run.
    pub requests: u32,
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
            hosts: 16,
            fleet: None,
            service_model: None,
        }
    }

    /// A first look.
    pub fn quick() -> Self {
        Self { loads: vec![0.7, 0.9], seeds: 2, requests: 3000, hosts: 16, fleet: None, service_model: None }
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
        traces * self.loads.len() * POLICIES.len() * self.seeds as usize
    }
}

/// Replays each trace at each load under the common policies. All policies see the same
/// arrivals, sizes and antagonists for a seed.
///
/// # Errors
/// If the artifact is none, or the user asked to stop.
pub fn evaluate(
    workloads: &[Workload],
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
    let settings = setting::settings(&preset::evaluation(None, &arguments), &arguments, kind, workloads)?;
    let contenders = contender::contenders(&POLICIES.map(str::to_owned), None)?;
    let model = Model::parse(artifact)?;
    let seeds = seed..seed + options.seeds;
    let runs = replay::replay_all(&settings, &contenders, Some(&model), &seeds, stop, on_run)?;
    let mut results = Vec::new();
    for (setting, runs) in settings.iter().zip(&runs) {
        results.extend(contenders.iter().zip(runs).map(|(contender, runs)| result(&setting.label, contender, runs)));
    }
    Ok(results)
}

fn result(label: &Label, contender: &Contender, runs: &[Run]) -> PolicyResult {
    let over_seeds = |figure: fn(&Run) -> f64| -> Estimate {
        let mean = estimate(&runs.iter().map(figure).collect::<Vec<_>>());
        Estimate { value: mean.value, ci95: [mean.low, mean.high] }
    };
    PolicyResult {
        trace: label.trace.clone(),
        policy: contender.name().to_owned(),
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
