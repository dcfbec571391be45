//! Normalisation over the columns, and by constants.

use crate::ir::{Operation, ValueId};
use crate::onnx::error::Refusal;
use crate::onnx::load::{Kind, Tensor};
use crate::onnx::reader::Reading;
use crate::onnx::reader::call::Call;
use crate::onnx::reader::operands::axis_of;
use crate::onnx::reader::value::{Axis, Computed, Value};

/// `(x − mean) / √(variance + ε) · scale + bias` over the columns (Ba, Kiros and Hinton, 2016).
pub(super) fn layer(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    over_columns(reading, call, true)
}

/// `x / √(mean of squares + ε) · scale` over the columns (Zhang and Sennrich, 2019).
pub(super) fn root_mean_square(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    over_columns(reading, call, false)
}

fn over_columns(reading: &mut Reading, call: &Call<'_>, centre: bool) -> Result<Value, Refusal> {
    let (x, axes) = reading.plain(call, 0)?;
    let axis = call.integer("axis").unwrap_or(-1);
    let at = axis_of(axis, axes.len())?;
    if at + 1 != axes.len() || axes[at] != Axis::Columns {
        return Err(Refusal::new(format!("found axis {axis}, expected the last: normalisation over the columns")));
    }
    if call.node.output.iter().skip(1).any(|name| !name.is_empty()) {
        return Err(Refusal::new("found results for mean and deviation, expected the normalised value alone"));
    }
    let width = reading.shape(x).width;
    let epsilon = call.float("epsilon", 1e-5);
    let centred = if centre { centred(reading, x, width)? } else { x };
    let square = reading.multiply(centred, centred)?;
    let weights = vec![1.0 / width as f32; width];
    let variance = reading.push(Operation::Linear { x: square, weights, bias: Some(vec![epsilon as f32]) })?;
    let inverse = reading.inverse_root(variance, epsilon)?;
    let scale = match reading.optional(call, 1)? {
        Some(scale) => columns(&scale, width)?,
        None => vec![1.0; width],
    };
    let inverse = reading.widened(inverse, scale)?;
    let normalised = Computed::new(reading.multiply(centred, inverse)?, axes);
    reading.note_formula(&call.node.op_type, "5e-6 of it, for variances up to 1e8");
    match reading.optional(call, 2)? {
        Some(bias) => Ok(Value::Computed(reading.by_columns(&normalised, &bias, |bias| (1.0, bias))?)),
        None => Ok(Value::Computed(normalised)),
    }
}

/// `x · (I − 1/width)`.
fn centred(reading: &mut Reading, x: ValueId, width: usize) -> Result<ValueId, Refusal> {
    let mut weights = vec![-1.0 / width as f32; width * width];
    weights.iter_mut().step_by(width + 1).for_each(|weight| *weight += 1.0);
    reading.push(Operation::Linear { x, weights, bias: None })
}

/// `(x − mean) / √(variance + ε) · scale + bias`, all constants for each column.
pub(super) fn batch(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    if call.flag("training_mode", false) {
        return Err(Refusal::new("found training_mode = 1, expected 0: export after model.eval()"));
    }
    let x = reading.computed(call, 0)?;
    x.factor.expect_one()?;
    let width = reading.width(&x);
    let list = |index| columns(&reading.constant(call, index)?, width);
    let (scale, bias, mean, variance) = (list(1)?, list(2)?, list(3)?, list(4)?);
    let epsilon = call.float("epsilon", 1e-5);
    let scale: Vec<f32> = scale
        .iter()
        .zip(&variance)
        .map(|(scale, it)| (f64::from(*scale) / (f64::from(*it) + epsilon).sqrt()) as f32)
        .collect();
    let offset = bias.iter().zip(&mean).zip(&scale).map(|((bias, mean), scale)| bias - mean * scale).collect();
    let value = reading.whole(&x)?;
    Ok(Value::Computed(Computed::new(reading.push(Operation::Columns { x: value, scale, offset })?, x.axes)))
}

/// `(x − offset) · scale` of scikit-learn's scalers.
pub(super) fn scaler(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    x.factor.expect_one()?;
    let list = |name| {
        let numbers = call.floats(name);
        Tensor { shape: vec![numbers.len()], numbers, kind: Kind::Float }
    };
    let (offset, scale) = (list("offset"), list("scale"));
    let shifted = if offset.numbers.is_empty() { x } else { reading.by_columns(&x, &offset, |it| (1.0, -it))? };
    let scaled =
        if scale.numbers.is_empty() { shifted } else { reading.by_columns(&shifted, &scale, |it| (it, 0.0))? };
    Ok(Value::Computed(scaled))
}

/// A number for each column.
fn columns(tensor: &Tensor, width: usize) -> Result<Vec<f32>, Refusal> {
    match tensor.numbers.len() {
        1 => Ok(vec![tensor.numbers[0] as f32; width]),
        found if found == width => Ok(tensor.numbers.iter().map(|number| *number as f32).collect()),
        _ => Err(Refusal::new(format!("found a constant of shape {:?}, expected [{width}]", tensor.shape))),
    }
}
