//! The forecaster's network as an ONNX graph.

use evenkeel_export::onnx::{BuildError, GraphBuilder, OnnxModel};
use evenkeel_runtime::forecast::FORECAST_FEATURES;

use super::network::ForecastWeights;
use crate::layers::dense;

/// Builds the graph: input `features` `[horizons, FORECAST_FEATURES]`, output `quantiles`
/// `[horizons, 9]`. The same formula as in [`super::network`].
pub fn onnx(weights: &ForecastWeights, metadata: &[(&str, &str)]) -> Result<OnnxModel, BuildError> {
    let mut graph = GraphBuilder::new("evenkeel_forecast");
    let features = graph.input("features", FORECAST_FEATURES);
    let first = dense(&mut graph, features, &weights.first);
    let first = graph.relu(first);
    let second = dense(&mut graph, first, &weights.second);
    let second = graph.relu(second);
    let curved = dense(&mut graph, second, &weights.third);
    let straight = dense(&mut graph, features, &weights.straight);
    let quantiles = graph.add(curved, straight);
    graph.finish(quantiles, "quantiles", metadata)
}
