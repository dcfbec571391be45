//! GA–PSO: a genetic step explores, a particle swarm refines (the paper's autoscaler,
//! arXiv 2504.15296), over a vector of shares between 0 and 1.
//!
//! Every generation the better half of the population flies as a swarm (Kennedy and
//! Eberhart, 1995, with the constriction of Clerc and Kennedy, 2002), and the worse half is
//! bred anew from tournaments (BLX-0.5 crossover, a mutation in ten).

use evenkeel_datasets::random::{Pcg64Mcg, generator, normal, uniform};

use super::evaluation::{Budget, Evaluate, Tried, evaluate_all};

/// Particles.
const POPULATION: usize = 16;
/// Clerc and Kennedy's constriction: what is kept of a velocity, and the pull of the best.
const INERTIA: f64 = 0.7298;
const PULL: f64 = 1.4962;
/// Share of the genes that a child has mutated, and by how much.
const MUTATION_SHARE: f64 = 0.1;
const MUTATION_STEP: f64 = 0.2;

#[derive(Clone, Debug)]
struct Particle {
    at: Vec<f64>,
    velocity: Vec<f64>,
    best_at: Vec<f64>,
    best_cost: f64,
}

impl Particle {
    fn new(at: Vec<f64>) -> Self {
        let velocity = vec![0.0; at.len()];
        Self { best_at: at.clone(), at, velocity, best_cost: f64::INFINITY }
    }

    fn evaluated(&mut self, cost: f64) {
        if cost < self.best_cost {
            self.best_cost = cost;
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

pub(super) fn search(start: &[f64], budget: Budget, evaluate: Evaluate<'_>) -> Vec<Tried> {
    let mut rng = generator(budget.seed, 0x6A50);
    let mut particles: Vec<Particle> = (0..POPULATION)
        .map(|index| {
            let random = start.iter().map(|_| uniform(&mut rng)).collect();
            Particle::new(if index == 0 { start.to_vec() } else { random })
        })
        .collect();
    let mut tried = Vec::with_capacity(budget.evaluations);
    loop {
        let left = budget.evaluations.max(1).saturating_sub(tried.len()).min(POPULATION);
        let now = evaluate_all(particles[..left].iter().map(|particle| particle.at.clone()).collect(), evaluate);
        for (particle, now) in particles.iter_mut().zip(&now) {
            particle.evaluated(now.worth.cost);
        }
        tried.extend(now);
        if tried.len() >= budget.evaluations {
            return tried;
        }
        particles.sort_by(|a, b| a.best_cost.total_cmp(&b.best_cost));
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
