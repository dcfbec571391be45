//! Seeded sampling, the same on every machine.
//!
//! All samplers draw from [`Pcg64Mcg`] alone and use `libm` for the transcendental functions,
//! whose results, unlike the standard library's, do not depend on the platform.

use evenkeel_numbers::random::{GOLDEN, mix};
use libm::{cos, exp, log, pow, sqrt};
use rand::Rng as _;
pub use rand_pcg::Pcg64Mcg;
use std::f64::consts::TAU;

/// A generator seeded with `seed` for one purpose, `stream`, so that what one purpose draws
/// does not move the others.
pub fn generator(seed: u64, stream: u64) -> Pcg64Mcg {
    let low = mix(seed ^ mix(stream));
    let high = mix(low ^ GOLDEN);
    Pcg64Mcg::new(u128::from(high) << 64 | u128::from(low))
}

/// Uniform on `[0, 1)`, from the upper 53 bits.
#[inline]
pub fn uniform(rng: &mut Pcg64Mcg) -> f64 {
    evenkeel_numbers::random::unit(rng.next_u64())
}

/// Uniform on `(0, 1]`: safe to take the logarithm of.
#[inline]
fn uniform_positive(rng: &mut Pcg64Mcg) -> f64 {
    1.0 - uniform(rng)
}

/// Uniform on `0..bound`, but for a bias below `bound / 2^64`; 0 when `bound` is 0.
#[inline]
pub fn below(rng: &mut Pcg64Mcg, bound: u64) -> u64 {
    evenkeel_numbers::random::below(rng.next_u64(), bound)
}

/// Exponential with the given mean.
#[inline]
pub fn exponential(rng: &mut Pcg64Mcg, mean: f64) -> f64 {
    -mean * log(uniform_positive(rng))
}

/// Normal with the given mean and standard deviation, by Box and Muller's transform (its cosine
/// half alone, so that no state is kept between calls).
#[inline]
pub fn normal(rng: &mut Pcg64Mcg, mean: f64, deviation: f64) -> f64 {
    let radius = sqrt(-2.0 * log(uniform_positive(rng)));
    mean + deviation * radius * cos(TAU * uniform(rng))
}

/// Poisson with the given mean: the number of arrivals of a steady stream. Counted out one by one up
/// to a mean of 64, from there on a rounded normal of the same mean and deviation.
pub fn poisson(rng: &mut Pcg64Mcg, mean: f64) -> u64 {
    const COUNTED_MAX: f64 = 64.0;
    if mean > COUNTED_MAX {
        return (normal(rng, mean, sqrt(mean)) + 0.5).max(0.0) as u64;
    }
    let mut arrivals = 0;
    let mut passed = exponential(rng, 1.0);
    while passed < mean {
        arrivals += 1;
        passed += exponential(rng, 1.0);
    }
    arrivals
}

/// Log-normal: `mu` and `sigma` are the mean and the standard deviation of its logarithm, so
/// that its median is `exp(mu)` and its mean `exp(mu + sigma²/2)`.
#[inline]
pub fn log_normal(rng: &mut Pcg64Mcg, mu: f64, sigma: f64) -> f64 {
    exp(normal(rng, mu, sigma))
}

/// Gamma with the given shape and scale (mean `shape · scale`), by Marsaglia and Tsang's method
/// (ACM TOMS 2000), with their boost for shapes below one.
///
/// # Panics
///
/// When the shape is not a positive, finite number.
pub fn gamma(rng: &mut Pcg64Mcg, shape: f64, scale: f64) -> f64 {
    assert!(shape > 0.0 && shape.is_finite(), "the shape of a Gamma distribution must be positive, not {shape}");
    if shape < 1.0 {
        let boost = pow(uniform_positive(rng), 1.0 / shape);
        return boost * gamma(rng, shape + 1.0, scale);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / sqrt(9.0 * d);
    loop {
        let x = normal(rng, 0.0, 1.0);
        let v = 1.0 + c * x;
        if v <= 0.0 {
            continue;
        }
        let v = v * v * v;
        if log(uniform_positive(rng)) < 0.5 * x * x + d - d * v + d * log(v) {
            return d * v * scale;
        }
    }
}

/// Weibull with the given shape and scale (mean `scale · Γ(1 + 1/shape)`), by inversion.
#[inline]
pub fn weibull(rng: &mut Pcg64Mcg, shape: f64, scale: f64) -> f64 {
    scale * pow(-log(uniform_positive(rng)), 1.0 / shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and standard deviation of a million draws.
    fn moments(mut draw: impl FnMut(&mut Pcg64Mcg) -> f64) -> (f64, f64) {
        let mut rng = generator(1, 2);
        let n = 1_000_000;
        let (mut sum, mut square) = (0.0, 0.0);
        for _ in 0..n {
            let x = draw(&mut rng);
            sum += x;
            square += x * x;
        }
        let mean = sum / f64::from(n);
        (mean, (square / f64::from(n) - mean * mean).sqrt())
    }

    #[track_caller]
    fn check(got: (f64, f64), mean: f64, deviation: f64) {
        assert!((got.0 - mean).abs() < 0.005 * deviation.max(mean.abs()), "mean {} instead of {mean}", got.0);
        assert!((got.1 / deviation - 1.0).abs() < 0.02, "deviation {} instead of {deviation}", got.1);
    }

    #[test]
    fn moments_match_the_formulas() {
        check(moments(uniform), 0.5, (1.0_f64 / 12.0).sqrt());
        check(moments(|rng| below(rng, 101) as f64), 50.0, (101.0_f64.powi(2) / 12.0).sqrt());
        check(moments(|rng| exponential(rng, 3.0)), 3.0, 3.0);
        check(moments(|rng| normal(rng, -2.0, 1.5)), -2.0, 1.5);
        let (mean, variance) = (0.125_f64.exp(), 0.25_f64.exp_m1() * 0.25_f64.exp());
        check(moments(|rng| log_normal(rng, 0.0, 0.5)), mean, variance.sqrt());
        check(moments(|rng| poisson(rng, 2.5) as f64), 2.5, 2.5_f64.sqrt());
        check(moments(|rng| poisson(rng, 400.0) as f64), 400.0, 20.0);
        assert_eq!(poisson(&mut generator(1, 1), 0.0), 0);
        check(moments(|rng| gamma(rng, 4.0, 0.5)), 2.0, 1.0);
        check(moments(|rng| gamma(rng, 0.25, 8.0)), 2.0, 4.0);
        // Shape 2 is Rayleigh's distribution: mean √π/2, variance 1 − π/4.
        let pi = std::f64::consts::PI;
        check(moments(|rng| weibull(rng, 2.0, 1.0)), pi.sqrt() / 2.0, (1.0 - pi / 4.0).sqrt());
    }

    /// The same bits on every machine: a change here changes every seeded result.
    #[test]
    fn known_answers() {
        let rng = &mut generator(42, 7);
        let draws = [
            uniform(rng),
            exponential(rng, 2.0),
            normal(rng, 0.0, 1.0),
            log_normal(rng, 1.0, 0.5),
            gamma(rng, 2.5, 2.0),
            gamma(rng, 0.5, 2.0),
            weibull(rng, 0.7, 3.0),
        ];
        assert_eq!(
            draws.map(f64::to_bits),
            [
                4597543241433391840,
                4620428495264455378,
                4599757745948794491,
                4612169029738888703,
                4622013032009557390,
                4608995324263376196,
                4620772122392448098,
            ]
        );
        assert_eq!(below(rng, 1_000_000), 143_906);
    }

    #[test]
    fn streams_differ_and_repeat() {
        let first = |seed, stream| generator(seed, stream).next_u64();
        assert_eq!(first(1, 1), first(1, 1));
        assert_ne!(first(1, 1), first(1, 2));
        assert_ne!(first(1, 1), first(2, 1));
        assert_ne!(first(1, 2), first(2, 1));
    }
}
