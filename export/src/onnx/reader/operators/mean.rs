//! `ReduceMean` over the rows.

use onnx_ir::Argument;
use onnx_ir::reduce::{ReduceAxes, ReduceConfig};

use crate::ir::{Operation, ValueId};
use crate::onnx::reader::{Reading, error::Refusal};

pub(super) fn mean(reading: &mut Reading, inputs: &[Argument], config: &ReduceConfig) -> Result<ValueId, Refusal> {
    match &config.axes {
        ReduceAxes::Static(axes) if axes[..] == [0] => {}
        ReduceAxes::Static(axes) => {
            return Err(Refusal::new(format!("found axes {axes:?}, expected [0]: a mean over rows")));
        }
        ReduceAxes::Runtime(_) => return Err(Refusal::new("found computed axes, expected the constant [0]")),
    }
    if !config.keepdims {
        return Err(Refusal::new("found keepdims = 0, expected 1: the mean stays a matrix of one row"));
    }
    let x = reading.value(inputs, 0)?;
    if reading.shape(x).uniform {
        // The mean of a single row is that row.
        return Ok(x);
    }
    Ok(reading.graph.push(Operation::MeanRows(x))?)
}
