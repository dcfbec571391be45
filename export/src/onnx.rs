//! ONNX files: written by [`GraphBuilder`], read by [`read_file`] and [`read_bytes`].

mod builder;
mod load;
mod proto;
mod reader;

pub use builder::{BuildError, GraphBuilder, OnnxModel, Value};
pub(crate) use load::{Kind, Loaded, Tensor};
pub(crate) use reader::{Interface, without_shapes};
pub use reader::{ReadError, SUPPORTED_OPERATORS, Translation, read_bytes, read_file, translate};
