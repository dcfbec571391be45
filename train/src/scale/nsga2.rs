//! NSGA-II (Deb, Pratap, Agarwal and Meyarivan, 2002): simulated binary crossover,
//! polynomial mutation, survival by rank of non-domination, then by crowding.
//!
//! Written out here because the crates that have it bring tensor libraries, plotting or a C
//! library, which would lengthen every build.

use evenkeel_datasets::random::{Pcg64Mcg, below, generator, uniform};

use super::evaluation::{Budget, Evaluate, Tried, evaluate_all};
use super::pareto::{crowding, fronts};

/// Vectors in a generation.
const POPULATION: usize = 20;
/// Share of the pairs that are crossed, and how near to their parents children are: the
/// paper's.
const CROSSOVER_SHARE: f64 = 0.9;
const CROSSOVER_INDEX: f64 = 20.0;
const MUTATION_INDEX: f64 = 20.0;

pub(super) fn search(start: &[f64], budget: Budget, evaluate: Evaluate<'_>) -> Vec<Tried> {
    let mut rng = generator(budget.seed, 0x25A);
    let mut first: Vec<Vec<f64>> = vec![start.to_vec()];
    first.resize_with(POPULATION.min(budget.evaluations.max(1)), || start.iter().map(|_| uniform(&mut rng)).collect());
    let mut tried = evaluate_all(first, evaluate);
    let mut population = tried.clone();
    while tried.len() < budget.evaluations {
        let ranked = survivors(&population, POPULATION);
        let count = POPULATION.min(budget.evaluations - tried.len());
        let mut children = Vec::with_capacity(count + 1);
        while children.len() < count {
            let parents = [0, 1].map(|_| &ranked[tournament(ranked.len(), &mut rng)].shares);
            children.extend(cross(parents, &mut rng).map(|child| mutated(child, &mut rng)));
        }
        children.truncate(count);
        let children = evaluate_all(children, evaluate);
        tried.extend_from_slice(&children);
        population = ranked;
        population.extend(children);
    }
    tried
}

/// The best `count`, the best first: by front, within a front the least crowded.
fn survivors(population: &[Tried], count: usize) -> Vec<Tried> {
    let objectives: Vec<[f64; 3]> = population.iter().map(|tried| tried.worth.objectives).collect();
    let mut order = Vec::with_capacity(population.len());
    for front in fronts(&objectives) {
        let distances = crowding(&objectives, &front);
        let mut front: Vec<(usize, f64)> = front.into_iter().zip(distances).collect();
        front.sort_by(|a, b| b.1.total_cmp(&a.1));
        order.extend(front.into_iter().map(|(index, _)| index));
        if order.len() >= count {
            break;
        }
    }
    order.iter().take(count).map(|index| population[*index].clone()).collect()
}

/// The better of two at random: the best come first.
fn tournament(count: usize, rng: &mut Pcg64Mcg) -> usize {
    let draw = |rng: &mut Pcg64Mcg| below(rng, count as u64) as usize;
    draw(rng).min(draw(rng))
}

/// Simulated binary crossover (Deb and Agrawal, 1995).
fn cross([mother, father]: [&Vec<f64>; 2], rng: &mut Pcg64Mcg) -> [Vec<f64>; 2] {
    let mut children = [mother.clone(), father.clone()];
    if uniform(rng) >= CROSSOVER_SHARE {
        return children;
    }
    for (gene, (a, b)) in mother.iter().zip(father).enumerate() {
        // Each gene of a pair is crossed as often as not.
        if uniform(rng) < 0.5 {
            continue;
        }
        let draw = uniform(rng);
        let exponent = 1.0 / (CROSSOVER_INDEX + 1.0);
        let spread = if draw < 0.5 { (2.0 * draw).powf(exponent) } else { (1.0 / (2.0 * (1.0 - draw))).powf(exponent) };
        children[0][gene] = (0.5 * ((1.0 + spread) * a + (1.0 - spread) * b)).clamp(0.0, 1.0);
        children[1][gene] = (0.5 * ((1.0 - spread) * a + (1.0 + spread) * b)).clamp(0.0, 1.0);
    }
    children
}

/// Polynomial mutation, of one gene on average.
fn mutated(mut child: Vec<f64>, rng: &mut Pcg64Mcg) -> Vec<f64> {
    let share = 1.0 / child.len() as f64;
    let exponent = 1.0 / (MUTATION_INDEX + 1.0);
    for gene in &mut child {
        if uniform(rng) < share {
            let draw = uniform(rng);
            let step =
                if draw < 0.5 { (2.0 * draw).powf(exponent) - 1.0 } else { 1.0 - (2.0 * (1.0 - draw)).powf(exponent) };
            *gene = (*gene + step).clamp(0.0, 1.0);
        }
    }
    child
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::Worth;

    #[test]
    fn its_front_spreads_between_two_aims() {
        // Least in one objective at 0.2, in the other at 0.8: the front is what lies between.
        let worth = |shares: &[f64]| {
            let to = |aim: f64| shares.iter().map(|share| (share - aim) * (share - aim)).sum::<f64>();
            Worth { cost: to(0.2), objectives: [to(0.2), to(0.8), 0.0] }
        };
        let tried = search(&[0.0, 1.0], Budget { evaluations: 600, seed: 1 }, &worth);
        let last = &tried[tried.len() - POPULATION..];
        let near = |aim: f64| last.iter().any(|tried| tried.shares.iter().all(|share| (share - aim).abs() < 0.1));
        assert!(near(0.2) && near(0.5) && near(0.8));
        let off = last.iter().filter(|tried| (tried.shares[0] - tried.shares[1]).abs() > 0.1).count();
        assert!(off <= POPULATION / 4, "{off} of {POPULATION} are off the front");
    }
}
