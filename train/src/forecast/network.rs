//! The quantile network: residuals on level × shape, for one horizon a row.
//!
//! ```text
//! h1        = relu(x · W1 + b1)           78 → 96
//! h2        = relu(h1 · W2 + b2)          96 → 64
//! quantiles = h2 · W3 + b3 + x · W4       64 → 9, and straight 78 → 9
//! ```

use burn::module::Module;
use burn::nn::Linear;
use burn::prelude::{Device, Tensor};
use burn::tensor::TensorData;
use burn::tensor::activation::relu;
use evenkeel_runtime::forecast::{FORECAST_FEATURES, HORIZONS, QUANTILE_COUNT, Quantiles};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use super::dataset::Windows;
use crate::layers::{Weights, floats, linear_from, seeded_linear, weights_of};

/// Widths of the hidden layers.
pub const HIDDEN: [usize; 2] = [96, 64];

/// Rows computed together when predicting.
const PREDICTED_ROWS: usize = 8192;

/// The network on a device.
#[derive(Module, Debug)]
pub struct ForecastNetwork {
    first: Linear,
    second: Linear,
    third: Linear,
    straight: Linear,
}

/// The network's numbers: what checkpoints and the ONNX export hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForecastWeights {
    /// `W1` and `b1`.
    pub first: Weights,
    /// `W2` and `b2`.
    pub second: Weights,
    /// `W3` and `b3`.
    pub third: Weights,
    /// `W4`; its bias is added to `b3`.
    pub straight: Weights,
}

impl ForecastWeights {
    /// Number of weights, biases included.
    pub fn count(&self) -> usize {
        let layers = [&self.first, &self.second, &self.third, &self.straight];
        layers.iter().map(|layer| layer.weights.len() + layer.bias.len()).sum()
    }
}

impl ForecastWeights {
    /// Moves every number towards another network's by a share of the way, 0 to 1.
    pub fn move_towards(&mut self, other: &Self, share: f32) {
        let own = [&mut self.first, &mut self.second, &mut self.third, &mut self.straight];
        let others = [&other.first, &other.second, &other.third, &other.straight];
        for (own, other) in own.into_iter().zip(others) {
            let numbers = own.weights.iter_mut().chain(&mut own.bias);
            for (own, other) in numbers.zip(other.weights.iter().chain(&other.bias)) {
                *own += share * (other - *own);
            }
        }
    }
}

impl ForecastNetwork {
    /// A fresh network whose quantiles all lie near level × shape.
    pub fn new(rng: &mut Pcg64Mcg, device: &Device) -> Self {
        let [first, second] = HIDDEN;
        Self {
            // √2: half of what enters a rectifier is lost (He et al., ICCV 2015).
            first: seeded_linear(FORECAST_FEATURES, first, std::f64::consts::SQRT_2, rng, device),
            second: seeded_linear(first, second, std::f64::consts::SQRT_2, rng, device),
            third: seeded_linear(second, QUANTILE_COUNT, 0.1, rng, device),
            straight: seeded_linear(FORECAST_FEATURES, QUANTILE_COUNT, 0.05, rng, device),
        }
    }

    /// `[rows, FORECAST_FEATURES]` in, `[rows, QUANTILE_COUNT]` out.
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        let hidden = relu(self.first.forward(features.clone()));
        let hidden = relu(self.second.forward(hidden));
        self.third.forward(hidden) + self.straight.forward(features)
    }

    /// The same for plain numbers, row after row.
    pub fn predict_rows(&self, features: &[f32], rows: usize) -> Vec<f32> {
        let device = self.first.weight.val().device();
        let input = TensorData::new(features.to_vec(), [rows, FORECAST_FEATURES]);
        floats(self.forward(Tensor::from_data(input, &device)))
    }

    /// The output at every horizon of every window.
    pub fn predict(&self, windows: &Windows) -> Vec<Quantiles> {
        let mut outputs = Vec::with_capacity(windows.len());
        let all: Vec<usize> = (0..windows.len() * HORIZONS).collect();
        for rows in all.chunks(PREDICTED_ROWS) {
            let mut features = Vec::with_capacity(rows.len() * FORECAST_FEATURES);
            for row in rows {
                features.extend(windows.row(*row));
            }
            let predicted = self.predict_rows(&features, rows.len());
            let (rows, _) = predicted.as_chunks::<QUANTILE_COUNT>();
            outputs.extend_from_slice(rows.as_chunks::<HORIZONS>().0);
        }
        outputs
    }

    /// Copies the numbers from the device.
    pub fn weights(&self) -> ForecastWeights {
        ForecastWeights {
            first: weights_of(&self.first),
            second: weights_of(&self.second),
            third: weights_of(&self.third),
            straight: weights_of(&self.straight),
        }
    }

    /// Puts numbers on a device.
    pub fn from_weights(weights: &ForecastWeights, device: &Device) -> Self {
        Self {
            first: linear_from(&weights.first, device),
            second: linear_from(&weights.second, device),
            third: linear_from(&weights.third, device),
            straight: linear_from(&weights.straight, device),
        }
    }
}
