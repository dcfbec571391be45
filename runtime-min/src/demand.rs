//! Demand of a service, foreseen and in replica-equivalents: what a proxy tells scalers.
//!
//! ```text
//! arrivals ─► rate of each step ─► History ─► Forecaster ─► quantiles ──┐
//!     ├─────► Trend, carried on to the lead time ───────────────────────┤
//!     └─────► rate of the present ──────────────────────────────────────┴─► max · headroom / capacity
//! ```
//!
//! Each proxy publishes its own share, and shares add up; "desired replicas" would not.
//! All workers of a proxy count arrivals into one [`Demand`] in shared memory; one of them
//! ticks it, every second or so.

mod ahead;
mod scale;
mod trend;

pub use ahead::{at_quantile, most_within};
pub use scale::{SCALE_BYTES, ScaleModel};
pub use trend::{TREND_S, Trend};

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::clock::elapsed_s;
use crate::forecast::{Forecaster, HORIZONS, History, QUANTILE_COUNT, Quantiles};
use crate::math;
use crate::slot::AtomicF32;

/// Time constant of the present rate, in seconds: as often as scalers look (KEDA's default).
const PRESENT_S: f32 = 30.0;

/// Steps that passed without a tick are noted as missing, up to this many: a proxy that
/// slept longer starts anew.
const MISSED_STEPS_MAX: u64 = 1 << 16;

/// Counters and the last forecast. All zeros is a demand that nothing is known of.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Demand {
    /// Requests since the start; every worker adds to it.
    arrivals: AtomicU64,
    /// The rest is written by whoever ticks, and read by all.
    ticked_arrivals: AtomicU64,
    ticked_us: AtomicU64,
    /// Number of the step under way, counted from the Unix epoch, plus 1; 0 before the first.
    step: AtomicU64,
    step_arrivals: AtomicU64,
    /// Whether the step under way was seen from its beginning.
    step_is_whole: AtomicU64,
    present_per_s: AtomicF32,
    /// A [`Trend`]: mean of the rates, mean of that, seconds seen.
    trend: [AtomicF32; 3],
    /// Unix time of the last tick, in milliseconds; 0 before the first.
    epoch_ms: AtomicU64,
    /// How much of the step under way was over at the last tick, in seconds.
    elapsed_s: AtomicF32,
    history_days: AtomicF32,
    forecasts: AtomicU64,
    quantiles_per_s: [[AtomicF32; QUANTILE_COUNT]; HORIZONS],
}

/// What is known of the demand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DemandReading {
    /// Requests a second, over about the last half minute.
    pub present_per_s: f32,
    /// The most that is foreseen within the lead time, in requests a second, at the
    /// quantile asked for; NaN where there is no forecast.
    pub forecast_per_s: f32,
    /// By how much the present rate changes, in requests a second every second.
    pub slope_per_s2: f32,
    /// Replica-equivalents, by [`ScaleModel::replicas`].
    pub replicas: f32,
    /// Days of history that the forecast rests on; under 1, it is a guess from the present
    /// level. NaN where there is no forecast.
    pub history_days: f32,
}

impl Demand {
    /// Counts a request; not to be called again for its retries.
    pub fn arrived(&self) {
        self.arrivals.fetch_add(1, Relaxed);
    }

    /// Takes note of the time: to be called about once a second, by one worker at a time.
    ///
    /// `now_us` is monotonic, `epoch_s` the Unix time. When a step of the forecaster has
    /// ended, its rate goes to `history`, and a new forecast is made; `scratch` is as
    /// [`Forecaster::forecast`] wants it. Returns whether there is a new forecast.
    pub fn tick(
        &self,
        forecaster: Option<&Forecaster<'_>>,
        history: &mut History<'_>,
        now_us: u64,
        epoch_s: f64,
        scratch: &mut [f32],
    ) -> bool {
        let monotonic_s = self.tick_present(now_us);
        let Some(forecaster) = forecaster else { return false };
        let step_s = f64::from(forecaster.calibration().step_s);
        // Without a remainder, for which the C library would need that of floating point.
        let begin_s = (epoch_s / step_s) as u64 as f64 * step_s;
        self.elapsed_s.store((epoch_s - begin_s).clamp(0.0, step_s.max(0.0)) as f32);
        if self.clock_was_set(monotonic_s, epoch_s) {
            self.start_step(step_s, epoch_s);
        }
        if !self.tick_step(history, step_s, epoch_s) {
            return false;
        }
        let mut quantiles: Quantiles = [[0.0; QUANTILE_COUNT]; HORIZONS];
        // The newest value is that of the step which began before the one under way.
        let newest_s = (self.step.load(Relaxed) as f64 - 2.0) * step_s;
        let Some(evidence) = forecaster.forecast(history, newest_s, scratch, &mut quantiles) else {
            return false;
        };
        for (places, values) in self.quantiles_per_s.iter().zip(&quantiles) {
            for (place, value) in places.iter().zip(values) {
                place.store(*value);
            }
        }
        self.history_days.store(evidence.history_days);
        self.forecasts.fetch_add(1, Relaxed);
        true
    }

    /// Notes the Unix time. Returns whether its clock was set since the last tick: it went back by
    /// more than a minute, or ahead by more than a day that did not pass. (Less may be a machine
    /// that was suspended, of which the requests are missing.)
    fn clock_was_set(&self, monotonic_s: f32, epoch_s: f64) -> bool {
        const BACK_MAX_S: f64 = 60.0;
        const AHEAD_MAX_S: f64 = 86_400.0;
        if !(0.0..1e15).contains(&epoch_s) {
            return false;
        }
        let before_ms = self.epoch_ms.swap((epoch_s * 1e3) as u64, Relaxed);
        let jump_s = epoch_s - before_ms as f64 * 1e-3 - f64::from(monotonic_s);
        before_ms != 0 && !(-BACK_MAX_S..=AHEAD_MAX_S).contains(&jump_s)
    }

    /// Starts counting steps anew, after the clock was set: what was seen before stays the past
    /// of the present, whatever the clock says.
    fn start_step(&self, step_s: f64, epoch_s: f64) {
        let step = if step_s > 0.0 { (epoch_s / step_s) as u64 + 1 } else { 0 };
        self.step.store(step, Relaxed);
        self.step_is_whole.store(0, Relaxed);
        self.step_arrivals.store(self.arrivals.load(Relaxed), Relaxed);
    }

    /// Forgets the step under way and the last forecast: the steps are others from now on.
    pub fn restart(&self) {
        for count in [&self.step, &self.step_is_whole, &self.forecasts] {
            count.store(0, Relaxed);
        }
    }

    /// The last forecast: days of history that it rests on, and quantiles at each horizon in
    /// requests a second. `None` before the first.
    pub fn forecast(&self) -> Option<(f32, Quantiles)> {
        let quantiles = self.quantiles_per_s.each_ref().map(|row| row.each_ref().map(AtomicF32::load));
        (self.forecasts.load(Relaxed) > 0).then(|| (self.history_days.load(), quantiles))
    }

    /// Follows the present rate. Returns the seconds since the last tick.
    fn tick_present(&self, now_us: u64) -> f32 {
        let arrivals = self.arrivals.load(Relaxed);
        let before_us = self.ticked_us.swap(now_us.max(1), Relaxed);
        let before = self.ticked_arrivals.swap(arrivals, Relaxed);
        let elapsed_s = elapsed_s(before_us, now_us);
        if before_us == 0 || elapsed_s <= 0.0 {
            return 0.0;
        }
        let rate_per_s = arrivals.saturating_sub(before) as f32 / elapsed_s;
        let keep = math::exp(-elapsed_s / PRESENT_S);
        self.present_per_s.update(|old| old * keep + rate_per_s * (1.0 - keep));
        let mut trend = self.trend();
        trend.update(rate_per_s, elapsed_s);
        for (place, value) in self.trend.iter().zip([trend.once, trend.twice, trend.seen_s]) {
            place.store(value);
        }
        elapsed_s
    }

    /// Closes the steps that have ended; whether there was one.
    fn tick_step(&self, history: &mut History<'_>, step_s: f64, epoch_s: f64) -> bool {
        let in_range = (0.0..1e15).contains(&epoch_s) && step_s > 0.0;
        let step = if in_range { (epoch_s / step_s) as u64 + 1 } else { 0 };
        let before = self.step.load(Relaxed);
        // A clock that was set back: wait until it is where it was.
        if step <= before && before - step < MISSED_STEPS_MAX {
            return false;
        }
        self.step.store(step, Relaxed);
        let arrivals = self.arrivals.load(Relaxed);
        let in_step = arrivals.saturating_sub(self.step_arrivals.swap(arrivals, Relaxed));
        let was_whole = self.step_is_whole.swap(u64::from(before != 0), Relaxed) != 0;
        let ended = step.saturating_sub(before);
        if before == 0 || ended >= MISSED_STEPS_MAX {
            return false;
        }
        // Where ticks were missed, nobody knows which of the steps the requests came in.
        let is_known = was_whole && ended == 1;
        history.push(if is_known { (in_step as f64 / step_s) as f32 } else { f32::NAN });
        for _ in 1..ended {
            history.push(f32::NAN);
        }
        true
    }

    fn trend(&self) -> Trend {
        let [once, twice, seen_s] = self.trend.each_ref().map(AtomicF32::load);
        Trend { once, twice, seen_s }
    }

    /// What is known now. While a tick is under way, some quantiles may be the new ones
    /// and others still the old.
    pub fn read(&self, forecaster: Option<&Forecaster<'_>>, scale: &ScaleModel) -> DemandReading {
        let present_per_s = self.present_per_s.load();
        let trend = self.trend();
        let has_forecast = self.forecasts.load(Relaxed) > 0;
        let forecaster = forecaster.filter(|_| has_forecast);
        let forecast_per_s = forecaster.map_or(f32::NAN, |forecaster| self.foreseen_per_s(forecaster, scale));
        DemandReading {
            present_per_s,
            forecast_per_s,
            slope_per_s2: trend.slope_per_s2(),
            replicas: scale.replicas(present_per_s, &trend, forecast_per_s),
            history_days: forecaster.map_or(f32::NAN, |_| self.history_days.load()),
        }
    }

    /// The most that is foreseen from now until a replica asked for now would serve.
    fn foreseen_per_s(&self, forecaster: &Forecaster<'_>, scale: &ScaleModel) -> f32 {
        let calibration = forecaster.calibration();
        let values = self.quantiles_per_s.each_ref().map(|row| {
            let row = row.each_ref().map(AtomicF32::load);
            at_quantile(&row, scale.quantile)
        });
        most_within(&calibration.horizons, &values, calibration.step_s, self.elapsed_s.load(), scale.lead_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const STEP_S: f64 = 60.0;

    fn pushed(history: &History<'_>) -> Vec<f32> {
        let past = history.past();
        (0..past.len()).rev().map(|lag| past.at(lag)).collect()
    }

    fn arrive(demand: &Demand, requests: usize) {
        for _ in 0..requests {
            demand.arrived();
        }
    }

    #[test]
    fn the_present_rate_follows_the_arrivals() {
        let demand = Demand::default();
        for second in 1..=300 {
            arrive(&demand, 20);
            demand.tick_present(second * 1_000_000);
        }
        assert!((demand.present_per_s.load() - 20.0).abs() < 0.2);
    }

    #[test]
    fn a_step_that_was_not_seen_whole_is_missing() {
        let mut memory = [0.0; 32];
        let mut history = History::new(&mut memory);
        let demand = Demand::default();
        // The first step began before anybody looked.
        for (epoch_s, requests) in [(1030.0, 7), (1080.0, 60), (1141.0, 120), (1200.0, 5), (1381.0, 3), (1440.0, 0)] {
            demand.tick_step(&mut history, STEP_S, epoch_s);
            arrive(&demand, requests);
        }
        let found = pushed(&history);
        let expected = [f32::NAN, 1.0, 2.0, f32::NAN, f32::NAN, f32::NAN, 0.05];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found == &expected || (found.is_nan() && expected.is_nan()), "{found} is not {expected}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_loses_nothing_and_repeats_nothing() {
        let mut memory = [0.0; 8];
        let mut history = History::new(&mut memory);
        let demand = Demand::default();
        for epoch_s in [1000.0, 1030.0, 1090.0, 970.0, 1091.0, f64::NAN, -5.0, 1150.0] {
            demand.tick_step(&mut history, STEP_S, epoch_s);
        }
        assert_eq!(history.pushed(), 3);
    }

    #[test]
    fn a_clock_that_was_set_ahead_and_put_right_heals_within_a_step() {
        let mut memory = [0.0; 64];
        let mut history = History::new(&mut memory);
        let demand = Demand::default();
        let (mut now_us, mut seen) = (1_000_000, Vec::new());
        // Ten minutes, ten minutes thirty days ahead, ten minutes put right.
        for (minute, ahead_s) in (0..30).zip([0.0, 2_592_000.0, 0.0].iter().flat_map(|ahead_s| [*ahead_s; 10])) {
            arrive(&demand, 120);
            now_us += 60_000_000;
            let epoch_s = 1e9 + 60.0 * f64::from(minute) + ahead_s;
            let elapsed_s = demand.tick_present(now_us);
            if demand.clock_was_set(elapsed_s, epoch_s) {
                demand.start_step(STEP_S, epoch_s);
            }
            demand.tick_step(&mut history, STEP_S, epoch_s);
            seen.push(history.pushed());
        }
        assert!(seen[29] >= 24, "a step or two are lost at each change: {seen:?}");
        let known: Vec<f32> = pushed(&history).into_iter().filter(|rate| !rate.is_nan()).collect();
        assert!(known.len() >= 24 && known.iter().all(|rate| *rate == 2.0), "{known:?}");
    }

    #[test]
    fn a_rise_is_carried_on_until_a_replica_would_serve() {
        let demand = Demand::default();
        // Two requests a second more every minute, for half an hour: to 60 a second.
        for second in 1..=1800 {
            arrive(&demand, second / 30);
            demand.tick_present(second as u64 * 1_000_000);
        }
        let scale =
            |trend| ScaleModel { replica_requests_per_s: 1.0, lead_s: 300.0, quantile: 0.9, headroom: 1.0, trend };
        let [still, half, whole] = [0.0, 0.5, 1.0].map(|trend| demand.read(None, &scale(trend)).replicas);
        assert!((still - 60.0).abs() < 1.5, "{still}");
        // Ten more within the lead, less what may be chance.
        assert!((whole - 70.0).abs() < 3.0, "{whole}");
        assert!((half - 0.5 * (still + whole)).abs() < 0.1, "{half}");
        assert!((demand.read(None, &scale(0.0)).slope_per_s2 - 1.0 / 30.0).abs() < 2e-3);
    }

    #[test]
    fn without_a_forecast_the_present_is_the_demand() {
        let demand = Demand::default();
        for second in 1..=600 {
            arrive(&demand, 10);
            demand.tick_present(second * 1_000_000);
        }
        let scale = ScaleModel { replica_requests_per_s: 4.0, lead_s: 60.0, quantile: 0.9, headroom: 1.2, trend: 0.0 };
        let reading = demand.read(None, &scale);
        assert!((reading.replicas - 3.0).abs() < 0.05, "{reading:?}");
        assert!(reading.forecast_per_s.is_nan());
    }
}
