//! The fit: pinball loss over nine quantiles, `AdamW`, cosine decay, the best of validation.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use burn::optim::{AdamWConfig, GradientsParams};
use burn::prelude::{Device, Tensor};
use burn::tensor::TensorData;
use evenkeel_runtime::forecast::{FORECAST_FEATURES, HORIZONS, QUANTILE_COUNT, QUANTILES};
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;

use super::dataset::Windows;
use super::network::{ForecastNetwork, ForecastWeights};
use crate::layers::floats;
use crate::metrics::CurvePoint;
use crate::stop::Stopped;

/// How long and how fast to train.
#[derive(Clone, Copy, Debug)]
pub struct FitOptions {
    /// Optimiser steps.
    pub steps: usize,
    /// Rows (one horizon of one window each) in a batch.
    pub batch: usize,
    /// `AdamW`'s step size at the start; it decays to 0 along a cosine.
    pub learning_rate: f64,
    /// How many times the validation loss is computed.
    pub checks: usize,
    /// Training ends after this many checks without a better one.
    pub patience: usize,
}

/// What the fit reports as it goes.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Optimiser steps so far.
    pub step: usize,
    /// Optimiser steps in all.
    pub steps: usize,
    /// Loss, averaged over the last steps.
    pub loss: f64,
}

/// A trained network.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// The weights that were best on validation data.
    pub weights: ForecastWeights,
    /// Loss over the steps.
    pub curve: Vec<CurvePoint>,
}

/// Rows to learn from; missing targets are left out.
#[derive(Clone, Debug, Default)]
pub struct Data {
    /// `[rows][FORECAST_FEATURES]`.
    features: Vec<f32>,
    /// What came, less level × shape, in scaled units.
    residuals: Vec<f32>,
    /// How much a row counts.
    weights: Vec<f32>,
}

/// `AdamW`'s decoupled weight decay (Loshchilov and Hutter, ICLR 2019). Series are short and
/// overlap with themselves: of 0.1, 1, 3 and 10 this gave the least validation loss.
const WEIGHT_DECAY: f32 = 3.0;

/// What is kept is a moving average of the weights (Polyak and Juditsky, 1992), which costs
/// nothing to run and gains as much as an ensemble of two: every so many steps they move
/// towards the present ones by so much.
const AVERAGE_EVERY: usize = 10;
const AVERAGE_RATE: f32 = 0.1;

/// A series repeats itself at least this badly, as a share of its scale, and counts at most
/// this much.
const NAIVE_ERROR_MIN: f32 = 1e-3;
const WEIGHT_MAX: f32 = 20.0;

/// Residuals are clipped to this, in scaled units: a window after an outage.
const RESIDUAL_MAX: f32 = 20.0;

impl Data {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.residuals.len()
    }

    /// Adds the windows of a series. What is minimised is the sum over series of the
    /// quantile loss over that of seasonal naive: a row counts in proportion to its scale,
    /// and the less, the less regular its series is.
    pub fn append(&mut self, windows: &Windows) {
        let naive_error = naive_error(windows);
        for (window, (frame, actual)) in windows.frames.iter().zip(&windows.actual).enumerate() {
            for (horizon, (bases, actual)) in frame.bases.iter().zip(actual).enumerate() {
                if actual.is_nan() {
                    continue;
                }
                let residual = actual / frame.scale - bases.level_shape;
                self.features.extend(windows.row(window * HORIZONS + horizon));
                self.residuals.push(residual.clamp(-RESIDUAL_MAX, RESIDUAL_MAX));
                self.weights.push((frame.scale / naive_error.max(NAIVE_ERROR_MIN * frame.scale)).min(WEIGHT_MAX));
            }
        }
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Batch {
        let features = rows.iter().flat_map(|row| &self.features[row * FORECAST_FEATURES..][..FORECAST_FEATURES]);
        let column = |values: &[f32]| {
            let values = rows.iter().map(|row| values[*row]).collect();
            Tensor::from_data(TensorData::new(values, [rows.len(), 1]), device)
        };
        let features = TensorData::new(features.copied().collect(), [rows.len(), FORECAST_FEATURES]);
        Batch {
            features: Tensor::from_data(features, device),
            residuals: column(&self.residuals),
            weights: column(&self.weights),
        }
    }
}

/// Mean absolute error of seasonal naive, in the unit of the series.
fn naive_error(windows: &Windows) -> f32 {
    let (mut sum, mut count) = (0.0, 0.0);
    for (frame, actual) in windows.frames.iter().zip(&windows.actual) {
        let errors = frame.bases.iter().zip(actual).map(|(bases, actual)| bases.seasonal_naive * frame.scale - actual);
        for error in errors.filter(|error| !error.is_nan()) {
            sum += f64::from(error.abs());
            count += 1.0;
        }
    }
    (sum / f64::max(count, 1.0)) as f32
}

struct Batch {
    features: Tensor<2>,
    residuals: Tensor<2>,
    weights: Tensor<2>,
}

/// Trains a fresh network drawn from `rng`. Repeats bit for bit on the CPU.
///
/// # Errors
/// [`Stopped`] once `stop` is set.
pub fn fit(
    training: &Data,
    validation: &Data,
    options: &FitOptions,
    rng: &mut Pcg64Mcg,
    device: &Device,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Fitted, Stopped> {
    /// Steps between two reports.
    const REPORT_EVERY: usize = 20;
    let gradient_device = device.clone().autodiff();
    let mut network = ForecastNetwork::new(rng, &gradient_device);
    let mut optimizer = AdamWConfig::new().with_weight_decay(WEIGHT_DECAY).init();
    let mut average = network.weights();
    let mut best = (f64::INFINITY, average.clone());
    let (mut curve, mut checks_since_best) = (Vec::new(), 0);
    let (mut report, mut check) = (Mean::default(), Mean::default());
    let check_every = options.steps.div_ceil(options.checks.max(1)).max(1);
    let mut order: Vec<usize> = (0..training.rows()).collect();
    let mut next = order.len();
    for step in 1..=options.steps {
        if stop.load(Relaxed) {
            return Err(Stopped);
        }
        if next + options.batch > order.len() {
            order.shuffle(rng);
            next = 0;
        }
        let rows = &order[next..(next + options.batch).min(order.len())];
        next += options.batch;
        let loss = loss(&network, &training.batch(rows, &gradient_device));
        let value = f64::from(floats(loss.clone())[0]);
        report.add(value);
        check.add(value);
        let done = step as f64 / options.steps as f64;
        let rate = options.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(rate, network, gradients);
        if step % AVERAGE_EVERY == 0 {
            // At first the average is that of all so far.
            let rate = AVERAGE_RATE.max(1.0 / (1 + step / AVERAGE_EVERY) as f32);
            average.move_towards(&network.weights(), rate);
        }
        if step % REPORT_EVERY == 0 || step == options.steps {
            progress(Progress { step, steps: options.steps, loss: report.take() });
        }
        if step % check_every == 0 || step == options.steps {
            let weights = average.clone();
            let train = check.take();
            // Without validation data the last weights are the best.
            let validation = (validation.rows() > 0).then(|| evaluate(&weights, validation, device));
            curve.push(CurvePoint { step, train, validation });
            checks_since_best += 1;
            if validation.is_none_or(|loss| loss < best.0) {
                best = (validation.unwrap_or(f64::INFINITY), weights);
                checks_since_best = 0;
            }
            if checks_since_best >= options.patience {
                break;
            }
        }
    }
    Ok(Fitted { weights: best.1, curve })
}

/// Mean loss over all rows.
pub fn evaluate(weights: &ForecastWeights, data: &Data, device: &Device) -> f64 {
    const ROWS: usize = 8192;
    let network = ForecastNetwork::from_weights(weights, device);
    let rows: Vec<usize> = (0..data.rows()).collect();
    let (mut total, mut weight) = (0.0, 0.0);
    for rows in rows.chunks(ROWS) {
        let batch = data.batch(rows, device);
        let batch_weight = f64::from(floats(batch.weights.clone().sum())[0]);
        total += f64::from(floats(loss(&network, &batch))[0]) * batch_weight;
        weight += batch_weight;
    }
    total / weight.max(f64::MIN_POSITIVE)
}

/// Twice the pinball loss (Koenker and Bassett, 1978), averaged over quantiles and, by
/// weight, over rows: for a single forecast it would be the absolute error.
fn loss(network: &ForecastNetwork, batch: &Batch) -> Tensor<1> {
    let device = batch.features.device();
    let quantiles = Tensor::<2>::from_data(TensorData::new(QUANTILES.to_vec(), [1, QUANTILE_COUNT]), &device);
    let error = batch.residuals.clone() - network.forward(batch.features.clone());
    let pinball = (quantiles.clone() * error.clone()).max_pair((quantiles - 1.0) * error);
    (pinball * batch.weights.clone()).sum() * (2.0 / QUANTILE_COUNT as f32) / batch.weights.clone().sum()
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn take(&mut self) -> f64 {
        let Self { sum, count } = std::mem::take(self);
        sum / count.max(1) as f64
    }
}
