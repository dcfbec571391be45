//! Evenkeel's: what a proxy publishes with its artifact, and a scaler that follows it.
//!
//! Demand is the most of the present one, of where its rise leads within the cold start as
//! measured, and of the forecast's quantile until then, with headroom: the runtime's own code. The
//! scaler goes up at once and without a dead band, so that 88 replicas do become 89; down by the
//! most of a window, and never within one cold start of having gone up; in a panic, nothing is taken
//! away. Never below what the present demand needs.

use evenkeel_runtime::demand::{ScaleModel, Trend};

use super::window::Window;
use super::{Scaler, Seen};
use crate::policies::Parameter;
use crate::scale::TICK_S;

/// What it can be tuned by.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "quantile", default: 0.8, min: 0.1, max: 0.9 },
    Parameter { name: "headroom", default: 1.1, min: 1.0, max: 1.6 },
    Parameter { name: "trend", default: 0.5, min: 0.0, max: 2.0 },
    Parameter { name: "lead_factor", default: 1.2, min: 1.0, max: 3.0 },
    Parameter { name: "down_window_s", default: 300.0, min: 0.0, max: 1800.0 },
];

/// What was counted in so many seconds is the present rate.
const PRESENT_WINDOW_S: f64 = 60.0;
/// Less demand than this share of a replica is none.
const NO_DEMAND: f32 = 0.01;
/// A fleet of many is made smaller by more than this share of it, or not yet.
const DOWN_TOLERANCE: f64 = 0.03;
/// With so many times the demand that the ready replicas carry, nothing is taken away for a while.
const PANIC_THRESHOLD: f64 = 1.5;

/// The autoscaler.
#[derive(Clone, Debug)]
pub struct Foresighted {
    quantile: f64,
    headroom: f64,
    share_of_trend: f64,
    lead_factor: f64,
    down_window_s: f64,
    trend: Trend,
    went_up_s: f64,
    panics_until_s: f64,
    window: Window,
}

impl Foresighted {
    pub(super) fn new(parameters: &[f64]) -> Self {
        let [quantile, headroom, share_of_trend, lead_factor, down_window_s] = parameters[..] else {
            unreachable!("the registry counts them")
        };
        Self {
            quantile,
            headroom,
            share_of_trend,
            lead_factor,
            down_window_s,
            trend: Trend::default(),
            went_up_s: f64::NEG_INFINITY,
            panics_until_s: f64::NEG_INFINITY,
            window: Window::default(),
        }
    }

    /// Replicas for the present and for what is to come.
    fn needed(&self, seen: &Seen<'_>, present_per_s: f32) -> u32 {
        let scale = ScaleModel {
            replica_requests_per_s: seen.replica_per_s as f32,
            lead_s: (self.lead_factor * seen.cold_start_s) as f32,
            quantile: self.quantile as f32,
            headroom: self.headroom as f32,
            trend: self.share_of_trend as f32,
        };
        let foreseen_per_s = seen.foresight.most_per_s(seen.now_s, f64::from(scale.lead_s), self.quantile);
        let foreseen_per_s = foreseen_per_s.map_or(f32::NAN, |per_s| per_s as f32);
        let needed = scale.replicas(present_per_s, &self.trend, foreseen_per_s);
        // What is left of a rate that dies away is no reason to keep a replica.
        if needed < NO_DEMAND { 0 } else { needed.ceil() as u32 }
    }
}

impl Scaler for Foresighted {
    fn name(&self) -> &'static str {
        "evenkeel"
    }

    fn reset(&mut self) {
        self.trend = Trend::default();
        (self.went_up_s, self.panics_until_s) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        self.window.clear();
    }

    fn desired(&mut self, seen: &Seen<'_>) -> u32 {
        let present_per_s = seen.mean_per_s(PRESENT_WINDOW_S) as f32;
        self.trend.update(present_per_s, TICK_S as f32);
        let needed = self.needed(seen, present_per_s);
        let lately = self.window.most(seen.now_s, self.down_window_s, needed);
        let asked = seen.asked();
        let sure_per_s = f64::from(self.trend.sure_level_per_s(present_per_s));
        if seen.replicas(sure_per_s) > PANIC_THRESHOLD * f64::from(seen.ready) {
            self.panics_until_s = seen.now_s + seen.cold_start_s.max(60.0);
        }
        if lately > asked {
            self.went_up_s = seen.now_s;
            return lately;
        }
        let is_settled = seen.now_s >= self.panics_until_s && seen.now_s - self.went_up_s >= seen.cold_start_s;
        // A fleet of a few may always lose one: a share of it would never be reached.
        let is_worth_it = f64::from(asked - lately) > DOWN_TOLERANCE * f64::from(asked) || asked <= 10;
        if is_settled && is_worth_it { lately } else { asked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::{Demand, Foresight, TICK_S};
    use evenkeel_datasets::Series;

    struct Surge;

    impl Foresight for Surge {
        fn most_per_s(&self, now_s: f64, lead_s: f64, _: f64) -> Option<f64> {
            Some(if now_s + lead_s >= 3600.0 { 200.0 } else { 100.0 })
        }
    }

    fn seen<'a>(demand: &'a Demand, now_s: f64, ready: u32, foresight: &'a dyn Foresight) -> Seen<'a> {
        Seen { now_s, demand, foresight, ready, starting: 0, replica_per_s: 1.0, cold_start_s: 120.0 }
    }

    /// Nothing until an hour has passed.
    struct Morning;

    impl Foresight for Morning {
        fn most_per_s(&self, now_s: f64, lead_s: f64, _: f64) -> Option<f64> {
            Some(if now_s + lead_s >= 3600.0 { 20.0 } else { 0.0 })
        }
    }

    #[test]
    fn it_may_sleep_at_night_and_is_up_before_the_morning() {
        let demand = Demand::new(&Series { step_s: 60.0, values: vec![0.0; 120], ..Series::default() }, 0, 1.0);
        let mut scaler = Foresighted::new(&PARAMETERS.iter().map(|parameter| parameter.default).collect::<Vec<_>>());
        assert_eq!(scaler.desired(&seen(&demand, 0.0, 0, &Morning)), 0);
        assert!(scaler.desired(&seen(&demand, 3600.0 - 120.0, 0, &Morning)) >= 20);
    }

    #[test]
    fn it_is_ready_before_the_surge_and_never_reverses_within_a_cold_start() {
        let demand = Demand::new(&Series { step_s: 60.0, values: vec![100.0; 120], ..Series::default() }, 0, 1.0);
        let mut scaler = Foresighted::new(&PARAMETERS.iter().map(|parameter| parameter.default).collect::<Vec<_>>());
        let mut ready = 110;
        let (mut last_up_s, mut asked_before) = (f64::NEG_INFINITY, ready);
        for tick in 0..240 {
            let now_s = tick as f64 * TICK_S;
            let wanted = scaler.desired(&seen(&demand, now_s, ready, &Surge));
            assert!(wanted >= 100, "never below the present demand");
            if wanted > asked_before {
                last_up_s = now_s;
            }
            assert!(wanted >= asked_before || now_s - last_up_s >= 120.0, "a reversal at {now_s}");
            (ready, asked_before) = (wanted, wanted);
            if now_s + 120.0 >= 3600.0 {
                assert!(wanted >= 200, "{wanted} replicas at {now_s}");
            }
        }
    }
}
