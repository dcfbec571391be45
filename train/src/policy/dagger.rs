//! DAgger (Ross, Gordon and Bagnell, AISTATS 2011) on the oracle's marginal cost.
//!
//! Each round the policy of the round before balances random fleets; at some of its
//! decisions the oracle, which sees the simulator's true state, says what each host would
//! have cost. The network is then trained on the decisions of all rounds. What is imitated
//! is not the oracle's choice but its whole ranking: cross-entropy between
//! `softmax(−4·score)` and `softmax(−4·ln cost)`, plus 0.3 × the squared difference of the
//! centred scores and costs, clipped.

use burn::optim::{AdamConfig, GradientsParams};
use burn::prelude::{Device, Tensor};
use burn::tensor::activation::{log_softmax, softmax};
use evenkeel_datasets::random::generator;
use rand::seq::SliceRandom;

use super::network::{PolicyNetwork, PolicyWeights};
use super::samples::{Batch, Samples};
use crate::layers::floats;
use crate::metrics::CurvePoint;
use crate::stop::{StopFlag, Stopped};

/// Sharpness of both softmaxes.
const SHARPNESS: f32 = 4.0;
/// Weight of the regression beside the cross-entropy.
const REGRESSION_WEIGHT: f32 = 0.3;
/// Differences beyond this (in ln cost) are not regressed further.
const REGRESSION_CLIP: f32 = 2.0;

/// How long and how fast to train in each round.
#[derive(Clone, Copy, Debug)]
pub struct FitOptions {
    /// Rounds of DAgger.
    pub rounds: usize,
    /// Passes over all decisions in each round.
    pub epochs: usize,
    /// Decisions in a batch.
    pub batch: usize,
    /// Adam's step size at the start; it decays to 0 along a cosine over all rounds.
    pub learning_rate: f64,
}

/// What the fit reports as it goes.
#[derive(Clone, Copy, Debug)]
pub struct FitProgress {
    /// Optimiser steps so far in this round.
    pub step: usize,
    /// Optimiser steps of this round.
    pub steps: usize,
    /// Loss, averaged over the last steps.
    pub loss: f64,
}

/// Trains the network of one round, which is on an autodiff device, on all decisions so
/// far. `round` counts from 0.
///
/// Adam starts afresh each round, so that a run resumed at a round's beginning goes on
/// exactly as one that was never stopped.
#[expect(clippy::too_many_arguments, reason = "the inputs of a round, each on its own")]
pub fn fit_round(
    start: PolicyNetwork,
    samples: &Samples,
    held_out: &Samples,
    round: usize,
    options: &FitOptions,
    seed: u64,
    device: &Device,
    stop: &StopFlag,
    progress: &mut dyn FnMut(FitProgress),
) -> Result<(PolicyWeights, Vec<CurvePoint>), Stopped> {
    /// Steps between two points of the curve.
    const POINT_EVERY: usize = 50;
    let device = device.clone().autodiff();
    let mut network = start;
    let mut optimizer = AdamConfig::new().init();
    let mut rng = generator(seed, round as u64);
    let mut order: Vec<usize> = (0..samples.len()).collect();
    let steps = options.epochs * samples.len().div_ceil(options.batch);
    let (mut step, mut window, mut points) = (0, Vec::with_capacity(POINT_EVERY), Vec::new());
    for _ in 0..options.epochs {
        order.shuffle(&mut rng);
        for decisions in order.chunks(options.batch) {
            stop.check()?;
            let done = (round as f64 + step as f64 / steps as f64) / options.rounds as f64;
            let rate = options.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
            let loss = loss(&network, &samples.batch(decisions, &device));
            window.push(f64::from(floats(loss.clone())[0]));
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(rate, network, gradients);
            step += 1;
            if window.len() == POINT_EVERY || step == steps {
                let train = window.iter().sum::<f64>() / window.len() as f64;
                window.clear();
                points.push(CurvePoint { step, train, validation: None });
                progress(FitProgress { step, steps, loss: train });
            }
        }
    }
    let weights = network.weights();
    if let Some(last) = points.last_mut()
        && !held_out.is_empty()
    {
        last.validation = Some(evaluate(&weights, held_out, &device.without_autodiff()));
    }
    Ok((weights, points))
}

/// Mean loss on labelled decisions.
pub fn evaluate(weights: &PolicyWeights, samples: &Samples, device: &Device) -> f64 {
    let network = PolicyNetwork::from_weights(weights, device);
    let decisions: Vec<usize> = (0..samples.len()).collect();
    let total: f64 = decisions
        .chunks(512)
        .map(|chunk| f64::from(floats(loss(&network, &samples.batch(chunk, device)))[0]) * chunk.len() as f64)
        .sum();
    total / samples.len().max(1) as f64
}

fn loss(network: &PolicyNetwork, batch: &Batch) -> Tensor<1> {
    let scores = network.scores(batch.features.clone(), batch.mask.clone());
    // Padding gets a logit so low that no softmax notices it.
    let hidden = (batch.mask.clone() - 1.0) * 1e4;
    let target = softmax(batch.values.clone() * -SHARPNESS + hidden.clone(), 1);
    let predicted = log_softmax(scores.clone() * -SHARPNESS + hidden, 1);
    let cross_entropy = -(target * predicted * batch.mask.clone()).sum_dim(1).mean();

    let count = batch.mask.clone().sum_dim(1);
    let centred = |values: Tensor<2>| {
        let mean = (values.clone() * batch.mask.clone()).sum_dim(1) / count.clone();
        (values - mean) * batch.mask.clone()
    };
    let difference = (centred(scores) - centred(batch.values.clone())).clamp(-REGRESSION_CLIP, REGRESSION_CLIP);
    let regression = (difference.powi_scalar(2).sum_dim(1) / count).mean();
    cross_entropy + regression * REGRESSION_WEIGHT
}
