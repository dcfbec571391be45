//! Balancing as an environment: one step is one routing decision of one balancer.
//!
//! The observation is the runtime's feature matrix, one row a host: exactly what a policy
//! sees inside a proxy. The reward is minus the cost that the fleet ran up until the next
//! decision: the time that all requests present spent, plus `ttft_weight` times the time
//! that those without a first token spent, in typical latencies. Summed over an episode it
//! is minus the sum of all latencies and weighted times to first token.

use evenkeel_runtime::{Eligible, HOST_FEATURES, features, stride};

use crate::gym::{BoxSpace, Discrete, Environment, Matrix, Step};
use crate::policy::{Decision, Policy};
use crate::scenario::Scenario;
use crate::simulation::{Accrued, Simulation};
use crate::workload::Workload;

/// Bound of every feature: they are shares, clipped ratios and clipped logarithms, the
/// widest of which (of the analytic estimate) ends at ±20.
const FEATURE_MAX: f32 = 20.0;

/// Parameters of the environment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BalanceOptions {
    /// Weight of the time without a first token in the reward.
    pub ttft_weight: f64,
    /// Decisions after which an episode is truncated.
    pub decisions_max: usize,
}

impl Default for BalanceOptions {
    fn default() -> Self {
        Self { ttft_weight: crate::policies::TTFT_WEIGHT, decisions_max: usize::MAX }
    }
}

/// What is told beside an observation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BalanceInfo {
    /// Time since the start of the episode, in seconds.
    pub now_s: f64,
    /// The balancer that decides.
    pub balancer: usize,
    /// Of each host: whether the balancer may choose it. Another can be chosen all the same,
    /// and will most likely fail.
    pub action_mask: Vec<bool>,
}

/// The environment. All balancers share the agent, as they share the policy.
#[derive(Debug)]
pub struct BalanceEnv {
    scenario: Scenario,
    workload: Workload,
    options: BalanceOptions,
    simulation: Option<Simulation>,
    accrued: Accrued,
    decisions: usize,
    columns: Vec<f32>,
}

/// Keeps no books: the agent's memory is its own affair.
struct Agent;

impl Policy for Agent {
    fn name(&self) -> &'static str {
        "agent"
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        decision.eligible[0] as usize
    }
}

impl BalanceEnv {
    /// An environment in which every episode replays this scenario, with another seed.
    pub fn new(scenario: Scenario, workload: Workload, options: BalanceOptions) -> Self {
        let accrued = Accrued::default();
        Self { scenario, workload, options, simulation: None, accrued, decisions: 0, columns: Vec::new() }
    }

    /// The same environment before its first episode.
    #[must_use]
    pub fn without_episode(&self) -> Self {
        Self::new(self.scenario.clone(), self.workload.clone(), self.options)
    }

    /// The simulation of the present episode, for critics that look at the truth.
    pub fn simulation(&mut self) -> Option<&mut Simulation> {
        self.simulation.as_mut()
    }

    /// What every episode replays.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// What the agent sees, and what is told beside; after the last decision, zeros.
    fn observe(&mut self, is_pending: bool) -> (Matrix, BalanceInfo) {
        let hosts = self.scenario.fleet.hosts();
        let mut observation = Matrix { rows: hosts, columns: HOST_FEATURES, values: vec![0.0; hosts * HOST_FEATURES] };
        let simulation = self.simulation.as_mut().expect("an episode has begun");
        let now_s = simulation.now_s();
        if !is_pending {
            return (observation, BalanceInfo { now_s, balancer: 0, action_mask: vec![false; hosts] });
        }
        let columns = &mut self.columns;
        columns.resize(HOST_FEATURES * stride(hosts), 0.0);
        let info = simulation.with_decision(|decision| {
            let (state, now_us) = (&decision.state, decision.now_us);
            features::write(decision.service, state, decision.request, Eligible::All, hosts, now_us, columns);
            let mut action_mask = vec![false; hosts];
            for &host in decision.eligible {
                action_mask[host as usize] = true;
            }
            BalanceInfo { now_s, balancer: decision.balancer, action_mask }
        });
        // The runtime computes feature by feature, agents think host by host.
        for (host, row) in observation.values.chunks_exact_mut(HOST_FEATURES).enumerate() {
            for (value, column) in row.iter_mut().zip(columns.chunks_exact(stride(hosts))) {
                *value = column[host];
            }
        }
        (observation, info)
    }
}

impl Environment for BalanceEnv {
    type Observation = Matrix;
    type Action = usize;
    type Info = BalanceInfo;
    type ObservationSpace = BoxSpace;
    type ActionSpace = Discrete;

    fn reset(&mut self, seed: u64) -> (Matrix, BalanceInfo) {
        let mut simulation = Simulation::new(&self.scenario, &self.workload, seed);
        let is_pending = simulation.next_decision(&mut Agent);
        self.accrued = simulation.accrued();
        self.simulation = Some(simulation);
        self.decisions = 0;
        self.observe(is_pending)
    }

    fn step(&mut self, action: usize) -> Step<Matrix, BalanceInfo> {
        assert!(self.decisions < self.options.decisions_max, "the episode was truncated: reset it");
        let simulation = self.simulation.as_mut().expect("reset begins an episode");
        simulation.place(action, &mut Agent);
        let is_pending = simulation.next_decision(&mut Agent);
        let accrued = simulation.accrued();
        let cost_s = accrued.latency_s - self.accrued.latency_s
            + self.options.ttft_weight * (accrued.ttft_s - self.accrued.ttft_s);
        let reward = -cost_s / f64::from(simulation.setting().service.latency_typical_s);
        self.accrued = accrued;
        self.decisions += 1;
        let (observation, info) = self.observe(is_pending);
        let truncated = is_pending && self.decisions == self.options.decisions_max;
        Step { observation, reward, terminated: !is_pending, truncated, info }
    }

    fn observation_space(&self) -> BoxSpace {
        BoxSpace { low: -FEATURE_MAX, high: FEATURE_MAX, shape: [self.scenario.fleet.hosts(), HOST_FEATURES] }
    }

    fn action_space(&self) -> Discrete {
        Discrete { n: self.scenario.fleet.hosts() }
    }
}
