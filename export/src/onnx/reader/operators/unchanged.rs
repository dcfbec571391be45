//! Flatten and Reshape, as far as they change nothing.

use onnx_ir::Argument;
use onnx_ir::reshape::ReshapeInput;

use crate::ir::ValueId;
use crate::onnx::reader::{Reading, error::Refusal};

pub(super) fn flatten(reading: &Reading, inputs: &[Argument], axis: usize) -> Result<ValueId, Refusal> {
    let x = reading.value(inputs, 0)?;
    if axis == 1 {
        Ok(x)
    } else {
        let shape = reading.shape(x);
        Err(Refusal::new(format!("found axis {axis}, expected 1, which leaves a value of shape {shape} as it is")))
    }
}

pub(super) fn reshape(reading: &Reading, inputs: &[Argument], target: &ReshapeInput) -> Result<ValueId, Refusal> {
    let x = reading.value(inputs, 0)?;
    let shape = reading.shape(x);
    let width = shape.width as i64;
    let ReshapeInput::Static(target) = target else {
        return Err(Refusal::new("found a computed shape, expected a constant one"));
    };
    let unchanged = match target[..] {
        // 0 keeps a dimension, -1 stands for what is left.
        [0, columns] => columns == width || columns == -1 || columns == 0,
        [-1, columns] => columns == width || columns == 0,
        [1, columns] => shape.uniform && (columns == width || columns == -1 || columns == 0),
        _ => false,
    };
    if unchanged {
        Ok(x)
    } else {
        Err(Refusal::new(format!("found target {target:?} for shape {shape}, expected [-1, {width}]: no change")))
    }
}
