//! From a trained network to the artifact that the runtime reads, by way of ONNX.
//!
//! ```text
//! GraphBuilder ──► policy.onnx ──► onnx::reader ──► ir::Graph ──► Program ──► evenkeel.ekm
//! (or another      forecast.onnx                                  (registers,
//!  framework)           │                                          instructions)
//!                       └──► tract ──► verify: the same answers as the runtime
//! ```
//!
//! The artifact is always made from the ONNX files, so a policy trained elsewhere takes
//! the same road as Evenkeel's own. An operator or shape outside the runtime's small
//! instruction set is refused by name.

pub mod artifact;
pub mod compile;
pub mod error;
pub mod inspect;
pub mod int8;
pub mod ir;
pub mod lower;
pub mod onnx;
pub mod program;
pub mod verify;

pub use compile::{Forecast, compile};
pub use error::ExportError;
pub use inspect::{Summary, inspect};
pub use int8::with_int8_forecaster;
pub use program::Program;
pub use verify::{Parity, ROW_COUNTS, verify};
