//! Concat, Slice, Split and Gather along the columns.

use crate::ir::{Operation, ValueId};
use crate::onnx::error::Refusal;
use crate::onnx::reader::Reading;
use crate::onnx::reader::call::Call;
use crate::onnx::reader::fold::range;
use crate::onnx::reader::operands::{axis_of, in_order};
use crate::onnx::reader::value::{Axis, Body, Computed, Value};

pub(super) fn concat(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let values =
        (0..call.node.input.len()).map(|index| reading.computed(call, index)).collect::<Result<Vec<_>, _>>()?;
    let first = values.first().ok_or_else(|| Refusal::new("found no columns, expected at least one"))?;
    let mut axes = first.axes.clone();
    let at = column_axis(&axes, call.integer("axis").unwrap_or(1))?;
    let mut parts = Vec::new();
    for value in &values {
        let others = |axes: &[Axis]| axes.iter().enumerate().filter(|(axis, _)| *axis != at).map(|it| *it.1).collect();
        let (found, expected): (Vec<Axis>, Vec<Axis>) = (others(&value.axes), others(&first.axes));
        if value.axes.len() != axes.len() || found != expected {
            return Err(Refusal::new(format!(
                "found values of shape {} and {} side by side, expected both with N rows or both with one",
                first.shape(reading.width(first)),
                value.shape(reading.width(value))
            )));
        }
        if value.factor != first.factor {
            value.factor.expect_one()?;
            first.factor.expect_one()?;
        }
        match &value.body {
            Body::One(part) => parts.push(*part),
            Body::Beside(several) => parts.extend(several),
        }
    }
    let width: usize = parts.iter().map(|part| reading.shape(*part).width).sum();
    axes[at] = if width == 1 { Axis::One } else { Axis::Columns };
    if !in_order(&axes) {
        return Err(Refusal::new("found columns in front of rows, expected [N, width]"));
    }
    let mixed = parts.iter().any(|part| reading.shape(*part).uniform != reading.shape(parts[0]).uniform);
    let body = if mixed { Body::Beside(parts) } else { Body::One(join(reading, &parts)?) };
    Ok(Value::Computed(Computed { body, axes, factor: first.factor.clone() }))
}

pub(super) fn slice(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    let list = |index, name, what: &str| {
        let numbers = reading.whole_numbers(call, index, name)?;
        numbers.ok_or_else(|| Refusal::new(format!("found no {what}")))
    };
    let starts = list(1, "starts", "starts")?;
    let ends = list(2, "ends", "ends")?;
    let axes = reading.whole_numbers(call, 3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = reading.whole_numbers(call, 4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    let mut result = x;
    for (((start, end), axis), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
        if step != 1 {
            return Err(Refusal::new(format!("found step {step}, expected 1")));
        }
        let at = axis_of(axis, result.axes.len())?;
        match result.axes[at] {
            Axis::Columns => {}
            // The whole of an axis.
            Axis::Rows if start == 0 && end >= i64::from(i32::MAX) => continue,
            Axis::One if range(start, end, 1) == (0, 1) => continue,
            Axis::Rows | Axis::One => {
                return Err(Refusal::new(format!("found axis {axis}, expected that of the columns")));
            }
        }
        let (begin, end) = range(start, end, reading.width(&result));
        result = taken(reading, &result, at, begin, end - begin)?;
    }
    Ok(Value::Computed(result))
}

/// Parts of the columns, each under a name of its own.
pub(super) fn split(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    let at = column_axis(&x.axes, call.integer("axis").unwrap_or(0))?;
    let width = reading.width(&x);
    let count = call.node.output.len();
    let parts: Vec<usize> = if let Some(parts) = reading.whole_numbers(call, 1, "split")? {
        parts.into_iter().map(|part| usize::try_from(part).unwrap_or(0)).collect()
    } else {
        let part = width.div_ceil(count.max(1));
        (0..count).map(|index| part.min(width.saturating_sub(index * part))).collect()
    };
    if parts.len() != count || parts.iter().sum::<usize>() != width {
        return Err(Refusal::new(format!("found parts {parts:?} of {width} columns for {count} results")));
    }
    let mut begin = 0;
    let mut first = None;
    for (name, part) in call.node.output.iter().zip(parts) {
        let value = Value::Computed(taken(reading, &x, at, begin, part)?);
        begin += part;
        first.get_or_insert(value.clone());
        reading.values.insert(name.clone(), value);
    }
    first.ok_or_else(|| Refusal::new("found no results, expected at least one"))
}

/// Picks columns: neighbouring ones become one slice, others are put together. A scalar index
/// takes the axis away.
pub(super) fn gather(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    let axis = call.integer("axis").unwrap_or(0);
    let at = column_axis(&x.axes, axis)?;
    let indices = reading.constant(call, 1)?;
    let columns = reading.width(&x) as i64;
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for index in indices.whole() {
        let column = if index < 0 { index.saturating_add(columns) } else { index };
        if !(0..columns).contains(&column) {
            return Err(Refusal::new(format!("found index {index}, expected one from -{columns} to {}", columns - 1)));
        }
        match runs.last_mut() {
            Some((begin, width)) if *begin + *width == column as usize => *width += 1,
            _ => runs.push((column as usize, 1)),
        }
    }
    let value = reading.whole(&x)?;
    let slices = runs
        .into_iter()
        .map(|(begin, width)| reading.push(Operation::Slice { x: value, begin, width }))
        .collect::<Result<Vec<_>, _>>()?;
    let body = join(reading, &slices)?;
    let mut axes = x.axes;
    match indices.shape.len() {
        0 => drop(axes.remove(at)),
        1 => axes[at] = if reading.shape(body).width == 1 { Axis::One } else { Axis::Columns },
        rank => return Err(Refusal::new(format!("found indices of rank {rank}, expected a list"))),
    }
    Ok(Value::Computed(Computed { body: Body::One(body), axes, factor: x.factor }))
}

/// Neighbouring columns.
fn taken(reading: &mut Reading, x: &Computed, at: usize, begin: usize, width: usize) -> Result<Computed, Refusal> {
    let value = reading.whole(x)?;
    let body = reading.push(Operation::Slice { x: value, begin, width })?;
    let mut axes = x.axes.clone();
    axes[at] = if width == 1 { Axis::One } else { Axis::Columns };
    Ok(Computed { body: Body::One(body), axes, factor: x.factor.clone() })
}

fn join(reading: &mut Reading, values: &[ValueId]) -> Result<ValueId, Refusal> {
    let (first, rest) = values.split_first().ok_or_else(|| Refusal::new("found no columns, expected at least one"))?;
    let mut joined = *first;
    for value in rest {
        joined = reading.push(Operation::Concat(joined, *value))?;
    }
    Ok(joined)
}

/// The place of an axis that is not the rows'.
fn column_axis(axes: &[Axis], axis: i64) -> Result<usize, Refusal> {
    let at = axis_of(axis, axes.len())?;
    match axes[at] {
        Axis::Columns => Ok(at),
        // One column, unless the columns are another axis.
        Axis::One if !axes.contains(&Axis::Columns) => Ok(at),
        _ => Err(Refusal::new(format!("found axis {axis}, expected that of the columns: hosts are not told apart"))),
    }
}
