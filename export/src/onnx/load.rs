//! An ONNX file as one self-contained graph: checked, its functions inlined, its nodes in order,
//! and its external data read. The reader and the verification both start from here.

mod external;
mod functions;
mod order;
mod tensor;

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto};

use super::error::ReadError;
pub(crate) use tensor::{Kind, Tensor, type_name};

/// Versions of ONNX's default operator set that are read.
pub(crate) const OPSETS: std::ops::RangeInclusive<i64> = 9..=26;

/// Newest version of the file format that is read.
const IR_VERSION_MAX: i64 = 14;

/// Largest file that is read. The runtime holds a million weights, which are 8 MB as doubles.
const FILE_BYTES_MAX: u64 = 1 << 28;

/// A model whose graph needs no other file.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) graph: GraphProto,
    pub(crate) opset: i64,
}

impl Loaded {
    /// Loads the file at `path`; external data may lie in its folder.
    pub(crate) fn file(path: &Path) -> Result<Self, ReadError> {
        let mut bytes = Vec::new();
        File::open(path)
            .map_err(ReadError::Io)?
            .take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(ReadError::Io)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::new(&bytes, Some(folder))
    }

    /// Loads the bytes of a file, which must hold all its data.
    pub(crate) fn bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        Self::new(bytes, None)
    }

    fn new(bytes: &[u8], folder: Option<&Path>) -> Result<Self, ReadError> {
        let malformed = |reason: String| ReadError::Malformed { reason };
        if bytes.len() as u64 > FILE_BYTES_MAX {
            let reason = format!("found more than {FILE_BYTES_MAX} bytes, expected a small policy network");
            return Err(malformed(reason));
        }
        let model = ModelProto::decode(bytes).map_err(|error| malformed(error.to_string()))?;
        let opset = if model.graph.is_some() { versions(&model)? } else { *OPSETS.end() };
        let ModelProto { graph, functions, .. } = model;
        let mut graph = graph.ok_or_else(|| malformed("it has no graph".to_owned()))?;
        functions::inline(&mut graph, &functions)?;
        order::sort(&mut graph.node);
        let folder = folder.map(fs::canonicalize).transpose().map_err(ReadError::Io)?;
        external::resolve(&mut graph, folder.as_deref())?;
        Ok(Self { graph, opset })
    }
}

/// Checks the versions of format and operators; returns the latter.
fn versions(model: &ModelProto) -> Result<i64, ReadError> {
    if model.ir_version > IR_VERSION_MAX {
        return Err(ReadError::Version {
            reason: format!(
                "found ONNX IR version {}, expected {IR_VERSION_MAX} or lower: save it with an older onnx package, or \
                 set model.ir_version = {IR_VERSION_MAX} if it uses nothing newer",
                model.ir_version
            ),
        });
    }
    let standard = model.opset_import.iter().filter(|import| matches!(import.domain.as_str(), "" | "ai.onnx"));
    // ONNX Runtime and skl2onnx may name the same set twice.
    let opset = standard.map(|import| import.version).max();
    match opset {
        Some(opset) if OPSETS.contains(&opset) => Ok(opset),
        Some(opset) => Err(ReadError::Version {
            reason: format!(
                "found opset {opset}, expected {} to {}: export with opset_version={} (skl2onnx: target_opset, \
                 tf2onnx: --opset)",
                OPSETS.start(),
                OPSETS.end(),
                opset.clamp(*OPSETS.start(), *OPSETS.end())
            ),
        }),
        // A file of nothing but machine-learning operators names no standard set.
        None if !model.opset_import.is_empty() => Ok(*OPSETS.end()),
        None => Err(ReadError::Malformed { reason: "it names no operator set".to_owned() }),
    }
}
