//! Nodes on the shapes of values: what exporters write in front of Expand and Reshape.

use super::Reading;
use super::call::Call;
use super::fold::range;
use super::operands::{axis_of, number};
use super::value::{Axis, Constant, Extent, Extents, Factor, Symbol, Value};
use crate::onnx::error::Refusal;
use crate::onnx::load::{Kind, Tensor};

impl Reading {
    /// The shape of a computed value.
    pub(super) fn shape_of(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.computed(call, 0)?;
        let width = self.width(&x);
        let extent = |axis: &Axis| match (axis, self.rows) {
            (Axis::One, _) => Extent::Fixed(1),
            (Axis::Columns, _) => Extent::Fixed(width as i64),
            (Axis::Rows, Some(rows)) => Extent::Fixed(rows as i64),
            (Axis::Rows, None) => Extent::Rows,
        };
        let all: Vec<Extent> = x.axes.iter().map(extent).collect();
        let (begin, end) =
            range(call.integer("start").unwrap_or(0), call.integer("end").unwrap_or(i64::MAX), all.len());
        Ok(value(Extents { list: all[begin..end].to_vec(), scalar: false }))
    }

    /// The result of a node that has an operand made of extents; `None` if no operand is.
    pub(super) fn on_extents(&mut self, call: &Call<'_>) -> Option<Result<Value, Refusal>> {
        let known = |name: &String| matches!(self.values.get(name), Some(Value::Extents(_)));
        if !call.node.input.iter().any(known) {
            return None;
        }
        // What takes a shape as its second operand is about the first one.
        if matches!(call.node.op_type.as_str(), "Expand" | "Reshape" | "Tile") && !known(&call.node.input[0]) {
            return None;
        }
        Some(self.extents_of(call))
    }

    fn extents_of(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let op_type = call.node.op_type.as_str();
        if op_type == "Concat" {
            let mut list = Vec::new();
            for index in 0..call.node.input.len() {
                list.extend(self.extents(call, index)?.list);
            }
            return Ok(value(Extents { list, scalar: false }));
        }
        if op_type == "Where" {
            return self.choose(call);
        }
        let first = self.extents(call, 0)?;
        let list = first.list;
        match op_type {
            "Identity" => Ok(value(Extents { list, scalar: first.scalar })),
            // As a list, whatever the numbers of the axes: there is only one.
            "Unsqueeze" => Ok(value(Extents { list, scalar: false })),
            "Squeeze" => Ok(value(Extents { scalar: list.len() == 1, list })),
            "Reshape" => {
                let target = self.constant(call, 1)?;
                Ok(value(Extents { scalar: target.numbers.is_empty() && list.len() == 1, list }))
            }
            "Cast" => to_type(Extents { list, scalar: first.scalar }, call.integer("to").unwrap_or_default() as i32),
            "Gather" => {
                let indices = self.constant(call, 1)?;
                let pick = |index: i64| axis_of(index, list.len()).map(|at| list[at]);
                let picked = indices.whole().into_iter().map(pick).collect::<Result<_, _>>()?;
                Ok(value(Extents { list: picked, scalar: indices.shape.is_empty() }))
            }
            "Slice" => {
                let start = self.whole_numbers(call, 1, "starts")?.and_then(|it| it.first().copied()).unwrap_or(0);
                let end = self.whole_numbers(call, 2, "ends")?.and_then(|it| it.first().copied()).unwrap_or(i64::MAX);
                let (begin, end) = range(start, end, list.len());
                Ok(value(Extents { list: list[begin..end].to_vec(), scalar: false }))
            }
            "Equal" => {
                let second = self.extents(call, 1)?;
                // The number of rows is a positive number that nobody knows: it equals no
                // constant that exporters compare with, which is -1.
                let equal = |(a, b): (&Extent, &Extent)| f64::from(u8::from(a == b));
                let numbers: Vec<f64> = list.iter().zip(&second.list).map(equal).collect();
                let tensor = Tensor { shape: vec![numbers.len()], numbers, kind: Kind::Bool };
                Ok(Value::Constant(Constant::from(tensor)))
            }
            "Mul" => {
                let second = self.extents(call, 1)?;
                let product = match (&list[..], &second.list[..]) {
                    ([Extent::Rows], [Extent::Fixed(1)]) | ([Extent::Fixed(1)], [Extent::Rows]) => Extent::Rows,
                    _ => return Err(unknown(op_type)),
                };
                Ok(value(Extents { list: vec![product], scalar: first.scalar && second.scalar }))
            }
            _ => Err(unknown(op_type)),
        }
    }

    /// `Where` on extents.
    fn choose(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let condition = self.constant(call, 0)?;
        let (yes, no) = (self.extents(call, 1)?, self.extents(call, 2)?);
        let at = |extents: &Extents, at: usize| extents.list.get(at).or(extents.list.first()).copied();
        let list = condition
            .numbers
            .iter()
            .enumerate()
            .filter_map(|(index, number)| at(if *number == 0.0 { &no } else { &yes }, index))
            .collect();
        Ok(value(Extents { list, scalar: false }))
    }
}

fn unknown(op_type: &str) -> Refusal {
    Refusal::new(format!(
        "found {op_type} of a number that depends on how many hosts there are: export with a dynamic first axis and \
         broadcast or Expand in place of arithmetic on shapes"
    ))
}

/// Extents as a value: a constant where all are known.
fn value(extents: Extents) -> Value {
    let fixed = |extent: &Extent| match extent {
        Extent::Fixed(number) => Some(*number as f64),
        Extent::Rows => None,
    };
    match extents.list.iter().map(fixed).collect::<Option<Vec<f64>>>() {
        Some(numbers) => {
            let shape = if extents.scalar { Vec::new() } else { vec![numbers.len()] };
            let kind = Kind::Integer { bits: 64, signed: true };
            Value::Constant(Constant::from(Tensor { shape, numbers, kind }))
        }
        None => Value::Extents(extents),
    }
}

/// The number of rows as a number, or as whole numbers again.
fn to_type(extents: Extents, element: i32) -> Result<Value, Refusal> {
    match (Kind::of(element), &extents.list[..]) {
        (Some(Kind::Integer { .. }), _) => Ok(Value::Extents(extents)),
        (Some(Kind::Float), [Extent::Rows]) => {
            let tensor = if extents.scalar { number(1.0) } else { Tensor { shape: vec![1], ..number(1.0) } };
            Ok(Value::Constant(Constant { tensor, factor: Factor::of(Symbol::Rows, 1) }))
        }
        _ => Err(Refusal::new(format!(
            "found a cast of a shape to {}, expected whole numbers, or float of the number of rows alone",
            crate::onnx::load::type_name(element)
        ))),
    }
}
