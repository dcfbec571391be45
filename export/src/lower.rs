//! From a graph to a program: simplification, dead code removal, registers.

mod registers;
mod simplify;

use evenkeel_runtime::program::{Instruction, NO_WEIGHTS, Op, Register, limits};

use crate::Program;
use crate::ir::{Combination, Function, Graph, Operation, ShapeError, ValueId};
use registers::Registers;

/// Why a graph has no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LowerError {
    /// The program would exceed a limit of the runtime.
    #[error("the network needs {found} {what}, the runtime allows at most {most}: make it smaller")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much the network needs.
        found: usize,
        /// How much the runtime allows.
        most: usize,
    },
    /// A weight or constant is infinite or not a number.
    #[error("a weight or constant of the network is infinite or not a number: train it again")]
    NotFinite,
    /// The output is not a value of the graph.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// Compiles `graph` into a program that computes `output`.
///
/// # Errors
/// If the network exceeds the runtime's [`limits`], or has a constant that is not finite.
pub fn lower(graph: &Graph, output: ValueId) -> Result<Program, LowerError> {
    graph.shape(output).ok_or(ShapeError::UnknownValue)?;
    let (graph, output) = simplify::simplify(graph, output)?;
    let registers = Registers::assign(&graph, output);
    // Before weights are made for columns that no register has.
    let shapes = registers
        .shapes()
        .iter()
        .map(|shape| {
            Ok(Register { width: within("columns", shape.width, limits::WIDTH)? as u16, uniform: shape.uniform })
        })
        .collect::<Result<_, LowerError>>()?;
    let mut emission = Emission { weights: Vec::new(), instructions: Vec::new() };
    for (index, node) in graph.nodes().iter().enumerate() {
        emission.emit(&node.operation, registers.of_node(index), &registers);
    }
    let program = Program {
        registers: shapes,
        instructions: emission.instructions,
        weights: emission.weights,
        packed: Vec::new(),
        output: registers.of(output),
    };
    within("registers", program.registers.len(), limits::REGISTERS)?;
    within("instructions", program.instructions.len(), limits::INSTRUCTIONS)?;
    within("weights", program.weights.len(), limits::WEIGHTS)?;
    let constants = program.instructions.iter().flat_map(|instruction| [instruction.scale, instruction.offset]);
    if program.weights.iter().copied().chain(constants).all(f32::is_finite) {
        Ok(program)
    } else {
        Err(LowerError::NotFinite)
    }
}

fn within(what: &'static str, found: usize, most: usize) -> Result<usize, LowerError> {
    if found <= most { Ok(found) } else { Err(LowerError::Limit { what, found, most }) }
}

struct Emission {
    weights: Vec<f32>,
    instructions: Vec<Instruction>,
}

impl Emission {
    fn emit(&mut self, operation: &Operation, dst: u16, registers: &Registers) {
        let mut operands = operation.operands().map(|value| registers.of(value));
        let mut instruction = Instruction {
            op: Op::Linear,
            dst,
            a: operands.next().unwrap_or(0),
            b: operands.next().unwrap_or(0),
            weights: NO_WEIGHTS,
            bias: NO_WEIGHTS,
            scale: 0.0,
            offset: 0.0,
            begin: 0,
        };
        match operation {
            Operation::Linear { weights, bias, .. } => {
                instruction.weights = self.store(weights);
                instruction.bias = bias.as_ref().map_or(NO_WEIGHTS, |bias| self.store(bias));
            }
            Operation::Columns { scale, offset, .. } => {
                if let (Some(scale), Some(offset)) = (same(scale), same(offset)) {
                    instruction.op = Op::Affine;
                    instruction.scale = scale;
                    instruction.offset = offset;
                } else {
                    instruction.weights = self.store(&diagonal(scale));
                    instruction.bias = self.store(offset);
                }
            }
            Operation::Map(function, _) => {
                instruction.op = match *function {
                    Function::Tanh => Op::Tanh,
                    Function::Relu => Op::Relu,
                    Function::Sigmoid => Op::Sigmoid,
                    Function::Clip { least, most } => {
                        (instruction.scale, instruction.offset) = (least, most);
                        Op::Clip
                    }
                }
            }
            Operation::Combine(combination, ..) => {
                instruction.op = match combination {
                    Combination::Add => Op::Add,
                    Combination::Subtract => Op::Subtract,
                    Combination::Multiply => Op::Multiply,
                }
            }
            Operation::MeanRows(_) => instruction.op = Op::MeanRows,
            Operation::Concat(..) => instruction.op = Op::Concat,
            Operation::Slice { begin, .. } => {
                instruction.op = Op::Slice;
                // Wider registers than u16 are refused before anybody sees this.
                instruction.begin = *begin as u16;
            }
        }
        self.instructions.push(instruction);
    }

    /// Index of the first of `numbers` among the weights.
    fn store(&mut self, numbers: &[f32]) -> u32 {
        let begin = self.weights.len() as u32;
        self.weights.extend(numbers);
        begin
    }
}

/// The number that all of `numbers` are.
fn same(numbers: &[f32]) -> Option<f32> {
    let first = *numbers.first()?;
    numbers.iter().all(|number| *number == first).then_some(first)
}

/// A matrix with `entries` on its diagonal: there is no instruction for constants that
/// differ from column to column, a linear layer does it.
fn diagonal(entries: &[f32]) -> Vec<f32> {
    let mut matrix = vec![0.0; entries.len() * entries.len()];
    for (at, entry) in matrix.iter_mut().step_by(entries.len() + 1).zip(entries) {
        *at = *entry;
    }
    matrix
}
