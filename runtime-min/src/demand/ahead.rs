//! The forecast between its points: quantiles in between, times in between.

use crate::forecast::{HORIZONS, QUANTILE_COUNT};

/// The value at a quantile from 0.1 to 0.9, between those that are foreseen.
pub fn at_quantile(row: &[f32; QUANTILE_COUNT], quantile: f32) -> f32 {
    let place = (quantile * (QUANTILE_COUNT + 1) as f32 - 1.0).clamp(0.0, (QUANTILE_COUNT - 1) as f32);
    let left = place as usize;
    let [below, above] = [left, left + 1].map(|index| row.get(index).or(row.last()).copied().unwrap_or(0.0));
    below + (place - left as f32) * (above - below)
}

/// The most that demand reaches from now until `lead_s` from now, by a forecast of each horizon's
/// mean: values are those of the middles of their steps, with straight lines in between. `elapsed_s`
/// is how much of the step under way, the one of horizon 1, is over.
pub fn most_within(
    horizons: &[u32; HORIZONS],
    values: &[f32; HORIZONS],
    step_s: f32,
    elapsed_s: f32,
    lead_s: f32,
) -> f32 {
    let mut most = 0.0f32;
    let mut before: Option<(f32, f32)> = None;
    for (horizon, value) in horizons.iter().zip(values) {
        let middle_s = (*horizon as f32 - 0.5) * step_s - elapsed_s;
        let (before_s, before_value) = before.unwrap_or((middle_s - step_s, *value));
        let line = |at_s: f32| {
            let share = ((at_s - before_s) / (middle_s - before_s)).clamp(0.0, 1.0);
            before_value + share * (value - before_value)
        };
        // The part of the line from the point before to this one that lies within the lead.
        if middle_s >= 0.0 {
            most = most.max(line(before_s.max(0.0))).max(line(middle_s.min(lead_s)));
        }
        before = Some((middle_s, *value));
        if middle_s >= lead_s {
            return most;
        }
    }
    // Beyond the last horizon its value holds.
    before.map_or(most, |(_, value)| most.max(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_in_between_are_interpolated() {
        let row = core::array::from_fn(|index| (10 * (index + 1)) as f32);
        for (quantile, value) in [(0.1, 10.0), (0.55, 55.0), (0.9, 90.0), (0.99, 90.0), (0.0, 10.0)] {
            assert!((at_quantile(&row, quantile) - value).abs() < 1e-4, "{quantile}");
        }
    }

    /// The line through the middles at a time.
    fn at(horizons: &[u32; HORIZONS], values: &[f32; HORIZONS], step_s: f32, elapsed_s: f32, at_s: f32) -> f32 {
        let place = (at_s + elapsed_s) / step_s + 0.5;
        let right = horizons.iter().position(|horizon| *horizon as f32 >= place);
        match right {
            Some(0) => values[0],
            Some(right) => {
                let [from, to] = [right - 1, right].map(|index| horizons[index] as f32);
                values[right - 1] + (place - from) / (to - from) * (values[right] - values[right - 1])
            }
            None => values[HORIZONS - 1],
        }
    }

    #[test]
    fn the_most_within_the_lead_is_that_of_a_close_look_at_the_line() {
        let horizons = core::array::from_fn(|index| [1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 48, 64, 80, 96, 144][index]);
        let mut seed = 1u32;
        for trial in 0..500 {
            let mut draw = |most: f32| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                most * (seed >> 8) as f32 / 16_777_216.0
            };
            let values = core::array::from_fn(|_| draw(100.0));
            let (elapsed_s, lead_s) = (draw(600.0), draw(if trial % 2 == 0 { 2000.0 } else { 100_000.0 }));
            let most = most_within(&horizons, &values, 600.0, elapsed_s, lead_s);
            let look = |index: usize| at(&horizons, &values, 600.0, elapsed_s, lead_s * index as f32 / 20_000.0);
            let looked = (0..=20_000).map(look).fold(0.0, f32::max);
            assert!((most - looked).abs() < 0.5, "{most} is not {looked}: {elapsed_s} s over, {lead_s} s ahead");
        }
    }
}
