//! Values in units of the recent level, and what bounds them.

/// Past days that are looked at.
pub(super) const DAYS: [usize; 8] = [1, 2, 3, 4, 5, 6, 7, 14];

/// Scaled values are clipped to this.
const SCALED_MAX: f32 = 10.0;

/// The present level counts at most this much more or less than a past day's.
const LEVEL_RATIO_MAX: f32 = 4.0;

/// `first` unless it is missing.
#[inline(always)]
pub(super) fn known(first: f32, otherwise: f32) -> f32 {
    if first.is_nan() { otherwise } else { first }
}

/// Scaled values within what the network has seen; NaN stays NaN.
#[inline(always)]
pub(super) fn bounded(scaled: f32) -> f32 {
    scaled.clamp(-SCALED_MAX, SCALED_MAX)
}

/// How many times as high the present level is as another; 1 where the other is unknown.
#[inline(always)]
pub(super) fn level_ratio(level: f32, other: f32) -> f32 {
    let ratio = level / if other > 1e-3 { other } else { 1e-3 };
    known(if other.is_nan() { 1.0 } else { ratio.clamp(1.0 / LEVEL_RATIO_MAX, LEVEL_RATIO_MAX) }, 1.0)
}

/// Twice as steep as the identity at 0, flat far from it: an outlier is no more than that.
#[inline(always)]
pub(super) fn compressed(difference: f32) -> f32 {
    2.0 * difference / (1.0 + difference.abs())
}
