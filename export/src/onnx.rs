//! ONNX files: written by [`GraphBuilder`], read by [`read_file`] and [`read_bytes`].

mod builder;
mod proto;
mod reader;

pub use builder::{BuildError, GraphBuilder, OnnxModel, Value};
pub use reader::{ReadError, SUPPORTED_OPERATORS, read_bytes, read_file};
