//! Searches that tune a scaler, all alike from outside: a vector of shares to start from,
//! a number of evaluations, a seed.

use evenkeel_datasets::random::{generator, uniform};

use super::evaluation::{Budget, Evaluate, Tried, evaluate_all};
use super::{cma_es, genetic_swarm, nsga2};

/// A way to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// A genetic algorithm and a particle swarm in turn.
    GeneticSwarm,
    /// Uniformly random vectors: what any search has to beat.
    Random,
    /// Covariance matrix adaptation (Hansen and Ostermeier, 2001).
    CmaEs,
    /// The non-dominated sorting genetic algorithm (Deb et al., 2002), on the objectives.
    Nsga2,
}

impl Search {
    /// All of them, the project's own first.
    pub const ALL: [Self; 4] = [Self::GeneticSwarm, Self::Random, Self::CmaEs, Self::Nsga2];

    /// Name in results: lower case with underscores.
    pub fn name(self) -> &'static str {
        match self {
            Self::GeneticSwarm => "ga_pso",
            Self::Random => "random",
            Self::CmaEs => "cma_es",
            Self::Nsga2 => "nsga2",
        }
    }

    /// Name as people write it.
    pub fn display_name(self) -> &'static str {
        match self {
            Self::GeneticSwarm => "GA-PSO",
            Self::Random => "random search",
            Self::CmaEs => "CMA-ES",
            Self::Nsga2 => "NSGA-II",
        }
    }

    /// Searches, `start` being the first vector tried. Exactly the budget's evaluations are
    /// made, in parallel; equal seeds try equal vectors on any number of threads.
    pub fn run(self, start: &[f64], budget: Budget, evaluate: Evaluate<'_>) -> Found {
        let tried = match self {
            Self::GeneticSwarm => genetic_swarm::search(start, budget, evaluate),
            Self::Random => random(start, budget, evaluate),
            Self::CmaEs => cma_es::search(start, budget, evaluate),
            Self::Nsga2 => nsga2::search(start, budget, evaluate),
        };
        Found { tried }
    }
}

/// Every vector that a search tried, in its order.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// At least one.
    pub tried: Vec<Tried>,
}

impl Found {
    /// The one of least cost.
    ///
    /// # Panics
    /// If nothing was tried.
    pub fn best(&self) -> &Tried {
        let least = self.tried.iter().min_by(|a, b| a.worth.cost.total_cmp(&b.worth.cost));
        least.expect("a search tries at least its start")
    }
}

fn random(start: &[f64], budget: Budget, evaluate: Evaluate<'_>) -> Vec<Tried> {
    let mut rng = generator(budget.seed, 0x4A4D);
    let mut vectors: Vec<Vec<f64>> = vec![start.to_vec()];
    vectors.resize_with(budget.evaluations.max(1), || start.iter().map(|_| uniform(&mut rng)).collect());
    evaluate_all(vectors, evaluate)
}

#[cfg(test)]
mod tests {
    use super::super::evaluation::Worth;
    use super::*;

    /// Rastrigin's function, many valleys, the deepest at 0.3 in every direction; the
    /// objectives pull to 0.3 and to 0.6.
    fn valleys(shares: &[f64]) -> Worth {
        let valley = |share: &f64| {
            let x = 8.0 * (share - 0.3);
            x * x - 5.0 * (std::f64::consts::TAU * x).cos() + 5.0
        };
        let distance = |to: f64| shares.iter().map(|share| (share - to) * (share - to)).sum::<f64>();
        Worth { cost: shares.iter().map(valley).sum(), objectives: [distance(0.3), distance(0.6), 0.0] }
    }

    /// A bowl that is long in one direction.
    fn bowl(shares: &[f64]) -> Worth {
        let cost = shares.iter().enumerate().map(|(i, x)| (1.0 + 20.0 * i as f64) * (x - 0.4) * (x - 0.4)).sum();
        Worth { cost, objectives: [cost, 0.0, 0.0] }
    }

    fn wins(search: Search, worth: fn(&[f64]) -> Worth) -> usize {
        (0..10)
            .filter(|seed| {
                let budget = Budget { evaluations: 400, seed: *seed };
                let best = |search: Search| search.run(&[0.9; 5], budget, &worth).best().worth.cost;
                best(search) < best(Search::Random)
            })
            .count()
    }

    #[test]
    fn genetic_swarm_beats_random_search_where_there_are_many_valleys() {
        assert!(wins(Search::GeneticSwarm, valleys) >= 9);
    }

    #[test]
    fn every_search_beats_random_search_in_a_bowl() {
        for search in [Search::GeneticSwarm, Search::CmaEs, Search::Nsga2] {
            assert!(wins(search, bowl) >= 9, "{}", search.name());
        }
    }

    #[test]
    fn budgets_are_kept_to_the_evaluation_and_equal_seeds_try_the_same() {
        for search in Search::ALL {
            for evaluations in [1, 7, 101] {
                let budget = Budget { evaluations, seed: 7 };
                let once = search.run(&[0.5; 3], budget, &valleys);
                assert_eq!(once.tried.len(), evaluations, "{}", search.name());
                assert_eq!(once.tried[0].shares, [0.5; 3], "{} begins at the start", search.name());
                assert!(once.tried.iter().all(|tried| tried.shares.iter().all(|x| (0.0..=1.0).contains(x))));
                assert_eq!(once, search.run(&[0.5; 3], budget, &valleys), "{}", search.name());
            }
        }
    }
}
