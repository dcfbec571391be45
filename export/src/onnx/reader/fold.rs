//! Nodes whose operands are all constants: computed once, here.

use super::call::Call;
use super::operands::axis_of;
use crate::onnx::error::Refusal;
use crate::onnx::load::{Kind, Tensor};

/// Most numbers of a folded constant: what the runtime holds in all.
const NUMBERS_MAX: usize = evenkeel_runtime::program::limits::WEIGHTS;

/// The result of a node on constants; `None` if the operator is not one that is folded.
pub(super) fn fold(call: &Call<'_>, inputs: &[Option<Tensor>]) -> Option<Result<Tensor, Refusal>> {
    let first = inputs.first()?.as_ref()?;
    let second = || inputs.get(1).and_then(Option::as_ref).ok_or_else(|| Refusal::new("operand 1 is missing"));
    let unary = |function: fn(f64) -> f64| {
        Some(Ok(Tensor { numbers: first.numbers.iter().map(|x| function(*x)).collect(), ..first.clone() }))
    };
    let binary = |function: fn(f64, f64) -> f64| Some(second().and_then(|second| broadcast(first, second, function)));
    match call.node.op_type.as_str() {
        "Identity" | "Dropout" => Some(Ok(first.clone())),
        "Cast" => Some(cast(first, call.integer("to").unwrap_or_default() as i32)),
        "CastLike" => Some(second().map(|like| Tensor { kind: like.kind, ..first.clone() })),
        "Neg" => unary(|x| -x),
        "Sqrt" => unary(f64::sqrt),
        "Reciprocal" => unary(f64::recip),
        "Abs" => unary(f64::abs),
        "Tanh" => unary(f64::tanh),
        "Relu" => unary(|x| x.max(0.0)),
        "Sigmoid" => unary(|x| 1.0 / (1.0 + (-x).exp())),
        "Add" => binary(|a, b| a + b),
        "Sub" => binary(|a, b| a - b),
        "Mul" => binary(|a, b| a * b),
        // Whole numbers are divided towards zero.
        "Div" if first.kind != Kind::Float => binary(|a, b| (a / b).trunc()),
        "Div" => binary(|a, b| a / b),
        "Pow" => binary(f64::powf),
        "Equal" => binary(|a, b| f64::from(u8::from(a == b)))
            .map(|result| result.map(|tensor| Tensor { kind: Kind::Bool, ..tensor })),
        "Reshape" => Some(second().and_then(|target| reshape(first, &target.whole()))),
        "Flatten" => Some(flatten(first, call.integer("axis").unwrap_or(1))),
        "Squeeze" => Some(squeeze(call, inputs, first)),
        "Unsqueeze" => Some(unsqueeze(call, inputs, first)),
        "Transpose" => Some(transpose(first, call.integers("perm"))),
        "Expand" => Some(second().and_then(|target| expand(first, &target.whole()))),
        "ConstantOfShape" => Some(filled(call, &first.whole())),
        "Shape" => {
            let numbers = first.shape.iter().map(|extent| *extent as f64).collect();
            Some(Ok(list(numbers)))
        }
        "Concat" if inputs.iter().flatten().all(|tensor| tensor.shape.len() == 1) => {
            let numbers = inputs.iter().flatten().flat_map(|tensor| tensor.numbers.clone()).collect();
            Some(Ok(Tensor { kind: first.kind, ..list(numbers) }))
        }
        "Gather" if first.shape.len() == 1 => Some(second().and_then(|indices| gather(first, indices))),
        "Slice" if first.shape.len() == 1 => Some(slice(call, inputs, first)),
        _ => None,
    }
}

fn list(numbers: Vec<f64>) -> Tensor {
    Tensor { shape: vec![numbers.len()], numbers, kind: Kind::Integer { bits: 64, signed: true } }
}

/// Converts to another element type.
pub(super) fn cast(tensor: &Tensor, element: i32) -> Result<Tensor, Refusal> {
    let kind = Kind::of(element)
        .ok_or_else(|| Refusal::new(format!("found a cast to {}", crate::onnx::load::type_name(element))))?;
    let convert = |x: f64| match kind {
        Kind::Float => x,
        Kind::Integer { .. } => x.trunc(),
        Kind::Bool => f64::from(u8::from(x != 0.0)),
    };
    let numbers = tensor.numbers.iter().map(|x| convert(*x)).collect();
    Ok(Tensor { shape: tensor.shape.clone(), numbers, kind })
}

/// Applies a function of two numbers by ONNX's broadcasting.
pub(super) fn broadcast(a: &Tensor, b: &Tensor, function: impl Fn(f64, f64) -> f64) -> Result<Tensor, Refusal> {
    let rank = a.shape.len().max(b.shape.len());
    let length = |tensor: &Tensor, at: usize| {
        (at + tensor.shape.len()).checked_sub(rank).and_then(|at| tensor.shape.get(at)).copied().unwrap_or(1)
    };
    let shape: Vec<usize> = (0..rank)
        .map(|at| match (length(a, at), length(b, at)) {
            (one, other) if one == other => Ok(one),
            (1, other) | (other, 1) => Ok(other),
            _ => Err(Refusal::new(format!("found constants of shape {:?} and {:?}", a.shape, b.shape))),
        })
        .collect::<Result<_, _>>()?;
    let numbers = indices(&shape)?
        .map(|index| {
            let of = |tensor: &Tensor| {
                let place = (0..rank).fold(0, |place, at| {
                    let length = length(tensor, at);
                    place * length + if length == 1 { 0 } else { index[at] }
                });
                tensor.numbers.get(place).copied().unwrap_or(f64::NAN)
            };
            function(of(a), of(b))
        })
        .collect();
    Ok(Tensor { shape, numbers, kind: a.kind })
}

/// All indices of a shape, row-major.
fn indices(shape: &[usize]) -> Result<impl Iterator<Item = Vec<usize>> + use<>, Refusal> {
    let count = count(shape)?;
    let shape = shape.to_vec();
    Ok((0..count).map(move |mut place| {
        let mut index = vec![0; shape.len()];
        for (at, length) in index.iter_mut().zip(&shape).rev() {
            *at = place % length;
            place /= length;
        }
        index
    }))
}

fn count(shape: &[usize]) -> Result<usize, Refusal> {
    let count = shape.iter().try_fold(1_usize, |product, length| product.checked_mul(*length));
    count.filter(|count| *count <= NUMBERS_MAX).ok_or_else(|| {
        Refusal::new(format!("found a constant of shape {shape:?}, expected at most {NUMBERS_MAX} numbers"))
    })
}

fn reshape(tensor: &Tensor, target: &[i64]) -> Result<Tensor, Refusal> {
    let misfit = || Refusal::new(format!("found target {target:?} for a constant of shape {:?}", tensor.shape));
    let mut shape = Vec::new();
    for (at, extent) in target.iter().enumerate() {
        shape.push(match extent {
            0 => *tensor.shape.get(at).ok_or_else(misfit)?,
            // Found below.
            -1 => 1,
            extent => usize::try_from(*extent).map_err(|_| misfit())?,
        });
    }
    let known = count(&shape)?;
    if let Some(at) = target.iter().position(|extent| *extent == -1) {
        shape[at] = tensor.numbers.len() / known.max(1);
    }
    if count(&shape)? == tensor.numbers.len() { Ok(Tensor { shape, ..tensor.clone() }) } else { Err(misfit()) }
}

fn flatten(tensor: &Tensor, axis: i64) -> Result<Tensor, Refusal> {
    let at = axis_of(axis, tensor.shape.len() + 1)?;
    let (rows, columns) = tensor.shape.split_at(at);
    Ok(Tensor { shape: vec![rows.iter().product(), columns.iter().product()], ..tensor.clone() })
}

/// Axes as operand 1 or as an attribute.
fn axes(call: &Call<'_>, inputs: &[Option<Tensor>]) -> Option<Vec<i64>> {
    call.integers("axes").or_else(|| inputs.get(1)?.as_ref().map(Tensor::whole))
}

fn squeeze(call: &Call<'_>, inputs: &[Option<Tensor>], tensor: &Tensor) -> Result<Tensor, Refusal> {
    let rank = tensor.shape.len();
    let axes: Vec<usize> = match axes(call, inputs) {
        Some(axes) => axes.into_iter().map(|axis| axis_of(axis, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).filter(|at| tensor.shape[*at] == 1).collect(),
    };
    let shape = (0..rank).filter(|at| !axes.contains(at)).map(|at| tensor.shape[at]).collect();
    Ok(Tensor { shape, ..tensor.clone() })
}

fn unsqueeze(call: &Call<'_>, inputs: &[Option<Tensor>], tensor: &Tensor) -> Result<Tensor, Refusal> {
    let axes = axes(call, inputs).unwrap_or_default();
    let rank = tensor.shape.len() + axes.len();
    let axes: Vec<usize> = axes.into_iter().map(|axis| axis_of(axis, rank)).collect::<Result<_, _>>()?;
    let mut old = tensor.shape.iter();
    let shape = (0..rank).map(|at| if axes.contains(&at) { 1 } else { old.next().copied().unwrap_or(1) }).collect();
    Ok(Tensor { shape, ..tensor.clone() })
}

/// Exchanges axes; without `permutation`, in reverse.
pub(super) fn transpose(tensor: &Tensor, permutation: Option<Vec<i64>>) -> Result<Tensor, Refusal> {
    let rank = tensor.shape.len();
    let permutation = permutation.unwrap_or_else(|| (0..rank as i64).rev().collect());
    let from: Vec<usize> = permutation.iter().map(|axis| axis_of(*axis, rank)).collect::<Result<_, _>>()?;
    let mut sorted = from.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..rank) {
        return Err(Refusal::new(format!("found perm {permutation:?} for a constant of rank {rank}")));
    }
    let shape: Vec<usize> = from.iter().map(|at| tensor.shape[*at]).collect();
    let numbers = indices(&shape)?
        .map(|index| {
            let mut old = vec![0; rank];
            from.iter().zip(&index).for_each(|(at, index)| old[*at] = *index);
            let place = old.iter().zip(&tensor.shape).fold(0, |place, (index, length)| place * length + index);
            tensor.numbers.get(place).copied().unwrap_or(f64::NAN)
        })
        .collect();
    Ok(Tensor { shape, numbers, kind: tensor.kind })
}

fn expand(tensor: &Tensor, target: &[i64]) -> Result<Tensor, Refusal> {
    let shape = target.iter().map(|extent| usize::try_from(*extent).unwrap_or(1)).collect::<Vec<_>>();
    let ones = Tensor { numbers: vec![1.0; count(&shape)?], shape, kind: tensor.kind };
    broadcast(tensor, &ones, |x, _| x)
}

fn filled(call: &Call<'_>, shape: &[i64]) -> Result<Tensor, Refusal> {
    let value = call.tensor("value")?.unwrap_or_else(|| Tensor::scalar(0.0, Kind::Float));
    let shape: Vec<usize> = shape.iter().map(|extent| usize::try_from(*extent).unwrap_or(0)).collect();
    Ok(Tensor { numbers: vec![value.only().unwrap_or(0.0); count(&shape)?], shape, kind: value.kind })
}

fn gather(tensor: &Tensor, indices: &Tensor) -> Result<Tensor, Refusal> {
    let length = tensor.numbers.len() as i64;
    let pick = |index: i64| {
        let at = if index < 0 { index.saturating_add(length) } else { index };
        let number = usize::try_from(at).ok().and_then(|at| tensor.numbers.get(at)).copied();
        number.ok_or_else(|| Refusal::new(format!("found index {index} of {length} numbers")))
    };
    let numbers = indices.whole().into_iter().map(pick).collect::<Result<_, _>>()?;
    Ok(Tensor { shape: indices.shape.clone(), numbers, kind: tensor.kind })
}

fn slice(call: &Call<'_>, inputs: &[Option<Tensor>], tensor: &Tensor) -> Result<Tensor, Refusal> {
    let bound = |name: &str, index: usize, otherwise: i64| {
        let given = call.integers(name).or_else(|| inputs.get(index)?.as_ref().map(Tensor::whole));
        given.and_then(|numbers| numbers.first().copied()).unwrap_or(otherwise)
    };
    if bound("steps", 4, 1) != 1 {
        return Err(Refusal::new(format!("found step {}, expected 1", bound("steps", 4, 1))));
    }
    let (begin, end) = range(bound("starts", 1, 0), bound("ends", 2, i64::MAX), tensor.numbers.len());
    let numbers = tensor.numbers[begin..end].to_vec();
    Ok(Tensor { shape: vec![numbers.len()], numbers, kind: tensor.kind })
}

/// Where a slice begins and ends: as in Python, negative positions count from the end, and
/// beyond the end is the end.
pub(super) fn range(start: i64, end: i64, length: usize) -> (usize, usize) {
    let length = length as i64;
    let place = |position: i64| {
        let from_begin = if position < 0 { position.saturating_add(length) } else { position };
        from_begin.clamp(0, length) as usize
    };
    let begin = place(start);
    (begin, place(end).max(begin))
}
