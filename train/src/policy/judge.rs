//! Judging policies on the validation split: always the same settings and seeds, so that
//! differences between policies are differences of the policies.

use anyhow::Result;
use evenkeel_datasets::random::generator;
use evenkeel_env::metrics::{Metrics, MetricsOptions, estimate};
use evenkeel_env::policies::{Ext, Learned};
use evenkeel_env::telemetry::TelemetryOptions;
use evenkeel_env::{Policy, Scenario, Workload, simulate};
use evenkeel_runtime::Model;
use rayon::prelude::*;

use super::objective::RewardWeights;
use super::task::Task;
use crate::metrics::Estimate;
use crate::stop::StopFlag;

/// Loads of the standard settings.
const STANDARD_LOADS: [f64; 4] = [0.5, 0.7, 0.8, 0.9];

/// Settings that policies are judged in: the standard ones at four loads, and random ones.
#[derive(Debug)]
pub struct Judge<'a> {
    settings: Vec<Setting<'a>>,
    /// What the analytic rule does in each.
    rule: Vec<Metrics>,
    weights: RewardWeights,
}

/// What is replayed, where, and with which seed.
type Setting<'a> = (&'a Workload, Scenario, u64);

/// How much to judge by.
#[derive(Clone, Copy, Debug)]
pub struct JudgeOptions {
    /// Replays at each of the four standard loads.
    pub standard: usize,
    /// Random settings.
    pub random: usize,
    /// Most requests of a replay.
    pub requests: usize,
}

/// A policy's figures in each setting.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// In the order of the settings.
    pub metrics: Vec<Metrics>,
    /// The objective in each setting; lower is better.
    pub objectives: Vec<f64>,
}

impl Verdict {
    /// Mean objective.
    pub fn objective(&self) -> f64 {
        self.objectives.iter().sum::<f64>() / self.objectives.len() as f64
    }

    /// How much better than another: the difference of the objectives, which is about the
    /// share by which latencies are shorter, with its interval over the settings.
    pub fn gain_over(&self, other: &Self) -> Estimate {
        let gains: Vec<f64> =
            other.objectives.iter().zip(&self.objectives).map(|(theirs, ours)| theirs - ours).collect();
        let mean = estimate(&gains);
        Estimate { value: mean.value, ci95: [mean.low, mean.high] }
    }
}

impl<'a> Judge<'a> {
    /// Settings drawn from `seed`.
    pub fn new(
        task: &Task<'a>,
        weights: RewardWeights,
        options: JudgeOptions,
        seed: u64,
        stop: &StopFlag,
    ) -> Result<Self> {
        let mut settings = Vec::new();
        for index in 0..options.standard * STANDARD_LOADS.len() {
            settings.push(task.standard_scenario(STANDARD_LOADS[index % STANDARD_LOADS.len()], options.requests));
        }
        for index in 0..options.random as u64 {
            settings.push(task.random_scenario(options.requests, &mut generator(seed, index)));
        }
        Self::in_scenarios(task, settings, weights, seed, stop)
    }

    /// Settings in which many balancers decide on polled reports alone, some of them old.
    pub fn crowded(
        task: &Task<'a>,
        weights: RewardWeights,
        options: JudgeOptions,
        seed: u64,
        stop: &StopFlag,
    ) -> Result<Self> {
        const LOAD: f64 = 0.75;
        let mut settings = Vec::new();
        for _ in 0..options.standard.div_ceil(2) {
            for balancers in [16, 64] {
                for period_s in [0.25, 2.0] {
                    let telemetry = TelemetryOptions::polled(period_s);
                    let standard = task.standard_scenario(LOAD, options.requests);
                    settings.push(task.means.restrict(Scenario { balancers, telemetry, ..standard }));
                }
            }
        }
        Self::in_scenarios(task, settings, weights, seed, stop)
    }

    fn in_scenarios(
        task: &Task<'a>,
        scenarios: Vec<Scenario>,
        weights: RewardWeights,
        seed: u64,
        stop: &StopFlag,
    ) -> Result<Self> {
        let settings = scenarios.into_iter().zip(task.validation.iter().cycle()).zip(seed..);
        let settings: Vec<Setting<'a>> =
            settings.map(|((scenario, workload), seed)| (workload, scenario, seed)).collect();
        let rule = replay(&settings, &|| Box::new(Ext::default()), stop)?;
        Ok(Self { settings, rule, weights })
    }

    /// Judges an artifact's policy.
    pub fn artifact(&self, artifact: &[u8], stop: &StopFlag) -> Result<Verdict> {
        let model = Model::parse(artifact)?;
        Ok(self.verdict(replay(&self.settings, &|| Box::new(Learned::new(model)), stop)?))
    }

    /// The verdict on the analytic rule that the policy starts from.
    pub fn rule(&self) -> Verdict {
        self.verdict(self.rule.clone())
    }

    fn verdict(&self, metrics: Vec<Metrics>) -> Verdict {
        let objectives = metrics.iter().zip(&self.rule).map(|(own, rule)| self.weights.objective(own, rule)).collect();
        Verdict { metrics, objectives }
    }
}

/// A policy's figures in each setting.
fn replay<'p>(
    settings: &[Setting<'_>],
    policy: &(dyn Fn() -> Box<dyn Policy + 'p> + Sync),
    stop: &StopFlag,
) -> Result<Vec<Metrics>> {
    let one = |(workload, scenario, seed): &Setting<'_>| {
        stop.check()?;
        let outcome = simulate(scenario, workload, policy().as_mut(), *seed);
        Ok(Metrics::of(&outcome, &MetricsOptions::default()))
    };
    settings.par_iter().map(one).collect()
}
