//! Builders and timing that tests and benchmarks of several crates share. No product links it.

pub mod builder;
pub mod measured;
pub mod policy;
pub mod timing;
pub mod upstream;
