//! The guarded residual scorer.
//!
//! ```text
//! context  = mean of x over the hosts                      (the graph convolution's state)
//! h1       = clip(x · W_host + context · W_context + b1)   24 → 16
//! h2       = clip(h1 · W2 + b2)                            16 → 8
//! residual = h2 · W3 + b3                                  8 → 1
//! score    = w · ln(EXT) + c · tanh(residual / c)
//! ```
//!
//! `clip` to ±1, the hyperbolic tangent's straight middle: it learns as well, and costs two
//! instructions where the tangent takes half of a decision.
//!
//! The host graph is complete within an upstream, so one round of mean-aggregated
//! messages (Kipf and Welling's graph convolution with the mean as its normalisation) is
//! the mean over all hosts. The bound `c` keeps the score within `c` of the weighted
//! analytic estimate whatever the weights are. While the network learns it is wide; a policy that
//! is to be served gets one of [`SERVED_BOUND`]` · w`, so that what the score says of a host stays
//! within a factor of `e²` of the estimate.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::prelude::{Device, Tensor};
use burn::tensor::TensorData;
use burn::tensor::activation::tanh;
use evenkeel_runtime::{Guard, HOST_FEATURES};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use crate::layers::{Weights, floats, linear_from, seeded_linear, weights_of};

/// Width of the first hidden layer.
pub const HIDDEN_1: usize = 16;
/// Width of the second hidden layer.
pub const HIDDEN_2: usize = 8;
/// The residual's bound `c` while the network learns.
pub const BOUND: f32 = 2.5;
/// The bound of a served policy, in units of its weighted estimate: a factor of e² ≈ 7 on the
/// estimate, either way.
pub const SERVED_BOUND: f32 = 2.0;

/// The network on a device.
#[derive(Module, Debug)]
pub struct PolicyNetwork {
    host: Linear,
    context: Linear,
    second: Linear,
    output: Linear,
    /// Weight `w` of the estimate.
    estimate_weight: Param<Tensor<1>>,
    /// The residual's bound `c`.
    bound: f32,
}

/// The network's numbers: what checkpoints and the ONNX export hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyWeights {
    /// `W_host` and `b1`.
    pub host: Weights,
    /// `W_context`; its bias is added to `b1`.
    pub context: Weights,
    /// `W2` and `b2`.
    pub second: Weights,
    /// `W3` and `b3`.
    pub output: Weights,
    /// `w`.
    pub estimate_weight: f32,
    /// The residual's bound `c`.
    #[serde(default = "wide")]
    pub bound: f32,
    /// Weight against herding (see [`evenkeel_runtime::herding`]): not a part of the
    /// network, but trained with it.
    #[serde(default)]
    pub herding_weight: f32,
    /// Of each feature, the least and the most that training saw, outliers aside: outside of them
    /// the network is not trusted (see [`Guard`]). Empty before it is known.
    #[serde(default)]
    pub ranges: Vec<[f32; 2]>,
}

fn wide() -> f32 {
    BOUND
}

impl PolicyNetwork {
    /// A fresh network which scores almost as the estimate does.
    pub fn new(rng: &mut Pcg64Mcg, device: &Device) -> Self {
        Self {
            host: seeded_linear(HOST_FEATURES, HIDDEN_1, 1.0, rng, device),
            context: seeded_linear(HOST_FEATURES, HIDDEN_1, 0.5, rng, device),
            second: seeded_linear(HIDDEN_1, HIDDEN_2, 1.0, rng, device),
            output: seeded_linear(HIDDEN_2, 1, 0.1, rng, device),
            estimate_weight: Param::from_data(TensorData::new(vec![1.0f32], [1]), device),
            bound: BOUND,
        }
    }

    /// Scores of a batch of decisions, lower is better.
    ///
    /// `features`: `[decisions, hosts, HOST_FEATURES]`, rows beyond a decision's hosts
    /// zero; `mask`: `[decisions, hosts]`, 1 for a host and 0 for padding. Returns
    /// `[decisions, hosts]`; the scores of padding mean nothing.
    pub fn scores(&self, features: Tensor<3>, mask: Tensor<2>) -> Tensor<2> {
        let [decisions, hosts, width] = features.dims();
        let count = mask.sum_dim(1).reshape([decisions, 1, 1]);
        let mean = features.clone().sum_dim(1) / count;
        let context = self.context.forward(mean.reshape([decisions, width])).reshape([decisions, 1, HIDDEN_1]);
        let rows = features.clone().reshape([decisions * hosts, width]);
        let from_host = self.host.forward(rows).reshape([decisions, hosts, HIDDEN_1]);
        let first = (from_host + context).clamp(-1.0, 1.0);
        let second = self.second.forward(first.reshape([decisions * hosts, HIDDEN_1])).clamp(-1.0, 1.0);
        let residual = self.output.forward(second).reshape([decisions, hosts]);
        let bounded = tanh(residual / self.bound) * self.bound;
        let estimate = features.slice([0..decisions, 0..hosts, 0..1]).reshape([decisions, hosts]);
        estimate * self.estimate_weight.val().reshape([1, 1]) + bounded
    }

    /// The same network, with or without the graph context: without, its weights are 0 and
    /// stay so.
    #[must_use]
    pub fn with_context(mut self, context: bool) -> Self {
        if !context {
            let device = self.estimate_weight.val().device();
            let silent = weights_of(&self.context).zeros();
            self.context = linear_from(&silent, &device).no_grad();
        }
        self
    }

    /// Scores of the hosts of one decision: `[rows][HOST_FEATURES]` in, `rows` numbers out.
    pub fn score_rows(&self, features: &[f32], rows: usize) -> Vec<f32> {
        let device = self.estimate_weight.val().device();
        let data = TensorData::new(features.to_vec(), [1, rows, HOST_FEATURES]);
        let mask = Tensor::ones([1, rows], &device);
        floats(self.scores(Tensor::from_data(data, &device), mask))
    }

    /// Copies the numbers from the device; the weight against herding is 0, and ranges are unknown.
    pub fn weights(&self) -> PolicyWeights {
        PolicyWeights {
            host: weights_of(&self.host),
            context: weights_of(&self.context),
            second: weights_of(&self.second),
            output: weights_of(&self.output),
            estimate_weight: floats(self.estimate_weight.val()).first().copied().unwrap_or(1.0),
            bound: self.bound,
            herding_weight: 0.0,
            ranges: Vec::new(),
        }
    }

    /// Puts numbers on a device.
    pub fn from_weights(weights: &PolicyWeights, device: &Device) -> Self {
        Self {
            host: linear_from(&weights.host, device),
            context: linear_from(&weights.context, device),
            second: linear_from(&weights.second, device),
            output: linear_from(&weights.output, device),
            estimate_weight: Param::from_data(TensorData::new(vec![weights.estimate_weight], [1]), device),
            bound: weights.bound,
        }
    }
}

impl PolicyWeights {
    /// The policy as it is to learn on.
    #[must_use]
    pub fn unbound(self) -> Self {
        Self { bound: BOUND, ..self }
    }

    /// The policy as it is to be served: bound to the estimate.
    #[must_use]
    pub fn served(self) -> Self {
        Self { bound: BOUND.min(SERVED_BOUND * self.estimate_weight.abs()).max(1e-3), ..self }
    }

    /// The limits of the trust in the network; `None` for one that goes by the estimate less than
    /// a thousandth, or against it.
    pub fn guard(&self) -> Option<Guard> {
        if !(1e-3..=1e3).contains(&self.estimate_weight) {
            return None;
        }
        let mut guard = Guard::unlimited(self.estimate_weight);
        for (feature, [low, high]) in self.ranges.iter().enumerate().take(HOST_FEATURES) {
            (guard.low[feature], guard.high[feature]) = (*low, *high);
        }
        Some(guard)
    }

    /// All numbers in one row, for what treats them alike.
    pub fn to_numbers(&self) -> Vec<f32> {
        let mut numbers = vec![self.estimate_weight];
        for layer in [&self.host, &self.context, &self.second, &self.output] {
            numbers.extend_from_slice(&layer.weights);
            numbers.extend_from_slice(&layer.bias);
        }
        numbers
    }

    /// The same network with other numbers, in the order of [`to_numbers`](Self::to_numbers);
    /// what is missing at the end stays.
    #[must_use]
    pub fn with_numbers(&self, numbers: &[f32]) -> Self {
        let mut changed = self.clone();
        let mut numbers = numbers.iter().copied();
        let places = std::iter::once(&mut changed.estimate_weight).chain(
            [&mut changed.host, &mut changed.context, &mut changed.second, &mut changed.output]
                .into_iter()
                .flat_map(|layer| layer.weights.iter_mut().chain(&mut layer.bias)),
        );
        for (place, number) in places.zip(&mut numbers) {
            *place = number;
        }
        changed
    }

    /// Of each number, whether training may change it: without graph context, those of the
    /// context may not.
    pub fn trained(&self, context: bool) -> Vec<bool> {
        let len = |layer: &Weights| layer.weights.len() + layer.bias.len();
        let mut trained = vec![true; 1 + len(&self.host)];
        trained.resize(trained.len() + len(&self.context), context);
        trained.resize(trained.len() + len(&self.second) + len(&self.output), true);
        trained
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_datasets::random::generator;

    use super::*;

    #[test]
    fn numbers_are_the_network() {
        let device = Device::flex();
        let weights = PolicyNetwork::new(&mut generator(1, 0), &device).weights();
        let numbers = weights.to_numbers();
        assert_eq!(weights.with_numbers(&numbers), weights);
        assert_eq!(weights.trained(true).len(), numbers.len());
        let fixed = weights.trained(false).iter().filter(|trained| !**trained).count();
        assert_eq!(fixed, (HOST_FEATURES + 1) * HIDDEN_1);
        let moved = weights.with_numbers(&numbers.iter().map(|number| number + 1.0).collect::<Vec<f32>>());
        assert_eq!(moved.estimate_weight, weights.estimate_weight + 1.0);
        assert_eq!(moved.output.bias[0], weights.output.bias[0] + 1.0);
    }

    #[test]
    fn without_context_other_hosts_do_not_matter() {
        let device = Device::flex();
        let network = PolicyNetwork::new(&mut generator(1, 0), &device);
        let row = |value: f32| vec![value; HOST_FEATURES];
        let first = |network: &PolicyNetwork, other: f32| network.score_rows(&[row(0.5), row(other)].concat(), 2)[0];
        assert!(first(&network, 0.1) != first(&network, 0.9));
        let alone = network.with_context(false);
        assert_eq!(first(&alone, 0.1), first(&alone, 0.9));
    }
}
