//! Proof outside of the simulator: what the simulator simulates, on real sockets.
//!
//! - [`emulator`]: inference hosts with an OpenAI-compatible interface, metrics and load
//!   reports, whose timing is that of `evenkeel-env`'s host model, run in real time.
//! - [`replay`]: sends a trace's requests when the trace says so, whether or not the earlier
//!   ones were answered, and measures.
//! - [`compare`]: proxies in turn on the same trace, beside what the simulator says of each.
//! - [`demo`]: two proxies side by side, and a page on which to watch them.
//! - [`artifact`]: fits an artifact to a service that runs faster than the one trained for.
//!
//! Times come in two kinds. *Service time* is the host model's: a step of 15 ms takes 15 ms.
//! *Wall time* is what sockets, proxies and the clock on the wall see; with a time scale of
//! 10 it is a tenth of that. Names say `wall` where it is meant.

pub mod artifact;
pub mod clock;
pub mod compare;
pub mod demo;
pub mod emulator;
pub mod replay;
