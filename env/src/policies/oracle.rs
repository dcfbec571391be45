//! Policies that look at the simulator's true state: bounds, and teachers.

use crate::policy::{Decision, Policy};
use crate::sizes::Sizes;

/// Join the shortest queue: fewest requests, of all balancers together.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShortestQueue;

impl Policy for ShortestQueue {
    fn name(&self) -> &'static str {
        "oracle_shortest_queue"
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let hosts = decision.truth.hosts();
        decision.choose_lowest(|host| hosts[host as usize].requests() as f64)
    }
}

/// The least marginal cost (see [`Truth::marginal_costs`](crate::oracle::Truth::marginal_costs)).
#[derive(Clone, Debug)]
pub struct MarginalCost {
    sizes: Sizes,
    ttft_weight: f64,
    costs: Vec<f64>,
}

impl MarginalCost {
    /// Knowing sizes or not; `ttft_weight` weighs the time to first token.
    pub fn new(sizes: Sizes, ttft_weight: f64) -> Self {
        Self { sizes, ttft_weight, costs: Vec::new() }
    }
}

impl Policy for MarginalCost {
    fn name(&self) -> &'static str {
        match self.sizes {
            Sizes::Expected => "oracle_no_sizes",
            Sizes::True => "oracle",
        }
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        decision.truth.marginal_costs(self.sizes, self.ttft_weight, &mut self.costs);
        decision.choose_lowest(|host| self.costs[host as usize])
    }
}
