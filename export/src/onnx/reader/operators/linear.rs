//! Gemm and `MatMul` with constant weights, and what onnx-ir makes of them.

use onnx_ir::Argument;
use onnx_ir::gemm::GemmConfig;

use crate::ir::{Operation, ValueId};
use crate::onnx::reader::operand::Constant;
use crate::onnx::reader::{Reading, error::Refusal};

/// `x · W + bias`; `transposed` weights are stored `[out][in]`.
pub(super) fn linear(reading: &mut Reading, inputs: &[Argument], transposed: bool) -> Result<ValueId, Refusal> {
    layer(reading, inputs, transposed, 1.0, 1.0)
}

/// `alpha · x · W + beta · bias`.
pub(super) fn gemm(reading: &mut Reading, inputs: &[Argument], config: &GemmConfig) -> Result<ValueId, Refusal> {
    if config.trans_a != 0 {
        return Err(Refusal::new(format!("found transA = {}, expected 0", config.trans_a)));
    }
    layer(reading, inputs, config.trans_b != 0, config.alpha, config.beta)
}

fn layer(
    reading: &mut Reading,
    inputs: &[Argument],
    transposed: bool,
    alpha: f32,
    beta: f32,
) -> Result<ValueId, Refusal> {
    let x = reading.value(inputs, 0)?;
    let in_width = reading.shape(x).width;
    let (weights, out_width) = matrix(&reading.constant(inputs, 1)?, transposed, in_width)?;
    let times = |numbers: Vec<f32>, factor: f32| numbers.into_iter().map(|number| number * factor).collect();
    let bias = match inputs.get(2).filter(|bias| !bias.is_optional()) {
        Some(_) => Some(times(reading.constant(inputs, 2)?.columns(out_width)?, beta)),
        None => None,
    };
    Ok(reading.graph.push(Operation::Linear { x, weights: times(weights, alpha), bias })?)
}

/// The weights as `[in][out]`, and the number of outputs.
fn matrix(weights: &Constant, transposed: bool, in_width: usize) -> Result<(Vec<f32>, usize), Refusal> {
    let numbers = &weights.numbers;
    match (weights.shape.as_slice(), transposed) {
        (&[rows, out_width], false) if rows == in_width => Ok((numbers.clone(), out_width)),
        (&[out_width, columns], true) if columns == in_width => {
            let transpose = |i| (0..out_width).map(move |o| numbers[o * in_width + i]);
            Ok(((0..in_width).flat_map(transpose).collect(), out_width))
        }
        (shape, false) => {
            Err(Refusal::new(format!("found weights of shape {shape:?}, expected [{in_width}, outputs]")))
        }
        (shape, true) => Err(Refusal::new(format!("found weights of shape {shape:?}, expected [outputs, {in_width}]"))),
    }
}
