//! Knows the demand, and waits for replicas like everybody else.

use super::{Scaler, Seen};

/// The bound: just enough for all that comes until a replica asked for at the next tick
/// would serve.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clairvoyant(());

impl Scaler for Clairvoyant {
    fn name(&self) -> &'static str {
        "clairvoyant"
    }

    fn reset(&mut self) {}

    fn desired(&mut self, seen: &Seen<'_>) -> u32 {
        let until_s = seen.now_s + seen.cold_start_s + 2.0 * crate::scale::TICK_S;
        seen.replicas(seen.demand.most_per_s(seen.now_s, until_s)).ceil() as u32
    }
}
