//! Collecting labelled decisions: the learner balances random fleets, the oracle says
//! what each host would have cost.

use anyhow::Result;
use evenkeel_datasets::random::generator;
use evenkeel_env::policies::MarginalCost;
use evenkeel_env::policy::Setting;
use evenkeel_env::{Decision, Policy, Sizes, Workload, simulate};
use evenkeel_runtime::{HOST_FEATURES, Model, decide, features, stride};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;

use super::samples::Samples;
use super::task::Task;
use crate::stop::StopFlag;

/// How much to collect in a round.
#[derive(Clone, Copy, Debug)]
pub struct CollectOptions {
    /// Random scenarios.
    pub scenarios: usize,
    /// Requests replayed in each.
    pub requests: usize,
    /// Decisions labelled in each, about.
    pub labels: usize,
    /// Share of random actions, so that states off the beaten track are seen too.
    pub random_share: f64,
    /// Weight of the time to first token in the marginal cost.
    pub ttft_weight: f64,
    /// How long others are taken to arrive, in typical latencies (32 times as long at a FIFO
    /// service); 0 for not at all.
    pub horizon: f64,
    /// Guesses of the sizes that the cost under load is averaged over; 0 for expected ones.
    pub guesses: u32,
}

impl CollectOptions {
    /// The oracle that labels decisions.
    fn teacher(&self) -> MarginalCost {
        MarginalCost::new(Sizes::Expected, self.ttft_weight).under_load(self.horizon).guessing(self.guesses)
    }
}

/// Replays random scenarios with the policy in `artifact`, and labels some decisions.
/// The result depends on `seed` alone, not on the number of threads.
pub fn collect(
    task: &Task<'_>,
    workloads: &[Workload],
    artifact: &[u8],
    options: &CollectOptions,
    seed: u64,
    stop: &StopFlag,
    on_scenario: &(dyn Fn() + Sync),
) -> Result<Samples> {
    let collected: Vec<Result<Samples>> = (0..options.scenarios as u64)
        .into_par_iter()
        .map(|index| {
            stop.check()?;
            let mut rng = generator(seed, index);
            let workload = &workloads[index as usize % workloads.len()];
            let scenario = task.random_scenario(options.requests, &mut rng);
            let model = Model::parse(artifact)?;
            let mut collector = Collector::new(&model, options, rng);
            simulate(&scenario, workload, &mut collector, seed.wrapping_add(index));
            on_scenario();
            Ok(collector.samples)
        })
        .collect();
    let mut all = Samples::default();
    for samples in collected {
        all.append(&samples?);
    }
    Ok(all)
}

/// The learner, with the oracle looking over its shoulder.
struct Collector<'m> {
    model: &'m Model<'m>,
    options: &'m CollectOptions,
    samples: Samples,
    scratch: Vec<f32>,
    teacher: MarginalCost,
    rng: Pcg64Mcg,
}

impl<'m> Collector<'m> {
    fn new(model: &'m Model<'m>, options: &'m CollectOptions, rng: Pcg64Mcg) -> Self {
        Self { model, options, samples: Samples::default(), scratch: Vec::new(), teacher: options.teacher(), rng }
    }

    fn label(&mut self, decision: &Decision<'_>) {
        let costs_s = self.teacher.costs(decision.truth);
        let costs_s: Vec<f64> = decision.eligible.iter().map(|host| costs_s[*host as usize]).collect();
        // A host that is down but not yet found out has no cost to learn from.
        if costs_s.iter().any(|cost_s| !cost_s.is_finite()) {
            return;
        }
        let rows = costs_s.len();
        self.scratch.resize(HOST_FEATURES * stride(rows), 0.0);
        let (service, eligible) = (self.model.service(), decision.eligible_set());
        features::write(service, &decision.state, decision.request, eligible, rows, decision.now_us, &mut self.scratch);
        let ln_costs = costs_s.iter().map(|cost_s| cost_s.max(1e-9).ln() as f32);
        self.samples.push(&self.scratch, stride(rows), ln_costs);
    }
}

impl Policy for Collector<'_> {
    fn name(&self) -> &'static str {
        "learner"
    }

    fn reset(&mut self, setting: &Setting) {
        self.teacher.reset(setting);
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        if decision.eligible.len() > 1 && self.rng.random_range(0..self.options.requests) < self.options.labels {
            self.label(decision);
        }
        if self.rng.random_bool(self.options.random_share) {
            return decision.eligible[self.rng.random_range(0..decision.eligible.len())] as usize;
        }
        let needed = self.model.policy().map_or(0, |policy| policy.scratch_len(decision.eligible.len()));
        self.scratch.resize(needed, 0.0);
        let eligible = decision.eligible_set();
        let choice =
            decide(Some(self.model), &decision.state, decision.request, eligible, decision.now_us, &mut self.scratch);
        choice.host.unwrap_or(decision.eligible[0]) as usize
    }
}
