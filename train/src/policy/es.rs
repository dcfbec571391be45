//! Evolution strategies (Salimans et al., 2017): the comparison that PPO must beat.
//!
//! In each generation antithetic pairs of perturbed policies balance the same random
//! fleets with the same seeds (common random numbers). Their objectives are replaced by
//! centred ranks, so that one outlier weighs no more than its rank, and Adam follows the
//! gradient which the ranks estimate. Nothing is differentiated: percentiles are what they
//! are, and no dice are needed.

use anyhow::Result;
use evenkeel_datasets::random::{generator, normal};
use evenkeel_env::metrics::{Metrics, MetricsOptions};
use evenkeel_env::policies::{Ext, Learned};
use evenkeel_env::{Policy, Scenario, Workload, simulate};
use evenkeel_numbers::random::mix;
use evenkeel_runtime::Model;
use rayon::prelude::*;

use super::network::PolicyWeights;
use super::objective::RewardWeights;
use super::task::Task;
use crate::metrics::FineTunePoint;
use crate::stop::StopFlag;

/// Hyperparameters.
#[derive(Clone, Copy, Debug)]
pub struct EsOptions {
    /// Generations.
    pub generations: usize,
    /// Antithetic pairs of a generation.
    pub pairs: usize,
    /// Standard deviation of the perturbations.
    pub sigma: f32,
    /// Adam's step size at the start; it falls to a tenth in a straight line.
    pub learning_rate: f32,
    /// Random settings of a generation.
    pub scenarios: usize,
    /// Requests replayed in each.
    pub requests: usize,
}

/// Fine-tunes `start`. After each generation `on_generation` is given its log and the
/// weights so far.
pub fn fine_tune(
    task: &Task<'_>,
    start: &PolicyWeights,
    options: &EsOptions,
    weights: &RewardWeights,
    seed: u64,
    stop: &StopFlag,
    on_generation: &mut dyn FnMut(FineTunePoint, &PolicyWeights) -> Result<()>,
) -> Result<()> {
    let mut numbers = start.to_numbers();
    let mut adam = Adam::new(numbers.len());
    let trained = start.trained(task.means.context);
    for generation in 0..options.generations {
        let mut rng = generator(seed, generation as u64);
        let mut along = |trained: &bool| if *trained { normal(&mut rng, 0.0, 1.0) as f32 } else { 0.0 };
        let mut direction = || -> Vec<f32> { trained.iter().map(&mut along).collect() };
        let directions: Vec<Vec<f32>> = (0..options.pairs).map(|_| direction()).collect();
        let candidates: Vec<PolicyWeights> = directions
            .iter()
            .flat_map(|direction| [options.sigma, -options.sigma].map(|sigma| (direction, sigma)))
            .map(|(direction, sigma)| {
                let moved = numbers.iter().zip(direction).map(|(number, along)| number + sigma * along);
                start.with_numbers(&moved.collect::<Vec<f32>>()).served()
            })
            .collect();
        let scenario = |index: u64| {
            let seed = mix(seed ^ mix(generation as u64));
            (task.random_scenario(options.requests, &mut generator(seed, index)), seed.wrapping_add(index))
        };
        let settings: Vec<(Scenario, u64)> = (0..options.scenarios as u64).map(scenario).collect();
        let objectives = objectives(task, &candidates, &settings, weights, stop)?;

        let ranks = centred_ranks(&objectives);
        let mut gradient = vec![0.0; numbers.len()];
        for (direction, pair) in directions.iter().zip(ranks.as_chunks::<2>().0) {
            for (sum, along) in gradient.iter_mut().zip(direction) {
                *sum += (pair[0] - pair[1]) * along / (2.0 * options.pairs as f32 * options.sigma);
            }
        }
        let left = 1.0 - 0.9 * generation as f32 / options.generations as f32;
        let step_norm = adam.descend(&mut numbers, &gradient, options.learning_rate * left);
        let point = FineTunePoint {
            iteration: generation + 1,
            objective: objectives.iter().sum::<f64>() / objectives.len() as f64,
            step_norm: Some(step_norm),
            ..FineTunePoint::default()
        };
        on_generation(point, &start.with_numbers(&numbers))?;
    }
    Ok(())
}

/// Mean objective of each candidate over the settings, in each of which the analytic rule is
/// replayed too.
fn objectives(
    task: &Task<'_>,
    candidates: &[PolicyWeights],
    settings: &[(Scenario, u64)],
    weights: &RewardWeights,
    stop: &StopFlag,
) -> Result<Vec<f64>> {
    let replay = |(scenario, seed): &(Scenario, u64), workload: &Workload, policy: &mut dyn Policy| {
        stop.check()?;
        Ok(Metrics::of(&simulate(scenario, workload, policy, *seed), &MetricsOptions::default()))
    };
    let workloads: Vec<&Workload> = task.training.iter().cycle().take(settings.len()).collect();
    let of_rule = |(setting, workload): (&(Scenario, u64), &&Workload)| replay(setting, workload, &mut Ext::default());
    let rule = settings.par_iter().zip(&workloads).map(of_rule).collect::<Result<Vec<Metrics>>>()?;
    let judge = |(index, candidate): (usize, &PolicyWeights)| {
        let artifact = task.compile(candidate, &format!("candidate-{index}"))?;
        let model = Model::parse(&artifact)?;
        let mut sum = 0.0;
        for ((setting, workload), rule) in settings.iter().zip(&workloads).zip(&rule) {
            sum += weights.objective(&replay(setting, workload, &mut Learned::new(model))?, rule);
        }
        Ok(sum / settings.len() as f64)
    };
    candidates.par_iter().enumerate().map(judge).collect()
}

/// Ranks from −½ (lowest) to ½ (highest).
fn centred_ranks(values: &[f64]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    for (rank, index) in order.into_iter().enumerate() {
        ranks[index] = rank as f32 / (values.len() - 1).max(1) as f32 - 0.5;
    }
    ranks
}

/// Adam (Kingma and Ba, ICLR 2015) on plain numbers.
struct Adam {
    first: Vec<f32>,
    second: Vec<f32>,
    steps: i32,
}

impl Adam {
    fn new(len: usize) -> Self {
        Self { first: vec![0.0; len], second: vec![0.0; len], steps: 0 }
    }

    /// One step down; returns its length.
    fn descend(&mut self, numbers: &mut [f32], gradient: &[f32], rate: f32) -> f64 {
        const BETA: (f32, f32) = (0.9, 0.99);
        self.steps += 1;
        let correction = (1.0 - BETA.0.powi(self.steps), 1.0 - BETA.1.powi(self.steps));
        let mut squared = 0.0;
        for (index, number) in numbers.iter_mut().enumerate() {
            let slope = gradient[index];
            self.first[index] = BETA.0 * self.first[index] + (1.0 - BETA.0) * slope;
            self.second[index] = BETA.1 * self.second[index] + (1.0 - BETA.1) * slope * slope;
            let scale = (self.second[index] / correction.1).sqrt() + 1e-8;
            let step = rate * self.first[index] / correction.0 / scale;
            *number -= step;
            squared += f64::from(step * step);
        }
        squared.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_centred_and_ordered() {
        assert_eq!(centred_ranks(&[3.0, -1.0, 100.0]), [0.0, -0.5, 0.5]);
    }

    #[test]
    fn adam_finds_the_bottom_of_a_bowl() {
        let mut at = [3.0, -2.0];
        let mut adam = Adam::new(2);
        for _ in 0..2000 {
            let slope = at.map(|x: f32| 2.0 * x);
            adam.descend(&mut at, &slope, 0.01);
        }
        assert!(at.iter().all(|x| x.abs() < 0.05), "{at:?}");
    }
}
