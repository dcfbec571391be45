//! What is refused, and what the message says.

use evenkeel_export::onnx::{GraphBuilder, read_bytes, read_file};
use evenkeel_export::{Forecast, compile};
use evenkeel_runtime::forecast::{self, FORECAST_FEATURES, QUANTILE_COUNT};
use evenkeel_runtime::{HOST_FEATURES, features};
use insta::assert_snapshot;
use tract_onnx::pb::tensor_proto::DataType;

use crate::hand_made::{Attribute, HandMade, value};
use crate::support::{service, weights};
use Attribute::{Float, Integer, Integers};

fn refusal(model: HandMade) -> String {
    read_bytes(&model.bytes()).unwrap_err().to_string()
}

fn refusals<const N: usize>(models: [HandMade; N]) -> String {
    models.map(refusal).join("\n")
}

/// A layer in front, so that the refused node is not the first.
fn behind_a_layer(width: usize) -> HandMade {
    HandMade::new(4).floats("w", &[4, width as i64], &weights(4 * width, 4)).node(
        "encoder/0",
        "MatMul",
        &["x", "w"],
        "h",
        &[],
    )
}

#[test]
fn operators_outside_the_instruction_set() {
    let mut messages = Vec::new();
    messages.push(refusal(behind_a_layer(3).node("encoder/softmax", "Softmax", &["h"], "y", &[])));
    let mut model = behind_a_layer(3).node("", "FusedGelu", &["h"], "y", &[]);
    model.graph.node[1].domain = "com.microsoft".to_owned();
    messages.push(refusal(model));
    for (domain, op_type) in [
        ("ai.onnx.ml", "TreeEnsembleRegressor"),
        ("ai.onnx.ml", "Imputer"),
        ("", "QLinearMatMul"),
        ("", "LSTM"),
        ("", "RandomNormalLike"),
        ("", "If"),
        ("pkg.torch", "aten_add"),
        ("", "Exp"),
    ] {
        messages.push(refusal(behind_a_layer(3).node("n", op_type, &["h"], "y", &[]).of_domain(domain)));
    }
    assert_snapshot!(messages.join("\n"));
}

#[test]
fn nodes_keep_their_names_in_messages() {
    let model = HandMade::new(4)
        .floats("w", &[4, 4], &weights(16, 4))
        .floats("wide", &[4, 5], &weights(20, 4))
        .floats("b", &[4], &weights(4, 1))
        .node("first", "MatMul", &["x", "w"], "a", &[])
        .node("first bias", "Add", &["a", "b"], "c", &[])
        .node("second", "Gemm", &["c", "w", "b"], "d", &[Float("alpha", 1.0), Float("beta", 1.0), Integer("transB", 1)])
        .node("third", "Gemm", &["d", "wide"], "e", &[])
        .node("the sum", "Add", &["d", "e"], "y", &[]);
    assert_snapshot!(refusal(model));
}

#[test]
fn shapes_that_do_not_fit() {
    assert_snapshot!(refusals([
        behind_a_layer(3).node("last", "Gemm", &["h", "w"], "y", &[]),
        behind_a_layer(3).floats("b", &[2], &[1.0, 2.0]).node("bias", "Add", &["h", "b"], "y", &[]),
        behind_a_layer(3).node("skip", "Add", &["h", "x"], "y", &[]),
        behind_a_layer(3).node("context", "ReduceMean", &["h"], "m", &[Integers("axes", vec![0])]).node(
            "together",
            "Concat",
            &["h", "m"],
            "y",
            &[Integer("axis", 1)],
        ),
    ]));
}

#[test]
fn attributes_that_do_not_fit() {
    assert_snapshot!(refusals([
        behind_a_layer(3).node("mean", "ReduceMean", &["h"], "y", &[Integers("axes", vec![2])]),
        behind_a_layer(3).node("norm", "LayerNormalization", &["h", "w"], "y", &[Integer("axis", 0)]),
        behind_a_layer(3).node("last", "Cast", &["h"], "y", &[Integer("to", 7)]),
        behind_a_layer(3).node("stack", "Concat", &["h", "h"], "y", &[Integer("axis", 0)]),
        behind_a_layer(4).integers("target", &[2, -1]).node("halves", "Reshape", &["h", "target"], "y", &[]),
        behind_a_layer(3).node("flat", "Flatten", &["h"], "y", &[Integer("axis", 0)]),
        behind_a_layer(4).node("transposed", "Gemm", &["h", "w"], "y", &[Integer("transA", 1)]),
        behind_a_layer(3).integers("i", &[3]).node("pick", "Gather", &["h", "i"], "y", &[Integer("axis", 1)]),
        behind_a_layer(4)
            .integers("starts", &[0])
            .integers("ends", &[4])
            .integers("axes", &[1])
            .integers("steps", &[2])
            .node("every other", "Slice", &["h", "starts", "ends", "axes", "steps"], "y", &[]),
    ]));
}

#[test]
fn operands_that_do_not_fit() {
    assert_snapshot!(refusals([
        behind_a_layer(4).node("ratio", "Div", &["h", "x"], "y", &[]),
        behind_a_layer(4).floats("zero", &[], &[0.0]).node("ratio", "Div", &["h", "zero"], "y", &[]),
        behind_a_layer(4).node("mean", "ReduceMean", &["x"], "m", &[Integers("axes", vec![0])]).node(
            "attention",
            "MatMul",
            &["h", "m"],
            "y",
            &[],
        ),
        behind_a_layer(4).node("bias", "Add", &["w", "w"], "y", &[]),
    ]));
}

#[test]
fn interfaces_that_do_not_fit() {
    let mut messages = Vec::new();
    let model = || HandMade::new(4).node("out", "Tanh", &["x"], "y", &[]);
    let with_input = |inputs| {
        let mut model = model();
        model.graph.input = inputs;
        refusal(model)
    };
    messages.push(with_input(vec![]));
    messages.push(with_input(vec![
        value("x", DataType::Float, &[None, Some(4)]),
        value("mask", DataType::Float, &[None, Some(4)]),
    ]));
    messages.push(with_input(vec![value("x", DataType::Int64, &[None, Some(4)])]));
    messages.push(with_input(vec![value("x", DataType::Float, &[None, None, Some(4)])]));
    messages.push(with_input(vec![value("x", DataType::Float, &[None, None])]));
    let mut two_outputs = model();
    two_outputs.graph.output.push(value("x", DataType::Float, &[None, Some(4)]));
    messages.push(refusal(two_outputs));
    assert_snapshot!(messages.join("\n"));
}

#[test]
fn networks_beyond_the_limits() {
    let mut messages = Vec::new();
    let mut model = HandMade::new(2);
    let mut x = "x".to_owned();
    for layer in 0..200 {
        let y = if layer == 199 { "y".to_owned() } else { format!("h{layer}") };
        model = model.node("", "Tanh", &[&x], &y, &[]);
        x = y;
    }
    messages.push(refusal(model));
    let wide =
        HandMade::new(2).floats("w", &[2, 1025], &weights(2050, 2)).node("wide", "MatMul", &["x", "w"], "y", &[]);
    messages.push(refusal(wide));
    let endless = HandMade::new(2).floats("c", &[], &[f32::INFINITY]).node("add", "Add", &["x", "c"], "y", &[]);
    messages.push(refusal(endless));
    assert_snapshot!(messages.join("\n"));
}

#[test]
fn a_refusal_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.onnx");
    let model = behind_a_layer(3).node("encoder/softmax", "Softmax", &["h"], "y", &[]);
    std::fs::write(&path, model.bytes()).unwrap();
    let missing = folder.path().join("missing.onnx");
    for path in [path, missing] {
        let error = anyhow::Error::new(compile(Some(&path), None, &service(), "{}").unwrap_err());
        // As the command line prints it: with all causes.
        let chain = format!("{error:#}");
        assert_eq!(chain, error.to_string());
    }
}

#[test]
fn files_that_are_not_onnx() {
    assert!(read_file("no/such/model.onnx").unwrap_err().to_string().starts_with("cannot be read: "));
    assert_snapshot!(read_bytes(b"").unwrap_err().to_string());
    assert!(read_bytes(b"<html>not found</html>").unwrap_err().to_string().starts_with("not a readable ONNX model: "));
}

#[test]
fn damaged_files_never_panic() {
    for whole in [crate::round_trip::policy().to_bytes(), crate::exporters::with_expanded_context().bytes()] {
        for end in (0..whole.len()).step_by(97) {
            let _ = read_bytes(&whole[..end]);
        }
        for at in (0..whole.len()).step_by(13) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            let _ = read_bytes(&damaged);
        }
    }
}

#[test]
fn sizes_are_bounded_before_memory_is_taken() {
    let mut wide = HandMade::new(1 << 40).node("norm", "LayerNormalization", &["x", "s"], "y", &[]);
    wide = wide.floats("s", &[], &[1.0]);
    let filled =
        behind_a_layer(1).integers("shape", &[1 << 30, 1 << 30]).node("f", "ConstantOfShape", &["shape"], "c", &[]);
    let filled = filled.node("add", "Add", &["h", "c"], "y", &[]);
    let expanded = behind_a_layer(1).integers("shape", &[1, 1 << 40]).node("e", "Expand", &["h", "shape"], "y", &[]);
    assert_snapshot!(refusals([wide, filled, expanded]));
}

#[test]
fn networks_of_other_widths_than_the_runtimes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let write = |in_width: usize, out_width: usize, uniform: bool| {
        let mut graph = GraphBuilder::new("model");
        let x = graph.input("x", in_width);
        let y = graph.linear(x, &weights(in_width * out_width, 1), in_width, out_width, None);
        let y = if uniform { graph.mean_rows(y) } else { y };
        graph.finish(y, "y", &[]).unwrap().write(&path).unwrap();
    };
    let message = |policy, forecast, metadata| {
        let message = compile(policy, forecast, &service(), metadata).unwrap_err().to_string();
        message
            .replace(&path.display().to_string(), "model.onnx")
            .replace(&features::NAMES.join(", "), "...")
            .replace(&forecast::features::NAMES.join(", "), "...")
    };
    let mut messages = Vec::new();
    for (in_width, out_width, uniform) in [(2, 1, false), (HOST_FEATURES, 2, false), (HOST_FEATURES, 1, true)] {
        write(in_width, out_width, uniform);
        messages.push(message(Some(path.as_path()), None, "{}"));
    }
    for (in_width, out_width) in [(2, QUANTILE_COUNT), (FORECAST_FEATURES, 3)] {
        write(in_width, out_width, false);
        messages.push(message(None, Some(Forecast { onnx: &path, calibration: &[] }), "{}"));
    }
    messages.push(message(Some(path.as_path()), None, "seed=7"));
    assert_snapshot!(messages.join("\n"));
}
