//! Folding of constants into their neighbours, and removal of what nobody reads.

use crate::ir::{Graph, Operation, ShapeError, ValueId};

/// Largest product of an offset and the scale behind it that is folded. Folding moves
/// rounding from `(x + offset) · scale` to `x · scale + offset · scale`: where the
/// products are large and cancel, digits are lost. Up to here that is about 1e-6.
const FOLDED_OFFSET_MAX: f32 = 16.0;

/// The graph after folding, without dead nodes and with at least one node, and its output.
pub(super) fn simplify(graph: &Graph, output: ValueId) -> Result<(Graph, ValueId), ShapeError> {
    let (folded, output) = fold(graph, output)?;
    let (mut live, output) = without_dead_nodes(&folded, output)?;
    if output != ValueId::INPUT {
        return Ok((live, output));
    }
    // A program must not hand out its input register: copy it.
    let width = graph.input_width();
    let copy = live.push(Operation::Columns { x: output, scale: vec![1.0; width], offset: vec![0.0; width] })?;
    Ok((live, copy))
}

/// Rewrites each node with what is known of the nodes before it.
fn fold(graph: &Graph, output: ValueId) -> Result<(Graph, ValueId), ShapeError> {
    let readers = count_readers(graph, output);
    let mut folded = Graph::new(graph.input_width());
    let mut moved = vec![ValueId::INPUT];
    // Whether the value that a new value stands for has a single reader.
    let mut single = vec![false];
    for (index, node) in graph.nodes().iter().enumerate() {
        let operation = node.operation.clone().with_operands(|value| moved[position(value)]);
        let maker = operation.operands().next().filter(|x| single[position(*x)]).and_then(ValueId::node);
        let operation = match maker {
            Some(maker) => merge(&folded.nodes()[maker].operation, operation),
            None => operation,
        };
        let value = if let Some(x) = unchanged(&operation) { x } else { folded.push(operation)? };
        moved.push(value);
        // A value that stands for two old ones may have readers of both.
        let known = single.get(position(value)).is_some();
        if known {
            single[position(value)] = false;
        } else {
            single.push(readers[index + 1] == 1);
        }
    }
    Ok((folded, moved[position(output)]))
}

/// `operation`, whose operand only it reads and `before` makes, as one with `before`;
/// or as it was.
fn merge(before: &Operation, operation: Operation) -> Operation {
    match (before, operation) {
        (Operation::Linear { x, weights, bias }, Operation::Columns { scale, offset, .. }) => {
            let weights = weights.chunks_exact(scale.len()).flat_map(|row| products(row, &scale)).collect();
            let bias = match bias {
                Some(bias) => scaled(bias, &scale, &offset),
                None => offset,
            };
            Operation::Linear { x: *x, weights, bias: Some(bias) }
        }
        (Operation::Columns { x, scale: first, offset: moved }, Operation::Columns { scale, offset, .. })
            if folds(moved, &scale) =>
        {
            Operation::Columns {
                x: *x,
                scale: products(first, &scale).collect(),
                offset: scaled(moved, &scale, &offset),
            }
        }
        (Operation::Columns { x, scale, offset }, Operation::Linear { weights, bias, .. })
            if folds_into_linear(scale, offset) =>
        {
            let out_width = weights.len() / scale.len();
            let mut new_bias = bias.unwrap_or_else(|| vec![0.0; out_width]);
            let mut new_weights = Vec::with_capacity(weights.len());
            for ((row, scale), offset) in weights.chunks_exact(out_width.max(1)).zip(scale).zip(offset) {
                new_weights.extend(row.iter().map(|weight| weight * scale));
                for (sum, weight) in new_bias.iter_mut().zip(row) {
                    *sum += weight * offset;
                }
            }
            Operation::Linear { x: *x, weights: new_weights, bias: Some(new_bias) }
        }
        (_, operation) => operation,
    }
}

/// Whether `(x + offset) · scale` may become `x · scale + offset · scale`.
fn folds(offset: &[f32], scale: &[f32]) -> bool {
    products(offset, scale).all(|product| product.abs() <= FOLDED_OFFSET_MAX)
}

/// Whether `x · scale + offset` in front of a linear layer may vanish in its weights.
/// Offsets count in units of the inputs that the layer was made for, which are of order 1.
fn folds_into_linear(scale: &[f32], offset: &[f32]) -> bool {
    offset.iter().all(|offset| offset.abs() <= FOLDED_OFFSET_MAX) && !scale.is_empty()
}

fn products<'a>(a: &'a [f32], b: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
    a.iter().zip(b).map(|(a, b)| a * b)
}

fn scaled(numbers: &[f32], scale: &[f32], offset: &[f32]) -> Vec<f32> {
    products(numbers, scale).zip(offset).map(|(product, offset)| product + offset).collect()
}

/// The operand that the operation leaves as it is.
fn unchanged(operation: &Operation) -> Option<ValueId> {
    match operation {
        Operation::Columns { x, scale, offset }
            if scale.iter().all(|scale| *scale == 1.0) && offset.iter().all(|offset| *offset == 0.0) =>
        {
            Some(*x)
        }
        _ => None,
    }
}

/// The nodes on which `output` depends, in their order.
fn without_dead_nodes(graph: &Graph, output: ValueId) -> Result<(Graph, ValueId), ShapeError> {
    let mut needed = vec![false; graph.nodes().len() + 1];
    needed[position(output)] = true;
    for (index, node) in graph.nodes().iter().enumerate().rev() {
        if needed[index + 1] {
            node.operation.operands().for_each(|value| needed[position(value)] = true);
        }
    }
    let mut live = Graph::new(graph.input_width());
    let mut moved = vec![ValueId::INPUT];
    for (index, node) in graph.nodes().iter().enumerate() {
        let value = if needed[index + 1] {
            live.push(node.operation.clone().with_operands(|value| moved[position(value)]))?
        } else {
            ValueId::INPUT
        };
        moved.push(value);
    }
    Ok((live, moved[position(output)]))
}

/// Readers of each value, the output counted as one.
fn count_readers(graph: &Graph, output: ValueId) -> Vec<usize> {
    let mut readers = vec![0; graph.nodes().len() + 1];
    readers[position(output)] += 1;
    for value in graph.nodes().iter().flat_map(|node| node.operation.operands()) {
        readers[position(value)] += 1;
    }
    readers
}

fn position(value: ValueId) -> usize {
    value.node().map_or(0, |node| node + 1)
}
