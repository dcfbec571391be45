//! The policy's training: imitation round by round, then fine-tuning, with a checkpoint
//! after each.

use anyhow::{Context, Result};
use burn::prelude::Device;
use clap::ValueEnum;
use evenkeel_datasets::random::generator;
use evenkeel_env::metrics::{Metrics, estimate};
use serde::{Deserialize, Serialize};

use super::collect::{CollectOptions, collect};
use super::dagger::{FitOptions, fit_round};
use super::es::{self, EsOptions};
use super::judge::{Judge, JudgeOptions, Verdict};
use super::network::{PolicyNetwork, PolicyWeights};
use super::objective::RewardWeights;
use super::ppo::{self, PpoOptions};
use super::rollout::RolloutOptions;
use super::samples::Samples;
use super::task::Task;
use crate::metrics::{CurvePoint, Estimate, FineTunePoint, PolicyStage};
use crate::progress::Stage;
use crate::stop::StopFlag;

/// What follows imitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FineTune {
    /// Nothing: imitation alone.
    None,
    /// Multi-agent PPO with a centralised critic.
    Ppo,
    /// Evolution strategies.
    Es,
}

/// How long to train, and for what.
#[derive(Clone, Copy, Debug)]
pub struct PolicyOptions {
    /// Collecting, in each round of imitation.
    pub collect: CollectOptions,
    /// Fitting, in each round of imitation.
    pub fit: FitOptions,
    /// What follows imitation.
    pub fine_tune: FineTune,
    /// PPO.
    pub ppo: PpoOptions,
    /// Evolution strategies.
    pub es: EsOptions,
    /// What to fine-tune for.
    pub reward: RewardWeights,
    /// How to judge on the validation split.
    pub judge: JudgeOptions,
    /// Iterations of fine-tuning between two verdicts.
    pub judge_every: usize,
}

impl PolicyOptions {
    /// A model to deploy: about 36,000 labelled decisions.
    pub const FULL: Self = Self {
        collect: CollectOptions {
            scenarios: 36,
            requests: 3000,
            labels: 200,
            random_share: 0.03,
            ttft_weight: 2.0,
            horizon: 0.3,
            guesses: 2,
        },
        fit: FitOptions { rounds: 5, epochs: 3, batch: 128, learning_rate: 3e-3 },
        fine_tune: FineTune::Es,
        ppo: PpoOptions {
            iterations: 9,
            rollout: RolloutOptions { scenarios: 16, requests: 2000, temperature: 0.05 },
            epochs: 3,
            batch: 256,
            learning_rate: 1e-3,
            critic_learning_rate: 2e-3,
            clip: 0.2,
            discount: 0.9,
            trace_decay: 0.9,
            entropy: 1e-3,
            kl_max: 0.03,
        },
        es: EsOptions { generations: 48, pairs: 10, sigma: 0.03, learning_rate: 0.01, scenarios: 6, requests: 2500 },
        reward: RewardWeights::DEFAULT,
        judge: JudgeOptions { standard: 4, random: 16, requests: 3000 },
        judge_every: 4,
    };
    /// To make a general model a special one: a little of everything, from where it stands.
    pub const SPECIALISE: Self = Self {
        collect: CollectOptions { scenarios: 16, requests: 2000, ..Self::FULL.collect },
        fit: FitOptions { rounds: 2, learning_rate: 1e-3, ..Self::FULL.fit },
        ppo: PpoOptions { iterations: 4, ..Self::FULL.ppo },
        es: EsOptions { generations: 16, requests: 1500, ..Self::FULL.es },
        judge: JudgeOptions { standard: 4, random: 16, requests: 2000 },
        ..Self::FULL
    };
    /// A first look.
    pub const QUICK: Self = Self {
        collect: CollectOptions { scenarios: 8, requests: 1500, labels: 150, ..Self::FULL.collect },
        fit: FitOptions { rounds: 2, batch: 64, ..Self::FULL.fit },
        ppo: PpoOptions {
            iterations: 2,
            rollout: RolloutOptions { scenarios: 4, requests: 1000, ..Self::FULL.ppo.rollout },
            ..Self::FULL.ppo
        },
        es: EsOptions { generations: 2, pairs: 4, scenarios: 2, requests: 1000, ..Self::FULL.es },
        judge: JudgeOptions { standard: 1, random: 4, requests: 1500 },
        judge_every: 2,
        ..Self::FULL
    };
}

/// Where the training stands after a round of imitation.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Checkpoint {
    rounds_done: usize,
    weights: PolicyWeights,
    curve: Vec<CurvePoint>,
    /// Once fine-tuning is over.
    fine_tuned: Option<FineTuned>,
}

/// What came of fine-tuning.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FineTuned {
    /// The network's numbers.
    pub weights: PolicyWeights,
    /// Iteration by iteration.
    pub points: Vec<FineTunePoint>,
    /// What each stage of the training added.
    pub stages: Vec<PolicyStage>,
}

/// The trained policy and how it got there.
#[derive(Clone, Debug)]
pub struct TrainedPolicy {
    /// Loss over all rounds of imitation.
    pub curve: Vec<CurvePoint>,
    /// The policy.
    pub fine_tuned: FineTuned,
}

/// Weights against herding that are tried.
const HERDING_WEIGHTS: [f32; 4] = [0.0, 0.25, 0.5, 1.0];

/// Share of the decisions in training whose fleets are outliers, at either end.
const OUTLIERS: f64 = 2e-3;

const CHECKPOINT: &str = "policy.json";

/// Streams of the run's generator, so that the stages draw independently.
const STREAM_WEIGHTS: u64 = 1;
/// What the seed of the validation decisions differs by from the run's.
const SEED_HELD_OUT: u64 = 0x5EED;
/// The same for the settings that policies are judged in.
const SEED_JUDGE: u64 = 0x1D6E;
/// The same for fine-tuning.
const SEED_FINE_TUNE: u64 = 0xF17E;

/// Trains the policy, going on from the run's last checkpoint if it has one, else from
/// `start`, else from nothing.
///
/// # Errors
/// [`crate::stop::Stopped`] once the user asks to stop; the last checkpoint is kept.
pub fn train(
    task: &Task<'_>,
    options: &PolicyOptions,
    start: Option<&PolicyWeights>,
    seed: u64,
    device: &Device,
    stop: &StopFlag,
    stage: &Stage<'_>,
) -> Result<TrainedPolicy> {
    let mut state = task.folder.load::<Checkpoint>(CHECKPOINT)?.unwrap_or_else(|| {
        let weights = start.map_or_else(|| fresh(task, seed, device), |start| start.clone().unbound());
        Checkpoint { rounds_done: 0, weights, curve: Vec::new(), fine_tuned: None }
    });
    if state.rounds_done < options.fit.rounds {
        imitate(task, &mut state, options, seed, device, stop, stage)?;
    }
    let fine_tuned = if let Some(done) = state.fine_tuned.take() {
        done
    } else {
        let done = fine_tune(task, start, &state.weights, options, seed, device, stop, stage)?;
        state.fine_tuned = Some(done.clone());
        task.folder.save(CHECKPOINT, &state)?;
        done
    };
    Ok(TrainedPolicy { curve: state.curve, fine_tuned })
}

/// A network that has learned nothing: nearly the analytic rule.
fn fresh(task: &Task<'_>, seed: u64, device: &Device) -> PolicyWeights {
    PolicyNetwork::new(&mut generator(seed, STREAM_WEIGHTS), device).with_context(task.means.context).weights()
}

fn imitate(
    task: &Task<'_>,
    state: &mut Checkpoint,
    options: &PolicyOptions,
    seed: u64,
    device: &Device,
    stop: &StopFlag,
    stage: &Stage<'_>,
) -> Result<()> {
    let mut samples = Samples::default();
    for round in 0..state.rounds_done {
        let path = task.folder.checkpoint(&samples_file(round));
        samples.append(&Samples::load(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    // Held out in time, and labelled under the untrained policy: the same for each round.
    let held_out = {
        let options = CollectOptions { scenarios: options.collect.scenarios.div_ceil(4), ..options.collect };
        let artifact = task.compile(&fresh(task, seed, device), "policy")?;
        stage.note("labelling validation decisions");
        collect(task, task.validation, &artifact, &options, seed ^ SEED_HELD_OUT, stop, &|| {})?
    };
    let steps_per_round = options.collect.scenarios;
    stage.set_steps(options.fit.rounds * 2 * steps_per_round);
    for round in state.rounds_done..options.fit.rounds {
        let base = round * 2 * steps_per_round;
        let artifact = task.compile(&state.weights, "policy")?;
        let done = std::sync::atomic::AtomicUsize::new(0);
        let on_scenario = || stage.at(base + 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let round_seed = seed.wrapping_mul(1000).wrapping_add(round as u64 * 100_003);
        let collected = collect(task, task.training, &artifact, &options.collect, round_seed, stop, &on_scenario)?;
        let path = task.folder.checkpoint(&samples_file(round));
        collected.save(&path).with_context(|| format!("cannot write {}", path.display()))?;
        samples.append(&collected);
        let before = state.curve.last().map_or(0, |point| point.step);
        let start = PolicyNetwork::from_weights(&state.weights, &device.clone().autodiff());
        let start = start.with_context(task.means.context);
        let (weights, points) =
            fit_round(start, &samples, &held_out, round, &options.fit, seed, device, stop, &mut |progress| {
                stage.at(base + steps_per_round + steps_per_round * progress.step / progress.steps);
                stage.loss(progress.loss);
            })?;
        state.weights = PolicyWeights { ranges: samples.ranges(OUTLIERS), ..weights };
        state.curve.extend(points.into_iter().map(|point| CurvePoint { step: before + point.step, ..point }));
        state.rounds_done = round + 1;
        task.folder.save(CHECKPOINT, state)?;
    }
    Ok(())
}

/// Fine-tunes, and keeps the weights that did best on the validation split: those of
/// imitation, or those at the `start` of all, if nothing did better.
#[expect(clippy::too_many_arguments, reason = "the inputs of the stage, each on its own")]
fn fine_tune(
    task: &Task<'_>,
    start: Option<&PolicyWeights>,
    imitated: &PolicyWeights,
    options: &PolicyOptions,
    seed: u64,
    device: &Device,
    stop: &StopFlag,
    stage: &Stage<'_>,
) -> Result<FineTuned> {
    let judge = Judge::new(task, options.reward, options.judge, seed ^ SEED_JUDGE, stop)?;
    let rule = judge.rule();
    // What is fine-tuned and judged is what will be served: bound.
    let imitated = &imitated.clone().served();
    let judged = |weights: &PolicyWeights| judge.artifact(&task.compile(&weights.clone().served(), "policy")?, stop);
    let imitation = judged(imitated)?;
    let mut stages = Vec::new();
    let mut best = (imitated.clone(), imitation.clone());
    if let Some(start) = start {
        let verdict = judged(start)?;
        stages.push(summarise("start", &verdict, &rule));
        if verdict.objective() < best.1.objective() {
            best = (start.clone(), verdict);
        }
    }
    stages.push(summarise("imitation", &imitation, &rule));
    let mut points = Vec::new();
    let iterations = match options.fine_tune {
        FineTune::None => 0,
        FineTune::Ppo => options.ppo.iterations,
        FineTune::Es => options.es.generations,
    };
    stage.set_steps(iterations);
    let mut on_iteration = |mut point: FineTunePoint, weights: &PolicyWeights| {
        stage.at(point.iteration);
        if point.iteration.is_multiple_of(options.judge_every) || point.iteration == iterations {
            let verdict = judged(weights)?;
            let gain = verdict.gain_over(&imitation).value;
            point.validation_gain = Some(gain);
            stage.note(format!("{:+.1} % better than imitation", 100.0 * gain));
            if verdict.objective() < best.1.objective() {
                best = (weights.clone(), verdict);
            }
        }
        points.push(point);
        Ok(())
    };
    let seed = seed ^ SEED_FINE_TUNE;
    match options.fine_tune {
        FineTune::None => {}
        FineTune::Ppo => {
            ppo::fine_tune(task, imitated, &options.ppo, &options.reward, seed, device, stop, &mut on_iteration)?;
        }
        FineTune::Es => {
            es::fine_tune(task, imitated, &options.es, &options.reward, seed, stop, &mut on_iteration)?;
        }
    }
    let mut weights = best.0.served();
    // Fine-tuning goes on where imitation ended, in settings of the same kind.
    if weights.ranges.is_empty() {
        weights.ranges.clone_from(&imitated.ranges);
    }
    let verdict = judged(&weights)?;
    match options.fine_tune {
        FineTune::None => {}
        FineTune::Ppo => stages.push(summarise("ppo", &verdict, &rule)),
        FineTune::Es => stages.push(summarise("es", &verdict, &rule)),
    }
    stage.note("choosing the weight against herding");
    let weights = choose_herding_weight(task, &weights, &judge, options, seed, stop)?;
    Ok(FineTuned { weights, points, stages })
}

/// Tries weights against herding where balancers would herd and where they would not, and
/// keeps the best.
fn choose_herding_weight(
    task: &Task<'_>,
    weights: &PolicyWeights,
    judge: &Judge<'_>,
    options: &PolicyOptions,
    seed: u64,
    stop: &StopFlag,
) -> Result<PolicyWeights> {
    let crowded = Judge::crowded(task, options.reward, options.judge, seed, stop)?;
    let mut best = (f64::INFINITY, weights.clone());
    for herding_weight in HERDING_WEIGHTS {
        let candidate = PolicyWeights { herding_weight, ..weights.clone() };
        let artifact = task.compile(&candidate, "policy")?;
        let objective = judge.artifact(&artifact, stop)?.objective() + crowded.artifact(&artifact, stop)?.objective();
        if objective < best.0 {
            best = (objective, candidate);
        }
    }
    Ok(best.1)
}

/// A verdict beside that on the analytic rule.
fn summarise(stage: &str, verdict: &Verdict, rule: &Verdict) -> PolicyStage {
    let ratio = |figure: fn(&Metrics) -> f64| {
        let pairs = verdict.metrics.iter().zip(&rule.metrics);
        let logarithms: Vec<f64> = pairs.map(|(ours, theirs)| (figure(ours) / figure(theirs)).ln()).collect();
        let mean = estimate(&logarithms);
        Estimate { value: mean.value.exp(), ci95: [mean.low.exp(), mean.high.exp()] }
    };
    PolicyStage {
        stage: stage.to_owned(),
        gain: verdict.gain_over(rule),
        latency_mean_ratio: ratio(|metrics| metrics.latency_mean_s),
        latency_p99_ratio: ratio(|metrics| metrics.latency_p99_s),
        ttft_mean_ratio: ratio(|metrics| metrics.ttft_mean_s),
        ttft_p99_ratio: ratio(|metrics| metrics.ttft_p99_s),
    }
}

fn samples_file(round: usize) -> String {
    format!("decisions-{round}.bin")
}
