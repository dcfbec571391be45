//! Multi-agent PPO (Schulman et al., 2017; with a centralised critic: Yu et al., "The
//! surprising effectiveness of PPO in cooperative multi-agent games", NeurIPS 2022).
//!
//! One network decides for all balancers, each from what it sees itself; the actor draws a
//! host from `softmax(−score / temperature)`. The critic sees the simulator's true state.
//! In each iteration the actor balances random fleets ([`super::rollout`]), advantages are
//! estimated by GAE (Schulman et al., 2016) on rewards less their mean over the episode,
//! and the clipped objective is climbed for a few epochs, or until the new policy is
//! [`PpoOptions::kl_max`] away from the one that acted.

use anyhow::Result;
use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::prelude::{Device, Tensor};
use burn::tensor::TensorData;
use burn::tensor::activation::log_softmax;
use evenkeel_datasets::random::generator;
use evenkeel_numbers::random::mix;
use rand::seq::SliceRandom;

use super::critic::{Critic, SUMMARY, states};
use super::network::{PolicyNetwork, PolicyWeights};
use super::objective::RewardWeights;
use super::rollout::{Episode, RolloutOptions, roll_out};
use super::samples::Samples;
use super::task::Task;
use crate::layers::floats;
use crate::metrics::FineTunePoint;
use crate::stop::{StopFlag, Stopped};

/// Hyperparameters.
#[derive(Clone, Copy, Debug)]
pub struct PpoOptions {
    /// Iterations of rolling out and climbing.
    pub iterations: usize,
    /// What is rolled out in each.
    pub rollout: RolloutOptions,
    /// Passes over an iteration's decisions, at most.
    pub epochs: usize,
    /// Decisions in a minibatch.
    pub batch: usize,
    /// Adam's step size for the actor at the start; it falls to 0 in a straight line.
    pub learning_rate: f64,
    /// Adam's step size for the critic.
    pub critic_learning_rate: f64,
    /// Probability ratios are clipped to 1 ± this.
    pub clip: f32,
    /// What the next decision's return counts for, γ.
    pub discount: f32,
    /// λ of GAE.
    pub trace_decay: f32,
    /// Weight of the entropy at the start; it falls to 0 in a straight line.
    pub entropy: f32,
    /// An iteration's climb stops beyond this divergence, in nats.
    pub kl_max: f32,
}

/// Streams of the generator.
const STREAM_CRITIC: u64 = 1;
const STREAM_ORDER: u64 = 2;

/// Fine-tunes `start`. After each iteration `on_iteration` is given its log and the
/// weights so far.
#[expect(clippy::too_many_arguments, reason = "the inputs of the stage, each on its own")]
pub fn fine_tune(
    task: &Task<'_>,
    start: &PolicyWeights,
    options: &PpoOptions,
    weights: &RewardWeights,
    seed: u64,
    device: &Device,
    stop: &StopFlag,
    on_iteration: &mut dyn FnMut(FineTunePoint, &PolicyWeights) -> Result<()>,
) -> Result<()> {
    let device = device.clone().autodiff();
    let mut learner = Learner::new(task, start, seed, &device);
    for iteration in 0..options.iterations {
        let artifact = task.compile(&learner.actor.weights(), "policy")?;
        let rollout_seed = mix(seed ^ mix(iteration as u64));
        let episodes = roll_out(task, &artifact, &options.rollout, weights, rollout_seed, stop)?;
        if iteration == 0 {
            // An untaught critic's advantages are noise: teach it before the actor moves.
            let batch = Batch::new(&episodes, &learner.critic, options, &device);
            learner.teach_critic(&batch, options, stop)?;
        }
        let batch = Batch::new(&episodes, &learner.critic, options, &device);
        let left = 1.0 - iteration as f64 / options.iterations as f64;
        let climb = learner.climb(&batch, options, left, stop)?;
        let reward = episodes.iter().flat_map(|episode| &episode.rewards).map(|r| f64::from(*r));
        let count = episodes.iter().map(|episode| episode.rewards.len()).sum::<usize>();
        let point = FineTunePoint {
            iteration: iteration + 1,
            objective: episodes.iter().map(|episode| episode.objective).sum::<f64>() / episodes.len() as f64,
            reward: Some(reward.sum::<f64>() / count as f64),
            entropy: Some(climb.entropy),
            divergence: Some(climb.divergence),
            clipped_share: Some(climb.clipped_share),
            value_explained: Some(batch.value_explained),
            ..FineTunePoint::default()
        };
        on_iteration(point, &learner.actor.weights())?;
    }
    Ok(())
}

/// The decisions of an iteration that are learned from.
struct Batch {
    decisions: Samples,
    /// Numbers of the decisions to learn from: all but those that only close an episode.
    learned: Vec<usize>,
    ln_probabilities: Vec<f32>,
    summaries: Vec<[f32; SUMMARY]>,
    /// Mean 0 and variance 1 over the batch.
    advantages: Vec<f32>,
    /// What the critic should have said.
    returns: Vec<f32>,
    /// Share of the returns' variance that the critic foresaw.
    value_explained: f64,
}

impl Batch {
    fn new(episodes: &[Episode], critic: &Critic, options: &PpoOptions, device: &Device) -> Self {
        let critic = critic.valid();
        let device = device.clone().without_autodiff();
        let mut batch = Self {
            decisions: Samples::default(),
            learned: Vec::new(),
            ln_probabilities: Vec::new(),
            summaries: Vec::new(),
            advantages: Vec::new(),
            returns: Vec::new(),
            value_explained: 0.0,
        };
        let mut values = Vec::new();
        for episode in episodes {
            let begin = batch.decisions.len();
            let foreseen = critic.evaluate(&episode.summaries, &device);
            let (advantages, learned) = advantages(episode, &foreseen, options);
            batch.learned.extend(begin..begin + learned);
            batch.returns.extend(advantages.iter().zip(&foreseen).map(|(advantage, value)| advantage + value));
            batch.advantages.extend(advantages);
            batch.decisions.append(&episode.decisions);
            batch.ln_probabilities.extend_from_slice(&episode.ln_probabilities);
            batch.summaries.extend_from_slice(&episode.summaries);
            values.extend(foreseen);
        }
        batch.value_explained = explained(&batch.returns, &values, &batch.learned);
        let (mean, deviation) = mean_and_deviation(batch.learned.iter().map(|index| batch.advantages[*index]));
        for advantage in &mut batch.advantages {
            *advantage = ((f64::from(*advantage) - mean) / deviation.max(1e-9)) as f32;
        }
        batch
    }

    /// Some numbers of some decisions as a column.
    fn column(values: &[f32], decisions: &[usize], device: &Device) -> Tensor<2> {
        let picked: Vec<f32> = decisions.iter().map(|index| values[*index]).collect();
        Tensor::from_data(TensorData::new(picked, [decisions.len(), 1]), device)
    }
}

/// Generalised advantage estimates of an episode, and how many of its decisions they hold
/// for. A terminated episode is worth nothing after its end; of a truncated one the last
/// decision only tells, through the critic, what would have come.
fn advantages(episode: &Episode, values: &[f32], options: &PpoOptions) -> (Vec<f32>, usize) {
    let count = episode.rewards.len();
    let mean = episode.rewards.iter().sum::<f32>() / count.max(1) as f32;
    let learned = if episode.truncated { count.saturating_sub(1) } else { count };
    let mut advantages = vec![0.0; count];
    let mut carried = 0.0;
    for index in (0..learned).rev() {
        let next = values.get(index + 1).copied().unwrap_or(0.0);
        let surprise = episode.rewards[index] - mean + options.discount * next - values[index];
        carried = surprise + options.discount * options.trace_decay * carried;
        advantages[index] = carried;
    }
    (advantages, learned)
}

fn mean_and_deviation(values: impl Iterator<Item = f32> + Clone) -> (f64, f64) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().map(f64::from).sum::<f64>() / count;
    let variance = values.map(|value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

fn explained(returns: &[f32], values: &[f32], learned: &[usize]) -> f64 {
    let (_, total) = mean_and_deviation(learned.iter().map(|index| returns[*index]));
    let (_, left) = mean_and_deviation(learned.iter().map(|index| returns[*index] - values[*index]));
    1.0 - (left / total.max(1e-9)).powi(2)
}

/// What came of an iteration's climb.
struct Climb {
    entropy: f64,
    divergence: f64,
    clipped_share: f64,
}

struct Learner {
    actor: PolicyNetwork,
    critic: Critic,
    actor_optimizer: ModuleOptimizer,
    critic_optimizer: ModuleOptimizer,
    order_rng: rand_pcg::Pcg64Mcg,
    device: Device,
}

impl Learner {
    fn new(task: &Task<'_>, start: &PolicyWeights, seed: u64, device: &Device) -> Self {
        let adam = || AdamConfig::new().with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)));
        Self {
            actor: PolicyNetwork::from_weights(start, device).with_context(task.means.context),
            critic: Critic::new(&mut generator(seed, STREAM_CRITIC), device),
            actor_optimizer: adam().init(),
            critic_optimizer: adam().init(),
            order_rng: generator(seed, STREAM_ORDER),
            device: device.clone(),
        }
    }

    fn teach_critic(&mut self, batch: &Batch, options: &PpoOptions, stop: &StopFlag) -> Result<(), Stopped> {
        const EPOCHS: usize = 4;
        let mut order = batch.learned.clone();
        for _ in 0..EPOCHS {
            order.shuffle(&mut self.order_rng);
            for decisions in order.chunks(options.batch) {
                stop.check()?;
                self.critic_step(batch, decisions, options);
            }
        }
        Ok(())
    }

    fn climb(&mut self, batch: &Batch, options: &PpoOptions, left: f64, stop: &StopFlag) -> Result<Climb, Stopped> {
        let mut order = batch.learned.clone();
        let mut climb = Climb { entropy: 0.0, divergence: 0.0, clipped_share: 0.0 };
        for _ in 0..options.epochs {
            order.shuffle(&mut self.order_rng);
            let (mut sums, mut steps) = ([0.0; 3], 0.0);
            for decisions in order.chunks(options.batch) {
                stop.check()?;
                for (sum, value) in sums.iter_mut().zip(self.actor_step(batch, decisions, options, left)) {
                    *sum += f64::from(value);
                }
                self.critic_step(batch, decisions, options);
                steps += 1.0;
            }
            let [entropy, divergence, clipped_share] = sums.map(|sum| sum / steps);
            climb = Climb { entropy, divergence, clipped_share };
            if divergence > f64::from(options.kl_max) {
                break;
            }
        }
        Ok(climb)
    }

    /// One step up the clipped objective; entropy, divergence and clipped share before it.
    fn actor_step(&mut self, batch: &Batch, decisions: &[usize], options: &PpoOptions, left: f64) -> [f32; 3] {
        let device = &self.device;
        let seen = batch.decisions.batch(decisions, device);
        let advantage = Batch::column(&batch.advantages, decisions, device);
        let before = Batch::column(&batch.ln_probabilities, decisions, device);

        let scores = self.actor.scores(seen.features, seen.mask.clone());
        // Padding gets a logit so low that no softmax notices it.
        let logits = scores * (-1.0 / options.rollout.temperature) + (seen.mask.clone() - 1.0) * 1e4;
        let ln_all = log_softmax(logits, 1);
        let ln_chosen = (ln_all.clone() * seen.values).sum_dim(1);
        let ln_ratio = ln_chosen - before;
        let ratio = ln_ratio.clone().exp();
        let (low, high) = (1.0 - options.clip, 1.0 + options.clip);
        let surrogate = (ratio.clone() * advantage.clone()).min_pair(ratio.clone().clamp(low, high) * advantage).mean();
        let entropy = -(ln_all.clone().exp() * ln_all * seen.mask).sum_dim(1).mean();
        // Schulman's low-variance estimate of the divergence, (r − 1) − ln r.
        let divergence = (ratio.clone() - 1.0 - ln_ratio).mean();
        let ratios = floats(ratio);
        let clipped = ratios.iter().filter(|ratio| !(low..=high).contains(*ratio)).count() as f32;
        let logged = [floats(entropy.clone())[0], floats(divergence)[0], clipped / ratios.len() as f32];

        let loss = -surrogate - entropy * (f64::from(options.entropy) * left);
        let gradients = GradientsParams::from_grads(loss.backward(), &self.actor);
        self.actor = self.actor_optimizer.step(options.learning_rate * left, self.actor.clone(), gradients);
        logged
    }

    fn critic_step(&mut self, batch: &Batch, decisions: &[usize], options: &PpoOptions) {
        let picked: Vec<&[f32; SUMMARY]> = decisions.iter().map(|index| &batch.summaries[*index]).collect();
        let foreseen = self.critic.values(states(picked.into_iter(), &self.device));
        let returns = Batch::column(&batch.returns, decisions, &self.device).reshape([decisions.len()]);
        let loss = (foreseen - returns).powi_scalar(2).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &self.critic);
        self.critic = self.critic_optimizer.step(options.critic_learning_rate, self.critic.clone(), gradients);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> PpoOptions {
        let rollout = RolloutOptions { scenarios: 1, requests: 1, temperature: 1.0 };
        PpoOptions {
            iterations: 1,
            rollout,
            epochs: 1,
            batch: 1,
            learning_rate: 0.0,
            critic_learning_rate: 0.0,
            clip: 0.2,
            discount: 0.5,
            trace_decay: 1.0,
            entropy: 0.0,
            kl_max: 1.0,
        }
    }

    #[test]
    fn a_truncated_episode_is_worth_what_would_have_come() {
        let rewards = vec![1.0, -1.0, 0.0];
        let values = [0.25, 0.5, 4.0];
        let terminated = Episode { rewards: rewards.clone(), ..Episode::default() };
        let (ended, learned) = advantages(&terminated, &values, &options());
        assert_eq!(learned, 3);
        // Discounted sums of the rewards, less the values.
        assert_eq!(ended, [1.0 - 0.5 - 0.25, -1.0 - 0.5, -4.0]);
        let truncated = Episode { rewards, truncated: true, ..Episode::default() };
        let (cut, learned) = advantages(&truncated, &values, &options());
        assert_eq!(learned, 2);
        assert_eq!(cut[..2], [1.0 - 0.5 + 0.25 * 4.0 - 0.25, -1.0 + 0.5 * 4.0 - 0.5]);
    }
}
