//! Arithmetic of two values, or of a value and a constant.

use crate::ir::{Combination, Function, ValueId};
use crate::onnx::error::Refusal;
use crate::onnx::load::Tensor;
use crate::onnx::reader::Reading;
use crate::onnx::reader::call::Call;
use crate::onnx::reader::fold::broadcast;
use crate::onnx::reader::operands::number;
use crate::onnx::reader::value::{Computed, Constant, Factor, Value};

/// How far roots are from what they are.
const ROOT_ERROR: &str = "1e-6 of the value, from 1e-12 to 1e8";

pub(super) fn add(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    match operands(reading, call)? {
        Operands::Values(a, b) => combine(reading, Combination::Add, &a, &b),
        Operands::ConstantRight(x, c) | Operands::ConstantLeft(c, x) => offset(reading, &x, &c, |c| (1.0, c)),
        Operands::Constants(..) => of_constants(reading, call),
    }
}

pub(super) fn subtract(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    match operands(reading, call)? {
        Operands::Values(a, b) => combine(reading, Combination::Subtract, &a, &b),
        Operands::ConstantRight(x, c) => offset(reading, &x, &c, |c| (1.0, -c)),
        Operands::ConstantLeft(c, x) => offset(reading, &x, &c, |c| (-1.0, c)),
        Operands::Constants(..) => of_constants(reading, call),
    }
}

pub(super) fn sum(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    match call.node.input.len() {
        1 => reading.operand(call, 0),
        2 => add(reading, call),
        count => Err(Refusal::new(format!("found a sum of {count} operands, expected one or two: use Add"))),
    }
}

pub(super) fn multiply(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    match operands(reading, call)? {
        Operands::Values(a, b) => {
            let factor = a.factor.times(&b.factor);
            let (left, right, axes) = reading.aligned(&a, &b)?;
            let product = reading.multiply(left, right)?;
            Ok(Value::Computed(Computed { factor, ..Computed::new(product, axes) }))
        }
        Operands::ConstantRight(x, c) | Operands::ConstantLeft(c, x) => scale(reading, &x, &c, &c.factor, |c| c),
        Operands::Constants(a, b) => constants(&a, &b, &b.factor, |a, b| a * b),
    }
}

pub(super) fn divide(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    if let Value::Root(square) = reading.operand(call, 1)? {
        let inverse = inverse_root(reading, &square)?;
        if let Value::Constant(c) = reading.operand(call, 0)? {
            return scale(reading, &inverse, &c, &c.factor, |c| c);
        }
        let x = reading.computed(call, 0)?;
        let (left, right, axes) = reading.aligned(&x, &inverse)?;
        let product = reading.multiply(left, right)?;
        return Ok(Value::Computed(Computed { factor: x.factor, ..Computed::new(product, axes) }));
    }
    match operands(reading, call)? {
        Operands::ConstantRight(_, c) if c.tensor.numbers.contains(&0.0) => {
            Err(Refusal::new("found a division by the constant 0"))
        }
        Operands::ConstantRight(x, c) => scale(reading, &x, &c, &c.factor.inverse(), |c| 1.0 / c),
        Operands::Constants(a, b) => constants(&a, &b, &b.factor.inverse(), |a, b| a / b),
        Operands::Values(..) | Operands::ConstantLeft(..) => Err(Refusal::new(
            "found a computed divisor, expected a constant, a square root, or the number of rows: the runtime does \
             not divide",
        )),
    }
}

pub(super) fn negate(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    scale(reading, &x, &number(-1.0).into(), &Factor::default(), |c| c)
}

pub(super) fn abs(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let (x, axes) = reading.plain(call, 0)?;
    Ok(Value::Computed(Computed::new(reading.magnitude(x)?, axes)))
}

/// `max(a, b) = b + relu(a − b)`, or a clip.
pub(super) fn max(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    extreme(reading, call, 1.0)
}

/// `min(a, b) = b − relu(b − a)`, or a clip.
pub(super) fn min(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    extreme(reading, call, -1.0)
}

fn extreme(reading: &mut Reading, call: &Call<'_>, sign: f64) -> Result<Value, Refusal> {
    if call.node.input.len() != 2 {
        return Err(Refusal::new(format!("found {} operands, expected two", call.node.input.len())));
    }
    let beyond = |reading: &mut Reading, difference: ValueId| reading.map(Function::Relu, difference);
    match operands(reading, call)? {
        Operands::Values(a, b) => {
            a.factor.expect_one()?;
            b.factor.expect_one()?;
            let (a, b, axes) = reading.aligned(&a, &b)?;
            let difference = if sign > 0.0 { reading.subtract(a, b)? } else { reading.subtract(b, a)? };
            let beyond = beyond(reading, difference)?;
            let result = if sign > 0.0 { reading.add(b, beyond)? } else { reading.subtract(b, beyond)? };
            Ok(Value::Computed(Computed::new(result, axes)))
        }
        Operands::ConstantRight(x, c) | Operands::ConstantLeft(c, x) => {
            x.factor.expect_one()?;
            c.factor.expect_one()?;
            if let Some(limit) = c.tensor.only() {
                let value = reading.whole(&x)?;
                let (least, most) = (f64::from(f32::MIN), f64::from(f32::MAX));
                let limits = if sign > 0.0 { (limit, most) } else { (least, limit) };
                let clipped = reading.clip(value, limits.0, limits.1)?;
                return Ok(Value::Computed(Computed::new(clipped, x.axes)));
            }
            let difference = reading.by_columns(&x, &c.tensor, |c| (sign, -sign * c))?;
            let difference_value = reading.whole(&difference)?;
            let beyond = beyond(reading, difference_value)?;
            let beyond = Computed::new(beyond, difference.axes);
            Ok(Value::Computed(reading.by_columns(&beyond, &c.tensor, |c| (sign, c))?))
        }
        Operands::Constants(a, b) => {
            constants(&a, &b, &Factor::default(), |a, b| if (a - b) * sign > 0.0 { a } else { b })
        }
    }
}

/// Powers that are products or roots.
pub(super) fn pow(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let exponent = reading.constant(call, 1)?.only();
    let exponent = exponent.ok_or_else(|| Refusal::new("found several exponents, expected one"))?;
    let x = reading.computed(call, 0)?;
    x.factor.expect_one()?;
    let value = reading.whole(&x)?;
    let power = |value| Ok(Value::Computed(Computed::new(value, x.axes.clone())));
    if exponent.abs() < 1.0 {
        reading.note_formula("Pow", ROOT_ERROR);
    }
    match exponent {
        0.5 => Ok(Value::Root(x)),
        -0.5 => Ok(Value::Computed(inverse_root(reading, &x)?)),
        1.0 => power(value),
        2.0 => power(reading.multiply(value, value)?),
        3.0 => {
            let square = reading.multiply(value, value)?;
            power(reading.multiply(square, value)?)
        }
        _ => Err(Refusal::new(format!("found exponent {exponent}, expected -0.5, 0.5, 1, 2 or 3"))),
    }
}

/// A square root is taken when somebody reads it; a division by it is a product.
pub(super) fn root(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    x.factor.expect_one()?;
    reading.note_formula("Sqrt", ROOT_ERROR);
    Ok(Value::Root(x))
}

pub(super) fn reciprocal(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    match reading.operand(call, 0)? {
        Value::Root(square) => Ok(Value::Computed(inverse_root(reading, &square)?)),
        Value::Constant(c) => constants(&number(1.0).into(), &c, &c.factor.inverse(), |a, b| a / b),
        _ => Err(Refusal::new("found the reciprocal of a computed value, expected that of a square root")),
    }
}

/// For operators that only constants and shapes can have.
pub(super) fn of_constants(_: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    Err(Refusal::new(format!(
        "found {} of other than constants and shapes: export with constant folding",
        call.node.op_type
    )))
}

impl Reading {
    /// The square root itself: `x · 1/√x`.
    pub(in crate::onnx::reader) fn root(&mut self, square: &Computed) -> Result<Computed, Refusal> {
        let inverse = inverse_root(self, square)?;
        let (x, inverse) = (self.whole(square)?, self.whole(&inverse)?);
        Ok(Computed::new(self.multiply(x, inverse)?, square.axes.clone()))
    }
}

/// `1/√x` of a value of one column.
fn inverse_root(reading: &mut Reading, x: &Computed) -> Result<Computed, Refusal> {
    let value = reading.whole(x)?;
    let width = reading.shape(value).width;
    if width != 1 {
        return Err(Refusal::new(format!(
            "found the square root of {width} columns, expected that of one, such as the variance of a row"
        )));
    }
    Ok(Computed::new(reading.inverse_root(value, 0.0)?, x.axes.clone()))
}

enum Operands {
    Values(Computed, Computed),
    ConstantRight(Computed, Constant),
    ConstantLeft(Constant, Computed),
    Constants(Constant, Constant),
}

fn operands(reading: &mut Reading, call: &Call<'_>) -> Result<Operands, Refusal> {
    let (a, b) = (reading.operand(call, 0)?, reading.operand(call, 1)?);
    Ok(match (a, b) {
        (Value::Constant(a), Value::Constant(b)) => Operands::Constants(a, b),
        (Value::Constant(a), _) => Operands::ConstantLeft(a, reading.computed(call, 1)?),
        (_, Value::Constant(b)) => Operands::ConstantRight(reading.computed(call, 0)?, b),
        _ => Operands::Values(reading.computed(call, 0)?, reading.computed(call, 1)?),
    })
}

fn combine(reading: &mut Reading, combination: Combination, a: &Computed, b: &Computed) -> Result<Value, Refusal> {
    if a.factor != b.factor {
        a.factor.expect_one()?;
        b.factor.expect_one()?;
    }
    let (left, right, axes) = reading.aligned(a, b)?;
    let result = reading.combine(combination, left, right)?;
    Ok(Value::Computed(Computed { factor: a.factor.clone(), ..Computed::new(result, axes) }))
}

/// A sum with a constant.
fn offset(
    reading: &mut Reading,
    x: &Computed,
    c: &Constant,
    scale_and_offset: impl Fn(f64) -> (f64, f64),
) -> Result<Value, Refusal> {
    x.factor.expect_one()?;
    c.factor.expect_one()?;
    Ok(Value::Computed(reading.by_columns(x, &c.tensor, scale_and_offset)?))
}

/// A product with a function of a constant, whose factor then is `factor`.
fn scale(
    reading: &mut Reading,
    x: &Computed,
    c: &Constant,
    factor: &Factor,
    of: impl Fn(f64) -> f64,
) -> Result<Value, Refusal> {
    let mut scaled = reading.by_columns(x, &c.tensor, |c| (of(c), 0.0))?;
    scaled.factor = x.factor.times(factor);
    Ok(Value::Computed(scaled))
}

fn constants(a: &Constant, b: &Constant, of_b: &Factor, function: impl Fn(f64, f64) -> f64) -> Result<Value, Refusal> {
    let tensor: Tensor = broadcast(&a.tensor, &b.tensor, function)?;
    Ok(Value::Constant(Constant { tensor, factor: a.factor.times(of_b) }))
}
