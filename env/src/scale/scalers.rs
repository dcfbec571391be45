//! Autoscalers: Evenkeel's and those it competes with, one file each, and a registry.

mod clairvoyant;
mod foresighted;
mod horizontal;
mod kalman;
mod knative;
mod mimir;
mod predictive;
mod window;

pub use clairvoyant::Clairvoyant;
pub use foresighted::Foresighted;
pub use horizontal::Horizontal;
pub use kalman::Kalman;
pub use knative::Knative;
pub use mimir::Mimir;
pub use predictive::Predictive;

use super::{Demand, Foresight};
use crate::policies::Parameter;

/// Decides how many replicas there should be.
pub trait Scaler {
    /// Name for tables: lower case with underscores.
    fn name(&self) -> &'static str;

    /// A run begins: forget the last one.
    fn reset(&mut self);

    /// Replicas wanted now; asked at every tick.
    fn desired(&mut self, seen: &Seen<'_>) -> u32;
}

/// What an autoscaler sees at a tick.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// Seconds since the run began.
    pub now_s: f64,
    /// The past. All but [`Clairvoyant`] ask it for times up to now only.
    pub demand: &'a Demand,
    /// What is foreseen.
    pub foresight: &'a dyn Foresight,
    /// Replicas that serve.
    pub ready: u32,
    /// Replicas that start.
    pub starting: u32,
    /// Requests a second that a warm replica carries at the objective.
    pub replica_per_s: f64,
    /// Seconds until a replica serves, as measured.
    pub cold_start_s: f64,
}

impl Seen<'_> {
    /// Replicas for a demand at a utilisation of 1.
    fn replicas(&self, demand_per_s: f64) -> f64 {
        demand_per_s / self.replica_per_s
    }

    /// Requests a second, counted over the last so many seconds.
    fn mean_per_s(&self, window_s: f64) -> f64 {
        self.demand.mean_before_per_s(self.now_s, window_s)
    }

    /// Replicas asked for so far.
    fn asked(&self) -> u32 {
        self.ready + self.starting
    }
}

impl std::fmt::Debug for Seen<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen").field("now_s", &self.now_s).finish_non_exhaustive()
    }
}

/// An autoscaler that can be built by name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The scaler's [`name`](Scaler::name).
    pub name: &'static str,
    /// Where its rule comes from.
    pub source: &'static str,
    /// What it can be tuned by; empty where there is nothing.
    pub parameters: &'static [Parameter],
    build: fn(&[f64]) -> Box<dyn Scaler>,
}

impl Entry {
    /// The scaler with these parameters, in the order of [`parameters`](Self::parameters).
    ///
    /// # Panics
    /// If there are more or fewer of them.
    pub fn build(&self, parameters: &[f64]) -> Box<dyn Scaler> {
        assert_eq!(parameters.len(), self.parameters.len(), "scaler {} has other parameters", self.name);
        (self.build)(parameters)
    }

    /// The scaler as it comes.
    pub fn build_default(&self) -> Box<dyn Scaler> {
        self.build(&self.parameters.iter().map(|parameter| parameter.default).collect::<Vec<_>>())
    }

    /// Whether it sees nothing but the present and the past, and makes no forecast.
    pub fn is_reactive(&self) -> bool {
        ["hpa", "keda", "knative"].contains(&self.name)
    }
}

/// Finds a scaler by name.
pub fn find(name: &str) -> Option<&'static Entry> {
    REGISTRY.iter().find(|entry| entry.name == name)
}

/// Every autoscaler, Evenkeel's first.
pub const REGISTRY: &[Entry] = &[
    Entry {
        name: "evenkeel",
        source: "the larger of present demand and forecast quantile at the measured cold start",
        parameters: foresighted::PARAMETERS,
        build: |p| Box::new(Foresighted::new(p)),
    },
    Entry {
        name: "hpa",
        source: "Kubernetes HorizontalPodAutoscaler: 15 s, 10 % tolerance, 300 s down window",
        parameters: horizontal::PARAMETERS,
        build: |p| Box::new(Horizontal::kubernetes(p)),
    },
    Entry {
        name: "keda",
        source: "KEDA's defaults: metrics polled every 30 s, then the HPA",
        parameters: horizontal::PARAMETERS,
        build: |p| Box::new(Horizontal::keda(p)),
    },
    Entry {
        name: "knative",
        source: "Knative KPA: 60 s stable window, panic at twice the capacity",
        parameters: knative::PARAMETERS,
        build: |p| Box::new(Knative::new(p)),
    },
    Entry {
        name: "mimir",
        source: "Grafana Mimir: max over 30 min, half an hour short of a week ago, beside the HPA",
        parameters: mimir::PARAMETERS,
        build: |p| Box::new(Mimir::new(p)),
    },
    Entry {
        name: "kalman",
        source: "a forecast floor 180 s ahead by a Kalman filter, as Dynamo's planner",
        parameters: kalman::PARAMETERS,
        build: |p| Box::new(Kalman::new(p)),
    },
    Entry {
        name: "predictive",
        source: "AWS predictive scaling: hourly forecast from past days, max with the present",
        parameters: predictive::PARAMETERS,
        build: |p| Box::new(Predictive::new(p)),
    },
    Entry {
        name: "clairvoyant",
        source: "knows the demand until a replica asked for now serves: a bound, not a choice",
        parameters: &[],
        build: |_| Box::new(Clairvoyant::default()),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::{Demand, ReplicaOptions, Unforeseen, run};
    use evenkeel_datasets::Series;

    /// Three days of a wave between 10 and 50 requests a second, in steps of ten minutes.
    fn waves() -> Demand {
        let values =
            (0..3 * 144).map(|i| (30.0 + 20.0 * libm::sin(f64::from(i) * std::f64::consts::TAU / 144.0)) as f32);
        Demand::new(&Series { step_s: 600.0, values: values.collect(), ..Series::default() }, 144, 1.0)
    }

    #[test]
    fn entries_build_scalers_of_their_name() {
        for entry in REGISTRY {
            assert_eq!(entry.build_default().name(), entry.name);
            assert!(entry.parameters.iter().all(|p| p.min <= p.default && p.default <= p.max), "{}", entry.name);
        }
    }

    #[test]
    fn every_scaler_follows_a_wave_and_none_sees_the_future() {
        let options = ReplicaOptions::new(2.0, 120.0);
        let demand = waves();
        let needed_hours = demand.mean_per_s() / 2.0 * 48.0;
        for entry in REGISTRY {
            let bill = run(&demand, &Unforeseen, &options, entry.build_default().as_mut(), 1);
            let ratio = bill.replica_hours() / needed_hours;
            assert!((0.9..3.0).contains(&ratio), "{}: {ratio} times the hours needed", entry.name);
            assert!(bill.missed_share() < 0.2, "{}: {} missed", entry.name, bill.missed_share());
        }
    }

    #[test]
    fn who_knows_the_future_needs_least() {
        let options = ReplicaOptions { cold_start_cv: 0.0, failure_share: 0.0, ..ReplicaOptions::new(2.0, 300.0) };
        let demand = waves();
        let bill = run(&demand, &Unforeseen, &options, &mut Clairvoyant::default(), 1);
        assert!(bill.missed_share() < 1e-3, "{}", bill.missed_share());
        let hpa = run(&demand, &Unforeseen, &options, find("hpa").unwrap().build_default().as_mut(), 1);
        assert!(bill.replica_hours() < hpa.replica_hours());
    }
}
