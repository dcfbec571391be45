//! Add, Sub, Mul, Div and Neg: of two values, or of a value and a constant.

use onnx_ir::Argument;

use crate::ir::{Combination, Operation, ValueId};
use crate::onnx::reader::operand::{Constant, Operand};
use crate::onnx::reader::{Reading, error::Refusal};

pub(super) fn add(reading: &mut Reading, inputs: &[Argument]) -> Result<ValueId, Refusal> {
    match operands(reading, inputs)? {
        Operands::Values(a, b) => combine(reading, Combination::Add, a, b),
        Operands::ConstantRight(x, c) | Operands::ConstantLeft(c, x) => columns(reading, x, &c, |c| (1.0, c)),
    }
}

pub(super) fn subtract(reading: &mut Reading, inputs: &[Argument]) -> Result<ValueId, Refusal> {
    match operands(reading, inputs)? {
        Operands::Values(a, b) => combine(reading, Combination::Subtract, a, b),
        Operands::ConstantRight(x, c) => columns(reading, x, &c, |c| (1.0, -c)),
        Operands::ConstantLeft(c, x) => columns(reading, x, &c, |c| (-1.0, c)),
    }
}

pub(super) fn multiply(reading: &mut Reading, inputs: &[Argument]) -> Result<ValueId, Refusal> {
    match operands(reading, inputs)? {
        Operands::Values(a, b) => combine(reading, Combination::Multiply, a, b),
        Operands::ConstantRight(x, c) | Operands::ConstantLeft(c, x) => columns(reading, x, &c, |c| (c, 0.0)),
    }
}

pub(super) fn divide(reading: &mut Reading, inputs: &[Argument]) -> Result<ValueId, Refusal> {
    match operands(reading, inputs)? {
        Operands::ConstantRight(_, c) if c.numbers.contains(&0.0) => {
            Err(Refusal::new("found a division by the constant 0"))
        }
        Operands::ConstantRight(x, c) => columns(reading, x, &c, |c| (1.0 / c, 0.0)),
        Operands::Values(..) | Operands::ConstantLeft(..) => {
            Err(Refusal::new("found a computed divisor, expected a constant one"))
        }
    }
}

pub(super) fn negate(reading: &mut Reading, inputs: &[Argument]) -> Result<ValueId, Refusal> {
    let x = reading.value(inputs, 0)?;
    columns(reading, x, &Constant { shape: Vec::new(), numbers: vec![-1.0] }, |c| (c, 0.0))
}

enum Operands {
    Values(ValueId, ValueId),
    ConstantRight(ValueId, Constant),
    ConstantLeft(Constant, ValueId),
}

fn operands(reading: &Reading, inputs: &[Argument]) -> Result<Operands, Refusal> {
    match (reading.operand(inputs, 0)?, reading.operand(inputs, 1)?) {
        (Operand::Value(a), Operand::Value(b)) => Ok(Operands::Values(a, b)),
        (Operand::Value(x), Operand::Constant(c)) => Ok(Operands::ConstantRight(x, c)),
        (Operand::Constant(c), Operand::Value(x)) => Ok(Operands::ConstantLeft(c, x)),
        (Operand::Constant(_), Operand::Constant(_)) => {
            Err(Refusal::new("found two constants, expected a computed operand: export with constant folding"))
        }
    }
}

fn combine(reading: &mut Reading, combination: Combination, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
    Ok(reading.graph.push(Operation::Combine(combination, a, b))?)
}

/// `scale · x + offset`, both made of the constant for the column.
fn columns(
    reading: &mut Reading,
    x: ValueId,
    constant: &Constant,
    scale_and_offset: impl Fn(f32) -> (f32, f32),
) -> Result<ValueId, Refusal> {
    let numbers = constant.columns(reading.shape(x).width)?;
    let (scale, offset) = numbers.into_iter().map(scale_and_offset).unzip();
    Ok(reading.graph.push(Operation::Columns { x, scale, offset })?)
}
