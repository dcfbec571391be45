//! A discrete-event simulator of an inference fleet: hosts, balancers, what balancers know,
//! and the policies that decide.
//!
//! - [`simulate`] runs a [`Scenario`] on a [`Workload`] with a [`Policy`], and yields an
//!   [`Outcome`].
//! - [`balance_env`] makes an environment of it, in the words of [`gym`]; [`vector`] runs
//!   many of them.
//! - [`policies`] has the baselines and the oracles, [`metrics`] turns outcomes into figures.
//!
//! No wall clock, no global random generator, no map with a random hasher: equal arguments
//! give equal results, bit for bit, on every machine and with any number of threads.

pub mod balance_env;
mod balancer;
pub mod calibration;
pub mod events;
pub mod fleet;
pub mod gym;
#[cfg(feature = "gym-rs")]
pub mod gym_rs_adapter;
pub mod host;
pub mod liar;
pub mod life;
pub mod metrics;
pub mod oracle;
pub mod outcome;
pub mod policies;
pub mod policy;
mod random;
pub mod scale;
pub mod scenario;
pub mod simulation;
pub mod sizes;
pub mod telemetry;
mod time;
pub mod vector;
mod window;
pub mod workload;

pub use balance_env::{BalanceEnv, BalanceOptions};
pub use gym::Environment;
pub use life::Life;
pub use outcome::{Outcome, Record, Status};
pub use policy::{Decision, Policy};
pub use scenario::Scenario;
pub use simulation::{Simulation, simulate};
pub use sizes::Sizes;
pub use workload::Workload;
