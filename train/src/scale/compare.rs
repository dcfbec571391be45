//! Searches side by side, at equal evaluations, over several seeds.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use evenkeel_env::metrics::{self, difference};
use serde_json::{Value, json};

use super::evaluation::{Budget, Tried, Worth};
use super::pareto::{front, hypervolume};
use super::search::{Found, Search};
use super::{Memory, Trial};

/// The rectangle in which fronts are compared: from the demand itself and no misses to
/// twice the demand and five times the misses that are allowed.
const CAPACITY: [f64; 2] = [1.0, 2.0];
const MISSES_MOST: f64 = 5.0;

/// What one search found, seed by seed.
#[derive(Clone, Debug)]
pub struct Contender {
    /// The search.
    pub search: Search,
    /// What it found with each seed.
    pub found: Vec<Found>,
    /// Least cost, of each seed.
    pub costs: Vec<f64>,
    /// Share of the rectangle that its front dominates, of each seed.
    pub hypervolumes: Vec<f64>,
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// In the order of [`Search::ALL`], or fewer.
    pub contenders: Vec<Contender>,
}

/// Lets each search tune a scaler with as many runs, from the same start, once for each
/// seed from `budget.seed` on. `progress` is told the number of evaluations so far.
pub fn compare(
    trial: &Trial<'_>,
    searches: &[Search],
    budget: Budget,
    seeds: u64,
    memory: &Memory,
    progress: &(dyn Fn(usize) + Sync),
) -> Comparison {
    let start = trial.default_shares();
    let made = AtomicUsize::new(0);
    let evaluate = |shares: &[f64]| -> Worth {
        let worth = memory.recall(shares, || trial.worth(shares));
        progress(made.fetch_add(1, Relaxed) + 1);
        worth
    };
    let contender = |search: &Search| {
        let run = |seed: u64| search.run(&start, Budget { seed: budget.seed + seed, ..budget }, &evaluate);
        Contender::new(*search, (0..seeds.max(1)).map(run).collect(), trial.objective.missed_share_max)
    };
    Comparison { contenders: searches.iter().map(contender).collect() }
}

impl Contender {
    fn new(search: Search, found: Vec<Found>, missed_share_max: f64) -> Self {
        let covered = |found: &Found| {
            let points: Vec<[f64; 2]> = found.tried.iter().map(|tried| plane(&tried.worth)).collect();
            hypervolume(&points, [CAPACITY[0], 0.0], [CAPACITY[1], MISSES_MOST * missed_share_max])
        };
        Self {
            search,
            costs: found.iter().map(|found| found.best().worth.cost).collect(),
            hypervolumes: found.iter().map(covered).collect(),
            found,
        }
    }
}

/// The two objectives that fronts are drawn in: replica-hours over those needed, share missed.
fn plane(worth: &Worth) -> [f64; 2] {
    [worth.objectives[0], worth.objectives[1]]
}

impl Comparison {
    /// The vector of least cost that any search found.
    ///
    /// # Panics
    /// If there was none.
    pub fn best(&self) -> &Tried {
        let all = self.contenders.iter().flat_map(|contender| &contender.found).map(Found::best);
        all.min_by(|a, b| a.worth.cost.total_cmp(&b.worth.cost)).expect("a comparison has a search")
    }

    /// What none of the vectors tried beats, by replica-hours.
    pub fn front(&self) -> Vec<&Tried> {
        let found = self.contenders.iter().flat_map(|contender| &contender.found);
        let tried: Vec<&Tried> = found.flat_map(|found| &found.tried).collect();
        let points: Vec<[f64; 2]> = tried.iter().map(|tried| plane(&tried.worth)).collect();
        front(&points).into_iter().map(|index| tried[index]).collect()
    }

    /// Which search won, in a sentence: by the mean over seeds of `values`, and whether the
    /// runner-up is behind beyond the 95 % interval of the paired difference.
    fn verdict(&self, measure: &str, values: fn(&Contender) -> &[f64], less_is_better: bool) -> String {
        let sign = if less_is_better { 1.0 } else { -1.0 };
        let mean = |contender: &Contender| sign * metrics::estimate(values(contender)).value;
        let mut order: Vec<&Contender> = self.contenders.iter().collect();
        order.sort_by(|a, b| mean(a).total_cmp(&mean(b)));
        let [first, second, ..] = order[..] else { return String::new() };
        let (winner, loser) = (first.search.display_name(), second.search.display_name());
        let ahead = difference(values(first), values(second));
        // Equal seeds that find the same have no difference to speak of.
        let is_clear = values(first).len() > 1 && ahead.low * ahead.high > 0.0;
        if is_clear {
            let text = format!("{winner} won by {measure}; {loser} came second");
            format!("{text}, {:+.4} apart (95 %: {:+.4} to {:+.4}).", ahead.value, ahead.low, ahead.high)
        } else {
            format!("No search won by {measure}: {winner} and {loser} cannot be told apart.")
        }
    }

    /// Which search won by the cost, and which by the front that it covers.
    pub fn verdicts(&self) -> [String; 2] {
        [
            self.verdict("least cost", |contender| &contender.costs, true),
            self.verdict("front covered", |contender| &contender.hypervolumes, false),
        ]
    }

    /// An entry for each search.
    pub fn entries(&self) -> Vec<Value> {
        let figure = |values: &[f64]| {
            let estimate = metrics::estimate(values);
            json!({"value": estimate.value, "ci95": [estimate.low, estimate.high], "seeds": values})
        };
        let entry = |contender: &Contender| {
            json!({
                "search": contender.search.name(),
                "metrics": {"cost": figure(&contender.costs), "front_covered": figure(&contender.hypervolumes)},
            })
        };
        self.contenders.iter().map(entry).collect()
    }
}
