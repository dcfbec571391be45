//! What can go wrong between an ONNX file and an artifact.

use std::path::PathBuf;

use evenkeel_runtime::artifact::ArtifactError;

use crate::onnx::ReadError;

/// Why there is no artifact, or why it could not be verified. A message is complete: no error
/// has a source to be printed behind it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Neither a policy nor a forecaster was given.
    #[error("nothing to compile: give a policy, a forecaster, or both")]
    Nothing,
    /// An ONNX file was refused.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: ReadError,
    },
    /// A network with an input of the wrong width.
    #[error("{}: found an input of {found} columns, expected {expected}: {meaning}", path.display())]
    InputWidth {
        /// The file.
        path: PathBuf,
        /// Columns of the network's input.
        found: usize,
        /// Columns that the runtime fills.
        expected: usize,
        /// What the columns are.
        meaning: String,
    },
    /// A network with an output of the wrong shape.
    #[error("{}: found an output of shape {found}, expected {expected}: {meaning}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// Shape of the network's output.
        found: String,
        /// Shape that the runtime reads.
        expected: String,
        /// What the columns are.
        meaning: String,
    },
    /// The metadata is not one JSON object.
    #[error("metadata: found {found:?}, expected a JSON object such as {{\"seed\": 7}}")]
    Metadata {
        /// How it begins.
        found: String,
    },
    /// The runtime would refuse the artifact.
    #[error("the runtime would refuse this artifact: {0}")]
    Artifact(ArtifactError),
    /// tract cannot run the ONNX file.
    #[error("{}: tract cannot run it: {reason}", path.display())]
    Tract {
        /// The file.
        path: PathBuf,
        /// What tract says.
        reason: String,
    },
}

impl From<ArtifactError> for ExportError {
    fn from(error: ArtifactError) -> Self {
        Self::Artifact(error)
    }
}
