//! Evaluations that searches make: vectors of shares of the parameters' ranges, and their worth.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How long to search.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Evaluations.
    pub evaluations: usize,
    /// Seed.
    pub seed: u64,
}

/// What a vector is worth; less is better throughout.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worth {
    /// One number for searches that minimise one.
    pub cost: f64,
    /// Replica-hours over those needed, share of the requests that missed, changes an hour.
    pub objectives: [f64; 3],
}

/// A vector of shares of the parameters' ranges, 0 to 1, and its worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// The vector.
    pub shares: Vec<f64>,
    /// Its worth.
    pub worth: Worth,
}

/// Says what a vector is worth; called from several threads.
pub type Evaluate<'a> = &'a (dyn Fn(&[f64]) -> Worth + Sync);

/// Evaluates together: in parallel, results in the vectors' order.
pub(super) fn evaluate_all(vectors: Vec<Vec<f64>>, evaluate: Evaluate<'_>) -> Vec<Tried> {
    let one = |shares: Vec<f64>| {
        let mut worth = evaluate(&shares);
        // What cannot be told is worse than anything.
        if worth.cost.is_nan() {
            worth.cost = f64::INFINITY;
        }
        Tried { shares, worth }
    };
    vectors.into_par_iter().map(one).collect()
}
