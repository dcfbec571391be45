//! Tuning: the search for the best parameters of each rule.
//!
//! Every rule gets the same number of candidates, and every candidate the same replays. The
//! published defaults are the first; half of the rest cover the ranges by a Latin hypercube
//! (`McKay`, Beckman and Conover, 1979); the others are steps from the best so far, ever
//! smaller. The result is never worse than the defaults in what was replayed.

use std::ops::Range;

use anyhow::Result;
use evenkeel_datasets::random::{Pcg64Mcg, below, generator, uniform};
use evenkeel_env::policies::{Entry, Parameter};
use evenkeel_numbers::random::mix;
use rayon::prelude::*;

use super::contender::Contender;
use super::replay::replay;
use super::setting::Setting;
use super::tuned::TunedPolicy;
use crate::stop::StopFlag;

/// Steps from the best that are tried at once, before the best is chosen anew.
const BATCH: usize = 4;
/// Greatest step in a parameter at the beginning of the refinement, as a share of its range.
const STEP_FIRST: f64 = 0.3;
/// The same at its end.
const STEP_LAST: f64 = 0.03;
/// A range that spans this factor is searched by the parameter's logarithm.
const LOG_FACTOR: f64 = 10.0;

/// A place in the unit cube of a policy's parameters.
type Place = Vec<f64>;

/// A candidate and what it reached.
#[derive(Clone, Debug)]
struct Candidate {
    parameters: Vec<f64>,
    objective: f64,
}

/// How thoroughly to search.
#[derive(Clone, Debug)]
pub struct SearchOptions {
    /// Candidates for each policy.
    pub budget: usize,
    /// Seeds of the replays of a candidate.
    pub seeds: Range<u64>,
    /// Seed of the search.
    pub seed: u64,
}

/// Finds the best parameters of some policies.
///
/// # Errors
/// If the user asked to stop.
pub fn search(
    entries: &[&'static Entry],
    settings: &[Setting],
    options: &SearchOptions,
    stop: &StopFlag,
    on_run: &(dyn Fn() + Sync),
) -> Result<Vec<TunedPolicy>> {
    let tune = |entry: &&'static Entry| {
        Task { entry, settings, options, stop, on_run }.search().map(|(best, default)| TunedPolicy {
            policy: entry.name.to_owned(),
            parameters: entry.parameters.iter().map(|own| own.name.to_owned()).zip(best.parameters).collect(),
            objective: best.objective,
            objective_default: default,
            simulations: simulations(settings, options),
        })
    };
    entries.par_iter().with_max_len(1).map(tune).collect()
}

/// Replays that the search takes for each policy.
pub fn simulations(settings: &[Setting], options: &SearchOptions) -> u64 {
    (options.budget * settings.len()) as u64 * (options.seeds.end - options.seeds.start)
}

/// The search for one policy.
struct Task<'a> {
    entry: &'static Entry,
    settings: &'a [Setting],
    options: &'a SearchOptions,
    stop: &'a StopFlag,
    on_run: &'a (dyn Fn() + Sync),
}

impl Task<'_> {
    /// The best candidate, and what the defaults reach.
    fn search(&self) -> Result<(Candidate, f64)> {
        let ranges = self.entry.parameters;
        let mut rng = generator(self.options.seed, hash(self.entry.name));
        let defaults: Place = ranges.iter().map(|range| place(range, range.default)).collect();
        let explored = (self.options.budget - 1).div_ceil(2);
        let mut places = vec![defaults];
        places.extend(latin_hypercube(explored, ranges.len(), &mut rng));
        let candidates = self.try_all(&places)?;
        let default = candidates[0].objective;
        let (mut best, mut centre) = best_of(candidates, places);

        let refined = self.options.budget - 1 - explored;
        let mut tried = 0;
        while tried < refined {
            let batch = BATCH.min(refined - tried);
            let step = STEP_FIRST * (STEP_LAST / STEP_FIRST).powf(tried as f64 / refined as f64);
            let places: Vec<Place> = (0..batch).map(|_| near(&centre, step, &mut rng)).collect();
            let (next, place) = best_of(self.try_all(&places)?, places);
            if next.objective < best.objective {
                (best, centre) = (next, place);
            }
            tried += batch;
        }
        Ok((best, default))
    }

    fn try_all(&self, places: &[Place]) -> Result<Vec<Candidate>> {
        places.par_iter().map(|place| self.try_one(place)).collect()
    }

    fn try_one(&self, place: &Place) -> Result<Candidate> {
        // The defaults come back exactly, whatever rounding the scale brings.
        let is_default =
            self.entry.parameters.iter().zip(place).all(|(range, at)| self::place(range, range.default) == *at);
        let values = self.entry.parameters.iter().zip(place);
        let parameters: Vec<f64> =
            values.map(|(range, at)| if is_default { range.default } else { value(range, *at) }).collect();
        let contender = Contender::searched(self.entry, parameters.clone());
        let runs: Vec<(&Setting, u64)> = self
            .settings
            .iter()
            .flat_map(|setting| self.options.seeds.clone().map(move |seed| (setting, seed)))
            .collect();
        let objectives = runs
            .par_iter()
            .map(|(setting, seed)| {
                self.stop.check()?;
                let metrics = replay(setting, contender.build(None).as_mut(), *seed).metrics;
                (self.on_run)();
                Ok((metrics.latency_mean_s.ln() + metrics.latency_p99_s.ln() + metrics.ttft_mean_s.ln()) / 3.0)
            })
            .collect::<Result<Vec<f64>>>()?;
        let objective = objectives.iter().sum::<f64>() / objectives.len() as f64;
        Ok(Candidate { parameters, objective: if objective.is_nan() { f64::INFINITY } else { objective } })
    }
}

/// The first of the best, and its place.
fn best_of(candidates: Vec<Candidate>, places: Vec<Place>) -> (Candidate, Place) {
    let both = candidates.into_iter().zip(places);
    both.reduce(|best, next| if next.0.objective < best.0.objective { next } else { best })
        .expect("a batch has candidates")
}

/// Points of which each stands alone in its stratum of every coordinate.
fn latin_hypercube(points: usize, dimensions: usize, rng: &mut Pcg64Mcg) -> Vec<Place> {
    let mut places = vec![vec![0.0; dimensions]; points];
    for dimension in 0..dimensions {
        let mut strata: Vec<usize> = (0..points).collect();
        for index in (1..points).rev() {
            strata.swap(index, below(rng, index as u64 + 1) as usize);
        }
        for (place, stratum) in places.iter_mut().zip(strata) {
            place[dimension] = (stratum as f64 + uniform(rng)) / points as f64;
        }
    }
    places
}

/// A place around another: each coordinate moves with even odds, one at least.
fn near(centre: &Place, step: f64, rng: &mut Pcg64Mcg) -> Place {
    let certain = below(rng, centre.len() as u64) as usize;
    let shift = |(index, at): (usize, &f64)| {
        // Drawn whether it is used or not: equal seeds take equal draws.
        let (moves, shift) = (uniform(rng) < 0.5, step * (2.0 * uniform(rng) - 1.0));
        if moves || index == certain { (at + shift).clamp(0.0, 1.0) } else { *at }
    };
    centre.iter().enumerate().map(shift).collect()
}

fn is_logarithmic(range: &Parameter) -> bool {
    range.min > 0.0 && range.max >= LOG_FACTOR * range.min
}

/// Where a value lies in its range, 0 to 1.
fn place(range: &Parameter, value: f64) -> f64 {
    if range.max <= range.min {
        0.0
    } else if is_logarithmic(range) {
        (value / range.min).ln() / (range.max / range.min).ln()
    } else {
        (value - range.min) / (range.max - range.min)
    }
}

/// The value at a place of the range, to four digits: more would say nothing, and these are
/// read back from a file exactly.
fn value(range: &Parameter, place: f64) -> f64 {
    let value = if is_logarithmic(range) {
        range.min * (range.max / range.min).powf(place)
    } else {
        range.min + place * (range.max - range.min)
    };
    let rounded = format!("{value:.3e}").parse().unwrap_or(value);
    rounded.clamp(range.min, range.max)
}

/// A number for a name, so that a policy's search does not depend on which others there are.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latin_hypercube_fills_every_stratum_once() {
        let places = latin_hypercube(10, 3, &mut generator(1, 2));
        for dimension in 0..3 {
            let mut strata: Vec<usize> = places.iter().map(|place| (place[dimension] * 10.0) as usize).collect();
            strata.sort_unstable();
            assert_eq!(strata, (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn places_and_values_agree() {
        let linear = Parameter { name: "share", default: 0.5, min: 0.0, max: 1.0 };
        let logarithmic = Parameter { name: "age_s", default: 1.0, min: 0.01, max: 100.0 };
        assert_eq!((value(&linear, 0.0), value(&linear, 1.0)), (0.0, 1.0));
        assert!((place(&logarithmic, 1.0) - 0.5).abs() < 1e-12);
        assert_eq!(value(&linear, 1.0 / 3.0), 0.3333);
        for range in [linear, logarithmic] {
            assert_eq!(value(&range, place(&range, range.default)), range.default);
        }
    }

    #[test]
    fn steps_stay_in_the_cube_and_always_move() {
        let mut rng = generator(3, 4);
        let centre = vec![0.0, 0.5, 1.0];
        for _ in 0..100 {
            let next = near(&centre, 0.3, &mut rng);
            assert!(next.iter().all(|at| (0.0..=1.0).contains(at)));
            assert!(next.iter().zip(&centre).all(|(a, b)| (a - b).abs() <= 0.3));
        }
    }
}
