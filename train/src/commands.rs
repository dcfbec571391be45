//! The smaller subcommands, one file each.

pub mod ablate;
pub mod audit;
pub mod autoscale_eval;
pub mod calibrate;
pub mod capacity;
pub mod compile;
pub mod dataset;
pub mod eval;
pub mod forecast_eval;
pub mod forecast_train;
pub mod inspect;
pub mod int8;
pub mod on_series;
pub mod scale_tune;
pub mod tune;
