//! Quantised models, made exact again: weights become the numbers that their integers stand
//! for, and values are not rounded. What a file clips to the range of its integers stays
//! clipped.

use crate::onnx::error::Refusal;
use crate::onnx::load::{Kind, Tensor};
use crate::onnx::reader::Reading;
use crate::onnx::reader::call::Call;
use crate::onnx::reader::fold::broadcast;
use crate::onnx::reader::operands::{axis_of, number};
use crate::onnx::reader::value::{Computed, Constant, Factor, Quantised, Symbol, Value, Zero};

const NOTE: &str = "the file rounds values to 8 or 16 bits on their way; the program does not";

/// A value in integers, with scale and zero point from its own range.
pub(super) fn dynamic(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    x.factor.expect_one()?;
    let symbol = reading.scales;
    reading.scales += 1;
    reading.notes.insert(NOTE.to_owned());
    let scale = Constant { tensor: number(1.0), factor: Factor::of(Symbol::Scale(symbol), 1) };
    let outputs = &call.node.output;
    if let Some(name) = outputs.get(1) {
        reading.values.insert(name.clone(), Value::Constant(scale.clone()));
    }
    if let Some(name) = outputs.get(2) {
        reading.values.insert(name.clone(), Value::ZeroPoint(symbol));
    }
    Ok(Value::Quantised(Quantised { x, scale, zero: Zero::Dynamic(symbol) }))
}

/// Rounds a constant, or marks a value as rounded.
pub(super) fn quantise(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    expect_whole_blocks(call)?;
    let scale = reading.constant(call, 1)?;
    let zero = reading.optional(call, 2)?;
    let element = call.integer("output_dtype").unwrap_or(0) as i32;
    let kind = match (&zero, element) {
        (Some(zero), _) => zero.kind,
        (None, 0) => Kind::Integer { bits: 8, signed: false },
        (None, element) => Kind::of(element).unwrap_or(Kind::Float),
    };
    let Kind::Integer { bits: bits @ ..=16, signed } = kind else {
        return Err(Refusal::new("found a quantisation to other than 8 or 16 bits: use int8 or uint8"));
    };
    let (least, most) = if signed {
        (-f64::from(1_u32 << (bits - 1)), f64::from((1_u32 << (bits - 1)) - 1))
    } else {
        (0.0, f64::from((1_u32 << bits) - 1))
    };
    if let Value::Constant(Constant { tensor, factor }) = reading.operand(call, 0)? {
        factor.expect_one()?;
        let (scale, zero) =
            (along(call, &scale, &tensor)?, along(call, &zero.unwrap_or_else(|| number(0.0)), &tensor)?);
        let rounded = broadcast(&tensor, &scale, |x, scale| (x / scale).round_ties_even())?;
        let mut integers = broadcast(&rounded, &zero, |x, zero| (x + zero).clamp(least, most))?;
        integers.kind = kind;
        return Ok(Value::Constant(Constant::from(integers)));
    }
    let x = reading.computed(call, 0)?;
    x.factor.expect_one()?;
    let (Some(step), Some(shift)) = (scale.only(), zero.map_or(Some(0.0), |zero| zero.only())) else {
        return Err(Refusal::new("found a scale for each column of a computed value, expected one for all"));
    };
    reading.notes.insert(NOTE.to_owned());
    let value = reading.whole(&x)?;
    let clipped = reading.clip(value, step * (least - shift), step * (most - shift))?;
    let x = Computed::new(clipped, x.axes);
    Ok(Value::Quantised(Quantised { x, scale: Constant::from(number(step)), zero: Zero::Fixed(shift) }))
}

/// What integers stand for.
pub(super) fn dequantise(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    expect_whole_blocks(call)?;
    match reading.operand(call, 0)? {
        Value::Constant(Constant { tensor, factor }) => {
            factor.expect_one()?;
            let scale = along(call, &reading.constant(call, 1)?, &tensor)?;
            let zero = reading.optional(call, 2)?.unwrap_or_else(|| number(0.0));
            let shifted = broadcast(&tensor, &along(call, &zero, &tensor)?, |x, zero| x - zero)?;
            let mut numbers = broadcast(&shifted, &scale, |x, scale| x * scale)?;
            numbers.kind = Kind::Float;
            Ok(Value::Constant(Constant::from(numbers)))
        }
        Value::Quantised(quantised) => {
            let same_scale = match reading.operand(call, 1)? {
                Value::Constant(scale) => {
                    scale.factor == quantised.scale.factor && scale.tensor.only() == quantised.scale.tensor.only()
                }
                _ => false,
            };
            if same_scale && zero_point(reading, call, 2)? == quantised.zero {
                Ok(Value::Computed(quantised.x))
            } else {
                Err(Refusal::new("found another scale or zero point than those the value was quantised with"))
            }
        }
        other => Err(Refusal::new(format!("operand 0 is {}, expected integers", other.describe()))),
    }
}

/// `(a − zero) · (W − zero)` in integers: `a · W` divided by the scale of `a`.
pub(super) fn matmul(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let Value::Quantised(a) = reading.operand(call, 0)? else {
        return Err(Refusal::new("operand 0 is not a quantised value: quantise with ONNX Runtime's quantize_dynamic"));
    };
    if zero_point(reading, call, 2)? != a.zero {
        return Err(Refusal::new("found another zero point than that which operand 0 was quantised with"));
    }
    let weights = reading.constant(call, 1)?;
    let zero = reading.optional(call, 3)?.unwrap_or_else(|| number(0.0));
    let mut weights = broadcast(&weights, &zero, |weight, zero| weight - zero)?;
    if let Some(scale) = a.scale.tensor.only().filter(|scale| *scale != 0.0) {
        weights.numbers.iter_mut().for_each(|weight| *weight /= scale);
    }
    weights.kind = Kind::Float;
    let mut product = reading.product(&a.x, &weights)?;
    product.factor = product.factor.times(&a.scale.factor.inverse());
    Ok(Value::Computed(product))
}

/// The zero point at `index`, 0 where it is left out.
fn zero_point(reading: &Reading, call: &Call<'_>, index: usize) -> Result<Zero, Refusal> {
    if call.input(index).is_none() {
        return Ok(Zero::Fixed(0.0));
    }
    match reading.operand(call, index)? {
        Value::ZeroPoint(symbol) => Ok(Zero::Dynamic(symbol)),
        Value::Constant(Constant { tensor, .. }) => {
            tensor.only().map(Zero::Fixed).ok_or_else(|| Refusal::new("found several zero points, expected one"))
        }
        other => Err(Refusal::new(format!("operand {index} is {}, expected a zero point", other.describe()))),
    }
}

/// A scale or zero point for each entry of the axis that the node names, in a shape that
/// broadcasts against `tensor`.
fn along(call: &Call<'_>, numbers: &Tensor, tensor: &Tensor) -> Result<Tensor, Refusal> {
    if numbers.only().is_some() {
        return Ok(Tensor { shape: Vec::new(), ..numbers.clone() });
    }
    let rank = tensor.shape.len();
    let at = axis_of(call.integer("axis").unwrap_or(1), rank)?;
    if numbers.shape != [tensor.shape.get(at).copied().unwrap_or(1)] {
        return Err(Refusal::new(format!(
            "found scales of shape {:?} for weights of shape {:?}, expected one, or one for each entry of axis {at}",
            numbers.shape, tensor.shape
        )));
    }
    let shape = (0..rank).map(|axis| if axis == at { numbers.numbers.len() } else { 1 }).collect();
    Ok(Tensor { shape, ..numbers.clone() })
}

fn expect_whole_blocks(call: &Call<'_>) -> Result<(), Refusal> {
    match call.integer("block_size") {
        None | Some(0) => Ok(()),
        Some(size) => Err(Refusal::new(format!("found block_size = {size}, expected scales for columns or for all"))),
    }
}
