//! What past days say of each target: all horizons side by side, so that loops over them
//! become SIMD.
//!
//! What is called more than once is not inlined: a forecast is made every few minutes, and its
//! code would be a third of a program's.

use core::slice::IterMut;

use super::recent::Recent;
use super::scaled::{DAYS, bounded, compressed, known, level_ratio};
use super::{HORIZONS, Lanes, cycle};
use crate::math;

/// How much a past day counts in the plain seasonal mean.
const WEIGHTS: [f32; DAYS.len()] = [0.25, 0.12, 0.1, 0.08, 0.08, 0.08, 0.29, 0.2];

const DAY_S: f64 = 86_400.0;
const WEEK_S: f64 = 7.0 * DAY_S;

/// A value for each past day and horizon.
type Days = [Lanes; DAYS.len()];

/// Forecasts and features from past days, in scaled units.
pub(super) struct Targets {
    /// Share of the past days that are unknown at the target.
    pub(super) missing: Lanes,
    /// The newest value at the same time of a past day.
    pub(super) seasonal_naive: Lanes,
    /// What the network's output is added to.
    pub(super) base: Lanes,
    /// Features in the order of their names, apart from horizon and calendar.
    values: [Lanes; 25],
}

impl Targets {
    pub(super) fn new(recent: &Recent<'_>, horizons: &[u32; HORIZONS]) -> Self {
        let level = recent.level;
        let [before, at, after] = [-1, 0, 1].map(|neighbour| days_at(recent, horizons, neighbour));
        let mut smooth = at;
        for ((smooth, before), after) in smooth.iter_mut().zip(&before).zip(&after) {
            blur(smooth, before, after);
        }
        let near = horizons.map(|horizon| 1.0 / (1.0 + 4.0 * horizon as f32 / recent.day as f32));
        let missing = missing_share(&at);

        // By fixed weights.
        let (season, season_level) = weighted(&smooth, &WEIGHTS, &recent.past_levels);
        let season_known = or(&season, &[level; HORIZONS]);
        let level_shape = moved(&season, &season_level, &near, level);
        let level_shape = zip(&level_shape, &season_known, |shape, season| bounded(known(shape, season)));

        // By rank: raw, and moved to the present level by a sum or a factor.
        let shifts = recent.past_levels.map(|past| level - past);
        let shifted = each_day(&smooth, &shifts, |value, shift| value + shift);
        let factors = recent.past_levels.map(|past| if past.is_nan() { f32::NAN } else { level_ratio(level, past) });
        let scaled = each_day(&smooth, &factors, |value, factor| value * factor);
        let [median, least, greatest] = ranks(&smooth).map(|rank| or(&rank, &season_known));
        let [median_shifted, ..] = ranks(&shifted);
        let median_shifted = or(&median_shifted, &median);
        let [median_scaled, ..] = ranks(&scaled);
        let median_scaled = zip(&median_scaled, &median, |scaled, median| bounded(known(scaled, median)));
        let spread = deviation(&smooth, &median, &[1.0; DAYS.len()]);
        let spread = or(&spread, &[recent.daily_change; HORIZONS]);
        let spread_shifted = or(&deviation(&shifted, &median_shifted, &[1.0; DAYS.len()]), &spread);

        // By likeness.
        let (alike, alike_level) = weighted(&at, &recent.weights, &recent.past_levels);
        let (alike_smooth, _) = weighted(&smooth, &recent.weights, &recent.past_levels);
        let base = moved(&alike, &alike_level, &near, level);
        let base = zip(&base, &level_shape, |base, shape| known(bounded(base), shape));
        let mut alike_shifted = alike;
        for ((value, past), near) in alike_shifted.iter_mut().zip(&alike_level).zip(&near) {
            *value += known((level - past) * near, 0.0);
        }
        let alike_shifted = or(&alike_shifted, &level_shape);
        let alike_spread = deviation(&at, &alike, &recent.weights);
        let alike_spread = or(&alike_spread, &[recent.daily_change; HORIZONS]);
        let alike = or(&alike, &season_known);
        let alike_smooth = or(&alike_smooth, &season_known);

        let mut seasonal_naive = [f32::NAN; HORIZONS];
        for day in &at {
            seasonal_naive = or(&seasonal_naive, day);
        }
        let seasonal_naive = or(&seasonal_naive, &[recent.newest(); HORIZONS]);

        let from_base = |values: &Lanes| from_base(values, &base);
        let [one, two, three, _, _, _, seven, fourteen] = &at;
        let [one_before, _, _, _, _, _, seven_before, _] = &before;
        let [one_after, _, _, _, _, _, seven_after, _] = &after;
        let values = [
            from_base(one),
            from_base(two),
            from_base(three),
            from_base(seven),
            from_base(fourteen),
            from_base(one_before),
            from_base(one_after),
            from_base(seven_before),
            from_base(seven_after),
            plain(&missing),
            from_base(&season_known),
            from_base(&level_shape),
            from_base(&median),
            from_base(&median_shifted),
            from_base(&median_scaled),
            from_base(&least),
            from_base(&greatest),
            plain(&spread),
            plain(&spread_shifted),
            from_base(&alike),
            from_base(&alike_smooth),
            from_base(&alike_shifted),
            plain(&alike_spread),
            base.map(|base| compressed(base - 1.0)),
            base.map(|base| compressed(base - level)),
        ];
        Self { missing, seasonal_naive, base, values }
    }

    pub(super) fn write(
        &self,
        recent: &Recent<'_>,
        horizons: &[u32; HORIZONS],
        times_s: &[f64; HORIZONS],
        columns: &mut IterMut<'_, Lanes>,
    ) {
        let mut put = |lanes: Lanes| put(columns, &lanes);
        self.values.into_iter().for_each(&mut put);
        let ln_day = math::ln_called(recent.day as f32);
        put(horizons.map(|horizon| horizon as f32 / recent.day as f32));
        put(horizons.map(|horizon| 1.0 / horizon.max(1) as f32));
        put(horizons.map(|horizon| math::ln_called(horizon as f32) / ln_day));
        put(horizons.map(|horizon| 0.2 * math::ln_called(horizon as f32)));
        for period_s in [DAY_S, 0.5 * DAY_S, WEEK_S, 0.5 * WEEK_S] {
            waves(times_s, period_s).into_iter().for_each(&mut put);
        }
    }
}

/// The value of each past day at each target, or `neighbour` steps after it, scaled.
#[inline(never)]
fn days_at(recent: &Recent<'_>, horizons: &[u32; HORIZONS], neighbour: isize) -> Days {
    let inverse = 1.0 / recent.scale;
    DAYS.map(|days| {
        horizons.map(|horizon| {
            let lag = (days * recent.day).checked_sub(horizon as usize);
            let lag = lag.and_then(|lag| lag.checked_add_signed(-neighbour));
            lag.map_or(f32::NAN, |lag| bounded(recent.past.at(lag) * inverse))
        })
    })
}

#[inline(never)]
fn missing_share(days: &Days) -> Lanes {
    let mut share = [0.0; HORIZONS];
    for day in days {
        share = zip(&share, day, |share, value| share + if value.is_nan() { 1.0 / DAYS.len() as f32 } else { 0.0 });
    }
    share
}

/// Weighted means over the days that are known: of their values, and of their levels.
#[inline(never)]
fn weighted(days: &Days, weights: &[f32; DAYS.len()], levels: &[f32; DAYS.len()]) -> (Lanes, Lanes) {
    let [mut values, mut weight_sums, mut level_sums, mut level_weights] = [[0.0; HORIZONS]; 4];
    for ((day, weight), level) in days.iter().zip(weights).zip(levels) {
        let level_known = !level.is_nan();
        let sums = values.iter_mut().zip(&mut weight_sums).zip(level_sums.iter_mut().zip(&mut level_weights));
        for (value, ((sum, weight_sum), (level_sum, level_weight))) in day.iter().zip(sums) {
            let weight = if value.is_nan() { 0.0 } else { *weight };
            *sum += weight * known(*value, 0.0);
            *weight_sum += weight;
            let weight = if level_known { weight } else { 0.0 };
            *level_sum += weight * known(*level, 0.0);
            *level_weight += weight;
        }
    }
    // 0 / 0 is the NaN that says that no day is known.
    (
        zip(&values, &weight_sums, |sum, weight| sum / weight),
        zip(&level_sums, &level_weights, |sum, weight| sum / weight),
    )
}

/// Forecasts of past days moved towards the present level by a factor, the more the nearer.
#[inline(never)]
fn moved(values: &Lanes, levels: &Lanes, near: &Lanes, level: f32) -> Lanes {
    let mut moved = *values;
    for ((value, past), near) in moved.iter_mut().zip(levels).zip(near) {
        *value *= 1.0 + (level_ratio(level, *past) - 1.0) * near;
    }
    moved
}

/// A mean of three neighbours, the middle one counting twice; it stands for what is not known.
#[inline(never)]
fn blur(values: &mut Lanes, before: &Lanes, after: &Lanes) {
    for ((value, before), after) in values.iter_mut().zip(before).zip(after) {
        *value = 0.25 * known(*before, *value) + 0.5 * *value + 0.25 * known(*after, *value);
    }
}

/// The days' values, each with a number of its day.
#[inline(never)]
fn each_day(days: &Days, numbers: &[f32; DAYS.len()], map: impl Fn(f32, f32) -> f32) -> Days {
    let mut mapped = *days;
    for (day, number) in mapped.iter_mut().zip(numbers) {
        *day = day.map(|value| map(value, *number));
    }
    mapped
}

/// Median, least and greatest of the days that are known; NaN where none is.
#[inline(never)]
fn ranks(days: &Days) -> [Lanes; 3] {
    let mut sorted = days.map(|day| day.map(|value| known(value, f32::INFINITY)));
    sort(&mut sorted);
    let mut counts = [0.0; HORIZONS];
    for day in &sorted {
        counts = zip(&counts, day, |count, value| count + if value.is_finite() { 1.0 } else { 0.0 });
    }
    let mut ranks = [[f32::NAN; HORIZONS]; 3];
    for (rank, day) in sorted.iter().enumerate() {
        note_rank(rank as f32, day, &counts, &mut ranks);
    }
    ranks
}

/// Takes over what the values of a rank are, of so many that are known.
#[inline(never)]
fn note_rank(rank: f32, day: &Lanes, counts: &Lanes, ranks: &mut [Lanes; 3]) {
    let [median, least, greatest] = ranks;
    let places = median.iter_mut().zip(least.iter_mut().zip(greatest.iter_mut()));
    for ((value, count), (median, (least, greatest))) in day.iter().zip(counts).zip(places) {
        let middle = 0.5 * (count - 1.0);
        let is_known = rank < *count;
        *least = if rank == 0.0 && is_known { *value } else { *least };
        *greatest = if is_known { *value } else { *greatest };
        // An even number has two middles, half a rank below and above.
        *median = if rank == middle - 0.5 || rank == middle {
            *value
        } else if rank == middle + 0.5 && is_known {
            0.5 * (*median + *value)
        } else {
            *median
        };
    }
}

/// Sorts eight values at every horizon: Batcher's odd–even merge, nineteen comparisons.
fn sort(days: &mut Days) {
    let [a, b, c, d, e, f, g, h] = days;
    for (low, high) in [(&mut *a, &mut *b), (&mut *c, &mut *d), (&mut *e, &mut *f), (&mut *g, &mut *h)] {
        order(low, high);
    }
    for (low, high) in [(&mut *a, &mut *c), (&mut *b, &mut *d), (&mut *e, &mut *g), (&mut *f, &mut *h)] {
        order(low, high);
    }
    order(b, c);
    order(f, g);
    for (low, high) in [(&mut *a, &mut *e), (&mut *b, &mut *f), (&mut *c, &mut *g), (&mut *d, &mut *h)] {
        order(low, high);
    }
    order(c, e);
    order(d, f);
    order(b, c);
    order(d, e);
    order(f, g);
}

#[inline(never)]
fn order(low: &mut Lanes, high: &mut Lanes) {
    for (low, high) in low.iter_mut().zip(high) {
        let (less, more) = if *low <= *high { (*low, *high) } else { (*high, *low) };
        *low = less;
        *high = more;
    }
}

/// Weighted mean distance of the days that are known from a point; NaN where none is.
#[inline(never)]
fn deviation(days: &Days, points: &Lanes, weights: &[f32; DAYS.len()]) -> Lanes {
    let [mut sums, mut weight_sums] = [[0.0; HORIZONS]; 2];
    for (day, weight) in days.iter().zip(weights) {
        for ((value, point), (sum, weight_sum)) in day.iter().zip(points).zip(sums.iter_mut().zip(&mut weight_sums)) {
            let distance = (value - point).abs();
            *sum += if distance.is_nan() { 0.0 } else { weight * distance };
            *weight_sum += if distance.is_nan() { 0.0 } else { *weight };
        }
    }
    zip(&sums, &weight_sums, |sum, weight| sum / weight)
}

/// Sine and cosine of the times within a period.
#[inline(never)]
fn waves(times_s: &[f64; HORIZONS], period_s: f64) -> [Lanes; 2] {
    let waves = times_s.map(|time_s| cycle::sin_cos(cycle::phase(time_s, period_s)));
    [waves.map(|[sin, _]| sin), waves.map(|[_, cos]| cos)]
}

/// Writes the next column.
#[inline(never)]
fn put(columns: &mut IterMut<'_, Lanes>, lanes: &Lanes) {
    if let Some(column) = columns.next() {
        *column = *lanes;
    }
}

/// Values as a feature, seen from the base; at it where they are not known.
#[inline(never)]
fn from_base(values: &Lanes, base: &Lanes) -> Lanes {
    zip(values, base, |value, base| compressed(known(value, base) - base))
}

#[inline(never)]
fn plain(values: &Lanes) -> Lanes {
    values.map(compressed)
}

/// The first values, and others where they are not known.
#[inline(never)]
fn or(first: &Lanes, otherwise: &Lanes) -> Lanes {
    zip(first, otherwise, known)
}

#[inline(always)]
fn zip(left: &Lanes, right: &Lanes, map: impl Fn(f32, f32) -> f32) -> Lanes {
    let mut out = *left;
    for (left, right) in out.iter_mut().zip(right) {
        *left = map(*left, *right);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn ranks_are_those_of_the_known_days() {
        let mut rng = 1u32;
        let mut next = || {
            rng = rng.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (rng >> 16) % 10
        };
        for _ in 0..200 {
            let mut days = [[0.0; HORIZONS]; DAYS.len()];
            for value in days.as_flattened_mut() {
                *value = if next() < 3 { f32::NAN } else { next() as f32 };
            }
            let [median, least, greatest] = ranks(&days);
            for horizon in 0..HORIZONS {
                let mut known: Vec<f32> = days.iter().map(|day| day[horizon]).filter(|v| !v.is_nan()).collect();
                known.sort_unstable_by(f32::total_cmp);
                let Some(last) = known.len().checked_sub(1) else {
                    assert!(median[horizon].is_nan() && least[horizon].is_nan() && greatest[horizon].is_nan());
                    continue;
                };
                assert_eq!(median[horizon], f32::midpoint(known[last / 2], known[last.div_ceil(2)]), "{known:?}");
                assert_eq!((least[horizon], greatest[horizon]), (known[0], known[last]));
            }
        }
    }
}
