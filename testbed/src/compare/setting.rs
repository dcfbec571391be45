//! Hosts, load, trace, proxies: what a comparison is made from.

use std::ops::Range;

use evenkeel_datasets::random::{below, generator};
use evenkeel_datasets::{Split, Trace};
use evenkeel_env::Scenario;
use evenkeel_env::fleet::{Antagonists, Fleet};
use evenkeel_env::host::{ServiceOptions, file as service_file};
use evenkeel_env::telemetry::{TelemetryKind, TelemetryOptions};

/// Name of the trained policy.
pub const TRAINED: &str = "evenkeel";

/// How often proxies read the telemetry file, in seconds on the wall. With the agent's own
/// period it makes up the age of reports when they arrive.
const PROXY_PERIOD_WALL_S: f64 = 0.02;

/// A proxy that is compared.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Name in tables: `nginx least_conn`.
    pub name: String,
    /// Where it listens, HOST:PORT.
    pub authority: String,
    /// What the simulator calls its policy; `None` where it has none like it.
    #[serde(default)]
    pub simulated_as: Option<String>,
    /// Whether it is one of the policies that come with a proxy, of which the best is the
    /// baseline.
    #[serde(default)]
    pub is_built_in: bool,
}

impl Proxy {
    /// Whether it runs the trained policy.
    pub fn is_trained(&self) -> bool {
        self.simulated_as.as_deref() == Some(TRAINED)
    }
}

/// The setting of a comparison.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What the hosts run.
    pub service: ServiceOptions,
    /// Their speeds.
    pub speeds: Vec<f64>,
    /// Seconds of service time in a second on the wall.
    pub time_scale: f64,
    /// Offered work as a share of the fleet's capacity.
    pub load: f64,
    /// What slows the hosts, in service time.
    pub antagonists: Antagonists,
    /// Requests of one replay.
    pub requests: usize,
    /// Share of them, from the first on, that figures leave out.
    pub warm_up_share: f64,
    /// After this long a request is given up, in seconds of service time.
    pub deadline_s: f64,
    /// How often the agent scrapes the hosts, in seconds on the wall; infinite without one.
    pub telemetry_wall_s: f64,
    /// Whether responses carry full load reports.
    pub piggyback: bool,
    /// The trace. Its test part is replayed; sizes are learned from the first part.
    pub trace: Trace,
}

impl Setting {
    /// Requests of the repeat's replay: a window of the trace's test part.
    pub fn window(&self, seed: u64) -> Trace {
        let [_, _, test] = self.trace.split(&Split::default());
        let count = test.requests.len().min(self.requests);
        let begin = below(&mut generator(seed, 0), (test.requests.len() - count + 1) as u64) as usize;
        Self::cut(test, begin..begin + count)
    }

    /// The part that policies may know.
    pub fn training(&self) -> Trace {
        let [training, ..] = self.trace.split(&Split::default());
        training
    }

    fn cut(mut trace: Trace, kept: Range<usize>) -> Trace {
        trace.requests = trace.requests[kept].to_vec();
        trace
    }

    /// The simulator's setting, in service time: what the load is computed from.
    pub fn scenario(&self) -> Scenario {
        let fleet = Fleet { name: "testbed".to_owned(), speeds: self.speeds.clone() };
        let base = match self.service {
            ServiceOptions::Llm(_) => Scenario::llm(fleet),
            ServiceOptions::Fifo(_) => Scenario::fifo(fleet),
        };
        Scenario {
            service: self.service,
            balancers: 1,
            antagonists: self.antagonists,
            load: self.load,
            requests_max: self.requests,
            warm_up_share: self.warm_up_share,
            timeout_s: self.deadline_s,
            ..base
        }
    }

    /// The same in wall time, which proxies and telemetry live in: the service is as many
    /// times as fast as the time scale says.
    pub fn wall_scenario(&self) -> Scenario {
        let scenario = self.scenario();
        let antagonists =
            Antagonists { slow_mean_s: self.antagonists.slow_mean_s / self.time_scale, ..self.antagonists };
        Scenario {
            service: service_file::faster(&self.service, self.time_scale),
            antagonists,
            telemetry: TelemetryOptions {
                // Full load reports come with responses alone; scraped metrics are vLLM's.
                kind: if self.piggyback { TelemetryKind::Full } else { TelemetryKind::Vllm },
                piggyback: self.piggyback,
                delay_s: 0.5 * (self.telemetry_wall_s.min(1.0) + PROXY_PERIOD_WALL_S),
                ..TelemetryOptions::polled(self.telemetry_wall_s.max(PROXY_PERIOD_WALL_S))
            },
            timeout_s: self.deadline_s / self.time_scale,
            ejection_s: scenario.ejection_s / self.time_scale,
            ..scenario
        }
    }
}
