//! The network that is measured.

use anyhow::Result;
use evenkeel_export::onnx::{GraphBuilder, OnnxModel};
use evenkeel_runtime::HOST_FEATURES;

/// The shape of the policy that the trainer makes, with arbitrary weights.
pub(crate) fn policy() -> Result<OnnxModel> {
    let weights = |inputs: usize, outputs: usize| -> Vec<f32> {
        (0..inputs * outputs).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.004).collect()
    };
    let mut graph = GraphBuilder::new("policy");
    let features = graph.input("input", HOST_FEATURES);
    let mean = graph.mean_rows(features);
    let context = graph.linear(mean, &weights(HOST_FEATURES, 16), HOST_FEATURES, 16, Some(&[0.1; 16]));
    let first = graph.linear(features, &weights(HOST_FEATURES, 16), HOST_FEATURES, 16, Some(&[0.2; 16]));
    let sum = graph.add(first, context);
    let hidden = graph.clip(sum, -1.0, 1.0);
    let second = graph.linear(hidden, &weights(16, 8), 16, 8, Some(&[0.1; 8]));
    let hidden = graph.clip(second, -1.0, 1.0);
    let third = graph.linear(hidden, &weights(8, 1), 8, 1, Some(&[0.1]));
    let bounded = graph.tanh(third);
    let residual = graph.affine(bounded, 2.5, 0.0);
    let estimate = graph.slice_columns(features, 0, 1);
    let estimate = graph.affine(estimate, 0.85, 0.0);
    let score = graph.add(estimate, residual);
    Ok(graph.finish(score, "output", &[])?)
}
