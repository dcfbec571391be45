//! Capacity that would have been needed: what a prediction asks for, made larger by one
//! factor until demand exceeds it in at most one step of a hundred. It needs no fleet, only
//! the lead: the steps between the newest known value and the one to be ready for.

use evenkeel_datasets::random::{below, generator};
use evenkeel_datasets::{Series, Split};
use evenkeel_numbers::quantile::quantile;
use evenkeel_runtime::forecast::{Forecaster, Quantiles, steps_per_day};

use crate::forecast::dataset::Parts;
use crate::forecast::serve::serve;
use crate::metrics::Estimate;

/// Share of the steps that may be under-provisioned.
pub const UNDER_SHARE: f64 = 0.01;

/// Resamples of the interval: blocks of a day.
const RESAMPLES: usize = 400;

/// A prediction of nothing would take an infinite factor: it counts as this share of the
/// training part's mean, for all alike.
const LEAST: f64 = 0.01;

const WEEK_DAYS: usize = 7;
const DAY_S: f64 = 86_400.0;

/// Steps of lead that are usual for a step: half an hour ahead for long steps, ten minutes
/// for short ones.
pub fn usual_lead(step_s: f64) -> usize {
    if step_s >= 900.0 { 1 } else { (600.0 / step_s).round().max(1.0) as usize }
}

/// A way to predict, and what it would have needed on the test part.
#[derive(Clone, Debug)]
pub struct Needed {
    /// Kind of prediction: `reactive`, `mimir` or `evenkeel`.
    pub policy: &'static str,
    /// Which of its kind was chosen on the validation part.
    pub variant: String,
    /// Capacity over demand.
    pub capacity: Estimate,
    /// The same over that of the reactive one.
    pub over_reactive: Estimate,
}

/// A prediction for every step: the index of the step that it is for is that of its place.
struct Candidate {
    policy: &'static str,
    variant: String,
    predicted: Vec<f64>,
}

/// What each kind of prediction needs on the test part, the best of each kind chosen on the
/// validation part.
pub fn needed(series: &Series, split: &Split, forecaster: &Forecaster<'_>, lead: usize) -> Vec<Needed> {
    let parts = Parts::new(series, split);
    let (validation, test) = (parts.validation(), parts.test());
    let candidates = candidates(series, forecaster, lead, validation.start);
    let least = LEAST * series.slice(0, validation.start).mean();
    let pairs = |candidate: &Candidate, steps: std::ops::Range<usize>| -> Vec<[f64; 2]> {
        let pair = |step: usize| [candidate.predicted[step].max(least), f64::from(series.values[step])];
        steps.map(pair).filter(|[_, actual]| actual.is_finite()).collect()
    };
    let mut chosen: Vec<&Candidate> = Vec::new();
    for policy in ["reactive", "mimir", "evenkeel"] {
        let of_kind = candidates.iter().filter(|candidate| candidate.policy == policy);
        let worth = |candidate: &&Candidate| capacity(&pairs(candidate, validation.clone()));
        chosen.extend(of_kind.min_by(|a, b| worth(a).total_cmp(&worth(b))));
    }
    let tested: Vec<Vec<[f64; 2]>> = chosen.iter().map(|candidate| pairs(candidate, test.clone())).collect();
    let Some(reactive) = tested.first() else { return Vec::new() };
    let one = |(candidate, pairs): (&&Candidate, &Vec<[f64; 2]>)| {
        let day = steps_per_day(series.step_s as f32).max(1);
        let (capacity, over_reactive) = estimates(pairs, reactive, day);
        Needed { policy: candidate.policy, variant: candidate.variant.clone(), capacity, over_reactive }
    };
    chosen.iter().zip(&tested).map(one).collect()
}

/// Capacity over demand that pairs of prediction and actual value need.
fn capacity(pairs: &[[f64; 2]]) -> f64 {
    let mut factors: Vec<f64> = pairs.iter().map(|[predicted, actual]| actual / predicted).collect();
    factors.sort_unstable_by(f64::total_cmp);
    let may_exceed = (UNDER_SHARE * factors.len() as f64) as usize;
    let Some(factor) = factors.len().checked_sub(1 + may_exceed).map(|index| factors[index]) else { return f64::NAN };
    let sum = |axis: usize| pairs.iter().map(|pair| pair[axis]).sum::<f64>();
    factor * sum(0) / sum(1)
}

/// The capacity and its ratio to the reactive one's, with intervals from days drawn anew.
fn estimates(pairs: &[[f64; 2]], reactive: &[[f64; 2]], day: usize) -> (Estimate, Estimate) {
    let blocks = pairs.len().div_ceil(day).max(1) as u64;
    let mut rng = generator(1, 0x2EED);
    let mut drawn: [Vec<f64>; 2] = Default::default();
    for _ in 0..RESAMPLES {
        let (mut own, mut other) = (Vec::with_capacity(pairs.len()), Vec::with_capacity(pairs.len()));
        for _ in 0..blocks {
            let begin = below(&mut rng, blocks) as usize * day;
            let end = (begin + day).min(pairs.len());
            own.extend_from_slice(&pairs[begin..end]);
            other.extend_from_slice(&reactive[begin..end]);
        }
        let own = capacity(&own);
        drawn[0].push(own);
        drawn[1].push(own / capacity(&other));
    }
    let value = capacity(pairs);
    let [own, ratio] = drawn.map(|mut values| {
        values.sort_unstable_by(f64::total_cmp);
        [quantile(&values, 0.025), quantile(&values, 0.975)]
    });
    (Estimate { value, ci95: own }, Estimate { value: value / capacity(reactive), ci95: ratio })
}

/// All predictions that are tried, for steps from `begin` on.
fn candidates(series: &Series, forecaster: &Forecaster<'_>, lead: usize, begin: usize) -> Vec<Candidate> {
    let mut last = 0.0;
    let known: Vec<f64> = series
        .values
        .iter()
        .map(|value| {
            last = if value.is_finite() { f64::from(*value) } else { last };
            last
        })
        .collect();
    // What a rule says of each step, given the index of the newest value that it knows.
    let of_newest = |rule: &dyn Fn(usize) -> f64| -> Vec<f64> {
        (0..known.len()).map(|step| if step < begin.max(lead) { 0.0 } else { rule(step - lead) }).collect()
    };
    let most = |newest: usize, count: usize| {
        known[(newest + 1).saturating_sub(count)..=newest].iter().copied().fold(0.0, f64::max)
    };
    let mut candidates = Vec::new();
    for count in [1, 2, 3, 6, 12, 24, 48] {
        let variant = if count == 1 { "last value".to_owned() } else { format!("most of the last {count}") };
        candidates.push(Candidate { policy: "reactive", variant, predicted: of_newest(&|newest| most(newest, count)) });
    }
    let mean = |newest: usize| {
        let values = &known[(newest + 1).saturating_sub(6)..=newest];
        values.iter().sum::<f64>() / values.len() as f64
    };
    candidates.push(Candidate {
        policy: "reactive",
        variant: "mean of the last 6".to_owned(),
        predicted: of_newest(&mean),
    });
    // max_over_time(…[30m] offset 6d23h30m): the half hour that began a week ago.
    let week = WEEK_DAYS * (DAY_S / series.step_s).round() as usize;
    let half_hour = (1800.0 / series.step_s).round().max(1.0) as usize;
    let week_ago = |newest: usize| {
        let target = newest + lead;
        let then = target.checked_sub(week).map(|then| (then + half_hour - 1).min(newest));
        known[newest].max(then.map_or(0.0, |then| most(then, half_hour)))
    };
    candidates.push(Candidate {
        policy: "mimir",
        variant: "most of last value and the week before".to_owned(),
        predicted: of_newest(&week_ago),
    });
    let horizons = forecaster.calibration().horizons;
    let Some(row) = horizons.iter().position(|horizon| *horizon as usize >= lead) else { return candidates };
    let first = begin.saturating_sub(lead);
    let origins: Vec<usize> = (first..known.len().saturating_sub(lead)).collect();
    let settle = (DAY_S / series.step_s) as usize;
    let forecasts: Vec<Quantiles> = serve(forecaster, series, first.saturating_sub(settle), &origins);
    for quantile in 4..9 {
        let foreseen = |newest: usize| {
            let forecast = newest.checked_sub(first).and_then(|place| forecasts.get(place));
            forecast.map_or(0.0, |forecast| f64::from(forecast[row][quantile]))
        };
        let name = format!("q{}0", quantile + 1);
        candidates.push(Candidate {
            policy: "evenkeel",
            variant: format!("most of last value and {name}"),
            predicted: of_newest(&|newest| known[newest].max(foreseen(newest))),
        });
        candidates.push(Candidate { policy: "evenkeel", variant: name, predicted: of_newest(&foreseen) });
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_in_a_hundred_may_be_under() {
        // A hundred steps of 1 that were foreseen as 1, two of which came as 2 and 4.
        let mut pairs = vec![[1.0, 1.0]; 98];
        pairs.extend([[1.0, 2.0], [1.0, 4.0]]);
        assert!((capacity(&pairs) - 2.0 * 100.0 / 104.0).abs() < 1e-12);
        assert!(capacity(&[]).is_nan());
    }

    #[test]
    fn leads_are_half_an_hour_or_ten_minutes() {
        assert_eq!([60.0, 300.0, 600.0, 1800.0, 3600.0].map(usual_lead), [10, 2, 1, 1, 1]);
    }
}
