//! Tests of the simulator as its users see it.
#![allow(missing_docs, reason = "tests")]
mod llm_reference;
