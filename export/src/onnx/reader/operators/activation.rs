//! Elementwise functions.

use onnx_ir::Argument;
use onnx_ir::node::clip::{ClipConfig, ClipInput};

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

/// Without a limit, that of finite numbers.
pub(super) fn clip(reading: &mut Reading, inputs: &[Argument], config: &ClipConfig) -> Result<ValueId, Refusal> {
    let limit = |given: &Option<ClipInput>, otherwise| match given {
        None => Ok(otherwise),
        Some(ClipInput::Static(limit)) => Ok(*limit as f32),
        Some(ClipInput::Runtime(_)) => Err(Refusal::new("the limits of Clip must be constants".to_owned())),
    };
    let (least, most) = (limit(&config.min, f32::MIN)?, limit(&config.max, f32::MAX)?);
    map(reading, inputs, Function::Clip { least, most })
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
