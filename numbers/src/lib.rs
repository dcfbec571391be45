//! Hashes, random numbers and quantiles, each once: what the runtime, the simulator, the trainer
//! and the modules compute must be the same number everywhere.
//!
//! Without the standard library, allocation or panics, since the runtime uses it too.
#![no_std]

pub mod fnv;
pub mod quantile;
pub mod random;
