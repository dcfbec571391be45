//! Any host.

use crate::policy::{Decision, Policy};
use crate::random::below;

/// Chooses at random.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

impl Policy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        decision.eligible[below(decision.rng, decision.eligible.len())] as usize
    }
}
