//! Why an ONNX file was refused.

use std::io;

use crate::ir::ShapeError;
use crate::lower::LowerError;

/// Why a file has no program. Each message says where, what was found, what was expected
/// and what to do. A message is complete: no error has a source to be printed behind it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// Not ONNX, or damaged.
    #[error("not a readable ONNX model: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// A version of ONNX that is not read.
    #[error("{reason}")]
    Version {
        /// What was found and what was expected.
        reason: String,
    },
    /// Data in another file that cannot be read.
    #[error("tensor {tensor:?}: {reason}")]
    External {
        /// The tensor's name.
        tensor: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// Inputs or outputs which no program has.
    #[error("the model's interface does not fit: {reason}")]
    Interface {
        /// What was found and what was expected.
        reason: String,
    },
    /// An operator outside the instruction set.
    #[error("node {node:?}: operator {op_type} is not supported: {advice}")]
    Operator {
        /// The node's name, as in the file.
        node: String,
        /// The operator, with its domain if it is not ONNX's own.
        op_type: String,
        /// What to do.
        advice: &'static str,
    },
    /// A known operator with operands or attributes that do not fit.
    #[error("node {node:?} ({op_type}): {reason}")]
    Node {
        /// The node's name, as in the file.
        node: String,
        /// The operator.
        op_type: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// A network that the runtime cannot hold.
    #[error("{0}")]
    Lower(LowerError),
}

/// Why a node was refused; the node itself is known to the caller.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: String,
}

impl Refusal {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl From<ShapeError> for Refusal {
    fn from(error: ShapeError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self { reason }
    }
}
