//! Elementwise functions of one value.

use crate::ir::{Combination, Function, Operation, ValueId};
use crate::onnx::error::Refusal;
use crate::onnx::load::Tensor;
use crate::onnx::reader::Reading;
use crate::onnx::reader::call::Call;
use crate::onnx::reader::operands::{columns_of, number};
use crate::onnx::reader::value::{Computed, Value};

pub(super) fn tanh(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    each(reading, call, |reading, x| reading.map(Function::Tanh, x))
}

pub(super) fn relu(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    // A factor that is a positive number stays one.
    let x = reading.computed(call, 0)?;
    let body = reading.whole(&x)?;
    let body = reading.map(Function::Relu, body)?;
    Ok(Value::Computed(Computed { factor: x.factor.clone(), ..Computed::new(body, x.axes) }))
}

pub(super) fn sigmoid(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    each(reading, call, |reading, x| reading.map(Function::Sigmoid, x))
}

/// Without a limit, that of finite numbers.
pub(super) fn clip(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let limit = |index, name: &str, otherwise: f32| {
        let operand = reading.optional(call, index)?;
        let given =
            operand.map(|tensor| tensor.only().ok_or_else(|| Refusal::new("found several limits"))).transpose()?;
        Ok::<f64, Refusal>(given.unwrap_or_else(|| call.float(name, f64::from(otherwise))))
    };
    let (least, most) = (limit(1, "min", f32::MIN)?, limit(2, "max", f32::MAX)?);
    // Infinite limits are none.
    let finite = |limit: f64| limit.clamp(f64::from(f32::MIN), f64::from(f32::MAX));
    let (least, most) = (finite(least), finite(most));
    each(reading, call, |reading, x| reading.clip(x, least, most))
}

/// `relu(x) − alpha · relu(−x)`: exact, since one of the terms is always zero.
pub(super) fn leaky_relu(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    leaky(reading, call, &number(call.float("alpha", 0.01)))
}

/// [`leaky_relu`] with a slope for each column.
pub(super) fn p_relu(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let slope = reading.constant(call, 1)?;
    leaky(reading, call, &slope)
}

fn leaky(reading: &mut Reading, call: &Call<'_>, slope: &Tensor) -> Result<Value, Refusal> {
    let (x, axes) = reading.plain(call, 0)?;
    let width = reading.shape(x).width;
    let numbers = columns_of(slope, &axes, width).map(|(_, numbers)| numbers).filter(|it| it.len() == width);
    let numbers = numbers.ok_or_else(|| {
        Refusal::new(format!("found slopes of shape {:?}, expected one, or one for each column", slope.shape))
    })?;
    let positive = reading.map(Function::Relu, x)?;
    let mirrored = reading.affine(x, -1.0, 0.0)?;
    let negative = reading.map(Function::Relu, mirrored)?;
    let scale = numbers.into_iter().map(|slope| slope as f32).collect();
    let leak = reading.push(Operation::Columns { x: negative, scale, offset: vec![0.0; width] })?;
    let leaky = reading.combine(Combination::Subtract, positive, leak)?;
    Ok(Value::Computed(Computed::new(leaky, axes)))
}

pub(super) fn hard_sigmoid(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let (alpha, beta) = (call.float("alpha", 0.2), call.float("beta", 0.5));
    each(reading, call, |reading, x| hard(reading, x, alpha, beta))
}

pub(super) fn hard_swish(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    each(reading, call, |reading, x| {
        let gate = hard(reading, x, 1.0 / 6.0, 0.5)?;
        reading.multiply(x, gate)
    })
}

fn hard(reading: &mut Reading, x: ValueId, alpha: f64, beta: f64) -> Result<ValueId, Refusal> {
    let line = reading.affine(x, alpha, beta)?;
    reading.clip(line, 0.0, 1.0)
}

pub(super) fn gelu(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    match call.text("approximate").as_deref() {
        None | Some("none" | "") => exact_gelu(reading, call),
        Some("tanh") => fast_gelu(reading, call),
        Some(other) => Err(Refusal::new(format!("found approximate = {other:?}, expected \"none\" or \"tanh\""))),
    }
}

pub(super) fn exact_gelu(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    by_formula(reading, call, "1e-5", Reading::gelu)
}

pub(super) fn bias_gelu(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    note(reading, call, "1e-5");
    with_bias(reading, call, Reading::gelu)
}

pub(super) fn fast_gelu(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    note(reading, call, "1e-5");
    with_bias(reading, call, Reading::gelu_by_tanh)
}

pub(super) fn quick_gelu(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let alpha = call.float("alpha", 1.702);
    by_formula(reading, call, "1e-5", |reading, x| reading.swish(x, alpha))
}

pub(super) fn swish(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let alpha = call.float("alpha", 1.0);
    by_formula(reading, call, "1e-5", |reading, x| reading.swish(x, alpha))
}

pub(super) fn erf(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    by_formula(reading, call, "4e-6", |reading, x| reading.erf(x, 1.0))
}

pub(super) fn elu(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let alpha = call.float("alpha", 1.0);
    by_formula(reading, call, "5e-6", |reading, x| reading.elu(x, alpha, 1.0, 1.0))
}

pub(super) fn celu(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let alpha = call.float("alpha", 1.0);
    if alpha <= 0.0 {
        return Err(Refusal::new(format!("found alpha = {alpha}, expected a positive number")));
    }
    by_formula(reading, call, "5e-6", |reading, x| reading.elu(x, alpha, alpha, 1.0))
}

pub(super) fn selu(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    // Klambauer et al., "Self-normalizing neural networks" (2017).
    let (alpha, gamma) = (call.float("alpha", 1.673_263_2), call.float("gamma", 1.050_701));
    by_formula(reading, call, "1e-5", |reading, x| reading.elu(x, alpha, 1.0, gamma))
}

pub(super) fn softplus(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    by_formula(reading, call, "5e-6", Reading::softplus)
}

pub(super) fn mish(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    by_formula(reading, call, "2e-5", Reading::mish)
}

type Formula<'f> = &'f dyn Fn(&mut Reading, ValueId) -> Result<ValueId, Refusal>;

fn each(
    reading: &mut Reading,
    call: &Call<'_>,
    function: impl Fn(&mut Reading, ValueId) -> Result<ValueId, Refusal>,
) -> Result<Value, Refusal> {
    let (x, axes) = reading.plain(call, 0)?;
    let result = function(reading, x)?;
    Ok(Value::Computed(Computed::new(result, axes)))
}

/// [`each`], with a note on the error.
fn by_formula(
    reading: &mut Reading,
    call: &Call<'_>,
    error: &str,
    function: impl Fn(&mut Reading, ValueId) -> Result<ValueId, Refusal>,
) -> Result<Value, Refusal> {
    note(reading, call, error);
    each(reading, call, function)
}

/// A function of the sum of the two operands, of which the second may be missing.
fn with_bias(
    reading: &mut Reading,
    call: &Call<'_>,
    function: impl Fn(&mut Reading, ValueId) -> Result<ValueId, Refusal>,
) -> Result<Value, Refusal> {
    let function: Formula<'_> = &function;
    let Some(bias) = reading.optional(call, 1)? else { return each(reading, call, function) };
    let x = reading.computed(call, 0)?;
    x.factor.expect_one()?;
    let sum = reading.by_columns(&x, &bias, |bias| (1.0, bias))?;
    let value = reading.whole(&sum)?;
    let result = function(reading, value)?;
    Ok(Value::Computed(Computed::new(result, sum.axes)))
}

fn note(reading: &mut Reading, call: &Call<'_>, error: &str) {
    reading.note_formula(&call.node.op_type, &format!("{error} of it"));
}
