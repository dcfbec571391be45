//! `ln`, `exp`, `tanh` and the like over sixteen hosts.
//!
//! Minimax fits of our own, as short as the features and a residual network need. Worst
//! absolute errors against `f64`, held by the tests below:
//!
//! | Function | Form | Error |
//! |---|---|---|
//! | `ln`, `ln_1p` | `r + r² · P₄(r)`, `r` within ±⅓ | 2.2e-6, or of the value where that is above 1 |
//! | `exp` | `2ⁿ · (1 + f · P₄(f))`, `f` within ±½ | 1.5e-6 of the value |
//! | `tanh` | `x · P₃(x²) / Q₃(x²)`, `x` clamped to ±7 | 1.2e-6 |
//!
//! Selections in place of branches, and no table: a gather costs more than a polynomial.

use super::Lanes;

/// Largest magnitude that [`tanh`] tells apart; beyond it the result differs from ±1 by
/// less than the error.
const TANH_END: f32 = 7.0;

/// Natural logarithm of positive numbers. What is subnormal or not positive gives an
/// arbitrary finite number or NaN.
#[inline(always)]
pub(crate) fn ln<V: Lanes>(x: V) -> V {
    const TWO_THIRDS: u32 = 0x3f2a_aaab;
    // x = 2^exponent · (1 + r), r within ±1/3. The exponent stays where it is in the
    // word, times 2^23, which the conversion to a number does not mind.
    let exponent = x.integer_sub(x.fill_bits(TWO_THIRDS)).bits_and(x.fill_bits(0xff80_0000));
    let r = x.integer_sub(exponent) - x.fill(1.0);
    let leading = exponent.signed_to_number().mul_add(x.fill(core::f32::consts::LN_2 / 8_388_608.0), r);
    let mut p = x.fill(-0.199610252);
    p = p.mul_add(r, x.fill(0.226318007));
    p = p.mul_add(r, x.fill(-0.247612619));
    p = p.mul_add(r, x.fill(0.332284243));
    p = p.mul_add(r, x.fill(-0.500046823));
    p.mul_add(r * r, leading)
}

/// `ln(1 + x)` for `x` ≥ 0; less, and NaN, count as 0.
#[inline(always)]
pub(crate) fn ln_1p<V: Lanes>(x: V) -> V {
    ln(x.max(x.fill(0.0)) + x.fill(1.0))
}

/// Exponential. Inputs are clamped to ±87, so that results stay normal and finite; NaN
/// counts as −87.
#[inline(always)]
pub(crate) fn exp<V: Lanes>(x: V) -> V {
    // Adding and taking away 1.5·2^23 rounds to the nearest integer, which then stands in
    // the low bits.
    let round = x.fill(12_582_912.0);
    let log2 = x.fill(core::f32::consts::LOG2_E);
    let x = x.max(x.fill(-87.0)).min(x.fill(87.0));
    let shifted = x.mul_add(log2, round);
    let f = x.mul_add(log2, round - shifted);
    let mut p = x.fill(0.00132647274);
    p = p.mul_add(f, x.fill(0.00967151277));
    p = p.mul_add(f, x.fill(0.0555073374));
    p = p.mul_add(f, x.fill(0.240222421));
    p = p.mul_add(f, x.fill(0.693146978));
    p = p.mul_add(f, x.fill(1.0));
    p.integer_add(shifted.to_exponent())
}

/// Numerator and denominator of the hyperbolic tangent.
#[inline(always)]
fn tanh_fraction<V: Lanes>(x: V) -> (V, V) {
    let x = clip(x, -TANH_END, TANH_END);
    let square = x * x;
    let mut p = x.fill(3.92996589e-6);
    p = p.mul_add(square, x.fill(0.00227697905));
    p = p.mul_add(square, x.fill(0.123021719));
    p = p.mul_add(square, x.fill(0.999995687));
    let mut q = x.fill(0.000142349771);
    q = q.mul_add(square, x.fill(0.0210721338));
    q = q.mul_add(square, x.fill(0.456340202));
    q = q.mul_add(square, x.fill(1.0));
    (x * p, q)
}

/// Hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh<V: Lanes>(x: V) -> V {
    let (p, q) = tanh_fraction(x);
    p / q
}

/// Hyperbolic tangents of two vectors, with one division for both: the divider is the
/// slowest unit. (A NaN in one makes both NaN, lane by lane.)
#[inline(always)]
pub(crate) fn tanh_pair<V: Lanes>(x: V, y: V) -> (V, V) {
    let ((p, q), (p_too, q_too)) = (tanh_fraction(x), tanh_fraction(y));
    let reciprocal = x.fill(1.0) / (q * q_too);
    (p * q_too * reciprocal, p_too * q * reciprocal)
}

/// `least` for what is less, `most` for what is more; NaN stays.
#[inline(always)]
pub(crate) fn clip<V: Lanes>(x: V, least: f32, most: f32) -> V {
    // The order of the operands makes NaN stay NaN.
    x.fill(most).min(x.fill(least).max(x))
}

/// Logistic function `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<V: Lanes>(x: V) -> V {
    let half = x.fill(0.5);
    tanh(x * half).mul_add(half, half)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::{Kernel, Lanes, Level};
    use crate::LANES;

    /// The functions by name: one has to be generic over the vectors.
    #[derive(Clone, Copy)]
    enum Function {
        Ln,
        Ln1p,
        Exp,
        Tanh,
        TanhPair,
        Sigmoid,
    }

    struct Map<'a>(Function, &'a mut [f32]);

    impl Kernel for Map<'_> {
        type Output = ();

        #[inline(always)]
        fn run<V: Lanes>(self, lanes: V) {
            for block in self.1.as_chunks_mut::<LANES>().0 {
                let x = lanes.load(block);
                let y = match self.0 {
                    Function::Ln => super::ln(x),
                    Function::Ln1p => super::ln_1p(x),
                    Function::Exp => super::exp(x),
                    Function::Tanh => super::tanh(x),
                    Function::TanhPair => super::tanh_pair(x * x, x).1,
                    Function::Sigmoid => super::sigmoid(x),
                };
                y.store(block);
            }
        }
    }

    /// Results at the widest level, which all others equal to the bit.
    fn map(function: Function, inputs: &[f32]) -> Vec<f32> {
        let at = |level: Level| {
            let mut numbers = inputs.to_vec();
            numbers.resize(inputs.len().next_multiple_of(LANES), 1.0);
            level.run(Map(function, &mut numbers));
            numbers.truncate(inputs.len());
            numbers
        };
        let widest = at(Level::detect());
        for level in Level::available() {
            let same =
                at(level).iter().zip(&widest).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan());
            assert!(same, "{}", level.name());
        }
        widest
    }

    /// Largest error, relative to the exact value where that is above `floor`, else to `floor`.
    fn worst(function: Function, inputs: impl Iterator<Item = f32>, floor: f64, exact: fn(f64) -> f64) -> f64 {
        let inputs: Vec<f32> = inputs.collect();
        let found = map(function, &inputs);
        let error = |(x, y): (&f32, &f32)| {
            let truth = exact(f64::from(*x));
            (f64::from(*y) - truth).abs() / truth.abs().max(floor)
        };
        inputs.iter().zip(&found).map(error).fold(0.0, f64::max)
    }

    fn grid(low: f32, high: f32) -> impl Iterator<Item = f32> {
        const POINTS: u32 = 400_000;
        (0..=POINTS).map(move |i| low + (high - low) * (i as f32 / POINTS as f32))
    }

    #[test]
    fn errors_stay_within_the_stated_bounds() {
        let wide = (0x0080_0000u32..0x7f80_0000).step_by(5_003).map(f32::from_bits);
        assert!(worst(Function::Ln, wide, 1.0, f64::ln) < 2.2e-6);
        assert!(worst(Function::Ln, grid(0.01, 100.0), 1.0, f64::ln) < 2.2e-6);
        assert!(worst(Function::Ln1p, grid(0.0, 1e4), 1.0, f64::ln_1p) < 2.2e-6);
        assert!(worst(Function::Exp, grid(-87.0, 87.0), 0.0, f64::exp) < 1.5e-6);
        assert!(worst(Function::Tanh, grid(-12.0, 12.0), 1.0, f64::tanh) < 1.2e-6);
        assert!(worst(Function::TanhPair, grid(-12.0, 12.0), 1.0, f64::tanh) < 1.2e-6);
        assert!(worst(Function::Sigmoid, grid(-30.0, 30.0), 1.0, |x| 1.0 / (1.0 + (-x).exp())) < 1.2e-6);
    }

    #[test]
    fn odd_inputs_give_finite_or_nan() {
        let odd = [0.0, -3.0, f32::MIN_POSITIVE / 8.0, f32::MAX, f32::INFINITY, f32::NEG_INFINITY];
        assert!(map(Function::Ln1p, &odd).iter().all(|y| (0.0..90.0).contains(y)));
        assert!(map(Function::Exp, &odd).iter().all(|y| y.is_finite()));
        assert_eq!(map(Function::Ln1p, &[f32::NAN, -5.0, 0.0]), [0.0; 3]);
        assert!(map(Function::Tanh, &odd).iter().all(|y| y.abs() <= 1.0));
        assert_eq!(map(Function::Tanh, &[0.0]), [0.0]);
        assert!(map(Function::Tanh, &[f32::NAN])[0].is_nan());
        assert!(map(Function::Sigmoid, &[f32::NAN])[0].is_nan());
    }
}
