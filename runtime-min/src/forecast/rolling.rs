//! Rolling calibration: what a service's own recent forecasts say about the next.
//!
//! ```text
//! forecast ─► quantiles moved to where recent residuals lie ─┐
//! yesterday's value, with quantiles of its own residuals ────┴─► mean by recent loss ─► levels corrected ─► served
//!      ▲                                                                                      │
//!      └────────────── settled as the actual values arrive ◄── kept until due ◄───────────────┘
//! ```
//!
//! Three corrections, each from forecasts whose actual value is known by now:
//!
//! - Quantiles of the scaled residuals, one for each horizon and quantile, tracked online by
//!   gradient steps on the quantile loss (Gibbs and Candès, NeurIPS 2021; Angelopoulos,
//!   Candès and Tibshirani, NeurIPS 2023).
//! - A second forecast, the value a day before with its own tracked quantiles, joins in the
//!   more, the less it has lost recently at the horizon: where a day repeats the one before
//!   no network is needed, and where the network is lost it is not followed.
//! - The share of actual values under each served quantile, over the last day and all
//!   horizons, is compared with what was promised; the outer levels that are asked for move
//!   against the difference.
//!
//! A forecast for `h` steps ahead is kept at every `⌈h / 16⌉`-th step, so that memory is
//! fixed whatever the step: forecasts of neighbouring steps err alike anyway.

use super::day::steps_per_day;
use super::frame::Frame;
use super::{Calibration, HORIZONS, Lanes, QUANTILE_COUNT, QUANTILES, Quantiles};

/// Forecasts of each horizon that wait for their actual value.
const SLOTS: usize = 16;

/// Share of a residual's scale by which its tracked quantiles move at each miss.
const RATE: f32 = 0.03;

/// Tracked quantiles of the network's residuals stay within this many half-widths.
const OFFSET_MAX: f32 = 4.0;

/// Half of the distance from the first to the last quantile is at least this, scaled.
const HALF_WIDTH_MIN: f32 = 0.01;

/// Days over which losses are averaged, and shares of covered values.
const LOSS_DAYS: f32 = 1.0;
const COVERAGE_DAYS: f32 = 1.0;

/// How far a level moves for each unit of uncovered share: the outer quantiles are
/// promises, the inner ones only describe.
const GAINS: [f32; QUANTILE_COUNT] = [12.0, 3.0, 1.0, 0.5, 0.5, 0.5, 1.0, 3.0, 12.0];

/// A level moves at most this far, so that no inner quantile passes its neighbour's place;
/// the outer ones have room on their far side.
const LEVEL_SHIFT_MAX: f32 = 0.085;
const OUTER_LEVEL_SHIFT_MAX: f32 = 0.25;

/// Beyond the outer quantiles distances grow by this, as the tails of a bell do.
const TAIL: f32 = 1.5;

/// Quantiles of a normal distribution in mean absolute errors, before any is known.
const NORMAL: [f32; QUANTILE_COUNT] = [-1.28, -0.84, -0.52, -0.24, 0.0, 0.24, 0.52, 0.84, 1.28];

/// State of the rolling calibration of one service, in memory of the caller. Plain numbers:
/// it may lie in shared memory, and whatever it holds, forecasts stay finite and in order.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Rolling {
    /// What the state is about; another model's horizons start it anew.
    horizons: [u32; HORIZONS],
    day: u32,
    reserved: u32,
    /// Weight of all that was settled, in values.
    settled: f32,
    /// Promised less actual share under each served quantile, averaged.
    uncovered: [f32; QUANTILE_COUNT],
    /// Number settled at each horizon.
    counts: Lanes,
    /// Mean quantile loss of the forecast and of yesterday's value, scaled units.
    losses: [Lanes; 2],
    /// Mean absolute error of yesterday's value, scaled units.
    naive_errors: Lanes,
    /// Added to the forecast, in half-widths.
    offsets: Quantiles,
    /// Added to yesterday's value, in its mean absolute errors.
    naive_quantiles: Quantiles,
    pending: [[Pending; SLOTS]; HORIZONS],
}

/// A forecast that waits, in scaled units.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Pending {
    /// Number of values pushed when its actual value has come, as far as it fits; 0 for none.
    due: u32,
    scale: f32,
    naive: f32,
    forecast: [f32; QUANTILE_COUNT],
    served: [f32; QUANTILE_COUNT],
}

impl Default for Rolling {
    fn default() -> Self {
        Self::new()
    }
}

impl Rolling {
    /// A state that knows nothing yet: forecasts are served as they are.
    #[expect(clippy::large_stack_arrays, reason = "callers place it in memory of their own")]
    pub const fn new() -> Self {
        const NONE: Pending =
            Pending { due: 0, scale: 1.0, naive: 0.0, forecast: [0.0; QUANTILE_COUNT], served: [0.0; QUANTILE_COUNT] };
        Self {
            horizons: [0; HORIZONS],
            day: 0,
            reserved: 0,
            settled: 0.0,
            uncovered: [0.0; QUANTILE_COUNT],
            counts: [0.0; HORIZONS],
            losses: [[0.0; HORIZONS]; 2],
            naive_errors: [0.1; HORIZONS],
            offsets: [[0.0; QUANTILE_COUNT]; HORIZONS],
            naive_quantiles: [NORMAL; HORIZONS],
            pending: [[NONE; SLOTS]; HORIZONS],
        }
    }

    /// Share of the actual values under each served quantile less the quantile, over about
    /// the last day; 0 as long as nothing has been settled.
    pub fn excess_coverage(&self) -> [f32; QUANTILE_COUNT] {
        self.uncovered.map(|uncovered| -uncovered)
    }

    /// Takes note of a value. `pushed` is the number of values that the history has seen,
    /// this one included; a value that is not known settles nothing.
    pub fn settle(&mut self, pushed: u64, actual: f32) {
        if self.day == 0 || !actual.is_finite() {
            return;
        }
        let Self {
            horizons,
            day,
            settled,
            uncovered,
            counts,
            losses,
            naive_errors,
            offsets,
            naive_quantiles,
            pending,
            ..
        } = self;
        let day = *day as f32;
        let [losses, naive_losses] = losses;
        let rows = horizons.iter().zip(pending.iter()).zip(counts).zip(losses.iter_mut().zip(naive_losses));
        let tracked = offsets.iter_mut().zip(naive_quantiles).zip(naive_errors);
        let (mut missed, mut weights) = ([0.0; QUANTILE_COUNT], 0.0);
        for ((((horizon, slots), count), (loss, naive_loss)), ((offsets, naive_quantiles), naive_error)) in
            rows.zip(tracked)
        {
            let Some(forecast) = due(slots, *horizon, pushed) else { continue };
            let every = every(*horizon) as f32;
            let actual = actual / forecast.scale;
            let moved = add(&forecast.forecast, offsets, half_width(&forecast.forecast));
            let naive = add(&[forecast.naive; QUANTILE_COUNT], naive_quantiles, *naive_error);

            let rate = (every / (LOSS_DAYS * day)).max(1.0 / (*count + 1.0)).min(1.0);
            *loss += rate * (quantile_loss(&moved, actual) - *loss);
            *naive_loss += rate * (quantile_loss(&naive, actual) - *naive_loss);
            track(offsets, &moved, actual);
            for offset in offsets.iter_mut() {
                *offset = offset.clamp(-OFFSET_MAX, OFFSET_MAX);
            }
            track(naive_quantiles, &naive, actual);
            let rate = (1.0 / (*count + 3.0)).max(0.02);
            *naive_error += rate * ((actual - forecast.naive).abs() - *naive_error);
            *count += 1.0;

            weights += every;
            for ((missed, served), probability) in missed.iter_mut().zip(&forecast.served).zip(QUANTILES) {
                *missed += every * (probability - if actual <= *served { 1.0 } else { 0.0 });
            }
        }
        if weights > 0.0 {
            *settled += weights;
            let all = HORIZONS as f32 * day;
            let rate = (weights / (COVERAGE_DAYS * all)).max(weights / (*settled + 0.25 * all)).min(1.0);
            for (uncovered, missed) in uncovered.iter_mut().zip(missed) {
                *uncovered += rate * (missed / weights - *uncovered);
            }
        }
    }

    /// Corrects a forecast (in the unit of the history), and keeps it until it can be
    /// settled. `pushed` is the number of values that the history has seen.
    pub fn serve(&mut self, pushed: u64, calibration: &Calibration, frame: &Frame, quantiles: &mut Quantiles) {
        let day = steps_per_day(calibration.step_s) as u32;
        if self.horizons != calibration.horizons || self.day != day {
            *self = Self { horizons: calibration.horizons, day, ..Self::new() };
        }
        let weights = self.naive_weights();
        let rows = quantiles.iter_mut().zip(&frame.bases).zip(weights);
        let tracked = self.offsets.iter().zip(&self.naive_quantiles).zip(&self.naive_errors);
        let places = self.pending.iter_mut().zip(self.horizons);
        for ((((row, bases), naive_weight), ((offsets, naive_quantiles), naive_error)), (slots, horizon)) in
            rows.zip(tracked).zip(places)
        {
            let forecast = row.map(|value| value / frame.scale);
            let mut moved = add(&forecast, offsets, half_width(&forecast));
            moved.sort_unstable_by(f32::total_cmp);
            let mut naive = add(&[bases.seasonal_naive; QUANTILE_COUNT], naive_quantiles, *naive_error);
            naive.sort_unstable_by(f32::total_cmp);
            for (value, naive) in moved.iter_mut().zip(naive) {
                *value += naive_weight * (naive - *value);
            }
            *row = at_levels(&moved, &self.uncovered).map(|value| bounded(value * frame.scale));
            row.sort_unstable_by(f32::total_cmp);
            let served = row.map(|value| value / frame.scale);
            if let Some(slot) = slot(slots, horizon, pushed) {
                let due = (pushed as u32).wrapping_add(horizon).max(1);
                *slot = Pending { due, scale: frame.scale, naive: bases.seasonal_naive, forecast, served };
            }
        }
    }

    /// How much yesterday's value counts at each horizon: by the sixth power of the losses,
    /// over neighbouring horizons. Nothing before a quarter of a day has been settled.
    fn naive_weights(&self) -> Lanes {
        let mut weights = [0.0; HORIZONS];
        if self.settled < 0.25 * HORIZONS as f32 * self.day as f32 {
            return weights;
        }
        let [own, naive] = self.losses.map(|losses| with_neighbours(&losses));
        for (weight, (own, naive)) in weights.iter_mut().zip(own.into_iter().zip(naive)) {
            let ratio = (own.max(1e-9) / naive.max(1e-9)).clamp(0.01, 100.0);
            let power = ratio * ratio * ratio * ratio * ratio * ratio;
            *weight = power / (1.0 + power);
        }
        weights
    }
}

/// How many steps apart the forecasts lie that are kept for a horizon.
fn every(horizon: u32) -> u32 {
    horizon.div_ceil(SLOTS as u32).max(1)
}

/// Where a forecast made now is kept, if it is to be.
fn slot(slots: &mut [Pending; SLOTS], horizon: u32, pushed: u64) -> Option<&mut Pending> {
    let every = u64::from(every(horizon));
    let index = (pushed / every) % SLOTS as u64;
    if pushed.is_multiple_of(every) { slots.get_mut(index as usize) } else { None }
}

/// The forecast whose actual value has just come, if it was kept.
fn due(slots: &[Pending; SLOTS], horizon: u32, pushed: u64) -> Option<&Pending> {
    let made = pushed.checked_sub(u64::from(horizon))?;
    let every = u64::from(every(horizon));
    let kept = slots.get(((made / every) % SLOTS as u64) as usize)?;
    let is_due = made % every == 0 && kept.due == (pushed as u32).max(1) && kept.scale > 0.0;
    is_due.then_some(kept)
}

fn half_width(quantiles: &[f32; QUANTILE_COUNT]) -> f32 {
    let [first, .., last] = quantiles;
    (0.5 * (last - first)).max(HALF_WIDTH_MIN)
}

fn add(values: &[f32; QUANTILE_COUNT], offsets: &[f32; QUANTILE_COUNT], unit: f32) -> [f32; QUANTILE_COUNT] {
    let mut sums = *values;
    for (sum, offset) in sums.iter_mut().zip(offsets) {
        *sum += offset * unit;
    }
    sums
}

/// Moves tracked quantiles by the gradient of the quantile loss.
fn track(tracked: &mut [f32; QUANTILE_COUNT], quantiles: &[f32; QUANTILE_COUNT], actual: f32) {
    for ((tracked, quantile), probability) in tracked.iter_mut().zip(quantiles).zip(QUANTILES) {
        *tracked += RATE * (probability - if actual <= *quantile { 1.0 } else { 0.0 });
    }
}

fn quantile_loss(quantiles: &[f32; QUANTILE_COUNT], actual: f32) -> f32 {
    let losses = quantiles.iter().zip(QUANTILES).map(|(quantile, probability)| {
        let error = actual - quantile;
        (probability * error).max((probability - 1.0) * error)
    });
    losses.sum::<f32>() * 2.0 / QUANTILE_COUNT as f32
}

/// Mean with the horizons before and after.
fn with_neighbours(values: &Lanes) -> Lanes {
    let mut means = *values;
    let before = values.iter().take(1).chain(values);
    let after = values.iter().skip(1).chain(values.last());
    for (mean, (before, after)) in means.iter_mut().zip(before.zip(after)) {
        *mean = (before + *mean + after) / 3.0;
    }
    means
}

/// The quantiles at levels moved by what is uncovered, between and beyond those known.
fn at_levels(quantiles: &[f32; QUANTILE_COUNT], uncovered: &[f32; QUANTILE_COUNT]) -> [f32; QUANTILE_COUNT] {
    // Levels are a tenth apart.
    const LEVELS_PER_UNIT: f32 = (QUANTILE_COUNT + 1) as f32;
    let mut moved = *quantiles;
    for (index, ((value, uncovered), gain)) in moved.iter_mut().zip(uncovered).zip(GAINS).enumerate() {
        let outwards = if index == 0 { -*uncovered } else { *uncovered };
        let is_outer = index == 0 || index + 1 == QUANTILE_COUNT;
        let limit = if is_outer && outwards > 0.0 { OUTER_LEVEL_SHIFT_MAX } else { LEVEL_SHIFT_MAX };
        let shift = (gain * uncovered).clamp(-limit, limit) * LEVELS_PER_UNIT;
        let [below, at, above] = [index.checked_sub(1), Some(index), Some(index + 1)]
            .map(|index| index.and_then(|index| quantiles.get(index)).copied());
        let at = at.unwrap_or(*value);
        let (downwards, upwards) = (below.map(|below| at - below), above.map(|above| above - at));
        let step = if shift < 0.0 {
            downwards.or(upwards.map(|distance| TAIL * distance))
        } else {
            upwards.or(downwards.map(|distance| TAIL * distance))
        };
        *value += shift * step.unwrap_or(0.0);
    }
    moved
}

/// A demand: not negative, finite.
fn bounded(value: f32) -> f32 {
    // Also takes NaN to 0.
    if value > 0.0 { value.min(f32::MAX) } else { 0.0 }
}
