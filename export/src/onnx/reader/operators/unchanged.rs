//! Constants, and nodes that change no number.

use crate::onnx::error::Refusal;
use crate::onnx::load::{Kind, Tensor, type_name};
use crate::onnx::reader::Reading;
use crate::onnx::reader::call::Call;
use crate::onnx::reader::value::{Constant, Value};

pub(super) fn identity(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    reading.operand(call, 0)
}

/// In use, and not in training, `Dropout` does nothing.
pub(super) fn dropout(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    match reading.optional(call, 2)?.and_then(|training| training.only()) {
        None | Some(0.0) => reading.operand(call, 0),
        Some(_) => Err(Refusal::new("found training_mode = 1, expected 0: export after model.eval()")),
    }
}

/// Between formats of floating point, or of whole numbers that stand for computed ones.
pub(super) fn cast(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let to = call.integer("to").unwrap_or_default() as i32;
    let value = reading.operand(call, 0)?;
    match Kind::of(to) {
        Some(Kind::Float) => Ok(value),
        _ => Err(Refusal::new(format!(
            "found a cast of {} to {}, expected one to a floating-point type: the runtime has no other",
            value.describe(),
            type_name(to)
        ))),
    }
}

pub(super) fn cast_like(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    match reading.operand(call, 1)? {
        Value::Constant(Constant { tensor, .. }) if tensor.kind != Kind::Float => {
            Err(Refusal::new("found a cast to whole numbers, expected one to a floating-point type"))
        }
        _ => reading.operand(call, 0),
    }
}

pub(super) fn constant(_: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let list = |numbers: Vec<f64>, kind| Tensor { shape: vec![numbers.len()], numbers, kind };
    let whole = Kind::Integer { bits: 64, signed: true };
    let tensor = if let Some(tensor) = call.tensor("value")? {
        tensor
    } else if call.has("value_float") {
        Tensor::scalar(call.float("value_float", 0.0), Kind::Float)
    } else if let Some(number) = call.integer("value_int") {
        Tensor::scalar(number as f64, whole)
    } else if call.has("value_floats") {
        list(call.floats("value_floats"), Kind::Float)
    } else if let Some(numbers) = call.integers("value_ints") {
        list(numbers.into_iter().map(|number| number as f64).collect(), whole)
    } else {
        return Err(Refusal::new("found a constant that is neither a tensor nor numbers: export without strings"));
    };
    Ok(Value::Constant(Constant::from(tensor)))
}
