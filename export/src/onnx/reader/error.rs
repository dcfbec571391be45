//! Why an ONNX file was refused.

use std::{io, path::PathBuf};

use super::operators::SUPPORTED_OPERATORS;
use crate::ir::ShapeError;
use crate::lower::LowerError;

/// Why a file has no program. Each message says where, what was found and what was
/// expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Not ONNX, or damaged.
    #[error("not a readable ONNX model: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// Inputs or outputs which no program has.
    #[error("the model's interface does not fit: {reason}")]
    Interface {
        /// What was found and what was expected.
        reason: String,
    },
    /// An operator outside the instruction set.
    #[error("node {node:?}: operator {op_type} is not supported; supported are {}", SUPPORTED_OPERATORS.join(", "))]
    Operator {
        /// The node's name, as in the file.
        node: String,
        /// The operator, with its domain if it is not ONNX's own.
        op_type: String,
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
    #[error(transparent)]
    Lower(#[from] LowerError),
}

/// Why a node was refused; the node itself is known to the caller.
#[derive(Debug)]
pub(super) struct Refusal {
    reason: String,
}

impl Refusal {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    pub(super) fn at(self, node: &str, op_type: &str) -> ReadError {
        ReadError::Node { node: node.to_owned(), op_type: op_type.to_owned(), reason: self.reason }
    }
}

impl From<ShapeError> for Refusal {
    fn from(error: ShapeError) -> Self {
        Self::new(error.to_string())
    }
}
