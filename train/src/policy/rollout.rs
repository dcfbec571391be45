//! Episodes for reinforcement learning: a stochastic actor balances random fleets, and
//! what it saw, did and earned is written down.
//!
//! All balancers of a fleet share the actor, and their decisions, in the order of time,
//! are one episode: the reward is the team's.

use anyhow::{Context, Result};
use evenkeel_datasets::random::{generator, uniform};
use evenkeel_env::policy::Setting;
use evenkeel_env::{Decision, Policy, Sizes, simulate};
use evenkeel_runtime::{HOST_FEATURES, Model, features, stride};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;

use super::critic::{self, SUMMARY};
use super::objective::{Placement, RewardWeights};
use super::samples::Samples;
use super::task::Task;
use crate::stop::StopFlag;

/// How much to roll out at a time.
#[derive(Clone, Copy, Debug)]
pub struct RolloutOptions {
    /// Random settings, an episode each.
    pub scenarios: usize,
    /// Requests of an episode.
    pub requests: usize,
    /// Temperature of the softmax over minus the scores that hosts are drawn from.
    pub temperature: f32,
}

/// One episode.
#[derive(Clone, Debug, Default)]
pub struct Episode {
    /// What was seen; the value of each host is 1 if it was chosen, else 0.
    pub decisions: Samples,
    /// Logarithm of the probability with which each choice was made.
    pub ln_probabilities: Vec<f32>,
    /// The true state at each decision.
    pub summaries: Vec<[f32; SUMMARY]>,
    /// What each decision earned.
    pub rewards: Vec<f32>,
    /// The episode ended because the window of the trace did, not the trace: what would
    /// have come would have counted.
    pub truncated: bool,
    /// Mean objective of the replay, the actor's randomness included.
    pub objective: f64,
}

/// Rolls the policy in `artifact` out. The result depends on `seed` alone.
pub fn roll_out(
    task: &Task<'_>,
    artifact: &[u8],
    options: &RolloutOptions,
    weights: &RewardWeights,
    seed: u64,
    stop: &StopFlag,
) -> Result<Vec<Episode>> {
    let episode = |index: u64| {
        stop.check()?;
        let mut rng = generator(seed, index);
        let workload = &task.training[index as usize % task.training.len()];
        let scenario = task.random_scenario(options.requests, &mut rng);
        let model = Model::parse(artifact)?;
        let mut actor = Actor::new(&model, options.temperature, rng).context("the artifact has no policy")?;
        let outcome = simulate(&scenario, workload, &mut actor, seed.wrapping_add(index));
        let metrics = evenkeel_env::metrics::Metrics::of(&outcome, &evenkeel_env::metrics::MetricsOptions::default());
        Ok(Episode {
            rewards: weights.rewards(&outcome, &actor.placements),
            truncated: workload.trace().requests.len() > options.requests,
            objective: weights.objective(&metrics, &metrics),
            ..actor.episode
        })
    };
    (0..options.scenarios as u64).into_par_iter().map(episode).collect()
}

/// The policy with dice.
struct Actor<'m> {
    model: &'m Model<'m>,
    temperature: f32,
    setting: Option<Setting>,
    rng: Pcg64Mcg,
    scratch: Vec<f32>,
    features: Vec<f32>,
    weights: Vec<f32>,
    episode: Episode,
    placements: Vec<Placement>,
}

impl<'m> Actor<'m> {
    fn new(model: &'m Model<'m>, temperature: f32, rng: Pcg64Mcg) -> Option<Self> {
        model.policy().map(|_| Self {
            model,
            temperature,
            setting: None,
            rng,
            scratch: Vec::new(),
            features: Vec::new(),
            weights: Vec::new(),
            episode: Episode::default(),
            placements: Vec::new(),
        })
    }

    /// Draws a row from softmax(−score / temperature); the row and its ln probability.
    fn draw(&mut self, rows: usize) -> (usize, f32) {
        let policy = self.model.policy().expect("checked in new");
        self.scratch.resize(policy.scratch_len(rows), 0.0);
        self.scratch[..self.features.len()].copy_from_slice(&self.features);
        let scores = policy.run(rows, &mut self.scratch).map_or(&[][..], |scores| &scores[..rows]);
        let best = scores.iter().copied().fold(f32::INFINITY, f32::min);
        self.weights.clear();
        self.weights.extend(scores.iter().map(|score| ((best - score) / self.temperature).exp()));
        let total: f32 = self.weights.iter().sum();
        let mut left = uniform(&mut self.rng) as f32 * total;
        let drawn = self.weights.iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        // Rounding may leave a little over: then the likeliest host.
        let row = drawn.unwrap_or_else(|| self.weights.iter().position(|weight| *weight == 1.0).unwrap_or(0));
        (row, (self.weights[row] / total).ln())
    }
}

impl Policy for Actor<'_> {
    fn name(&self) -> &'static str {
        "actor"
    }

    fn reset(&mut self, setting: &Setting) {
        self.setting = Some(setting.clone());
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let rows = decision.eligible.len();
        let Some(setting) = self.setting.as_ref().filter(|_| rows > 1) else { return decision.eligible[0] as usize };
        let summary = critic::summary(decision, setting);
        self.features.resize(HOST_FEATURES * stride(rows), 0.0);
        let (service, eligible) = (self.model.service(), decision.eligible_set());
        features::write(
            service,
            &decision.state,
            decision.request,
            eligible,
            rows,
            decision.now_us,
            &mut self.features,
        );
        let (row, ln_probability) = self.draw(rows);
        let host = decision.eligible[row] as usize;
        let chosen = (0..rows).map(|other| f32::from(u8::from(other == row)));
        self.episode.decisions.push(&self.features, stride(rows), chosen);
        self.episode.ln_probabilities.push(ln_probability);
        self.episode.summaries.push(summary);
        self.placements.push(Placement {
            request: decision.truth.job().request,
            marginal_s: decision.truth.prospect(host, Sizes::Expected).marginal_s,
        });
        host
    }
}
