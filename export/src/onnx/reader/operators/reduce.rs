//! Means and sums over rows or columns.

use crate::ir::Operation;
use crate::onnx::error::Refusal;
use crate::onnx::reader::Reading;
use crate::onnx::reader::call::Call;
use crate::onnx::reader::operands::axis_of;
use crate::onnx::reader::value::{Axis, Body, Computed, Factor, Symbol, Value};

pub(super) fn mean(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    reduce(reading, call, x, true)
}

/// A sum over the rows is their number times their mean; the number has to cancel out later.
pub(super) fn sum(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    reduce(reading, call, x, false)
}

pub(super) fn sum_of_squares(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let (x, axes) = reading.plain(call, 0)?;
    let square = reading.multiply(x, x)?;
    reduce(reading, call, Computed::new(square, axes), false)
}

fn reduce(reading: &mut Reading, call: &Call<'_>, x: Computed, mean: bool) -> Result<Value, Refusal> {
    let rank = x.axes.len();
    let axes = reading.whole_numbers(call, 1, "axes")?.filter(|axes| !axes.is_empty());
    let axes: Vec<usize> = match axes {
        Some(axes) => axes.into_iter().map(|axis| axis_of(axis, rank)).collect::<Result<_, _>>()?,
        None if call.flag("noop_with_empty_axes", false) => return Ok(Value::Computed(x)),
        None => (0..rank).collect(),
    };
    let keep = call.flag("keepdims", true);
    let mut body = reading.whole(&x)?;
    let mut factor = x.factor.clone();
    for at in &axes {
        match x.axes[*at] {
            Axis::One => {}
            Axis::Columns => {
                let width = reading.shape(body).width;
                let weight = if mean { 1.0 / width as f32 } else { 1.0 };
                body = reading.push(Operation::Linear { x: body, weights: vec![weight; width], bias: None })?;
            }
            Axis::Rows => {
                // What is the same for all rows is its own mean.
                if !reading.shape(body).uniform {
                    body = reading.push(Operation::MeanRows(body))?;
                }
                match (mean, reading.rows) {
                    (true, _) => {}
                    (false, Some(rows)) => body = reading.affine(body, rows as f64, 0.0)?,
                    (false, None) => factor = factor.times(&Factor::of(Symbol::Rows, 1)),
                }
            }
        }
    }
    let reduced = |at: &usize| axes.contains(at);
    let axes = (0..rank)
        .filter(|at| keep || !reduced(at))
        .map(|at| if reduced(&at) { Axis::One } else { x.axes[at] })
        .collect();
    Ok(Value::Computed(Computed { body: Body::One(body), axes, factor }))
}
