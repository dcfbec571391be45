//! Random streams: every purpose draws from its own, so that a change in one does not
//! shift another, and all policies meet the same arrivals, antagonists and crashes.

use evenkeel_datasets::random::generator;
use evenkeel_numbers::random::mix;
use rand_pcg::Pcg64Mcg;

pub(crate) use evenkeel_datasets::random::{exponential, log_normal, uniform};

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    Window = 1,
    Assignment = 2,
    Antagonist = 3,
    Crash = 4,
    TelemetryLoss = 5,
    Probe = 6,
    Policy = 7,
    ServiceTime = 8,
    State = 9,
    Resample = 10,
    Lie = 11,
    Spell = 12,
    Night = 13,
    Claim = 14,
    Exchange = 15,
    Patience = 16,
    Life = 17,
}

/// The stream of a purpose; `index` tells hosts or balancers apart.
pub(crate) fn stream(seed: u64, purpose: Purpose, index: u64) -> Pcg64Mcg {
    generator(seed, mix(purpose as u64) ^ index)
}

/// A number below `end`; 0 if `end` is 0.
#[inline]
pub(crate) fn below(rng: &mut Pcg64Mcg, end: usize) -> usize {
    evenkeel_datasets::random::below(rng, end as u64) as usize
}

/// Uniform between two numbers.
pub(crate) fn between(rng: &mut Pcg64Mcg, low: f64, high: f64) -> f64 {
    low + (high - low) * uniform(rng)
}

/// Between two positive numbers, evenly over the logarithm.
pub(crate) fn log_between(rng: &mut Pcg64Mcg, low: f64, high: f64) -> f64 {
    (low * libm::pow(high / low, uniform(rng))).clamp(low, high)
}

/// Logarithmic mean and standard deviation of the lognormal distribution with this mean
/// and coefficient of variation.
pub(crate) fn lognormal_parameters(mean: f64, variation: f64) -> (f64, f64) {
    let variance = libm::log(1.0 + variation * variation);
    (libm::log(mean) - 0.5 * variance, libm::sqrt(variance))
}
