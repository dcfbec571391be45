//! One setting of the simulator: who serves, who balances, what they know, and how much
//! arrives.

use evenkeel_runtime::ServiceKind;
use rand_pcg::Pcg64Mcg;

use crate::fleet::{Antagonists, Crashes, Fleet};
use crate::host::ServiceOptions;
use crate::host::fifo::FifoOptions;
use crate::host::llm::LlmOptions;
use crate::liar::Liar;
use crate::life::{self, Life};
use crate::random::{Purpose, below, between, stream, uniform};
use crate::telemetry::{TelemetryKind, TelemetryOptions};
use crate::workload::{TokenMeans, Workload, llm_work_s, saturated_batch};

/// How requests are assigned to balancers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// Each at random.
    Random,
    /// In turn.
    RoundRobin,
}

/// A setting of the simulator.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The hosts.
    pub fleet: Fleet,
    /// What they run.
    pub service: ServiceOptions,
    /// Number of balancers, each of which sees only its own requests and telemetry.
    pub balancers: usize,
    /// How requests are assigned to balancers.
    pub assignment: Assignment,
    /// What balancers learn of the hosts.
    pub telemetry: TelemetryOptions,
    /// What slows hosts down.
    pub antagonists: Antagonists,
    /// What takes hosts down.
    pub crashes: Crashes,
    /// Hosts that mislead balancers, each at most once.
    pub liars: Vec<Liar>,
    /// What else happens in real fleets; nothing in the reference setting.
    pub life: Life,
    /// Offered work as a share of the fleet's capacity (see [`capacity_per_s`](Self::capacity_per_s)).
    pub load: f64,
    /// Most requests; the window of the trace begins at a random place.
    pub requests_max: usize,
    /// Share of the requests, from the first on, that metrics leave out.
    pub warm_up_share: f64,
    /// Whether balancers know the hosts' relative speeds in advance.
    pub weights_known: bool,
    /// After this long a balancer gives up on a request, in seconds; the host works on.
    pub timeout_s: f64,
    /// How often a failed request is sent to another host.
    pub retries_max: u32,
    /// After a failure a balancer leaves the host out for this long, in seconds.
    pub ejection_s: f64,
    /// Time that a host which came back takes to get its full share of the requests, in seconds;
    /// 0 for no slow start.
    pub slow_start_s: f64,
}

impl Scenario {
    /// A language model behind 4 balancers, telemetry every 250 ms, piggyback and probes,
    /// antagonists, load 70 %.
    pub fn llm(fleet: Fleet) -> Self {
        Self {
            fleet,
            service: ServiceOptions::Llm(LlmOptions::default()),
            balancers: 4,
            assignment: Assignment::Random,
            telemetry: TelemetryOptions::default(),
            antagonists: Antagonists::standard(20.0),
            crashes: Crashes::NONE,
            liars: Vec::new(),
            life: Life::NONE,
            load: 0.7,
            requests_max: 20_000,
            warm_up_share: 0.1,
            weights_known: false,
            timeout_s: f64::INFINITY,
            retries_max: 1,
            ejection_s: 10.0,
            slow_start_s: 0.0,
        }
    }

    /// The same for a short FIFO service.
    pub fn fifo(fleet: Fleet) -> Self {
        Self {
            service: ServiceOptions::Fifo(FifoOptions::default()),
            antagonists: Antagonists::standard(2.0),
            requests_max: 50_000,
            ..Self::llm(fleet)
        }
    }

    /// A random setting for domain randomisation: 8–24 hosts of some mixture of speeds,
    /// antagonists in 85 % (of homogeneous fleets, half).
    ///
    /// One balancer in a seventh, up to 100 in a quarter, else 2–8; telemetry every 0.1–1 s, in a
    /// tenth every 1–10 s, in an eighth never, in a twelfth perfect; piggyback and probes in half
    /// each, where there is any; in half as vLLM tells; load 45–95 %, in a tenth 5–45 %, in a tenth up to 120 %; in
    /// a tenth balancers give up after 60 s (LLM) or 40 mean service times (FIFO). Each
    /// [kind of life](crate::life::LifeKind) occurs in one in 25, in a random measure.
    pub fn random(service: ServiceOptions, rng: &mut Pcg64Mcg) -> Self {
        // A stream of its own, so that settings in which nothing else happens stay what they are.
        let mut life_rng = stream(uniform(&mut rng.clone()).to_bits(), Purpose::Life, 0);
        let mut scenario = Self::random_reference(service, rng);
        life::kind::add_random(&mut scenario, &mut life_rng);
        scenario
    }

    /// The same without life.
    pub fn random_reference(service: ServiceOptions, rng: &mut Pcg64Mcg) -> Self {
        let hosts = 8 + below(rng, 17);
        let fleet = match below(rng, 4) {
            0 => Fleet::hom(hosts),
            1 => Fleet::two_class(hosts),
            2 => Fleet::het(hosts),
            _ => {
                let speeds: Vec<f64> = (0..hosts).map(|_| between(rng, 1.0, 3.0)).collect();
                Fleet::cycle("random", &speeds, hosts)
            }
        };
        let base = match service {
            ServiceOptions::Llm(_) => Self::llm(fleet),
            ServiceOptions::Fifo(_) => Self::fifo(fleet),
        };
        let slow_mean_s = base.antagonists.slow_mean_s * between(rng, 0.5, 2.0);
        let antagonists_share = if fleet_is_even(&base.fleet) { 0.5 } else { 0.85 };
        let antagonists =
            if uniform(rng) < antagonists_share { Antagonists::standard(slow_mean_s) } else { Antagonists::NONE };
        // Spread evenly over the decade.
        let within_decade = libm::pow(10.0, uniform(rng));
        let telemetry = TelemetryOptions {
            kind: if uniform(rng) < 0.5 { TelemetryKind::Full } else { TelemetryKind::Vllm },
            piggyback: uniform(rng) < 0.5,
            probes_per_request: if uniform(rng) < 0.5 { 3 } else { 0 },
            ..TelemetryOptions::polled(0.1 * within_decade)
        };
        let telemetry = match uniform(rng) {
            draw if draw < 1.0 / 8.0 => TelemetryOptions::none(),
            draw if draw < 1.0 / 8.0 + 1.0 / 12.0 => {
                TelemetryOptions { kind: telemetry.kind, ..TelemetryOptions::instant() }
            }
            draw if draw < 1.0 / 8.0 + 1.0 / 12.0 + 0.1 => TelemetryOptions { period_s: within_decade, ..telemetry },
            _ => telemetry,
        };
        let balancers = match uniform(rng) {
            draw if draw < 1.0 / 7.0 => 1,
            draw if draw < 0.75 => 2 + below(rng, 7),
            _ => libm::round(8.0 * libm::pow(100.0 / 8.0, uniform(rng))) as usize,
        };
        let load = match uniform(rng) {
            draw if draw < 0.1 => between(rng, 0.05, 0.45),
            draw if draw < 0.9 => between(rng, 0.45, 0.95),
            _ => between(rng, 0.95, 1.2),
        };
        let timeout_s = match base.service {
            _ if uniform(rng) < 0.9 => f64::INFINITY,
            ServiceOptions::Llm(_) => 60.0,
            ServiceOptions::Fifo(options) => 40.0 * options.service_mean_s,
        };
        Self { service, balancers, telemetry, antagonists, load, timeout_s, ..base }
    }

    /// The same setting with other hosts. What was to happen to hosts that are not there does
    /// not.
    #[must_use]
    pub fn with_fleet(mut self, fleet: Fleet) -> Self {
        let hosts = fleet.hosts();
        self.crashes.scheduled.retain(|crash| crash.host < hosts);
        self.liars.retain(|liar| liar.host < hosts);
        self.life.spells.scheduled.retain(|spell| spell.host < hosts);
        self.life.joins.retain(|join| join.host < hosts);
        self.life.joins.truncate(hosts.saturating_sub(1));
        Self { fleet, ..self }
    }

    /// Which kind of service.
    pub fn kind(&self) -> ServiceKind {
        match self.service {
            ServiceOptions::Llm(_) => ServiceKind::Llm,
            ServiceOptions::Fifo(_) => ServiceKind::Fifo,
        }
    }

    /// Time from the first arrival to the last, in seconds, for a window of average requests:
    /// what times of crashes can be chosen by.
    pub fn span_s(&self, workload: &Workload) -> f64 {
        let requests = workload.trace().requests.len().min(self.requests_max);
        let means = TokenMeans::of(&workload.trace().requests);
        requests as f64 / (self.load * self.capacity_per_s(&means))
    }

    /// The same scenario in which the fastest host crashes half-way, and is down for a tenth
    /// of the time.
    #[must_use]
    pub fn with_crash(self, workload: &Workload) -> Self {
        let span_s = self.span_s(workload);
        Self { crashes: Crashes::once(self.fleet.fastest(), 0.5 * span_s, 0.1 * span_s), ..self }
    }

    /// Requests a second that the fleet can carry: the sum of the hosts' speeds, less what
    /// antagonists take on average, over the mean work of a request. Crashes and cached
    /// prefixes are not counted.
    ///
    /// Work is in seconds of a host of speed 1. Of a FIFO host each of the `servers` does a
    /// second a second; for an LLM host see [`request_work_s`](Self::request_work_s).
    pub fn capacity_per_s(&self, means: &TokenMeans) -> f64 {
        let work_s = self.request_work_s(means, means.prompt, means.output, means.context);
        self.fleet.speed_total() * self.antagonists.speed_left() / work_s
    }

    /// Work of a request with these token counts, in seconds of a host of speed 1.
    ///
    /// A saturated LLM host decodes `B = min(batch_max, kv_capacity / mean context)` requests
    /// in each step, so that a request takes `prompt·per_prefill_token + output·(base / B +
    /// per_request) + per_kv_token·context` seconds of it, `context` being the sum of the
    /// context lengths over the output tokens. For FIFO the means alone count.
    pub fn request_work_s(&self, means: &TokenMeans, prompt: f64, output: f64, context: f64) -> f64 {
        match &self.service {
            ServiceOptions::Llm(options) => {
                llm_work_s(options, saturated_batch(options, means), prompt, output, context)
            }
            ServiceOptions::Fifo(options) => {
                let mean_s = if means.service_s.is_nan() { options.service_mean_s } else { means.service_s };
                mean_s / f64::from(options.servers)
            }
        }
    }
}

/// Whether all hosts are of one speed.
fn fleet_is_even(fleet: &Fleet) -> bool {
    fleet.speeds.iter().all(|speed| *speed == fleet.speeds[0])
}
