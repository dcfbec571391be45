//! Reads an ONNX file into a program.
//!
//! [`Loaded`] is the file as one graph. Its nodes are then taken in their order: each adds
//! operations to an [`ir::Graph`](crate::ir::Graph), or is folded into a constant, and
//! defines the names of its results. Nodes on which the output does not depend are passed
//! over. What a value's shape is follows from the operations alone, not from what the file
//! says of it.

mod advice;
mod call;
mod extents;
mod fold;
mod formulas;
mod interface;
mod operands;
mod operators;
mod value;

pub use operators::SUPPORTED_OPERATORS;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;

use super::error::{ReadError, Refusal};
use super::load::{Kind, Loaded, Tensor, type_name};
use crate::Program;
use crate::ir::{Graph, ValueId};
use crate::lower::lower;
use call::Call;
pub(crate) use interface::{Interface, without_shapes};
use value::{Axis, Computed, Constant, Value};

/// A program, and in what it differs from its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation {
    /// The compiled network.
    pub program: Program,
    /// What was assumed or left out, a sentence each: fixed numbers of rows, converted
    /// weights, roundings of a quantised file that the program does not make, functions
    /// that it computes by a formula with an error of its own.
    pub notes: Vec<String>,
    /// Largest relative difference from the file, without its rounding, that the program may
    /// have: 1e-5, or 1e-4 where functions are computed by a formula.
    pub tolerance: f64,
}

/// Reads the model in the file at `path`, with its external data if it has such.
///
/// # Errors
/// If the file cannot be read, is not ONNX, or uses an operator or a shape outside the
/// runtime's instruction set; the error names the node.
pub fn read_file(path: impl AsRef<Path>) -> Result<Program, ReadError> {
    translate(path).map(|translation| translation.program)
}

/// As [`read_file`], with notes on what was assumed.
///
/// # Errors
/// As [`read_file`].
pub fn translate(path: impl AsRef<Path>) -> Result<Translation, ReadError> {
    read(&Loaded::file(path.as_ref())?)
}

/// Reads a model from the bytes of a file that holds all its data.
///
/// # Errors
/// As [`read_file`].
pub fn read_bytes(bytes: &[u8]) -> Result<Program, ReadError> {
    read(&Loaded::bytes(bytes)?).map(|translation| translation.program)
}

fn read(loaded: &Loaded) -> Result<Translation, ReadError> {
    let interface = Interface::of(&loaded.graph)?;
    let mut reading = Reading::new(loaded, &interface);
    let live = live_nodes(&loaded.graph.node, &interface.output);
    let nodes = || loaded.graph.node.iter().enumerate().filter(|(index, _)| live.contains(index));
    // Before anything else: that an operator is missing says more than what follows from it.
    for (index, node) in nodes() {
        let op_type = Call::op_type(node);
        if !SUPPORTED_OPERATORS.contains(&op_type.as_str()) {
            let advice = advice::advice(&op_type);
            return Err(ReadError::Operator { node: Call::name(node, index), op_type, advice });
        }
    }
    for (index, node) in nodes() {
        let call = Call { node };
        operators::add(&call, &mut reading).map_err(|refusal| ReadError::Node {
            node: Call::name(node, index),
            op_type: Call::op_type(node),
            reason: refusal.reason,
        })?;
    }
    let output = reading.output(&interface.output)?;
    let program = lower(&reading.graph, output).map_err(ReadError::Lower)?;
    let tolerance = if reading.by_formula { 1e-4 } else { 1e-5 };
    Ok(Translation { program, notes: reading.notes.into_iter().collect(), tolerance })
}

/// Positions of the nodes on which `output` depends.
fn live_nodes(nodes: &[NodeProto], output: &str) -> BTreeSet<usize> {
    let mut needed = BTreeSet::from([output]);
    let mut live = BTreeSet::new();
    for (index, node) in nodes.iter().enumerate().rev() {
        if node.output.iter().any(|name| !name.is_empty() && needed.contains(name.as_str())) {
            live.insert(index);
            needed.extend(node.input.iter().map(String::as_str));
        }
    }
    live
}

/// The graph as far as it has been read.
struct Reading {
    graph: Graph,
    /// Values by their names in the file.
    values: BTreeMap<String, Value>,
    /// The number of rows, where the file fixes it.
    rows: Option<usize>,
    /// Scales that are chosen at run time.
    scales: usize,
    notes: BTreeSet<String>,
    /// Whether a function has an error of its own.
    by_formula: bool,
}

impl Reading {
    fn new(loaded: &Loaded, interface: &Interface) -> Self {
        let mut values = BTreeMap::new();
        for weight in &loaded.graph.initializer {
            // One that no node reads may be of any type.
            if let Ok(tensor) = Tensor::decode(weight) {
                values.insert(weight.name.clone(), Value::Constant(Constant::from(tensor)));
            }
        }
        let columns = if interface.width == 1 { Axis::One } else { Axis::Columns };
        let input = Computed::new(ValueId::INPUT, vec![Axis::Rows, columns]);
        values.insert(interface.input.clone(), Value::Computed(input));
        let mut notes = BTreeSet::new();
        let weights = loaded.graph.initializer.iter().map(|weight| weight.data_type);
        for element in weights.chain([interface.element]).filter(|it| *it != DataType::Float as i32) {
            if Kind::of(element) == Some(Kind::Float) {
                notes.insert(format!("what the file has as {} is float32 in the program", type_name(element)));
            }
        }
        if let Some(rows) = interface.rows.filter(|rows| *rows > 1) {
            notes.insert(format!("the file fixes {rows} rows; the program takes any number of hosts"));
        }
        let rows = interface.rows.filter(|rows| *rows > 1);
        Self { graph: Graph::new(interface.width), values, rows, scales: 0, notes, by_formula: false }
    }

    /// The output as a value of the graph.
    fn output(&mut self, name: &str) -> Result<ValueId, ReadError> {
        let interface = |reason: String| ReadError::Interface { reason };
        let computed = match self.values.get(name) {
            Some(Value::Computed(computed)) => computed.clone(),
            Some(other) => {
                return Err(interface(format!(
                    "found output {name:?}, which is {}; expected numbers computed from the input",
                    other.describe()
                )));
            }
            None => return Err(interface(format!("found output {name:?}, which no node computes"))),
        };
        let refused = |refusal: Refusal| interface(format!("output {name:?}: {}", refusal.reason));
        computed.factor.expect_one().map_err(refused)?;
        self.whole(&computed).map_err(refused)
    }

    /// Notes that a function is computed by a formula, and how far that is from it.
    fn note_formula(&mut self, op_type: &str, error: &str) {
        self.notes.insert(format!("{op_type} is computed by a formula that is within {error}"));
        self.by_formula = true;
    }

    /// Makes `value` the first result of a node.
    fn define(&mut self, call: &Call<'_>, value: Value) {
        if let Some(name) = call.node.output.first() {
            self.values.insert(name.clone(), value);
        }
    }
}
