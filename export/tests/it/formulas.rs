//! Functions without an instruction of their own, against their definitions in f64: the errors
//! that the documentation states, over far wider a range than features have.

use evenkeel_export::onnx::read_bytes;
use evenkeel_export::verify::run_rows;
use evenkeel_runtime::Program;

use crate::hand_made::{Attribute, HandMade};
use Attribute::{Float, Text};

/// `erf` by its series, or ±1 where that is it to 2e-10.
fn erf(x: f64) -> f64 {
    if x.abs() > 4.5 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Asserts that a node is `function`, to within `error`, absolute or of the value where that is
/// above 1.
fn assert_within(op_type: &str, domain: &str, attributes: &[Attribute], error: f64, function: impl Fn(f64) -> f64) {
    let model = HandMade::new(1).node("f", op_type, &["x"], "y", attributes).of_domain(domain).opset(24);
    let section = read_bytes(&model.bytes()).unwrap().encode().unwrap();
    let program = Program::parse(&section).unwrap();
    let near = (-40_000..=40_000).map(|step| step as f32 * 5e-4);
    let far = [-1e6, -1e3, -100.0, -50.0, 50.0, 100.0, 1e3, 1e6];
    let inputs: Vec<f32> = near.chain(far).collect();
    let outputs = run_rows(&program, &inputs, inputs.len());
    for (x, y) in inputs.iter().zip(&outputs) {
        let expected = function(f64::from(*x));
        let found = (f64::from(*y) - expected).abs() / expected.abs().max(1.0);
        assert!(found <= error, "{op_type}({x}) = {y}, expected {expected} to within {error}");
    }
}

#[test]
fn the_stated_errors_hold() {
    let gelu = |x: f64| 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2));
    let cubic = |x: f64| (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
    let gelu_by_tanh = |x: f64| 0.5 * x * (1.0 + cubic(x).tanh());
    let elu = |x: f64| if x > 0.0 { x } else { x.exp_m1() };
    assert_within("Erf", "", &[], 4e-6, erf);
    assert_within("Gelu", "", &[], 1e-5, gelu);
    assert_within("Gelu", "", &[Text("approximate", "tanh")], 1e-5, gelu_by_tanh);
    assert_within("Gelu", "com.microsoft", &[], 1e-5, gelu);
    assert_within("BiasGelu", "com.microsoft", &[], 1e-5, gelu);
    assert_within("FastGelu", "com.microsoft", &[], 1e-5, gelu_by_tanh);
    assert_within("QuickGelu", "com.microsoft", &[], 1e-5, |x| x * sigmoid(1.702 * x));
    assert_within("Swish", "", &[], 1e-5, |x| x * sigmoid(x));
    assert_within("Elu", "", &[], 5e-6, elu);
    assert_within("Elu", "", &[Float("alpha", 0.5)], 5e-6, |x| if x > 0.0 { x } else { 0.5 * x.exp_m1() });
    assert_within("Celu", "", &[Float("alpha", 2.0)], 5e-6, |x| if x > 0.0 { x } else { 2.0 * (x / 2.0).exp_m1() });
    assert_within("Selu", "", &[], 1e-5, |x| 1.050_701 * if x > 0.0 { x } else { 1.673_263_2 * x.exp_m1() });
    assert_within("Softplus", "", &[], 5e-6, softplus);
    assert_within("Mish", "", &[], 2e-5, |x| x * softplus(x).tanh());
    assert_within("HardSigmoid", "", &[], 1e-6, |x| (0.2 * x + 0.5).clamp(0.0, 1.0));
    assert_within("HardSwish", "", &[], 1e-6, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0));
    assert_within("Abs", "", &[], 1e-6, f64::abs);
}

#[test]
fn normalisation_holds_over_scales() {
    for width in [2_usize, 16, 64] {
        let model = HandMade::new(width as i64)
            .floats("gamma", &[width as i64], &vec![1.0; width])
            .node("norm", "LayerNormalization", &["x", "gamma"], "y", &[])
            .opset(18);
        let section = read_bytes(&model.bytes()).unwrap().encode().unwrap();
        let program = Program::parse(&section).unwrap();
        for scale in [1e-6, 1e-3, 1.0, 30.0, 1e3] {
            let input: Vec<f32> = (0..7 * width).map(|i| (i as f32 * 0.737).sin() * scale + scale).collect();
            let output = run_rows(&program, &input, 7);
            for (row, found) in input.chunks(width).zip(output.chunks(width)) {
                let row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
                let mean = row.iter().sum::<f64>() / width as f64;
                let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / width as f64;
                for (x, y) in row.iter().zip(found) {
                    let expected = (x - mean) / (variance + 1e-5).sqrt();
                    let error = (f64::from(*y) - expected).abs() / expected.abs().max(1.0);
                    assert!(error <= 5e-6, "width {width}, scale {scale}: {y}, expected {expected}");
                }
            }
        }
    }
}

#[test]
fn roots_hold_over_all_their_range() {
    let model = HandMade::new(1).node("root", "Sqrt", &["x"], "r", &[]).node("inverse", "Reciprocal", &["r"], "y", &[]);
    let section = read_bytes(&model.bytes()).unwrap().encode().unwrap();
    let program = Program::parse(&section).unwrap();
    let inputs: Vec<f32> = (0..20_000).map(|step| 1e-12 * 10_f32.powf(step as f32 * 1e-3)).collect();
    for (x, y) in inputs.iter().zip(run_rows(&program, &inputs, inputs.len())) {
        let product = f64::from(y) * f64::from(*x).sqrt();
        assert!((product - 1.0).abs() <= 1e-6, "1/√{x} = {y}, which is {product} of it");
    }
}
