//! Operands of a node, and how ONNX's broadcasting brings them together.

use super::Reading;
use super::call::Call;
use super::value::{Axis, Body, Computed, Constant, Extent, Extents, Value};
use crate::onnx::error::Refusal;
use evenkeel_runtime::program::limits;

use crate::ir::{Combination, Operation, Shape, ValueId};
use crate::onnx::load::{Kind, Tensor};

impl Reading {
    /// The operand at `index`.
    pub(super) fn operand(&self, call: &Call<'_>, index: usize) -> Result<Value, Refusal> {
        let name = call.input(index).ok_or_else(|| Refusal::new(format!("operand {index} is missing")))?;
        self.values.get(name).cloned().ok_or_else(|| {
            Refusal::new(format!(
                "operand {index} ({name:?}) is neither the input, nor a constant of a known type, nor computed by a \
                 node before"
            ))
        })
    }

    /// The operand at `index`, which must be computed; its factor may be anything.
    pub(super) fn computed(&mut self, call: &Call<'_>, index: usize) -> Result<Computed, Refusal> {
        match self.operand(call, index)? {
            Value::Computed(computed) => Ok(computed),
            Value::Root(square) => self.root(&square),
            other => Err(Refusal::new(format!(
                "operand {index} is {}, expected a value computed from the input",
                other.describe()
            ))),
        }
    }

    /// The operand at `index`, which must be computed and have no factor, as one value.
    pub(super) fn plain(&mut self, call: &Call<'_>, index: usize) -> Result<(ValueId, Vec<Axis>), Refusal> {
        let computed = self.computed(call, index)?;
        computed.factor.expect_one()?;
        Ok((self.whole(&computed)?, computed.axes))
    }

    /// The operand at `index`, which must be a constant.
    pub(super) fn constant(&self, call: &Call<'_>, index: usize) -> Result<Tensor, Refusal> {
        match self.operand(call, index)? {
            Value::Constant(Constant { tensor, factor }) => factor.expect_one().map(|()| tensor),
            other => Err(Refusal::new(format!("operand {index} is {}, expected a constant", other.describe()))),
        }
    }

    /// The operand at `index` if it is there, which must be a constant then.
    pub(super) fn optional(&self, call: &Call<'_>, index: usize) -> Result<Option<Tensor>, Refusal> {
        call.input(index).map(|_| self.constant(call, index)).transpose()
    }

    /// Whole numbers, given by operand `index` or, in older operator sets, by an attribute.
    pub(super) fn whole_numbers(
        &self,
        call: &Call<'_>,
        index: usize,
        attribute: &str,
    ) -> Result<Option<Vec<i64>>, Refusal> {
        match call.integers(attribute) {
            Some(numbers) => Ok(Some(numbers)),
            None => Ok(self.optional(call, index)?.map(|tensor| tensor.whole())),
        }
    }

    /// Whole numbers about shapes.
    pub(super) fn extents(&self, call: &Call<'_>, index: usize) -> Result<Extents, Refusal> {
        match self.operand(call, index)? {
            Value::Extents(extents) => Ok(extents),
            Value::Constant(Constant { tensor, .. }) if tensor.shape.len() <= 1 => Ok(Extents {
                scalar: tensor.shape.is_empty(),
                list: tensor.whole().into_iter().map(Extent::Fixed).collect(),
            }),
            other => Err(Refusal::new(format!("operand {index} is {}, expected a shape", other.describe()))),
        }
    }

    /// Adds an operation, whose result fits into a register.
    pub(super) fn push(&mut self, operation: Operation) -> Result<ValueId, Refusal> {
        let value = self.graph.push(operation)?;
        let width = self.shape(value).width;
        if width > limits::WIDTH {
            let most = limits::WIDTH;
            return Err(Refusal::new(format!(
                "found {width} columns, the runtime allows at most {most}: make it smaller"
            )));
        }
        Ok(value)
    }

    /// The shape of a value of the graph being read.
    pub(super) fn shape(&self, value: ValueId) -> Shape {
        self.graph.shape(value).unwrap_or(Shape { width: 0, uniform: false })
    }

    /// Columns of a computed value.
    pub(super) fn width(&self, computed: &Computed) -> usize {
        match &computed.body {
            Body::One(value) => self.shape(*value).width,
            Body::Beside(parts) => parts.iter().map(|part| self.shape(*part).width).sum(),
        }
    }

    /// A computed value's body as one value of the graph.
    pub(super) fn whole(&mut self, computed: &Computed) -> Result<ValueId, Refusal> {
        let parts = match &computed.body {
            Body::One(value) => return Ok(*value),
            Body::Beside(parts) => parts.clone(),
        };
        let rows = parts.iter().copied().find(|part| !self.shape(*part).uniform);
        let mut joined = None;
        for part in parts {
            let part = match rows {
                Some(rows) if self.shape(part).uniform => self.repeated(part, rows)?,
                _ => part,
            };
            joined = Some(match joined {
                None => part,
                Some(before) => self.push(Operation::Concat(before, part))?,
            });
        }
        joined.ok_or_else(|| Refusal::new("found no columns, expected at least one"))
    }

    /// A uniform value on as many rows as `rows` has: added to zeros.
    fn repeated(&mut self, uniform: ValueId, rows: ValueId) -> Result<ValueId, Refusal> {
        let (from, width) = (self.shape(rows).width, self.shape(uniform).width);
        let zeros = self.push(Operation::Linear { x: rows, weights: vec![0.0; from * width], bias: None })?;
        self.push(Operation::Combine(Combination::Add, zeros, uniform))
    }

    /// A value of one column, repeated over `width` columns, each with a factor of its own.
    pub(super) fn widened(&mut self, x: ValueId, factors: Vec<f32>) -> Result<ValueId, Refusal> {
        if factors.iter().all(|factor| *factor == 1.0) && factors.len() == 1 {
            return Ok(x);
        }
        self.push(Operation::Linear { x, weights: factors, bias: None })
    }

    /// Two computed values, broadcast to common columns, and the axes of what they make.
    pub(super) fn aligned(&mut self, a: &Computed, b: &Computed) -> Result<(ValueId, ValueId, Vec<Axis>), Refusal> {
        let (wide_a, wide_b) = (self.width(a), self.width(b));
        let axes = common_axes(&a.axes, &b.axes).ok_or_else(|| {
            Refusal::new(format!(
                "found operands of shape {} and {}, expected shapes that agree from the right",
                a.shape(wide_a),
                b.shape(wide_b)
            ))
        })?;
        let (mut a, mut b) = (self.whole(a)?, self.whole(b)?);
        if wide_a == 1 && wide_b > 1 {
            a = self.widened(a, vec![1.0; wide_b])?;
        }
        if wide_b == 1 && wide_a > 1 {
            b = self.widened(b, vec![1.0; wide_a])?;
        }
        Ok((a, b, axes))
    }

    /// `scale · x + offset` by the numbers of a constant, broadcast against `x`.
    pub(super) fn by_columns(
        &mut self,
        x: &Computed,
        constant: &Tensor,
        scale_and_offset: impl Fn(f64) -> (f64, f64),
    ) -> Result<Computed, Refusal> {
        let value = self.whole(x)?;
        let width = self.shape(value).width;
        let (axes, numbers) = columns_of(constant, &x.axes, width).ok_or_else(|| {
            Refusal::new(format!(
                "found a constant of shape {:?} for a value of shape {}, expected one number, or one for each column",
                constant.shape,
                x.shape(width)
            ))
        })?;
        let (scale, offset): (Vec<f32>, Vec<f32>) = numbers
            .into_iter()
            .map(|number| {
                let (scale, offset) = scale_and_offset(number);
                (scale as f32, offset as f32)
            })
            .unzip();
        let body = if scale.len() == width {
            self.push(Operation::Columns { x: value, scale, offset })?
        } else {
            self.push(Operation::Linear { x: value, weights: scale, bias: Some(offset) })?
        };
        Ok(Computed { body: Body::One(body), axes, factor: x.factor.clone() })
    }
}

/// The axes of two values brought together from the right.
fn common_axes(a: &[Axis], b: &[Axis]) -> Option<Vec<Axis>> {
    let rank = a.len().max(b.len());
    let from_the_right = |axes: &[Axis], at: usize| {
        (at + axes.len()).checked_sub(rank).and_then(|at| axes.get(at)).copied().unwrap_or(Axis::One)
    };
    let axes: Vec<Axis> = (0..rank)
        .map(|at| match (from_the_right(a, at), from_the_right(b, at)) {
            (one, other) if one == other => Some(one),
            (Axis::One, other) | (other, Axis::One) => Some(other),
            _ => None,
        })
        .collect::<Option<_>>()?;
    in_order(&axes).then_some(axes)
}

/// Whether rows come before columns, and neither twice.
pub(super) fn in_order(axes: &[Axis]) -> bool {
    let mut long = axes.iter().filter(|axis| **axis != Axis::One);
    matches!((long.next(), long.next(), long.next()), (_, None, _) | (Some(Axis::Rows), Some(Axis::Columns), None))
}

/// A constant as one number for each column of a value, and the axes of what the two make.
pub(super) fn columns_of(constant: &Tensor, axes: &[Axis], width: usize) -> Option<(Vec<Axis>, Vec<f64>)> {
    let rank = constant.shape.len().max(axes.len());
    let mut result = vec![Axis::One; rank];
    result[rank - axes.len()..].copy_from_slice(axes);
    if let Some(number) = constant.only() {
        return Some((result, vec![number; width]));
    }
    let long: Vec<usize> = (0..constant.shape.len()).filter(|at| constant.shape[*at] != 1).collect();
    let [long] = long[..] else { return None };
    let at = rank - constant.shape.len() + long;
    match result[at] {
        Axis::Columns if constant.shape[long] == width => {}
        // A value of one column becomes as wide as the constant.
        Axis::One if width == 1 => result[at] = Axis::Columns,
        _ => return None,
    }
    in_order(&result).then(|| (result, constant.numbers.clone()))
}

/// A constant number.
pub(super) fn number(number: f64) -> Tensor {
    Tensor::scalar(number, Kind::Float)
}

/// The axis that `axis` means, counted from the end where it is negative.
pub(super) fn axis_of(axis: i64, rank: usize) -> Result<usize, Refusal> {
    let at = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(at)
        .ok()
        .filter(|at| *at < rank.max(1))
        .ok_or_else(|| Refusal::new(format!("found axis {axis}, expected one of {rank}")))
}
