//! What a scaler is tuned for.

use evenkeel_env::policies::Parameter;
use evenkeel_env::scale::{Bill, ReplicaOptions, scalers};

use super::{Part, Worth};

/// Replica-hours are to be few, while no more requests miss than may.
#[derive(Clone, Copy, Debug)]
pub struct Objective {
    /// Share of the requests that may miss the service's objective.
    pub missed_share_max: f64,
    /// What a change of size an hour costs, in shares of the capacity needed.
    pub change_cost: f64,
}

impl Objective {
    /// The cost of a run; the least is the best. Beyond what may miss, each further multiple
    /// of it costs as much as ten times the capacity.
    fn cost(&self, [hours_over_needed, missed_share, changes_per_hour]: [f64; 3]) -> f64 {
        let beyond = (missed_share / self.missed_share_max - 1.0).max(0.0);
        hours_over_needed + self.change_cost * changes_per_hour + 10.0 * beyond
    }

    /// The cost of what a run under another objective was worth.
    pub fn cost_of(&self, worth: &Worth) -> f64 {
        self.cost(worth.objectives)
    }
}

/// A scaler's parameters tried on a part.
#[derive(Clone, Debug)]
pub struct Trial<'a> {
    /// The scaler.
    pub entry: &'a scalers::Entry,
    /// Its demand.
    pub part: &'a Part,
    /// Its replicas.
    pub options: ReplicaOptions,
    /// What it is for.
    pub objective: Objective,
    /// Seed of the replicas' starts.
    pub seed: u64,
}

impl Trial<'_> {
    /// Runs the scaler with parameters given as shares of their ranges.
    pub fn run(&self, shares: &[f64]) -> Bill {
        self.part.run(&self.options, self.entry.build(&self.parameters(shares)).as_mut(), self.seed)
    }

    /// What the same is worth.
    pub fn worth(&self, shares: &[f64]) -> Worth {
        let bill = self.run(shares);
        let objectives = [bill.replica_hours_over_needed(), bill.missed_share(), bill.changes_per_hour()];
        Worth { cost: self.objective.cost(objectives), objectives }
    }

    /// Parameters from shares of their ranges.
    pub fn parameters(&self, shares: &[f64]) -> Vec<f64> {
        let value = |(parameter, share): (&Parameter, &f64)| parameter.min + share * (parameter.max - parameter.min);
        self.entry.parameters.iter().zip(shares).map(value).collect()
    }

    /// The published parameters as shares of their ranges.
    pub fn default_shares(&self) -> Vec<f64> {
        self.entry.parameters.iter().map(|p| (p.default - p.min) / (p.max - p.min)).collect()
    }
}
