//! Policies that look at the simulator's true state: bounds, and teachers.

use evenkeel_runtime::ServiceKind;

use super::Parameter;
use crate::policy::{Decision, Policy, Setting};
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

/// The least marginal cost, others arriving as usual for a while (see
/// [`Truth::marginal_costs_under_load`]), or not at all (see [`Truth::marginal_costs`]).
///
/// This is a strong policy that knows the true state, **not a proven lower bound**: it
/// decides greedily, one request at a time, and weighs latency against the time to first
/// token, so a policy that cares for one of the two alone may come below it there.
///
/// Its defaults were chosen on a code assistant's trace, conversations with cached prefixes,
/// and lognormal sizes, 16 hosts of three speeds (8 for the last), loads of 50 to 95 %. With
/// expected sizes, nothing else arriving and a weight of 4 the analytic estimate came below
/// it in mean latency at 90 % of lognormal sizes (8.3 s against 8.5 s). Each of three things
/// mends part of that: guessed sizes, since in a full host of expected sizes nobody leaves
/// early; later arrivals, without which every busy host looks as though it would empty; and a
/// weight of 2, since a greedy choice overrates the one request that it is about. With all
/// three the mean there is 7.7 s (7.4 s knowing the sizes), and 2 to 15 % lower elsewhere. At
/// FIFO services later arrivals bring up to 13 %.
///
/// [`Truth::marginal_costs`]: crate::oracle::Truth::marginal_costs
/// [`Truth::marginal_costs_under_load`]: crate::oracle::Truth::marginal_costs_under_load
#[derive(Clone, Debug)]
pub struct MarginalCost {
    sizes: Sizes,
    ttft_weight: f64,
    horizon: f64,
    horizon_s: f64,
    /// Guesses of the sizes, 0 for expected or true ones.
    guesses: u32,
    costs: Vec<f64>,
    sums: Vec<f64>,
}

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "ttft_weight", default: 2.0, min: 0.0, max: 16.0 },
    Parameter { name: "horizon", default: 1.0, min: 0.0, max: 8.0 },
];

/// Those of the oracle that does not know sizes.
pub(super) const NO_SIZES_PARAMETERS: &[Parameter] =
    &[PARAMETERS[0], PARAMETERS[1], Parameter { name: "guesses", default: 2.0, min: 0.0, max: 16.0 }];

/// Typical latencies that a horizon of 1 lasts: a queue passes a delay on for longer than a
/// batch does.
fn horizon_latencies(kind: ServiceKind) -> f64 {
    match kind {
        ServiceKind::Llm => 1.0,
        ServiceKind::Fifo => 16.0,
    }
}

impl MarginalCost {
    /// Knowing sizes or not; `ttft_weight` weighs the time to first token. Nothing else is
    /// taken to arrive.
    pub fn new(sizes: Sizes, ttft_weight: f64) -> Self {
        Self { sizes, ttft_weight, horizon: 0.0, horizon_s: 0.0, guesses: 0, costs: Vec::new(), sums: Vec::new() }
    }

    /// Others keep arriving for `horizon` typical latencies, 16 times as long at a FIFO
    /// service; not at all for 0.
    #[must_use]
    pub fn under_load(self, horizon: f64) -> Self {
        Self { horizon, ..self }
    }

    /// Takes the mean cost over so many guesses of the sizes (see [`Sizes::Guessed`]) in place
    /// of the cost of expected ones; not for 0.
    #[must_use]
    pub fn guessing(self, guesses: u32) -> Self {
        Self { guesses, ..self }
    }

    fn costs(&mut self, sizes: Sizes, decision: &Decision<'_>) {
        let (truth, ttft_weight) = (decision.truth, self.ttft_weight);
        if self.horizon_s > 0.0 {
            truth.marginal_costs_under_load(sizes, ttft_weight, self.horizon_s, &mut self.costs);
        } else {
            truth.marginal_costs(sizes, ttft_weight, &mut self.costs);
        }
    }
}

impl Policy for MarginalCost {
    fn name(&self) -> &'static str {
        match self.sizes {
            Sizes::Expected | Sizes::Guessed { .. } => "oracle_no_sizes",
            Sizes::True => "oracle",
        }
    }

    fn reset(&mut self, setting: &Setting) {
        let service = &setting.service;
        self.horizon_s = self.horizon * horizon_latencies(service.kind) * f64::from(service.latency_typical_s);
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        self.sums.clear();
        self.sums.resize(decision.truth.hosts().len(), 0.0);
        for draw in 0..self.guesses.max(1) {
            let sizes = if self.guesses == 0 { self.sizes } else { Sizes::Guessed { draw, draws: self.guesses } };
            self.costs(sizes, decision);
            self.sums.iter_mut().zip(&self.costs).for_each(|(sum, cost)| *sum += cost);
        }
        decision.choose_lowest(|host| self.sums[host as usize])
    }
}
