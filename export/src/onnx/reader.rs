//! Reads an ONNX file into a program.
//!
//! Two readers look at the file. [`outline`] takes from the protobuf what the user knows
//! the model by (node names, operator names, the input and the output) and refuses early
//! what cannot work. Then onnx-ir gives typed nodes with their constants, which
//! [`operators`] adds one by one to an [`ir::Graph`](crate::ir::Graph). Shapes come from
//! that graph alone: onnx-ir does not know them behind every node.

mod error;
mod operand;
mod operators;
mod outline;

pub use error::ReadError;
pub use operators::SUPPORTED_OPERATORS;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use onnx_ir::{Argument, OnnxGraph, OnnxGraphBuilder};

use crate::Program;
use crate::ir::{Graph, ValueId};
use crate::lower::lower;
use error::Refusal;
use outline::Outline;

/// Reads the model in the file at `path`, with its external data if it has such.
///
/// # Errors
/// If the file cannot be read, is not ONNX, or uses an operator or a shape outside the
/// runtime's instruction set; the error names the node.
pub fn read_file(path: impl AsRef<Path>) -> Result<Program, ReadError> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
    read(&bytes, |parser| parser.parse_file(path))
}

/// Reads a model from the bytes of a file.
///
/// # Errors
/// As [`read_file`].
pub fn read_bytes(bytes: &[u8]) -> Result<Program, ReadError> {
    read(bytes, |parser| parser.parse_bytes(bytes))
}

fn read(
    bytes: &[u8],
    parse: impl FnOnce(OnnxGraphBuilder) -> Result<OnnxGraph, onnx_ir::Error>,
) -> Result<Program, ReadError> {
    let outline = Outline::of(bytes)?;
    // Without simplification: nodes stay where the user put them, and nothing is
    // rewritten that an error message would have to explain. The parser is made for
    // models that a compiler's author chose; on others it may panic.
    let parsed = catch_unwind(AssertUnwindSafe(|| parse(OnnxGraphBuilder::new().simplify(false))));
    let typed = parsed
        .map_err(|_| ReadError::Malformed { reason: "its contents contradict each other".to_owned() })?
        .map_err(|error| ReadError::Malformed { reason: error.to_string() })?;
    let origins = outline.origins(&typed);
    let mut reading = Reading::new(&outline);
    for node in &typed.nodes {
        operators::add(node, &mut reading).map_err(|refusal| match origins.get(node.name()) {
            Some(origin) => refusal.at(&origin.name, &origin.op_type),
            None => refusal.at(node.name(), &node.node_type().to_string()),
        })?;
    }
    let output = typed.outputs.first().and_then(|output| reading.values.get(&output.name)).copied();
    let output = output.ok_or_else(|| ReadError::Interface {
        reason: format!(
            "found output {:?}, which does not depend on the input; expected one that does",
            outline.output
        ),
    })?;
    Ok(lower(&reading.graph, output)?)
}

/// The graph as far as it has been read.
struct Reading {
    graph: Graph,
    /// Values by the names which onnx-ir gives them.
    values: BTreeMap<String, ValueId>,
}

impl Reading {
    fn new(outline: &Outline) -> Self {
        Self {
            graph: Graph::new(outline.input_width),
            values: BTreeMap::from([(outline.input.clone(), ValueId::INPUT)]),
        }
    }

    /// Makes `value` the result of a node.
    fn define(&mut self, outputs: &[Argument], value: ValueId) -> Result<(), Refusal> {
        let [output] = outputs else {
            return Err(Refusal::new(format!("found {} outputs, expected one", outputs.len())));
        };
        self.values.insert(output.name.clone(), value);
        Ok(())
    }
}
