//! Nodes that give a value another shape, as far as its rows and columns stay what they are.

use crate::onnx::error::Refusal;
use crate::onnx::reader::Reading;
use crate::onnx::reader::call::Call;
use crate::onnx::reader::operands::{axis_of, in_order};
use crate::onnx::reader::value::{Axis, Body, Computed, Extent, Value};

pub(super) fn shape(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    reading.shape_of(call)
}

pub(super) fn reshape(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    let mut target = reading.extents(call, 1)?.list;
    if !call.flag("allowzero", false) {
        for (at, extent) in target.iter_mut().enumerate() {
            if *extent == Extent::Fixed(0) {
                *extent = match x.axes.get(at) {
                    Some(Axis::Rows) => Extent::Rows,
                    Some(Axis::Columns) => Extent::Fixed(reading.width(&x) as i64),
                    Some(Axis::One) => Extent::Fixed(1),
                    None => *extent,
                };
            }
        }
    }
    regrouped(reading, x, &target)
}

pub(super) fn flatten(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    let axis = call.integer("axis").unwrap_or(1);
    let at = if axis == x.axes.len() as i64 { x.axes.len() } else { axis_of(axis, x.axes.len())? };
    let (before, after) = x.axes.split_at(at);
    let group = |axes: &[Axis]| {
        let mut long = axes.iter().filter(|axis| **axis != Axis::One);
        match (long.next(), long.next()) {
            (first, None) => Some(first.copied().unwrap_or(Axis::One)),
            _ => None,
        }
    };
    match (group(before), group(after)) {
        (Some(rows), Some(columns)) => Ok(Value::Computed(Computed { axes: vec![rows, columns], ..x.clone() })),
        _ => Err(Refusal::new(format!(
            "found axis {axis}, expected 1, which leaves a value of shape {} as it is",
            x.shape(reading.width(&x))
        ))),
    }
}

/// The value with axes as `target` has them.
fn regrouped(reading: &Reading, x: Computed, target: &[Extent]) -> Result<Value, Refusal> {
    let width = reading.width(&x);
    let rows = reading.rows.map(|rows| rows as i64);
    let misfit = || {
        let target: Vec<_> = target
            .iter()
            .map(|extent| match extent {
                Extent::Fixed(number) => number.to_string(),
                Extent::Rows => "N".to_owned(),
            })
            .collect();
        Refusal::new(format!(
            "found target [{}] for shape {}, expected one that keeps rows and columns, such as [-1, {width}]",
            target.join(", "),
            x.shape(width)
        ))
    };
    let mut long: Vec<Axis> = x.axes.iter().copied().filter(|axis| *axis != Axis::One).collect();
    let is = |extent: Extent, axis: Axis| match (extent, axis) {
        (Extent::Rows, Axis::Rows) => true,
        (Extent::Fixed(number), Axis::Rows) => Some(number) == rows,
        (Extent::Fixed(number), Axis::Columns) => number == width as i64,
        _ => false,
    };
    let open = target.iter().position(|extent| *extent == Extent::Fixed(-1));
    let (front, back) = target.split_at(open.unwrap_or(target.len()));
    let mut axes = Vec::new();
    for extent in front {
        match long.first() {
            _ if *extent == Extent::Fixed(1) => axes.push(Axis::One),
            Some(axis) if is(*extent, *axis) => axes.push(long.remove(0)),
            _ => return Err(misfit()),
        }
    }
    let mut behind = Vec::new();
    for extent in back.iter().skip(1).rev() {
        match long.last() {
            _ if *extent == Extent::Fixed(1) => behind.push(Axis::One),
            Some(axis) if is(*extent, *axis) => behind.extend(long.pop()),
            _ => return Err(misfit()),
        }
    }
    // -1 stands for what is left.
    match (open, &long[..]) {
        (Some(_), []) => axes.push(Axis::One),
        (Some(_), [axis]) => axes.push(*axis),
        (None, []) => {}
        _ => return Err(misfit()),
    }
    axes.extend(behind.into_iter().rev());
    Ok(Value::Computed(Computed { axes, ..x }))
}

pub(super) fn squeeze(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    let rank = x.axes.len();
    let axes: Vec<usize> = match reading.whole_numbers(call, 1, "axes")? {
        Some(axes) => axes.into_iter().map(|axis| axis_of(axis, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).filter(|at| x.axes[*at] == Axis::One).collect(),
    };
    if let Some(at) = axes.iter().find(|at| x.axes[**at] != Axis::One) {
        let shape = x.shape(reading.width(&x));
        return Err(Refusal::new(format!("found axis {at} of a value of shape {shape}, expected one of length 1")));
    }
    let left = (0..rank).filter(|at| !axes.contains(at)).map(|at| x.axes[at]).collect();
    Ok(Value::Computed(Computed { axes: left, ..x }))
}

pub(super) fn unsqueeze(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    let axes = reading.whole_numbers(call, 1, "axes")?.unwrap_or_default();
    let rank = x.axes.len() + axes.len();
    let new: Vec<usize> = axes.into_iter().map(|axis| axis_of(axis, rank)).collect::<Result<_, _>>()?;
    let mut old = x.axes.iter().copied();
    let axes = (0..rank).map(|at| if new.contains(&at) { Axis::One } else { old.next().unwrap_or(Axis::One) });
    Ok(Value::Computed(Computed { axes: axes.collect(), ..x.clone() }))
}

pub(super) fn transpose(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    let rank = x.axes.len();
    let permutation = call.integers("perm").unwrap_or_else(|| (0..rank as i64).rev().collect());
    let axes: Vec<Axis> =
        permutation.iter().map(|axis| axis_of(*axis, rank).map(|at| x.axes[at])).collect::<Result<_, _>>()?;
    if axes.len() == rank && in_order(&axes) {
        Ok(Value::Computed(Computed { axes, ..x }))
    } else {
        let shape = x.shape(reading.width(&x));
        Err(Refusal::new(format!("found perm {permutation:?} of a value of shape {shape}, expected rows first")))
    }
}

/// Broadcasts to a shape. What has one row keeps it: it stands for all of them.
pub(super) fn expand(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    let target = reading.extents(call, 1)?.list;
    broadcast_to(reading, x, &target)
}

/// Repeats axes of length 1.
pub(super) fn tile(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    let repeats = reading.extents(call, 1)?.list;
    if let Some(at) =
        (0..x.axes.len().min(repeats.len())).find(|at| x.axes[*at] != Axis::One && repeats[*at] != Extent::Fixed(1))
    {
        return Err(Refusal::new(format!("found a repetition of axis {at}, expected only axes of length 1 repeated")));
    }
    broadcast_to(reading, x, &repeats)
}

fn broadcast_to(reading: &mut Reading, x: Computed, target: &[Extent]) -> Result<Value, Refusal> {
    let width = reading.width(&x);
    let rank = target.len().max(x.axes.len());
    let mut axes = vec![Axis::One; rank];
    axes[rank - x.axes.len()..].copy_from_slice(&x.axes);
    let mut wide = width;
    for (at, extent) in (rank - target.len()..).zip(target) {
        let misfit = || Refusal::new(format!("found target {target:?} for a value of shape {}", x.shape(width)));
        axes[at] = match (axes[at], *extent) {
            (axis, Extent::Fixed(1)) | (axis @ Axis::Rows, Extent::Rows) => axis,
            (Axis::Columns, Extent::Fixed(columns)) if columns == width as i64 => Axis::Columns,
            (Axis::One, Extent::Rows) => Axis::Rows,
            (axis @ (Axis::One | Axis::Rows), Extent::Fixed(rows))
                if Some(rows) == reading.rows.map(|rows| rows as i64) && (at + 1 < rank || axis == Axis::Rows) =>
            {
                Axis::Rows
            }
            (Axis::One, Extent::Fixed(columns)) if width == 1 && columns > 1 => {
                wide = usize::try_from(columns).map_err(|_| misfit())?;
                Axis::Columns
            }
            _ => return Err(misfit()),
        };
    }
    if !in_order(&axes) {
        return Err(Refusal::new(format!("found target {target:?}, expected rows in front of columns")));
    }
    if wide == width {
        return Ok(Value::Computed(Computed { axes, ..x }));
    }
    let value = reading.whole(&x)?;
    // Wider than any register: refused before memory is taken for it.
    if wide > evenkeel_runtime::program::limits::WIDTH {
        return Err(Refusal::new(format!("found {wide} columns, more than the runtime has")));
    }
    let body = Body::One(reading.widened(value, vec![1.0; wide])?);
    Ok(Value::Computed(Computed { body, axes, factor: x.factor }))
}
