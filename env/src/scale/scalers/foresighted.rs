//! Evenkeel's: the larger of the present demand and the forecast's quantile within the cold
//! start as measured, with headroom.
//!
//! Up at once and without a dead band, so that 88 replicas do become 89; down by the most of
//! a window, and never within one cold start of having gone up; in a panic, nothing is taken
//! away. Never below what the present demand needs.

use super::window::Window;
use super::{Scaler, Seen};
use crate::policies::Parameter;

/// What it can be tuned by.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "quantile", default: 0.9, min: 0.5, max: 0.9 },
    Parameter { name: "forecast_headroom", default: 1.05, min: 0.8, max: 1.5 },
    Parameter { name: "present_headroom", default: 1.1, min: 1.0, max: 1.6 },
    Parameter { name: "lead_factor", default: 1.5, min: 1.0, max: 4.0 },
    Parameter { name: "down_tolerance", default: 0.05, min: 0.0, max: 0.3 },
    Parameter { name: "down_window_s", default: 300.0, min: 0.0, max: 1800.0 },
    Parameter { name: "panic_threshold", default: 1.5, min: 1.05, max: 3.0 },
];

/// The autoscaler.
#[derive(Clone, Debug)]
pub struct Foresighted {
    quantile: f64,
    forecast_headroom: f64,
    present_headroom: f64,
    lead_factor: f64,
    down_tolerance: f64,
    down_window_s: f64,
    panic_threshold: f64,
    went_up_s: f64,
    panics_until_s: f64,
    window: Window,
}

impl Foresighted {
    pub(super) fn new(parameters: &[f64]) -> Self {
        let [
            quantile,
            forecast_headroom,
            present_headroom,
            lead_factor,
            down_tolerance,
            down_window_s,
            panic_threshold,
        ] = parameters[..]
        else {
            unreachable!("the registry counts them")
        };
        Self {
            quantile,
            forecast_headroom,
            present_headroom,
            lead_factor,
            down_tolerance,
            down_window_s,
            panic_threshold,
            went_up_s: f64::NEG_INFINITY,
            panics_until_s: f64::NEG_INFINITY,
            window: Window::default(),
        }
    }

    /// Replicas for the present and for what is foreseen.
    fn needed(&self, seen: &Seen<'_>) -> u32 {
        let lead_s = self.lead_factor * seen.cold_start_s;
        let foreseen_per_s = seen.foresight.most_per_s(seen.now_s, lead_s, self.quantile).unwrap_or(0.0);
        let present = seen.replicas(seen.demand_per_s) * self.present_headroom;
        present.max(seen.replicas(foreseen_per_s) * self.forecast_headroom).ceil() as u32
    }
}

impl Scaler for Foresighted {
    fn name(&self) -> &'static str {
        "evenkeel"
    }

    fn reset(&mut self) {
        (self.went_up_s, self.panics_until_s) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        self.window.clear();
    }

    fn desired(&mut self, seen: &Seen<'_>) -> u32 {
        let needed = self.needed(seen);
        let lately = self.window.most(seen.now_s, self.down_window_s, needed);
        let asked = seen.asked();
        if seen.replicas(seen.demand_per_s) > self.panic_threshold * f64::from(seen.ready) {
            self.panics_until_s = seen.now_s + seen.cold_start_s.max(60.0);
        }
        if lately > asked {
            self.went_up_s = seen.now_s;
            return lately;
        }
        let is_settled = seen.now_s >= self.panics_until_s && seen.now_s - self.went_up_s >= seen.cold_start_s;
        // A fleet of a few may always lose one: a share of it would never be reached.
        let is_worth_it = f64::from(asked - lately) > self.down_tolerance * f64::from(asked) || asked <= 10;
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
        Seen {
            now_s,
            demand_per_s: demand.last_minute_per_s(now_s),
            demand,
            foresight,
            ready,
            starting: 0,
            replica_per_s: 1.0,
            cold_start_s: 120.0,
        }
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
