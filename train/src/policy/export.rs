//! The policy network as an ONNX graph.

use evenkeel_export::onnx::{BuildError, GraphBuilder, OnnxModel};
use evenkeel_runtime::HOST_FEATURES;

use super::network::PolicyWeights;
use crate::layers::dense;

/// Builds the graph: input `features` `[hosts, HOST_FEATURES]`, output `score`
/// `[hosts, 1]`. The same formula as in [`super::network`].
pub fn onnx(weights: &PolicyWeights, metadata: &[(&str, &str)]) -> Result<OnnxModel, BuildError> {
    let mut graph = GraphBuilder::new("evenkeel_policy");
    let features = graph.input("features", HOST_FEATURES);
    let mean = graph.mean_rows(features);
    let context = dense(&mut graph, mean, &weights.context);
    let from_host = dense(&mut graph, features, &weights.host);
    let first = graph.add(from_host, context);
    let first = graph.clip(first, -1.0, 1.0);
    let second = dense(&mut graph, first, &weights.second);
    let second = graph.clip(second, -1.0, 1.0);
    let residual = dense(&mut graph, second, &weights.output);
    let scaled = graph.affine(residual, 1.0 / weights.bound, 0.0);
    let squashed = graph.tanh(scaled);
    let bounded = graph.affine(squashed, weights.bound, 0.0);
    let estimate = graph.slice_columns(features, 0, 1);
    let estimate = graph.affine(estimate, weights.estimate_weight, 0.0);
    let score = graph.add(estimate, bounded);
    graph.finish(score, "score", metadata)
}
