//! ONNX files: written by [`GraphBuilder`], read by [`read_file`] and [`read_bytes`].

mod builder;
mod error;
mod load;
mod proto;
mod reader;

pub use builder::{BuildError, GraphBuilder, OnnxModel, Value};
pub use error::ReadError;
pub(crate) use load::{Kind, Loaded, Tensor};
pub(crate) use reader::{Interface, without_shapes};
pub use reader::{SUPPORTED_OPERATORS, Translation, read_bytes, read_file, translate};
