//! The trained policy against the rules, on the test split.

use anyhow::{Result, anyhow};
use evenkeel_env::host::ServiceOptions;
use evenkeel_env::fleet::Fleet;
use evenkeel_env::metrics::{Metrics, MetricsOptions, Sample, estimate};
use evenkeel_env::policies::{self, Learned};
use evenkeel_env::{Policy, Scenario, Workload, simulate};
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
            "{} hosts of speeds 1, 1.6 and 2.5, 4 balancers, telemetry every 250 ms with piggyback, \
             each host slowed 2 to 4 times for 20 % of the time, up to {} requests a run",
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
            let mut runs = Vec::new();
            for index in 0..options.seeds {
                stop.check()?;
                let mut instance = build(policy, artifact)?;
                let outcome = simulate(&scenario, workload, instance.as_mut(), seed.wrapping_add(index));
                let latencies_s = Sample::new(outcome.measured().iter().map(|record| record.latency_s).collect());
                let quantiles = (0..CDF_POINTS).map(|p| latencies_s.quantile(p as f64 / (CDF_POINTS - 1) as f64)).collect();
                runs.push((Metrics::of(&outcome, &MetricsOptions::default()), quantiles));
                on_run();
            }
            Ok(result(&workload.trace().name, policy, load, &runs))
        })
        .collect()
}

/// The trained policy, or a rule by its name.
fn build<'a>(policy: &str, artifact: &'a [u8]) -> Result<Box<dyn Policy + 'a>> {
    if policy == "evenkeel" {
        return Ok(Box::new(Learned::new(Model::parse(artifact)?)));
    }
    let entry = policies::find(policy).ok_or_else(|| anyhow!("there is no policy called `{policy}`"))?;
    Ok(entry.build_default())
}

fn result(trace: &str, policy: &str, load: f64, runs: &[(Metrics, Vec<f64>)]) -> PolicyResult {
    let over_seeds = |metric: fn(&Metrics) -> f64| -> Estimate {
        let values: Vec<f64> = runs.iter().map(|(metrics, _)| metric(metrics)).collect();
        let mean = estimate(&values);
        Estimate { value: mean.value, ci95: [mean.low, mean.high] }
    };
    let quantile = |point: usize| runs.iter().map(|(_, quantiles)| quantiles[point]).sum::<f64>() / runs.len() as f64;
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
