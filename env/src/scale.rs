//! A fleet whose size changes: demand over days, replicas that take time to start, and the
//! autoscalers that ask for them.
//!
//! ```text
//! demand ─► Fleet (replicas start, fail to start, stop; excess demand waits) ─► Bill
//!               ▲ replicas wanted
//!               └── Scaler ◄── what it sees: demand of the last minute, the past, a forecast
//! ```
//!
//! The service is a fluid here: a replica carries so many requests a second at its
//! objective, and what is beyond waits. [`crate::simulation`] has every request; this has
//! days in milliseconds.

mod bill;
pub mod capacity;
mod demand;
mod environment;
mod fleet;
pub mod scalers;

pub use bill::Bill;
pub use demand::{Demand, Foresight, Unforeseen};
pub use environment::{ScaleEnv, ScaleInfo};
pub use fleet::{ReplicaOptions, Replicas};
pub use scalers::{Scaler, Seen};

/// Seconds between two looks at the metrics: those of Kubernetes' horizontal pod autoscaler.
pub const TICK_S: f64 = 15.0;

/// Lets an autoscaler run a fleet over the whole demand.
///
/// The fleet begins with as many replicas as the first tick needs. Equal seeds give equal
/// bills.
pub fn run(
    demand: &Demand,
    foresight: &dyn Foresight,
    options: &ReplicaOptions,
    scaler: &mut dyn Scaler,
    seed: u64,
) -> Bill {
    let mut fleet = Replicas::new(options, demand.at_per_s(0.0), seed);
    let mut bill = Bill::default();
    scaler.reset();
    for tick in 0..demand.ticks() {
        let now_s = tick as f64 * TICK_S;
        let seen = Seen {
            now_s,
            demand,
            foresight,
            ready: fleet.ready(),
            starting: fleet.starting(),
            replica_per_s: options.replica_per_s,
            cold_start_s: fleet.measured_cold_start_s(),
        };
        let wanted = scaler.desired(&seen).clamp(options.replicas_min, options.replicas_max);
        let arriving_per_s = demand.at_per_s(now_s);
        bill.add(&fleet.step(wanted, arriving_per_s), arriving_per_s);
    }
    bill
}
