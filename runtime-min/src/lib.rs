//! The runtime that makes Evenkeel's decisions inside somebody else's load balancer.
//!
//! It is `no_std`, allocates nothing, never panics, reads no clock and no file: time and
//! memory are arguments. An artifact's bytes are validated once, by [`Model::parse`]; from
//! then on every accessor is infallible and reads the bytes in place.
//!
//! [`Upstream`] is the balancer: what a proxy, the simulator or a program calls. One of its
//! decisions, from the top:
//!
//! ```text
//! State (atomics, caller's memory) ─┐
//! Facts ─► Request ─────────────────┼─► features ─► Program::run ─► lowest score wins
//! Model (artifact bytes) ───────────┘        (fallback: least request of two)
//! ```
//!
//! The same functions run in the simulator that trains the policy, so training and
//! serving cannot drift apart; [`features::SCHEMA_HASH`] in the artifact makes sure of it.

#![no_std]
#![allow(clippy::inline_always, reason = "only what is inlined is compiled for wider vectors, see `simd`")]

#[cfg(test)]
extern crate std;

pub mod affinity;
pub mod artifact;
pub mod body;
mod candidates;
pub mod classes;
mod clock;
pub mod decide;
pub mod demand;
pub mod explain;
pub mod features;
pub mod ffi;
pub mod forecast;
pub mod herding;
pub mod histogram;
pub mod ledger;
mod lowest;
pub mod math;
pub mod orca;
mod outcome;
pub mod policy;
pub mod program;
mod reason;
pub mod record;
mod request;
pub mod service;
pub mod simd;
pub mod slot;
pub mod state;
mod table;
mod telemetry;
pub mod telemetry_file;
pub mod text_length;
pub mod upstream;

pub use artifact::{ArtifactError, Model};
pub use candidates::Eligible;
pub use decide::{Decision, decide};
pub use features::HOST_FEATURES;
pub use outcome::{Outcome, Status, Ticket};
pub use policy::{Guard, Policy};
pub use program::{LANES, Program, stride};
pub use reason::Reason;
pub use request::Request;
pub use service::{Engine, Fifo, Llm, ServiceKind, ServiceModel};
pub use slot::HostSlot;
pub use state::{State, StateHeader};
pub use telemetry::Telemetry;
pub use upstream::{Attempt, Choice, Facts, Upstream};
