//! Quantised files: the program is the network without their rounding, which the difference to
//! the file as it is written is measured by.

use evenkeel_runtime::HOST_FEATURES;
use tract_onnx::pb::tensor_proto::DataType;

use crate::hand_made::{Attribute, HandMade, raw};
use crate::support::{TOLERANCE, compare_file, weights};
use Attribute::Integer;

const HIDDEN: i64 = 16;
const FEATURES: i64 = HOST_FEATURES as i64;

/// Weights rounded to integers of 8 bits, and the step between them.
fn rounded(numbers: &[f32]) -> (Vec<u8>, f32) {
    let step = numbers.iter().fold(0.0_f32, |most, it| most.max(it.abs())) / 127.0;
    (numbers.iter().map(|it| (it / step).round() as i8 as u8).collect(), step)
}

/// The differences between a quantised file as it is written and its program: some, since the
/// file rounds, but no more than rounding to 8 bits makes.
fn assert_rounds(form: &str, model: HandMade) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, model.bytes()).unwrap();
    let (translation, parity) = compare_file(&path);
    assert!(parity.largest() < TOLERANCE, "{form}: {parity:?}");
    assert!(parity.rounding_of_file.is_some_and(|it| it > 0.0 && it < 0.1), "{form}: {parity:?}");
    assert!(translation.notes.iter().any(|note| note.contains("rounds")), "{:?}", translation.notes);
}

#[test]
fn dynamically_quantised_layers() {
    let (weight, step) = rounded(&weights(24 * 16, 24));
    let (head, head_step) = rounded(&weights(16, 16));
    let layer = |model: HandMade, x: &str, weight: &str, y: &str| {
        let name = |part: &str| format!("{weight}_{part}");
        let of_x = |part: &str| format!("{x}_{weight}_{part}");
        model
            .node("", "DynamicQuantizeLinear", &[x], &of_x("q"), &[])
            .with_outputs(&[&of_x("scale"), &of_x("zero")])
            .node("", "Mul", &[&of_x("scale"), &name("scale")], &name("scales"), &[])
            .node("", "MatMulInteger", &[&of_x("q"), weight, &of_x("zero"), &name("zero")], &name("sum"), &[])
            .node("", "Cast", &[&name("sum")], &name("float"), &[Integer("to", 1)])
            .node("", "Mul", &[&name("float"), &name("scales")], y, &[])
    };
    let model = HandMade::new(FEATURES)
        .tensor(raw("w", DataType::Int8, &[FEATURES, HIDDEN], weight))
        .tensor(raw("w_zero", DataType::Int8, &[], vec![0]))
        .floats("w_scale", &[], &[step])
        .floats("b", &[HIDDEN], &weights(16, 4))
        .tensor(raw("v", DataType::Int8, &[HIDDEN, 1], head))
        .tensor(raw("v_zero", DataType::Int8, &[], vec![0]))
        .floats("v_scale", &[], &[head_step]);
    let model =
        layer(model, "x", "w", "h").node("bias", "Add", &["h", "b"], "i", &[]).node("relu", "Relu", &["i"], "r", &[]);
    assert_rounds("dynamic", layer(model, "r", "v", "y"));
}

#[test]
fn statically_quantised_layers() {
    let (weight, step) = rounded(&weights(24 * 16, 24));
    let pair = |model: HandMade, x: &str, scale: &str, zero: &str| {
        let (q, d) = (format!("{x}_q"), format!("{x}_d"));
        model.node("", "QuantizeLinear", &[x, scale, zero], &q, &[]).node(
            "",
            "DequantizeLinear",
            &[&q, scale, zero],
            &d,
            &[],
        )
    };
    let model = HandMade::new(FEATURES)
        .tensor(raw("w", DataType::Int8, &[FEATURES, HIDDEN], weight))
        .tensor(raw("w_zero", DataType::Int8, &[HIDDEN], vec![0; 16]))
        .floats("w_scale", &[HIDDEN], &[step; 16])
        .floats("v", &[HIDDEN, 1], &weights(16, 16))
        .floats("x_scale", &[], &[6.0 / 255.0])
        .tensor(raw("x_zero", DataType::Uint8, &[], vec![128]))
        // From 0 to 1.5: the Relu that stood here is in the clipping.
        .floats("h_scale", &[], &[1.5 / 255.0])
        .tensor(raw("h_zero", DataType::Uint8, &[], vec![0]));
    let model = pair(model, "x", "x_scale", "x_zero")
        .node("weights", "DequantizeLinear", &["w", "w_scale", "w_zero"], "w_d", &[Integer("axis", 1)])
        .node("layer", "MatMul", &["x_d", "w_d"], "h", &[]);
    let model = pair(model, "h", "h_scale", "h_zero").node("head", "MatMul", &["h_d", "v"], "y", &[]);
    assert_rounds("static", model);
}
