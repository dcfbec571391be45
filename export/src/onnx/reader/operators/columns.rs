//! Concat, Slice and Gather along the columns.

use onnx_ir::Argument;
use onnx_ir::slice::{SliceConfig, SliceInput};

use crate::ir::{Operation, ValueId};
use crate::onnx::reader::operand::whole_numbers;
use crate::onnx::reader::{Reading, error::Refusal};

pub(super) fn concat(reading: &mut Reading, inputs: &[Argument], axis: usize) -> Result<ValueId, Refusal> {
    expect_column_axis(axis as i64)?;
    let values = (0..inputs.len()).map(|index| reading.value(inputs, index)).collect::<Result<Vec<_>, _>>()?;
    join(reading, &values)
}

pub(super) fn slice(reading: &mut Reading, inputs: &[Argument], config: &SliceConfig) -> Result<ValueId, Refusal> {
    let x = reading.value(inputs, 0)?;
    let starts = fixed("starts", &config.starts)?;
    let ends = fixed("ends", &config.ends)?;
    let axes = match &config.axes {
        Some(axes) => fixed("axes", axes)?,
        None => (0..starts.len() as i64).collect(),
    };
    let steps = match &config.steps {
        Some(steps) => fixed("steps", steps)?,
        None => vec![1; starts.len()],
    };
    let (&[start], &[end], &[axis], &[step]) = (&starts[..], &ends[..], &axes[..], &steps[..]) else {
        return Err(Refusal::new(format!("found {} axes, expected only axis 1 (columns)", starts.len())));
    };
    expect_column_axis(axis)?;
    if step != 1 {
        return Err(Refusal::new(format!("found step {step}, expected 1")));
    }
    let columns = reading.shape(x).width as i64;
    // As in Python: negative positions count from the end, beyond the end is the end.
    let place =
        |position: i64| if position < 0 { position.saturating_add(columns) } else { position }.clamp(0, columns);
    let (begin, end) = (place(start), place(end));
    let width = (end - begin).max(0) as usize;
    Ok(reading.graph.push(Operation::Slice { x, begin: begin as usize, width })?)
}

/// Picks columns: neighbouring ones become one slice, others are put together.
pub(super) fn gather(reading: &mut Reading, inputs: &[Argument], axis: usize) -> Result<ValueId, Refusal> {
    expect_column_axis(axis as i64)?;
    let x = reading.value(inputs, 0)?;
    let rank = inputs.get(1).and_then(Argument::value).map(|indices| indices.shape().len());
    if rank == Some(0) {
        return Err(Refusal::new("found a scalar index, expected a list: [index] keeps the matrix a matrix"));
    }
    let indices = whole_numbers(inputs, 1)?.unwrap_or_default();
    let columns = reading.shape(x).width as i64;
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for index in indices {
        let column = if index < 0 { index.saturating_add(columns) } else { index };
        if !(0..columns).contains(&column) {
            return Err(Refusal::new(format!("found index {index}, expected one from -{columns} to {}", columns - 1)));
        }
        match runs.last_mut() {
            Some((begin, width)) if *begin + *width == column as usize => *width += 1,
            _ => runs.push((column as usize, 1)),
        }
    }
    let slices = runs
        .into_iter()
        .map(|(begin, width)| reading.graph.push(Operation::Slice { x, begin, width }))
        .collect::<Result<Vec<_>, _>>()?;
    join(reading, &slices)
}

fn join(reading: &mut Reading, values: &[ValueId]) -> Result<ValueId, Refusal> {
    let (first, rest) = values.split_first().ok_or_else(|| Refusal::new("found no columns, expected at least one"))?;
    let mut joined = *first;
    for value in rest {
        joined = reading.graph.push(Operation::Concat(joined, *value))?;
    }
    Ok(joined)
}

fn expect_column_axis(axis: i64) -> Result<(), Refusal> {
    if axis == 1 { Ok(()) } else { Err(Refusal::new(format!("found axis {axis}, expected 1 (columns)"))) }
}

fn fixed(what: &str, numbers: &SliceInput) -> Result<Vec<i64>, Refusal> {
    match numbers {
        SliceInput::Static(numbers) => Ok(numbers.clone()),
        SliceInput::Runtime(_) => Err(Refusal::new(format!("found computed {what}, expected constant ones"))),
    }
}
