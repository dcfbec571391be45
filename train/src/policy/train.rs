//! The policy's training, round by round, with a checkpoint after each.

use anyhow::{Context, Result};
use burn::prelude::Device;
use evenkeel_datasets::random::generator;
use evenkeel_env::Workload;
use evenkeel_env::host::ServiceOptions;
use evenkeel_export::compile;
use evenkeel_runtime::ServiceModel;
use serde::{Deserialize, Serialize};

use super::collect::{CollectOptions, collect};
use super::dagger::{FitOptions, fit_round};
use super::export;
use super::network::{PolicyNetwork, PolicyWeights};
use super::samples::Samples;
use crate::metrics::CurvePoint;
use crate::output::RunFolder;
use crate::progress::Stage;
use crate::stop::StopFlag;

/// How long to train.
#[derive(Clone, Copy, Debug)]
pub struct PolicyOptions {
    /// Collecting, in each round.
    pub collect: CollectOptions,
    /// Fitting, in each round.
    pub fit: FitOptions,
}

impl PolicyOptions {
    /// A model to deploy: about 36,000 labelled decisions.
    pub const FULL: Self = Self {
        collect: CollectOptions { scenarios: 36, requests: 3000, labels: 200, random_share: 0.03, ttft_weight: 4.0 },
        fit: FitOptions { rounds: 5, epochs: 3, batch: 128, learning_rate: 3e-3 },
    };
    /// A first look.
    pub const QUICK: Self = Self {
        collect: CollectOptions { scenarios: 8, requests: 1500, labels: 150, random_share: 0.03, ttft_weight: 4.0 },
        fit: FitOptions { rounds: 2, epochs: 3, batch: 64, learning_rate: 3e-3 },
    };
}

/// Where the training stands after a round.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Checkpoint {
    rounds_done: usize,
    weights: PolicyWeights,
    curve: Vec<CurvePoint>,
}

/// The trained policy and how it got there.
#[derive(Clone, Debug)]
pub struct TrainedPolicy {
    /// The network's numbers.
    pub weights: PolicyWeights,
    /// Loss over all rounds.
    pub curve: Vec<CurvePoint>,
}

const CHECKPOINT: &str = "policy.json";

/// Streams of the run's generator, so that the stages draw independently.
const STREAM_WEIGHTS: u64 = 1;

/// Trains the policy, going on from the run's last checkpoint if it has one.
///
/// # Errors
/// [`crate::stop::Stopped`] once the user asks to stop; the last checkpoint is kept.
#[expect(clippy::too_many_arguments, reason = "the inputs of the stage, each on its own")]
pub fn train(
    folder: &RunFolder,
    training: &[Workload],
    validation: &[Workload],
    service_options: ServiceOptions,
    service: &ServiceModel,
    options: &PolicyOptions,
    seed: u64,
    device: &Device,
    stop: &StopFlag,
    stage: &Stage<'_>,
) -> Result<TrainedPolicy> {
    let mut state = match folder.load::<Checkpoint>(CHECKPOINT)? {
        Some(checkpoint) => checkpoint,
        None => Checkpoint {
            rounds_done: 0,
            weights: PolicyNetwork::new(&mut generator(seed, STREAM_WEIGHTS), device).weights(),
            curve: Vec::new(),
        },
    };
    let mut samples = Samples::default();
    for round in 0..state.rounds_done {
        let path = folder.checkpoint(&samples_file(round));
        samples.append(&Samples::load(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    // Held out in time, and labelled under the untrained policy: the same for each round.
    let held_out = {
        let fresh = PolicyNetwork::new(&mut generator(seed, STREAM_WEIGHTS), device).weights();
        let options = CollectOptions { scenarios: options.collect.scenarios.div_ceil(4), ..options.collect };
        let artifact = compile_weights(folder, &fresh, service)?;
        stage.note("labelling validation decisions");
        collect(validation, service_options, &artifact, &options, seed ^ 0x5EED, stop, &|| {})?
    };
    let steps_per_round = options.collect.scenarios;
    stage.set_steps(options.fit.rounds * 2 * steps_per_round);
    for round in state.rounds_done..options.fit.rounds {
        let base = round * 2 * steps_per_round;
        let artifact = compile_weights(folder, &state.weights, service)?;
        let done = std::sync::atomic::AtomicUsize::new(0);
        let on_scenario = || stage.at(base + 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let round_seed = seed.wrapping_mul(1000).wrapping_add(round as u64 * 100_003);
        let collected =
            collect(training, service_options, &artifact, &options.collect, round_seed, stop, &on_scenario)?;
        let path = folder.checkpoint(&samples_file(round));
        collected.save(&path).with_context(|| format!("cannot write {}", path.display()))?;
        samples.append(&collected);
        let before = state.curve.last().map_or(0, |point| point.step);
        let (weights, points) =
            fit_round(&state.weights, &samples, &held_out, round, &options.fit, seed, device, stop, &mut |progress| {
                stage.at(base + steps_per_round + steps_per_round * progress.step / progress.steps);
                stage.loss(progress.loss);
            })?;
        state.weights = weights;
        state.curve.extend(points.into_iter().map(|point| CurvePoint { step: before + point.step, ..point }));
        state.rounds_done = round + 1;
        folder.save(CHECKPOINT, &state)?;
    }
    Ok(TrainedPolicy { weights: state.weights, curve: state.curve })
}

fn samples_file(round: usize) -> String {
    format!("decisions-{round}.bin")
}

/// The policy as it will be served: by way of ONNX, so that training rollouts run the same
/// code as production.
fn compile_weights(folder: &RunFolder, weights: &PolicyWeights, service: &ServiceModel) -> Result<Vec<u8>> {
    let path = folder.checkpoint("policy.onnx");
    export::onnx(weights, &[])?.write(&path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(compile(Some(&path), None, service, "{}")?)
}
