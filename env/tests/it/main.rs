//! Tests of the simulator as its users see it.

mod calibration;
mod common;
mod conservation;
mod determinism;
mod environment;
mod knowledge;
mod llm_reference;
mod ordering;
mod queueing_theory;
mod traces;
