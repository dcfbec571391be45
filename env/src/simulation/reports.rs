//! How reports travel from hosts to balancers.

use std::collections::VecDeque;

use evenkeel_runtime::Telemetry;
use rand_pcg::Pcg64Mcg;

use super::{Event, PROBE_LANE, Simulation};
use crate::liar::{Lie, idle_report};
use crate::policy::{Policy, TelemetryEvent};
use crate::random::{Purpose, below, stream, uniform};
use crate::scenario::Scenario;
use crate::telemetry::Source;
use crate::time::microseconds;

/// Latencies that a host remembers to tell probes.
const LATENCIES_KEPT: usize = 32;

/// A report under way. Delays are constant, so the first sent is the first to arrive.
#[derive(Clone, Copy, Debug)]
struct Travelling {
    balancer: u32,
    host: u32,
    measured_s: f64,
    telemetry: Telemetry,
    latency_s: f64,
}

/// Reports under way, and what hosts remember in order to answer probes.
#[derive(Debug)]
pub(super) struct Reports {
    polls: VecDeque<Travelling>,
    probes: VecDeque<Travelling>,
    loss_rng: Pcg64Mcg,
    probe_rng: Pcg64Mcg,
    drawn: Vec<u32>,
    /// Of each balancer: the fraction of a probe that is due.
    probes_due: Vec<f64>,
    /// Of each host: the latest latencies with the requests that were ahead, oldest first.
    latencies: Vec<VecDeque<(u16, f64)>>,
    keeps_latencies: bool,
    /// Of each host that repeats its reports: what it says, and since when.
    repeated: Vec<Option<(f64, Telemetry)>>,
}

impl Reports {
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        Self {
            polls: VecDeque::new(),
            probes: VecDeque::new(),
            loss_rng: stream(seed, Purpose::TelemetryLoss, 0),
            probe_rng: stream(seed, Purpose::Probe, 0),
            drawn: Vec::new(),
            probes_due: vec![0.0; scenario.balancers],
            latencies: vec![VecDeque::new(); scenario.fleet.hosts()],
            keeps_latencies: scenario.telemetry.probes_per_request > 0,
            repeated: vec![None; scenario.fleet.hosts()],
        }
    }

    /// What a host says that looks at itself only every `for_s`.
    fn repeated(&mut self, host: usize, for_s: f64, now_s: f64, report: Telemetry) -> Telemetry {
        let said = &mut self.repeated[host];
        match said {
            Some((since_s, repeated)) if now_s - *since_s < for_s => *repeated,
            _ => {
                *said = Some((now_s, report));
                report
            }
        }
    }

    /// Probes that a balancer sends now: `allowed`, or fewer if `wanted` is less.
    pub(super) fn probes_due(&mut self, balancer: usize, allowed: u32, wanted: f64) -> u32 {
        if wanted >= f64::from(allowed) {
            return allowed;
        }
        let due = self.probes_due[balancer] + wanted.max(0.0);
        self.probes_due[balancer] = due.fract();
        due as u32
    }

    /// A host at random, other than those drawn since [`forget_drawn`](Self::forget_drawn).
    pub(super) fn draw_probed_host(&mut self, hosts: usize) -> u32 {
        loop {
            let host = below(&mut self.probe_rng, hosts) as u32;
            if !self.drawn.contains(&host) {
                self.drawn.push(host);
                return host;
            }
        }
    }

    pub(super) fn forget_drawn(&mut self) {
        self.drawn.clear();
    }

    pub(super) fn note_latency(&mut self, host: usize, requests_ahead: u16, latency_s: f64) {
        if self.keeps_latencies {
            let latencies = &mut self.latencies[host];
            if latencies.len() == LATENCIES_KEPT {
                latencies.pop_front();
            }
            latencies.push_back((requests_ahead, latency_s));
        }
    }

    /// Median of the latest latencies of requests that met about as many others: those
    /// whose number ahead is among the nearest (Prequal, NSDI '24, section 4).
    fn latency_s(&self, host: usize, requests: usize) -> f64 {
        const NEAREST: usize = 8;
        let latencies = &self.latencies[host];
        if latencies.is_empty() {
            return f64::NAN;
        }
        let mut near = [(u16::MAX, 0.0); LATENCIES_KEPT];
        let near = &mut near[..latencies.len()];
        for (slot, (ahead, latency_s)) in near.iter_mut().zip(latencies) {
            *slot = (ahead.abs_diff(requests.min(usize::from(u16::MAX)) as u16), *latency_s);
        }
        let kept = near.len().min(NEAREST);
        near.sort_by_key(|(distance, _)| *distance);
        let near = &mut near[..kept];
        near.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        near[kept / 2].1
    }
}

impl Simulation {
    /// What a host says of itself, truly or not.
    pub(super) fn reported(&mut self, host: usize) -> Telemetry {
        let report = || self.hosts[host].report(self.now_s).telemetry();
        let report = match self.lies[host] {
            Some(Lie::ReportsIdle) => idle_report(self.hosts[host].idle_step_s()),
            Some(Lie::ReportsStep { factor }) => {
                let report = report();
                Telemetry { step_s: (f64::from(report.step_s) * factor) as f32, ..report }
            }
            Some(Lie::RepeatsReport { for_s }) => {
                let report = report();
                self.reports.repeated(host, for_s, self.now_s, report)
            }
            Some(Lie::FailsFast { .. } | Lie::NoWork { .. }) | None => report(),
        };
        self.scenario.telemetry.kind.of(report)
    }

    /// Each balancer polls at its own phase.
    pub(super) fn begin_polls(&mut self) {
        let period_s = self.scenario.telemetry.period_s;
        if period_s.is_finite() && period_s > 0.0 {
            let balancers = self.scenario.balancers as u32;
            for balancer in 0..balancers {
                let phase = f64::from(balancer) / f64::from(balancers);
                self.schedule(period_s * phase, Event::Poll { balancer });
            }
        }
    }

    /// A period of 0 stands for perfect knowledge: every host's report at every decision.
    pub(super) fn refresh(&mut self, request: u32, policy: &mut dyn Policy) {
        let balancer = self.requests[request as usize].record.balancer as usize;
        for host in 0..self.hosts.len() {
            if self.hosts[host].is_up() {
                let telemetry = self.reported(host);
                self.deliver(balancer, host, Source::Poll, &telemetry, f64::NAN, self.now_s, policy);
            }
        }
    }

    pub(super) fn poll(&mut self, balancer: u32) {
        let telemetry = self.scenario.telemetry;
        for host in 0..self.hosts.len() {
            let is_lost = telemetry.loss > 0.0 && uniform(&mut self.reports.loss_rng) < telemetry.loss;
            if self.hosts[host].is_up() && !is_lost {
                let telemetry = self.reported(host);
                self.reports.polls.push_back(Travelling {
                    balancer,
                    host: host as u32,
                    measured_s: self.now_s,
                    telemetry,
                    latency_s: f64::NAN,
                });
            }
        }
        self.schedule(telemetry.delay_s, Event::PollArrives);
        self.schedule(telemetry.period_s, Event::Poll { balancer });
    }

    pub(super) fn poll_arrives(&mut self, policy: &mut dyn Policy) {
        let Some(first) = self.reports.polls.front() else { return };
        let (balancer, measured_s) = (first.balancer, first.measured_s);
        // A poll may have got no answer at all: then this one's has not arrived yet.
        if measured_s + self.scenario.telemetry.delay_s > self.now_s {
            return;
        }
        while let Some(report) = self.reports.polls.front().copied()
            && report.balancer == balancer
            && report.measured_s == measured_s
        {
            self.reports.polls.pop_front();
            let Travelling { host, telemetry, latency_s, .. } = report;
            self.deliver(balancer as usize, host as usize, Source::Poll, &telemetry, latency_s, measured_s, policy);
        }
    }

    pub(super) fn probe_measures(&mut self, balancer: u32, host: u32, policy: &dyn Policy) {
        let measured = &self.hosts[host as usize];
        let loss = self.scenario.telemetry.loss;
        let is_lost = loss > 0.0 && uniform(&mut self.reports.loss_rng) < loss;
        if !measured.is_up() || is_lost {
            return;
        }
        let telemetry = self.reported(host as usize);
        let latency_s = if policy.wants_probed_latency() {
            self.reports.latency_s(host as usize, (telemetry.running + telemetry.waiting) as usize)
        } else {
            f64::NAN
        };
        self.reports.probes.push_back(Travelling { balancer, host, measured_s: self.now_s, telemetry, latency_s });
        self.schedule_in_lane(PROBE_LANE, 0.5 * self.scenario.telemetry.probe_round_trip_s, Event::ProbeArrives);
    }

    pub(super) fn probe_arrives(&mut self, policy: &mut dyn Policy) {
        if let Some(Travelling { balancer, host, measured_s, telemetry, latency_s }) = self.reports.probes.pop_front() {
            self.deliver(balancer as usize, host as usize, Source::Probe, &telemetry, latency_s, measured_s, policy);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a report and its way, each on its own")]
    pub(super) fn deliver(
        &mut self,
        balancer: usize,
        host: usize,
        source: Source,
        telemetry: &Telemetry,
        latency_s: f64,
        measured_s: f64,
        policy: &mut dyn Policy,
    ) {
        let now_s = self.now_s;
        self.balancers[balancer].upstream().report(
            host as u32,
            telemetry,
            microseconds(measured_s),
            microseconds(now_s),
        );
        policy.on_telemetry(&TelemetryEvent {
            now_s,
            measured_s,
            balancer,
            host,
            source,
            telemetry: *telemetry,
            latency_s,
        });
    }
}
