//! Dense layers with explicit seeds, and their weights as plain numbers.

use burn::module::Param;
use burn::nn::Linear;
use burn::prelude::{Device, Tensor};
use burn::tensor::TensorData;
use evenkeel_datasets::random;
use evenkeel_export::onnx::{GraphBuilder, Value};
use rand_pcg::Pcg64Mcg;

/// A dense layer `[inputs] → [outputs]` whose weights are normal with standard deviation
/// `gain / √inputs` (LeCun initialisation for gain 1) and whose biases are 0. Drawn from
/// `rng`, not from burn's generator, so that a seed gives the same layer on every device.
pub fn seeded_linear(inputs: usize, outputs: usize, gain: f64, rng: &mut Pcg64Mcg, device: &Device) -> Linear {
    let deviation = gain / (inputs as f64).sqrt();
    let weights = (0..inputs * outputs).map(|_| random::normal(rng, 0.0, deviation) as f32).collect();
    linear_from(&Weights { inputs, outputs, weights, bias: vec![0.0; outputs] }, device)
}

/// The numbers of a dense layer.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Weights {
    /// Input width.
    pub inputs: usize,
    /// Output width.
    pub outputs: usize,
    /// `[inputs][outputs]`, row after row.
    pub weights: Vec<f32>,
    /// One for each output.
    pub bias: Vec<f32>,
}

impl Weights {
    /// A layer of the same shape that is 0 everywhere.
    #[must_use]
    pub fn zeros(&self) -> Self {
        Self { weights: vec![0.0; self.weights.len()], bias: vec![0.0; self.bias.len()], ..*self }
    }
}

/// Reads a layer's numbers back from its device.
pub fn weights_of(layer: &Linear) -> Weights {
    let [inputs, outputs] = layer.weight.val().dims();
    let bias = layer.bias.as_ref().map_or_else(|| vec![0.0; outputs], |bias| floats(bias.val()));
    Weights { inputs, outputs, weights: floats(layer.weight.val()), bias }
}

/// Puts a layer's numbers on a device.
pub fn linear_from(numbers: &Weights, device: &Device) -> Linear {
    let weights = TensorData::new(numbers.weights.clone(), [numbers.inputs, numbers.outputs]);
    let bias = TensorData::new(numbers.bias.clone(), [numbers.outputs]);
    Linear { weight: Param::from_data(weights, device), bias: Some(Param::from_data(bias, device)) }
}

/// The elements of a tensor in row-major order.
pub fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // Only a tensor of another element type would fail to convert, and ours are all f32.
    tensor.into_data().try_to_vec().unwrap_or_default()
}

/// Adds a dense layer to an ONNX graph.
pub fn dense(graph: &mut GraphBuilder, x: Value, layer: &Weights) -> Value {
    graph.linear(x, &layer.weights, layer.inputs, layer.outputs, Some(&layer.bias))
}
