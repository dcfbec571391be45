//! The trained policy against the rules, on the test split.

use std::ops::Range;

use anyhow::{Result, anyhow};
use evenkeel_env::fleet::Fleet;
use evenkeel_env::host::ServiceOptions;
use evenkeel_env::metrics::{Metrics, MetricsOptions, Sample, estimate};
use evenkeel_env::policies::{self, Learned};
use evenkeel_env::{Policy, Record, Scenario, Status, Workload, simulate};
use evenkeel_runtime::{Model, ServiceKind};
use rayon::prelude::*;

use crate::metrics::{Estimate, PolicyResult};
use crate::stop::StopFlag;

/// The rules it is compared with, the oracle that knows all but the sizes, and itself.
pub const POLICIES: [&str; 7] =
    ["round_robin", "p2c", "least_request", "peak_ewma", "ext", "oracle_no_sizes", "evenkeel"];

/// Points of a latency CDF.
const CDF_POINTS: usize = 200;

/// How much to evaluate.
#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// Offered loads as shares of the fleet's capacity.
    pub loads: Vec<f64>,
    /// Seeds of each (trace, load, policy).
    pub seeds: u64,
    /// Requests replayed in each run.
    pub requests: usize,
    /// Hosts of the fleet.
    pub hosts: usize,
}

impl EvaluateOptions {
    /// What a report is made from.
    pub fn full() -> Self {
        Self { loads: vec![0.5, 0.7, 0.8, 0.9], seeds: 6, requests: 12_000, hosts: 16 }
    }

    /// A first look.
    pub fn quick() -> Self {
        Self { loads: vec![0.7, 0.9], seeds: 2, requests: 3000, hosts: 16 }
    }

    /// The setting in words, for the report.
    pub fn describe(&self) -> String {
        format!(
            "{} hosts of speeds 1, 1.6 and 2.5, 4 balancers, telemetry every 250 ms, with every response and \
             by 3 probes a request, each host slowed 2 to 4 times for 20 % of the time, up to {} requests a run",
            self.hosts, self.requests
        )
    }

    fn scenario(&self, service: ServiceOptions, load: f64) -> Scenario {
        let fleet = Fleet::het(self.hosts);
        let base = match service {
            ServiceOptions::Llm(_) => Scenario::llm(fleet),
            ServiceOptions::Fifo(_) => Scenario::fifo(fleet),
        };
        Scenario { service, load, requests_max: self.requests, ..base }
    }

    /// Simulations in an evaluation of so many traces.
    pub fn runs(&self, traces: usize) -> usize {
        traces * self.loads.len() * POLICIES.len() * self.seeds as usize
    }
}

/// Replays each trace at each load under each policy. All policies see the same arrivals,
/// sizes and antagonists for a seed.
pub fn evaluate(
    workloads: &[Workload],
    service: ServiceOptions,
    artifact: &[u8],
    options: &EvaluateOptions,
    seed: u64,
    stop: &StopFlag,
    on_run: &(dyn Fn() + Sync),
) -> Result<Vec<PolicyResult>> {
    let mut cells = Vec::new();
    for workload in workloads {
        for load in &options.loads {
            cells.extend(POLICIES.map(|policy| (workload, *load, policy)));
        }
    }
    cells
        .into_par_iter()
        .map(|(workload, load, policy)| {
            let scenario = options.scenario(service, load);
            let seeds = seed..seed + options.seeds;
            let runs = replay(workload, &scenario, policy, artifact, seeds, stop, on_run)?;
            Ok(result(&workload.trace().name, policy, load, &runs))
        })
        .collect()
}

/// One replay.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its figures.
    pub metrics: Metrics,
    /// Latency in seconds at evenly spaced quantiles from 0 to 1.
    pub latency_quantiles_s: Vec<f64>,
}

/// Replays a trace under a policy, once for each seed.
///
/// # Errors
/// If there is no policy of this name, or the user asked to stop.
pub fn replay(
    workload: &Workload,
    scenario: &Scenario,
    policy: &str,
    artifact: &[u8],
    seeds: Range<u64>,
    stop: &StopFlag,
    on_run: &(dyn Fn() + Sync),
) -> Result<Vec<Run>> {
    let replay_one = |seed: u64| {
        stop.check()?;
        let mut instance = build(policy, artifact)?;
        let outcome = simulate(scenario, workload, instance.as_mut(), seed);
        let latencies_s = Sample::new(outcome.measured().iter().map(counted_latency_s).collect());
        let quantile = |point: usize| latencies_s.quantile(point as f64 / (CDF_POINTS - 1) as f64);
        on_run();
        Ok(Run {
            metrics: Metrics::of(&outcome, &MetricsOptions::default()),
            latency_quantiles_s: (0..CDF_POINTS).map(quantile).collect(),
        })
    };
    seeds.map(replay_one).collect()
}

/// A failure counts as a slow answer, in the CDF as in the metrics.
fn counted_latency_s(record: &Record) -> f64 {
    if record.status == Status::Answered {
        record.latency_s
    } else {
        record.latency_s.max(MetricsOptions::default().failed_latency_s)
    }
}

/// The trained policy, or a rule by its name.
fn build<'a>(policy: &str, artifact: &'a [u8]) -> Result<Box<dyn Policy + 'a>> {
    if policy == "evenkeel" {
        return Ok(Box::new(Learned::new(Model::parse(artifact)?)));
    }
    let entry = policies::find(policy).ok_or_else(|| anyhow!("there is no policy called `{policy}`"))?;
    Ok(entry.build_default())
}

/// Mean over the seeds with its confidence interval.
pub fn over_seeds(values: &[f64]) -> Estimate {
    let mean = estimate(values);
    Estimate { value: mean.value, ci95: [mean.low, mean.high] }
}

fn result(trace: &str, policy: &str, load: f64, runs: &[Run]) -> PolicyResult {
    let over_seeds = |metric: fn(&Metrics) -> f64| -> Estimate {
        over_seeds(&runs.iter().map(|run| metric(&run.metrics)).collect::<Vec<_>>())
    };
    let quantile =
        |point: usize| runs.iter().map(|run| run.latency_quantiles_s[point]).sum::<f64>() / runs.len() as f64;
    PolicyResult {
        trace: trace.to_owned(),
        policy: policy.to_owned(),
        load,
        latency_mean_s: over_seeds(|s| s.latency_mean_s),
        latency_p50_s: over_seeds(|s| s.latency_p50_s),
        latency_p99_s: over_seeds(|s| s.latency_p99_s),
        ttft_mean_s: over_seeds(|s| s.ttft_mean_s),
        ttft_p99_s: over_seeds(|s| s.ttft_p99_s),
        failed_share: over_seeds(|s| s.failed_share + s.timeout_share),
        balance_efficiency: over_seeds(|s| s.balance_efficiency),
        latency_quantiles_s: (0..CDF_POINTS).map(quantile).collect(),
    }
}

/// How the hosts of this service work, from the kind of its traces.
pub fn service_kind(has_tokens: &[bool]) -> Result<ServiceKind> {
    match (has_tokens.iter().any(|tokens| *tokens), has_tokens.iter().all(|tokens| *tokens)) {
        (_, true) => Ok(ServiceKind::Llm),
        (false, _) => Ok(ServiceKind::Fifo),
        (true, false) => Err(anyhow!(
            "some traces have token counts and some have none: a policy serves one kind of service; train them apart"
        )),
    }
}
