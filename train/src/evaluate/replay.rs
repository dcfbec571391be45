//! Replays: every policy in every setting with every seed, on all cores.

use std::ops::Range;

use anyhow::Result;
use evenkeel_env::metrics::{Metrics, Sample, fair_share};
use evenkeel_env::{Policy, Record, Status, simulate};
use evenkeel_runtime::Model;
use rayon::prelude::*;

use super::contender::Contender;
use super::setting::Setting;
use crate::stop::StopFlag;

/// Points of a latency CDF.
pub(super) const CDF_POINTS: usize = 200;

/// One replay.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its figures.
    pub metrics: Metrics,
    /// Latency in seconds at evenly spaced quantiles from 0 to 1.
    pub latency_quantiles_s: Vec<f64>,
    /// Figures of a setting in which a host crashes or lies.
    pub fault: Option<FaultMetrics>,
}

/// What a faulty host did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaultMetrics {
    /// Requests sent to it, over its fair share by speed.
    pub faulty_host_fair_share: f64,
    /// Mean latency of the requests that the other hosts answered, in seconds.
    pub elsewhere_latency_mean_s: f64,
    /// 99th percentile of the same.
    pub elsewhere_latency_p99_s: f64,
}

impl Run {
    /// Names and values of all figures.
    pub fn fields(&self) -> Vec<(&'static str, f64)> {
        // Known by the name of its author.
        let rename = |(name, value)| (if name == "balance_jain" { "jain_index" } else { name }, value);
        let mut fields: Vec<_> = self.metrics.fields().into_iter().map(rename).collect();
        if let Some(fault) = &self.fault {
            fields.extend([
                ("faulty_host_fair_share", fault.faulty_host_fair_share),
                ("elsewhere_latency_mean_s", fault.elsewhere_latency_mean_s),
                ("elsewhere_latency_p99_s", fault.elsewhere_latency_p99_s),
            ]);
        }
        fields
    }
}

/// Replays a setting under a policy.
pub fn replay(setting: &Setting, policy: &mut dyn Policy, seed: u64) -> Run {
    let outcome = simulate(&setting.scenario, &setting.workload, policy, seed);
    // In the CDF as in the metrics: a failure counts as a slow answer, one without work not at all.
    let worked = outcome.measured().iter().filter(|record| record.status != Status::NoWork);
    let latencies_s = Sample::new(worked.map(|record| setting.judgement.counted_latency_s(record)).collect());
    let quantile = |point: usize| latencies_s.quantile(point as f64 / (CDF_POINTS - 1) as f64);
    let fault = setting.faulty_host.map(|host| {
        let elsewhere = |record: &&Record| usize::from(record.host) != host && record.status == Status::Answered;
        let elsewhere_s = Sample::new(outcome.measured().iter().filter(elsewhere).map(|r| r.latency_s).collect());
        FaultMetrics {
            faulty_host_fair_share: fair_share(&outcome, host),
            elsewhere_latency_mean_s: elsewhere_s.mean(),
            elsewhere_latency_p99_s: elsewhere_s.quantile(0.99),
        }
    });
    Run {
        metrics: Metrics::of(&outcome, &setting.judgement),
        latency_quantiles_s: (0..CDF_POINTS).map(quantile).collect(),
        fault,
    }
}

/// Replays every setting under every contender with every seed: `[setting][contender][seed]`.
///
/// # Errors
/// If the user asked to stop.
pub fn replay_all(
    settings: &[Setting],
    contenders: &[Contender],
    model: Option<&Model<'_>>,
    seeds: &Range<u64>,
    stop: &StopFlag,
    on_run: &(dyn Fn() + Sync),
) -> Result<Vec<Vec<Vec<Run>>>> {
    let mut jobs = Vec::new();
    for setting in settings {
        for contender in contenders {
            jobs.extend(seeds.clone().map(|seed| (setting, contender, seed)));
        }
    }
    // One job at a time: a replay of an oracle takes as long as fifty of a rule.
    let mut runs = jobs
        .into_par_iter()
        .with_max_len(1)
        .map(|(setting, contender, seed)| {
            stop.check()?;
            let run = replay(setting, contender.build(model).as_mut(), seed);
            on_run();
            Ok(run)
        })
        .collect::<Result<Vec<Run>>>()?
        .into_iter();
    let seeds = (seeds.end - seeds.start) as usize;
    let of_contender = |runs: &mut std::vec::IntoIter<Run>| runs.by_ref().take(seeds).collect();
    Ok(settings.iter().map(|_| contenders.iter().map(|_| of_contender(&mut runs)).collect()).collect())
}
