//! The trainer: from traces to `evenkeel.ekm`.
//!
//! ```text
//! data ─► forecast (quantile network) ─┐
//!      └► policy (DAgger in env) ──────┼─► ONNX ─► evenkeel.ekm ─► evaluate ─► report
//! ```
//!
//! [`pipeline`] reads top to bottom; each stage is a module.

pub mod cli;
pub mod commands;
pub mod data;
pub mod device;
pub mod evaluate;
pub mod export;
pub mod forecast;
pub mod input;
pub mod layers;
pub mod metrics;
pub mod output;
pub mod pipeline;
pub mod policy;
pub mod progress;
pub mod report;
pub mod scale;
pub mod stop;
pub mod table;
