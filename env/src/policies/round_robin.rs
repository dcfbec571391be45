//! One host after the other.

use crate::policy::{Decision, Policy, Setting};

/// Each balancer takes the hosts in turn, beginning at a host of its own.
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    /// Of each balancer: how often it chose.
    turns: Vec<usize>,
}

impl Policy for RoundRobin {
    fn name(&self) -> &'static str {
        "round_robin"
    }

    fn reset(&mut self, setting: &Setting) {
        self.turns = (0..setting.balancers).map(|balancer| balancer * setting.hosts / setting.balancers).collect();
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let turn = &mut self.turns[decision.balancer];
        *turn += 1;
        decision.eligible[*turn % decision.eligible.len()] as usize
    }
}
