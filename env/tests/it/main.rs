//! Tests of the simulator as its users see it.

mod baselines;
mod calibration;
mod common;
mod conservation;
mod determinism;
mod environment;
#[cfg(feature = "gym-rs")]
mod gym_rs;
mod knowledge;
mod liars;
mod life;
mod llm_reference;
mod observed;
mod ordering;
mod prefixes;
mod queueing_theory;
mod reference;
mod scenarios;
mod traces;
