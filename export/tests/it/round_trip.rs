//! Networks as the trainer builds them: `GraphBuilder` → ONNX → program → artifact → runtime.

use evenkeel_export::onnx::{GraphBuilder, OnnxModel};
use evenkeel_export::verify::run_rows;
use evenkeel_export::{ExportError, Forecast, Program, compile, int8, verify, with_int8_forecaster};
use evenkeel_runtime::forecast::{Calibration, FORECAST_FEATURES, QUANTILE_COUNT};
use evenkeel_runtime::{ArtifactError, HOST_FEATURES, Model};

use crate::support::{TOLERANCE, assert_parity, service, weights};

/// The policy's shape: every host sees its features and the mean of all hosts' messages.
pub(crate) fn policy() -> OnnxModel {
    let mut graph = GraphBuilder::new("policy");
    let x = graph.input("features", HOST_FEATURES);
    let own = graph.linear(x, &weights(HOST_FEATURES * 16, HOST_FEATURES), HOST_FEATURES, 16, Some(&weights(16, 16)));
    let message = graph.linear(x, &weights(HOST_FEATURES * 8, HOST_FEATURES), HOST_FEATURES, 8, None);
    let message = graph.relu(message);
    let mean = graph.mean_rows(message);
    let context = graph.linear(mean, &weights(8 * 16, 8), 8, 16, None);
    let hidden = graph.add(own, context);
    let hidden = graph.tanh(hidden);
    let hidden = graph.linear(hidden, &weights(16 * 8, 16), 16, 8, Some(&weights(8, 8)));
    let hidden = graph.tanh(hidden);
    let residual = graph.linear(hidden, &weights(8, 8), 8, 1, Some(&[0.1]));
    // The guard: c · tanh(residual / c), beside the weighted estimate in column 0.
    let bounded = graph.affine(residual, 1.0 / 0.7, 0.0);
    let bounded = graph.tanh(bounded);
    let bounded = graph.affine(bounded, 0.7, 0.0);
    let estimate = graph.slice_columns(x, 0, 1);
    let estimate = graph.affine(estimate, 1.25, 0.0);
    let score = graph.add(estimate, bounded);
    graph.finish(score, "score", &[("training_data", "synthetic"), ("seed", "7")]).unwrap()
}

/// The forecaster's shape: a residual network for each horizon.
pub(crate) fn forecaster() -> OnnxModel {
    let mut graph = GraphBuilder::new("forecast");
    let x = graph.input("features", FORECAST_FEATURES);
    let bias = weights(32, 32);
    let hidden =
        graph.linear(x, &weights(FORECAST_FEATURES * 32, FORECAST_FEATURES), FORECAST_FEATURES, 32, Some(&bias));
    let hidden = graph.tanh(hidden);
    let deeper = graph.linear(hidden, &weights(32 * 32, 32), 32, 32, Some(&bias));
    let deeper = graph.tanh(deeper);
    let sum = graph.add(hidden, deeper);
    let quantiles = graph.linear(sum, &weights(32 * QUANTILE_COUNT, 32), 32, QUANTILE_COUNT, None);
    graph.finish(quantiles, "quantiles", &[]).unwrap()
}

#[test]
fn a_forecaster_gives_the_same_quantiles_everywhere() {
    let program = assert_parity(&forecaster());
    assert_eq!((program.input_width(), program.output_width()), (FORECAST_FEATURES, QUANTILE_COUNT));
}

#[test]
fn onnx_ir_reads_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for (name, model, inputs) in [("policy", policy(), HOST_FEATURES), ("forecast", forecaster(), FORECAST_FEATURES)] {
        let path = folder.path().join(format!("{name}.onnx"));
        model.write(&path).unwrap();
        let graph = onnx_ir::OnnxGraphBuilder::new().parse_file(&path).unwrap();
        assert_eq!((graph.inputs.len(), graph.outputs.len()), (1, 1), "{name}");
        assert!(graph.nodes.len() > 4, "{name} of {inputs} features has {} nodes", graph.nodes.len());
    }
}

#[test]
fn a_forecaster_comes_with_its_calibration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forecast.onnx");
    forecaster().write(&path).unwrap();
    let calibration = Calibration::new(300.0);
    let compile_with =
        |calibration: &[u8]| compile(None, Some(Forecast { onnx: &path, calibration }), &service(), "{}");
    let bytes = compile_with(&calibration.encode()).unwrap();
    let model = Model::parse(&bytes).unwrap();
    assert!(model.policy().is_none());
    assert_eq!(model.forecaster().unwrap().calibration(), &calibration);
    let error = compile_with(&[0; 7]).unwrap_err();
    assert!(matches!(error, ExportError::Artifact(ArtifactError::Calibration)), "{error}");
}

#[test]
fn a_policy_gives_the_same_scores_everywhere() {
    let program = assert_parity(&policy());
    assert_eq!((program.input_width(), program.output_width()), (HOST_FEATURES, 1));
}

#[test]
fn registers_are_used_again() {
    let mut graph = GraphBuilder::new("deep");
    let mut x = graph.input("x", 4);
    for _ in 0..20 {
        x = graph.linear(x, &weights(16, 4), 4, 4, None);
        x = graph.tanh(x);
    }
    let model = graph.finish(x, "y", &[]).unwrap();
    let program = assert_parity(&model);
    assert_eq!(program.instructions.len(), 40);
    assert_eq!(program.registers.len(), 3, "the input and two that take turns");
}

#[test]
fn constants_vanish_in_the_weights() {
    let mut graph = GraphBuilder::new("affine");
    let x = graph.input("x", 3);
    let x = graph.affine(x, 0.5, -1.0);
    let y = graph.linear(x, &weights(6, 3), 3, 2, Some(&[1.0, 2.0]));
    let y = graph.affine(y, 3.0, 0.25);
    let model = graph.finish(y, "y", &[]).unwrap();
    assert_eq!(assert_parity(&model).instructions.len(), 1);
}

#[test]
fn large_offsets_stay_where_they_are() {
    let mut graph = GraphBuilder::new("far");
    let x = graph.input("x", 3);
    let x = graph.affine(x, 1.0, -100_000.0);
    let x = graph.affine(x, 1.0 / 3.0, 0.0);
    let model = graph.finish(x, "y", &[]).unwrap();
    assert_eq!(assert_parity(&model).instructions.len(), 2);
}

#[test]
fn an_artifact_holds_what_was_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.onnx");
    policy().write(&path).unwrap();
    let metadata = r#"{"seed": 7}"#;
    let bytes = compile(Some(&path), None, &service(), metadata).unwrap();
    assert_eq!(bytes, compile(Some(&path), None, &service(), metadata).unwrap());
    let model = Model::parse(&bytes).unwrap();
    assert_eq!(model.metadata_json(), metadata);
    assert_eq!(model.service(), &service());
    assert!(model.forecaster().is_none());

    let program = model.policy().unwrap().program();
    let reference = |input: &[f32], rows: usize| run_rows(program, input, rows);
    let parity = verify(&path, program, &[1, 5, 40], 4, 1, Some(&reference)).unwrap();
    assert_eq!(parity.reference_vs_runtime, Some(0.0));
    assert_eq!(parity.reference_vs_tract, Some(parity.tract_vs_runtime));
    assert!(parity.largest() < TOLERANCE, "{parity:?}");
}

#[test]
fn a_wrong_reference_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.onnx");
    policy().write(&path).unwrap();
    let bytes = compile(Some(&path), None, &service(), "{}").unwrap();
    let model = Model::parse(&bytes).unwrap();
    let program = model.policy().unwrap().program();
    let off = |input: &[f32], rows: usize| {
        let mut scores = run_rows(program, input, rows);
        scores[0] += 0.01;
        scores
    };
    let parity = verify(&path, program, &[3], 1, 1, Some(&off)).unwrap();
    assert!(parity.reference_vs_runtime.unwrap() > TOLERANCE);
    assert!(parity.tract_vs_runtime < TOLERANCE);
    assert_eq!(parity.largest(), parity.reference_vs_runtime.unwrap().max(parity.reference_vs_tract.unwrap()));
}

#[test]
fn nothing_makes_no_artifact() {
    assert!(matches!(compile(None, None, &service(), "{}"), Err(ExportError::Nothing)));
}

#[test]
fn a_forecaster_in_8_bit_integers_is_small_and_nearly_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forecast.onnx");
    forecaster().write(&path).unwrap();
    let calibration = Calibration::new(300.0).encode();
    let forecast = Forecast { onnx: &path, calibration: &calibration };
    let artifact = compile(None, Some(forecast), &service(), "{}").unwrap();
    let rounded = with_int8_forecaster(&artifact).unwrap();
    assert!(rounded.len() < artifact.len() / 2, "{} of {} bytes", rounded.len(), artifact.len());
    assert_eq!(with_int8_forecaster(&rounded).unwrap(), rounded, "nothing is left to round");

    let (exact, rounded) = (Model::parse(&artifact).unwrap(), Model::parse(&rounded).unwrap());
    let [exact, rounded] = [&exact, &rounded].map(|model| model.forecaster().unwrap().program());
    assert_eq!(int8::rounded(&Program::decode(exact)), Program::decode(rounded));
    for rows in [1, 16, 33] {
        let input = weights(rows * FORECAST_FEATURES, 1);
        let (expected, found) = (run_rows(exact, &input, rows), run_rows(rounded, &input, rows));
        let squares = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|number| number * number).sum::<f32>();
        let error = squares(&mut expected.iter().zip(&found).map(|(a, b)| a - b)).sqrt();
        let size = squares(&mut expected.iter().copied()).sqrt();
        assert!(error > 0.0 && error < 0.05 * size, "{error} of {size}");
    }
}
