//! Tests of the simulator as its users see it.

mod calibration;
mod llm_reference;
mod traces;
