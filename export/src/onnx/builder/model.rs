//! A finished ONNX model, ready to be written.

use std::{fs, io, path::Path};

use prost::Message;

use crate::onnx::proto::{
    Dimension, Extent, GraphProto, ModelProto, OperatorSetId, StringStringEntry, TensorShape, TensorType, TypeProto,
    ValueInfoProto, data_type,
};

/// Version of ONNX's file format.
const IR_VERSION: i64 = 8;
/// Version of ONNX's default operator set.
const OPSET_VERSION: i64 = 17;
/// Name of the dimension over hosts or horizons.
const ROWS: &str = "N";

/// An ONNX model (opset 17, IR version 8) with one input and one output.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxModel {
    proto: ModelProto,
}

impl OnnxModel {
    pub(super) fn new(graph: GraphProto, metadata: &[(&str, &str)]) -> Self {
        let entry = |(key, value): &(&str, &str)| StringStringEntry {
            key: Some((*key).to_owned()),
            value: Some((*value).to_owned()),
        };
        Self {
            proto: ModelProto {
                ir_version: Some(IR_VERSION),
                producer_name: Some("evenkeel".to_owned()),
                producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
                graph: Some(graph),
                opset_import: vec![OperatorSetId { domain: Some(String::new()), version: Some(OPSET_VERSION) }],
                metadata_props: metadata.iter().map(entry).collect(),
            },
        }
    }

    /// The file's bytes: equal models give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.proto.encode_to_vec()
    }

    /// Writes the file.
    pub fn write(&self, path: impl AsRef<Path>) -> io::Result<()> {
        fs::write(path, self.to_bytes())
    }
}

/// Describes a float32 matrix at the graph's boundary.
pub(super) fn matrix(name: &str, width: usize, uniform: bool) -> ValueInfoProto {
    let rows = if uniform { Extent::Fixed(1) } else { Extent::Named(ROWS.to_owned()) };
    let dim = [rows, Extent::Fixed(width as i64)].map(|extent| Dimension { value: Some(extent) });
    let tensor_type = TensorType { elem_type: Some(data_type::FLOAT), shape: Some(TensorShape { dim: dim.into() }) };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}
