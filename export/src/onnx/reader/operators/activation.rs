//! Elementwise functions.

use onnx_ir::Argument;

use crate::ir::{Combination, Function, Operation, ValueId};
use crate::onnx::reader::{Reading, error::Refusal};

pub(super) fn tanh(reading: &mut Reading, inputs: &[Argument]) -> Result<ValueId, Refusal> {
    map(reading, inputs, Function::Tanh)
}

pub(super) fn relu(reading: &mut Reading, inputs: &[Argument]) -> Result<ValueId, Refusal> {
    map(reading, inputs, Function::Relu)
}

pub(super) fn sigmoid(reading: &mut Reading, inputs: &[Argument]) -> Result<ValueId, Refusal> {
    map(reading, inputs, Function::Sigmoid)
}

/// `relu(x) − alpha · relu(−x)`: exact, since one of the terms is always zero.
pub(super) fn leaky_relu(reading: &mut Reading, inputs: &[Argument], alpha: f32) -> Result<ValueId, Refusal> {
    let x = reading.value(inputs, 0)?;
    let width = reading.shape(x).width;
    let scaled = |x, factor| Operation::Columns { x, scale: vec![factor; width], offset: vec![0.0; width] };
    let positive = reading.graph.push(Operation::Map(Function::Relu, x))?;
    let mirrored = reading.graph.push(scaled(x, -1.0))?;
    let negative = reading.graph.push(Operation::Map(Function::Relu, mirrored))?;
    let leak = reading.graph.push(scaled(negative, alpha))?;
    Ok(reading.graph.push(Operation::Combine(Combination::Subtract, positive, leak))?)
}

fn map(reading: &mut Reading, inputs: &[Argument], function: Function) -> Result<ValueId, Refusal> {
    let x = reading.value(inputs, 0)?;
    Ok(reading.graph.push(Operation::Map(function, x))?)
}
