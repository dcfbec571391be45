//! Which register each value lives in. A register is used again once the last reader of
//! its value is done, so that scratch memory stays small.

use crate::ir::{Graph, Shape, ValueId};

/// Registers of all values.
pub(super) struct Registers {
    /// Register of each node's result.
    of_nodes: Vec<u16>,
    /// Shape of each register.
    shapes: Vec<Shape>,
}

impl Registers {
    /// Assigns registers in the order of the nodes. The runtime wants a result in another
    /// register than its operands and the input left alone; a register keeps its shape.
    pub(super) fn assign(graph: &Graph, output: ValueId) -> Self {
        let last_reader = last_readers(graph, output);
        let mut registers =
            Self { of_nodes: Vec::new(), shapes: vec![Shape { width: graph.input_width(), uniform: false }] };
        let mut free: Vec<u16> = Vec::new();
        for (index, node) in graph.nodes().iter().enumerate() {
            let fitting = free.iter().position(|register| registers.shapes[usize::from(*register)] == node.shape);
            let register = fitting.map_or_else(
                || {
                    registers.shapes.push(node.shape);
                    (registers.shapes.len() - 1) as u16
                },
                |position| free.swap_remove(position),
            );
            registers.of_nodes.push(register);
            for operand in node.operation.operands() {
                let done = operand.node().is_some_and(|maker| last_reader[maker] == Some(index));
                let register = registers.of(operand);
                if done && !free.contains(&register) {
                    free.push(register);
                }
            }
        }
        registers
    }

    /// Register of a value.
    pub(super) fn of(&self, value: ValueId) -> u16 {
        value.node().map_or(0, |node| self.of_nodes[node])
    }

    /// Register of the result of the node at `index`.
    pub(super) fn of_node(&self, index: usize) -> u16 {
        self.of_nodes[index]
    }

    /// Shapes of the registers, the input's first.
    pub(super) fn shapes(&self) -> &[Shape] {
        &self.shapes
    }
}

/// Of each node the last one that reads its result; `None` where the result must stay.
fn last_readers(graph: &Graph, output: ValueId) -> Vec<Option<usize>> {
    let mut last = vec![None; graph.nodes().len()];
    for (index, node) in graph.nodes().iter().enumerate() {
        for maker in node.operation.operands().filter_map(ValueId::node) {
            last[maker] = Some(index);
        }
    }
    if let Some(maker) = output.node() {
        last[maker] = None;
    }
    last
}
