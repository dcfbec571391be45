//! GA–PSO: a genetic step explores, a particle swarm refines (the paper's autoscaler,
//! arXiv 2504.15296), over a vector of shares between 0 and 1.
//!
//! Every generation the better half of the population flies as a swarm (Kennedy and
//! Eberhart, 1995, with the constriction of Clerc and Kennedy, 2002), and the worse half is
//! bred anew from tournaments (BLX-0.5 crossover, a mutation in ten).

use evenkeel_datasets::random::{Pcg64Mcg, generator, normal, uniform};
use rayon::prelude::*;

/// Particles.
const POPULATION: usize = 16;
/// Clerc and Kennedy's constriction: what is kept of a velocity, and the pull of the best.
const INERTIA: f64 = 0.7298;
const PULL: f64 = 1.4962;
/// Share of the genes that a child has mutated, and by how much.
const MUTATION_SHARE: f64 = 0.1;
const MUTATION_STEP: f64 = 0.2;

/// How long to search.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Evaluations of the cost.
    pub evaluations: usize,
    /// Seed.
    pub seed: u64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The best vector.
    pub shares: Vec<f64>,
    /// Its cost.
    pub cost: f64,
    /// Evaluations that it took.
    pub evaluations: usize,
}

#[derive(Clone, Debug)]
struct Particle {
    at: Vec<f64>,
    velocity: Vec<f64>,
    cost: f64,
    best_at: Vec<f64>,
    best_cost: f64,
}

impl Particle {
    fn new(at: Vec<f64>) -> Self {
        let velocity = vec![0.0; at.len()];
        Self { best_at: at.clone(), at, velocity, cost: f64::INFINITY, best_cost: f64::INFINITY }
    }

    fn evaluated(&mut self, cost: f64) {
        // What cannot be told is worse than anything.
        self.cost = if cost.is_nan() { f64::INFINITY } else { cost };
        if self.cost < self.best_cost {
            self.best_cost = self.cost;
            self.best_at.clone_from(&self.at);
        }
    }

    fn fly(&mut self, best_at: &[f64], rng: &mut Pcg64Mcg) {
        for (gene, place) in self.at.iter_mut().enumerate() {
            let own = PULL * uniform(rng) * (self.best_at[gene] - *place);
            let all = PULL * uniform(rng) * (best_at[gene] - *place);
            self.velocity[gene] = INERTIA * self.velocity[gene] + own + all;
            *place = (*place + self.velocity[gene]).clamp(0.0, 1.0);
        }
    }
}

/// Minimises `cost` over vectors of `start.len()` shares, `start` among the first tried.
/// Evaluations run in parallel; equal seeds give equal results on any number of threads.
pub fn genetic_swarm(start: &[f64], budget: Budget, cost: impl Fn(&[f64]) -> f64 + Sync) -> Found {
    let mut rng = generator(budget.seed, 0x6A50);
    let mut particles: Vec<Particle> = (0..POPULATION)
        .map(|index| {
            let random = start.iter().map(|_| uniform(&mut rng)).collect();
            Particle::new(if index == 0 { start.to_vec() } else { random })
        })
        .collect();
    let mut evaluations = 0;
    loop {
        let left = budget.evaluations.saturating_sub(evaluations).min(POPULATION);
        let costs: Vec<f64> = particles[..left].par_iter().map(|particle| cost(&particle.at)).collect();
        for (particle, cost) in particles.iter_mut().zip(costs) {
            particle.evaluated(cost);
        }
        evaluations += left;
        particles.sort_by(|a, b| a.best_cost.total_cmp(&b.best_cost));
        if evaluations >= budget.evaluations {
            let best = &particles[0];
            return Found { shares: best.best_at.clone(), cost: best.best_cost, evaluations };
        }
        let best_at = particles[0].best_at.clone();
        let (swarm, brood) = particles.split_at_mut(POPULATION / 2);
        for particle in &mut *swarm {
            particle.fly(&best_at, &mut rng);
        }
        for child in brood {
            let [mother, father] = [0, 1].map(|_| &swarm[tournament(swarm.len(), &mut rng)].best_at);
            *child = Particle::new(cross(mother, father, &mut rng));
        }
    }
}

/// As many random vectors, `start` the first: what any search has to beat.
pub fn random_search(start: &[f64], budget: Budget, cost: impl Fn(&[f64]) -> f64 + Sync) -> Found {
    let mut rng = generator(budget.seed, 0x4A4D);
    let mut tried: Vec<Vec<f64>> = vec![start.to_vec()];
    tried.resize_with(budget.evaluations.max(1), || start.iter().map(|_| uniform(&mut rng)).collect());
    let costs: Vec<f64> = tried.par_iter().map(|shares| cost(shares)).collect();
    let best = (0..tried.len()).min_by(|a, b| costs[*a].total_cmp(&costs[*b])).expect("at least one is tried");
    Found { shares: tried[best].clone(), cost: costs[best], evaluations: tried.len() }
}

/// The better of two at random: particles are sorted, the best first.
fn tournament(count: usize, rng: &mut Pcg64Mcg) -> usize {
    let draw = |rng: &mut Pcg64Mcg| ((uniform(rng) * count as f64) as usize).min(count - 1);
    draw(rng).min(draw(rng))
}

fn cross(mother: &[f64], father: &[f64], rng: &mut Pcg64Mcg) -> Vec<f64> {
    let gene = |(a, b): (&f64, &f64)| {
        let (low, high) = (a.min(*b), a.max(*b));
        let reach = 0.5 * (high - low);
        let mut value = low - reach + uniform(rng) * (high - low + 2.0 * reach);
        if uniform(rng) < MUTATION_SHARE {
            value += normal(rng, 0.0, MUTATION_STEP);
        }
        value.clamp(0.0, 1.0)
    };
    mother.iter().zip(father).map(gene).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rastrigin's function, many valleys, the deepest at 0.3 in every direction.
    fn valleys(shares: &[f64]) -> f64 {
        let valley = |share: &f64| {
            let x = 8.0 * (share - 0.3);
            x * x - 5.0 * (std::f64::consts::TAU * x).cos() + 5.0
        };
        shares.iter().map(valley).sum()
    }

    #[test]
    fn it_beats_random_search_at_equal_evaluations() {
        let wins = (0..10)
            .filter(|seed| {
                let budget = Budget { evaluations: 600, seed: *seed };
                let start = [0.9; 5];
                genetic_swarm(&start, budget, valleys).cost < random_search(&start, budget, valleys).cost
            })
            .count();
        assert!(wins >= 9, "{wins} of 10");
    }

    #[test]
    fn equal_seeds_find_the_same_and_the_budget_is_kept() {
        let budget = Budget { evaluations: 101, seed: 7 };
        let once = genetic_swarm(&[0.5; 3], budget, valleys);
        assert_eq!(once, genetic_swarm(&[0.5; 3], budget, valleys));
        assert_eq!(once.evaluations, 101);
        assert!(once.cost <= valleys(&[0.5; 3]));
    }
}
