//! Scaling as an environment: one step is one tick, the action is the number of replicas.

use super::{Demand, ReplicaOptions, Replicas, TICK_S};
use crate::gym::{BoxSpace, Discrete, Environment, Matrix, Step};

/// What an observation has: the logarithms of demand, a day ago and in capacity, and of replicas.
const COLUMNS: usize = 5;
const DAY_S: f64 = 86_400.0;

/// What is told beside an observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleInfo {
    /// Time since the start of the episode, in seconds.
    pub now_s: f64,
    /// Replicas that serve.
    pub ready: u32,
    /// Replicas that start.
    pub starting: u32,
    /// Share of the last tick's requests that missed the objective.
    pub missed_share: f64,
}

/// The environment. The reward of a tick is minus the replicas paid for and `miss_cost`
/// times the requests that missed, both in units of what the mean demand needs.
#[derive(Clone, Debug)]
pub struct ScaleEnv {
    demand: Demand,
    options: ReplicaOptions,
    miss_cost: f64,
    fleet: Option<Replicas>,
    tick: usize,
}

impl ScaleEnv {
    /// An environment in which every episode has this demand, with another seed.
    pub fn new(demand: Demand, options: ReplicaOptions, miss_cost: f64) -> Self {
        Self { demand, options, miss_cost, fleet: None, tick: 0 }
    }

    fn observe(&self) -> Matrix {
        let fleet = self.fleet.as_ref().expect("reset begins an episode");
        let now_s = self.tick as f64 * TICK_S;
        let replicas = |per_s: f64| libm::log1p(per_s / self.options.replica_per_s) as f32;
        let a_day_ago_s = now_s - DAY_S;
        let a_day_ago = if self.demand.knows(a_day_ago_s) {
            self.demand.most_per_s(a_day_ago_s, a_day_ago_s + fleet.measured_cold_start_s())
        } else {
            self.demand.at_per_s(now_s)
        };
        let values = vec![
            replicas(self.demand.last_minute_per_s(now_s)),
            replicas(self.demand.last_minute_per_s(now_s - 300.0)),
            replicas(a_day_ago),
            libm::log1p(f64::from(fleet.ready())) as f32,
            libm::log1p(f64::from(fleet.starting())) as f32,
        ];
        Matrix { rows: 1, columns: COLUMNS, values }
    }

    fn info(&self, missed_share: f64) -> ScaleInfo {
        let fleet = self.fleet.as_ref().expect("reset begins an episode");
        let now_s = self.tick as f64 * TICK_S;
        ScaleInfo { now_s, ready: fleet.ready(), starting: fleet.starting(), missed_share }
    }
}

impl Environment for ScaleEnv {
    type Observation = Matrix;
    type Action = usize;
    type Info = ScaleInfo;
    type ObservationSpace = BoxSpace;
    type ActionSpace = Discrete;

    fn reset(&mut self, seed: u64) -> (Matrix, ScaleInfo) {
        self.tick = 0;
        self.fleet = Some(Replicas::new(&self.options, self.demand.at_per_s(0.0), seed));
        (self.observe(), self.info(0.0))
    }

    fn step(&mut self, action: usize) -> Step<Matrix, ScaleInfo> {
        assert!(self.tick < self.demand.ticks(), "the episode is over: reset it");
        assert!(self.action_space().n > action, "{action} replicas are more than there may be");
        let arriving_per_s = self.demand.at_per_s(self.tick as f64 * TICK_S);
        let wanted = (action as u32).max(self.options.replicas_min);
        let came = self.fleet.as_mut().expect("reset begins an episode").step(wanted, arriving_per_s);
        self.tick += 1;
        let needed = (self.demand.mean_per_s() / self.options.replica_per_s).max(1e-9);
        let missed = arriving_per_s * came.missed_share / self.options.replica_per_s;
        Step {
            observation: self.observe(),
            reward: -(f64::from(came.paid) + self.miss_cost * missed) / needed,
            terminated: self.tick == self.demand.ticks(),
            truncated: false,
            info: self.info(came.missed_share),
        }
    }

    fn observation_space(&self) -> BoxSpace {
        BoxSpace { low: 0.0, high: 40.0, shape: [1, COLUMNS] }
    }

    fn action_space(&self) -> Discrete {
        Discrete { n: self.options.replicas_max as usize + 1 }
    }
}
