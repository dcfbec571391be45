//! Operands of a node: values that the network computes, or constants of the file.

use onnx_ir::{Argument, DType, TensorDataExt};

use super::Reading;
use super::error::Refusal;
use crate::ir::{Shape, ValueId};

/// One operand.
pub(super) enum Operand {
    /// Known only when the network runs.
    Value(ValueId),
    /// Part of the file.
    Constant(Constant),
}

/// A float32 tensor of the file, row-major.
pub(super) struct Constant {
    pub(super) shape: Vec<usize>,
    pub(super) numbers: Vec<f32>,
}

impl Reading {
    /// Resolves the operand at `index`.
    pub(super) fn operand(&self, inputs: &[Argument], index: usize) -> Result<Operand, Refusal> {
        let argument = argument(inputs, index)?;
        if let Some(data) = argument.value() {
            if data.dtype() != DType::F32 {
                return Err(Refusal::new(format!(
                    "found a constant of type {:?}, expected float32: export the model in float32",
                    data.dtype()
                )));
            }
            let numbers =
                data.to_f32_vec().map_err(|error| Refusal::new(format!("found an unreadable constant: {error}")))?;
            return Ok(Operand::Constant(Constant { shape: data.shape().to_vec(), numbers }));
        }
        let value = self.values.get(&argument.name).ok_or_else(|| {
            Refusal::new(format!(
                "operand {index} is neither a constant nor computed from the input by the nodes before; if it is \
                 the result of a MatMul with a bias added elsewhere, export that layer as Gemm"
            ))
        })?;
        Ok(Operand::Value(*value))
    }

    /// The operand at `index`, which must be computed.
    pub(super) fn value(&self, inputs: &[Argument], index: usize) -> Result<ValueId, Refusal> {
        match self.operand(inputs, index)? {
            Operand::Value(value) => Ok(value),
            Operand::Constant(constant) => Err(Refusal::new(format!(
                "operand {index} is a constant of shape {:?}, expected a value computed from the input",
                constant.shape
            ))),
        }
    }

    /// The operand at `index`, which must be a constant.
    pub(super) fn constant(&self, inputs: &[Argument], index: usize) -> Result<Constant, Refusal> {
        match self.operand(inputs, index)? {
            Operand::Constant(constant) => Ok(constant),
            Operand::Value(value) => Err(Refusal::new(format!(
                "operand {index} is computed (shape {}), expected a constant",
                self.shape(value)
            ))),
        }
    }

    /// The shape of a value of the graph being read.
    pub(super) fn shape(&self, value: ValueId) -> Shape {
        self.graph.shape(value).unwrap_or(Shape { width: 0, uniform: false })
    }
}

/// Whole numbers of a constant operand; `None` where it is absent.
pub(super) fn whole_numbers(inputs: &[Argument], index: usize) -> Result<Option<Vec<i64>>, Refusal> {
    let Some(argument) = inputs.get(index).filter(|argument| !argument.is_optional()) else { return Ok(None) };
    let data = argument
        .value()
        .ok_or_else(|| Refusal::new(format!("operand {index} is computed, expected constant whole numbers")))?;
    data.to_i64_vec()
        .map(Some)
        .map_err(|error| Refusal::new(format!("operand {index}: expected constant whole numbers: {error}")))
}

/// The argument at `index`, which must be present.
pub(super) fn argument(inputs: &[Argument], index: usize) -> Result<&Argument, Refusal> {
    inputs
        .get(index)
        .filter(|argument| !argument.is_optional())
        .ok_or_else(|| Refusal::new(format!("operand {index} is missing")))
}

impl Constant {
    /// One number for each of `width` columns, by ONNX's broadcasting of `[]`, `[1]`,
    /// `[width]`, `[1, 1]` and `[1, width]`.
    pub(super) fn columns(&self, width: usize) -> Result<Vec<f32>, Refusal> {
        match (self.shape.as_slice(), self.numbers.as_slice()) {
            ([] | [1] | [1, 1], [number]) => Ok(vec![*number; width]),
            ([_] | [1, _], numbers) if numbers.len() == width => Ok(numbers.to_vec()),
            _ => Err(Refusal::new(format!(
                "found a constant of shape {:?}, expected a scalar, [{width}] or [1, {width}]",
                self.shape
            ))),
        }
    }
}
