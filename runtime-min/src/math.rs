//! `ln` and `exp` in single precision, without libm, of one number at a time: for averages
//! and forecasts. What runs over all hosts has its own (`simd::math`).
//!
//! The polynomials are those of Stephen Moshier's Cephes library (`logf`, `expf`). Worst
//! relative errors against `f64`, held by the tests below: `ln` 2.5e-7 (absolute where the
//! result is below 1), `exp` 2e-7.

const LN2_HIGH: f32 = 0.693359375;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// Natural logarithm. Zero, negative and subnormal inputs count as the smallest normal
/// number (result −87.3), NaN gives NaN: a feature must never become infinite.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let clamped = if x < f32::MIN_POSITIVE { f32::MIN_POSITIVE } else { x };
    let bits = clamped.to_bits();
    // x = mantissa · 2^exponent with mantissa in [0.5, 1).
    let exponent = (bits >> 23) as i32 - 126;
    let mantissa = f32::from_bits((bits & 0x007f_ffff) | 0x3f00_0000);
    // Centre on 1: mantissa in [√½, √2), which keeps the polynomial's argument small.
    let below = mantissa < core::f32::consts::FRAC_1_SQRT_2;
    let exponent = if below { exponent - 1 } else { exponent } as f32;
    let r = if below { mantissa + mantissa } else { mantissa } - 1.0;
    let square = r * r;
    let mut p = 7.037_683_6e-2;
    p = p * r - 1.151_461e-1;
    p = p * r + 1.167_699_9e-1;
    p = p * r - 1.242_014_1e-1;
    p = p * r + 1.424_932_3e-1;
    p = p * r - 1.666_805_8e-1;
    p = p * r + 2.000_071_5e-1;
    p = p * r - 2.499_999_4e-1;
    p = p * r + 3.333_333e-1;
    let tail = p * r * square + exponent * LN2_LOW - 0.5 * square;
    let result = r + tail + exponent * LN2_HIGH;
    // NaN and +∞ have all exponent bits set: hand them through.
    if bits >= 0x7f80_0000 { clamped } else { result }
}

/// Exponential. Inputs are clamped to ±87, so that results stay normal and finite.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding and taking away 1.5·2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * core::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5e-1;
    let fraction = p * r * r + r + 1.0;
    // The integer stands in the low bits of `shifted`: no conversion, which SSE2 lacks in
    // the saturating form that a cast would need.
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    fraction * f32::from_bits(power)
}

/// `e^−x`, called rather than inlined: for what happens once a request, not once a host.
#[inline(never)]
pub(crate) fn decay(x: f32) -> f32 {
    exp(-x)
}

/// [`ln`], called rather than inlined.
#[inline(never)]
pub(crate) fn ln_called(x: f32) -> f32 {
    ln(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest error of `ours` against `exact`, relative to max(1, |exact|) for `floor` 1.
    fn worst(range: impl Iterator<Item = f32>, floor: f64, ours: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        range
            .map(|x| {
                let truth = exact(f64::from(x));
                (f64::from(ours(x)) - truth).abs() / truth.abs().max(floor)
            })
            .fold(0.0, f64::max)
    }

    fn grid(low: f32, high: f32) -> impl Iterator<Item = f32> {
        const POINTS: u32 = 400_000;
        (0..=POINTS).map(move |i| low + (high - low) * (i as f32 / POINTS as f32))
    }

    #[test]
    fn errors_stay_within_the_stated_bounds() {
        let wide = (0x0080_0000u32..0x7f80_0000).step_by(5_003).map(f32::from_bits);
        assert!(worst(wide, 1.0, ln, f64::ln) < 2.5e-7);
        assert!(worst(grid(0.5, 2.0), 1.0, ln, f64::ln) < 2.5e-7);
        assert!(worst(grid(-87.0, 87.0), 0.0, exp, f64::exp) < 2e-7);
    }

    #[test]
    fn odd_inputs_give_finite_or_nan() {
        assert_eq!(ln(0.0), ln(f32::MIN_POSITIVE));
        assert_eq!(ln(-3.0), ln(f32::MIN_POSITIVE));
        assert!(ln(f32::NAN).is_nan());
        assert_eq!(ln(f32::INFINITY), f32::INFINITY);
        assert!(exp(1e9).is_finite());
    }
}
