//! The testbed on the loopback: hosts, faults, replays.

mod api;
mod compare;
mod faults;
mod replay;
mod streaming;
mod support;
mod telemetry;
