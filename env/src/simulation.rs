//! The simulation: discrete events in a total order of time and sequence.
//!
//! Requests arrive at balancers, balancers place them, hosts work on them, and what
//! balancers may know reaches them by responses, polls and probes. Nothing is decided here:
//! the simulation runs up to a decision, waits for a host, and goes on. Every balancer's
//! knowledge is the runtime's own state, updated through the runtime's own calls.
//!
//! Three sources of events are merged: the arrivals of the trace, each host's next event,
//! and a queue of everything else. Arrivals come first at equal times.

mod environment;
mod event;
mod fate;
mod lifecycle;
mod progress;
mod reports;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use rand_pcg::Pcg64Mcg;

use crate::balancer::{Balancer, facts};
use crate::events::{EventQueue, HostClock, Moment};
use crate::host::{Host, Job, Notice, ServiceOptions};
use crate::liar::Lie;
use crate::oracle::{Scratch, Truth};
use crate::outcome::{HostUse, Outcome};
use crate::policy::{Decision, Policy, Setting};
use crate::random::{Purpose, below, log_normal, lognormal_parameters, stream};
use crate::scenario::{Assignment, Scenario};
use crate::time::microseconds;
use crate::window::Window;
use crate::workload::{TokenMeans, Workload};
use environment::Weather;
use event::{Event, PROBE_LANE, TIMEOUT_LANE};
use fate::Fate;
use progress::Progress;
use reports::Reports;

/// Runs a whole simulation. Equal arguments give equal results, bit for bit.
pub fn simulate(scenario: &Scenario, workload: &Workload, policy: &mut dyn Policy, seed: u64) -> Outcome {
    let mut simulation = Simulation::new(scenario, workload, seed);
    policy.reset(simulation.setting());
    while simulation.next_decision(policy) {
        let host = simulation.with_decision(|decision| policy.choose(decision));
        simulation.place(host, policy);
    }
    simulation.outcome()
}

/// A simulation that stops at every decision.
pub struct Simulation {
    scenario: Arc<Scenario>,
    workload: Workload,
    window: Window,
    means: TokenMeans,
    setting: Setting,
    now_s: f64,
    sequence: u64,
    queue: EventQueue<Event>,
    clock: HostClock,
    hosts: Vec<Host>,
    uses: Vec<HostUse>,
    balancers: Vec<Balancer>,
    weather: Weather,
    fate: Fate,
    /// Of each host: how it misleads.
    lies: Vec<Option<Lie>>,
    lie_rng: Pcg64Mcg,
    reports: Reports,
    /// By number, in the order of the trace; unless the loop is closed, only those that have
    /// arrived.
    requests: Vec<Progress>,
    /// The next request that arrives when the trace says.
    next_timed: u32,
    /// When that is.
    next_arrival: Moment,
    /// FIFO: service times at speed 1, by number.
    service_s: Vec<f64>,
    /// Requests that wait for a decision.
    undecided: VecDeque<u32>,
    over: usize,
    accrued: Accrued,
    /// Mean rate of arrivals.
    offered_per_s: f64,
    assignment_rng: Pcg64Mcg,
    policy_rng: Pcg64Mcg,
    scratch: RefCell<Scratch>,
    notices: Vec<Notice>,
    lost: Vec<u32>,
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation").field("now_s", &self.now_s).field("over", &self.over).finish_non_exhaustive()
    }
}

/// Time that requests have spent so far, summed over requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Accrued {
    /// In the system, in seconds.
    pub latency_s: f64,
    /// In the system without a first token, in seconds.
    pub ttft_s: f64,
    present: u32,
    tokenless: u32,
    at_s: f64,
}

impl Accrued {
    fn advance(&mut self, now_s: f64) {
        let span_s = now_s - self.at_s;
        self.latency_s += span_s * f64::from(self.present);
        self.ttft_s += span_s * f64::from(self.tokenless);
        self.at_s = now_s;
    }
}

impl Simulation {
    /// A simulation at time 0. Policies that keep state must be
    /// [reset](crate::policy::Policy::reset) with [`setting`](Self::setting).
    ///
    /// # Panics
    /// If the scenario makes no sense: no balancers, a load of 0 or less, no requests, a liar
    /// that is not in the fleet, an option of life that is out of its bounds.
    pub fn new(scenario: &Scenario, workload: &Workload, seed: u64) -> Self {
        assert!(scenario.balancers > 0, "a scenario needs a balancer");
        assert!(scenario.load > 0.0, "load must be positive");
        assert!(scenario.requests_max > 0, "a scenario needs requests");
        scenario.life.check(scenario.fleet.hosts()).unwrap_or_else(|error| panic!("{error}"));
        let window = Window::new(workload, scenario, &mut stream(seed, Purpose::Window, 0))
            .with_nights(&scenario.life.nights, &mut stream(seed, Purpose::Night, 0));
        let block_tokens = workload.trace.prefix_block_tokens;
        let speeds = &scenario.fleet.speeds;
        let hosts: Vec<_> = speeds.iter().map(|speed| Host::new(&scenario.service, *speed, block_tokens)).collect();
        let weights: Vec<f32> =
            speeds.iter().map(|speed| if scenario.weights_known { *speed as f32 } else { 1.0 }).collect();
        let has_prefixes = has_prefix_caches(scenario) && block_tokens > 0;
        let balancer = |index: u64| {
            let state_seed = evenkeel_numbers::random::mix(seed ^ Purpose::State as u64) ^ index;
            Balancer::new(state_seed, &weights, has_prefixes, microseconds(0.0))
        };
        let mut simulation = Self {
            means: TokenMeans::of(window.requests()),
            setting: Setting {
                hosts: hosts.len(),
                balancers: scenario.balancers,
                service: workload.service_model(&scenario.service),
            },
            now_s: 0.0,
            sequence: 0,
            queue: EventQueue::new(),
            clock: HostClock::new(hosts.len()),
            uses: speeds
                .iter()
                .map(|speed| HostUse { speed: *speed, busy_s: 0.0, work_s: 0.0, answered: 0, sent: 0 })
                .collect(),
            hosts,
            balancers: (0..scenario.balancers as u64).map(balancer).collect(),
            weather: Weather::new(scenario, seed),
            fate: Fate::new(scenario, &window, seed),
            lies: lies(scenario),
            lie_rng: stream(seed, Purpose::Lie, 0),
            reports: Reports::new(scenario, seed),
            requests: Vec::with_capacity(window.len()),
            next_timed: 0,
            next_arrival: Moment::NEVER,
            service_s: service_times(scenario, &window, seed),
            undecided: VecDeque::new(),
            over: 0,
            accrued: Accrued::default(),
            offered_per_s: scenario.load * scenario.capacity_per_s(&TokenMeans::of(window.requests())),
            assignment_rng: stream(seed, Purpose::Assignment, 0),
            policy_rng: stream(seed, Purpose::Policy, 0),
            scratch: RefCell::default(),
            notices: Vec::new(),
            lost: Vec::new(),
            scenario: Arc::new(scenario.clone()),
            workload: workload.clone(),
            window,
        };
        simulation.await_timed(0);
        simulation.leave_out_late_hosts();
        simulation.begin_weather();
        simulation.begin_life();
        simulation.begin_polls();
        simulation
    }

    /// What stays the same during the simulation.
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// Time since the start, in seconds.
    pub fn now_s(&self) -> f64 {
        self.now_s
    }

    /// Requests that the simulation has, arrived or not.
    pub fn requests_total(&self) -> usize {
        self.window.len()
    }

    /// Time that requests have spent up to now.
    pub fn accrued(&self) -> Accrued {
        let mut accrued = self.accrued;
        accrued.advance(self.now_s);
        accrued
    }

    /// Runs up to the next decision; `false` once every request has ended.
    pub fn next_decision(&mut self, policy: &mut dyn Policy) -> bool {
        while self.undecided.is_empty() {
            if self.over == self.window.len() {
                return false;
            }
            self.step(policy);
        }
        if self.scenario.telemetry.period_s == 0.0 {
            self.refresh(self.undecided[0], policy);
        }
        true
    }

    /// Looks at the pending decision.
    ///
    /// # Panics
    /// If there is none.
    pub fn with_decision<R>(&mut self, look: impl FnOnce(&mut Decision<'_>) -> R) -> R {
        let request = *self.undecided.front().expect("a decision is pending");
        let job = job(&self.window, &self.workload, &self.service_s, request);
        let progress = &self.requests[request as usize];
        let index = progress.record.balancer as usize;
        let claimed_tokens = progress.claimed_tokens;
        let balancer = &mut self.balancers[index];
        balancer.readmit(self.now_s);
        if self.scenario.slow_start_s > 0.0 {
            balancer.warm(self.scenario.slow_start_s, self.now_s);
        }
        let truth = Truth {
            now_s: self.now_s,
            hosts: &self.hosts,
            sizes: &self.workload.sizes,
            requests: self.window.requests(),
            job,
            offered_per_s: self.offered_per_s,
            prompt_tokens_mean: self.workload.training.prompt,
            scratch: &self.scratch,
        };
        let now_us = microseconds(self.now_s);
        let tried = self.fate.tried(request);
        let seen = balancer.see(&self.setting.service, &facts(&job, claimed_tokens), tried, now_us);
        look(&mut Decision {
            now_s: self.now_s,
            now_us,
            request: &seen.request,
            balancer: index,
            state: seen.state,
            service: &self.setting.service,
            eligible: seen.eligible,
            eligible_mask: seen.eligible_mask,
            truth: &truth,
            rng: &mut self.policy_rng,
        })
    }

    /// Sends the request of the pending decision to a host.
    ///
    /// # Panics
    /// If no decision is pending, or there is no such host.
    pub fn place(&mut self, host: usize, policy: &mut dyn Policy) {
        let request = self.undecided.pop_front().expect("a decision is pending");
        self.send(request, host, policy);
    }

    /// What came out of it.
    ///
    /// # Panics
    /// If requests are still under way.
    pub fn outcome(mut self) -> Outcome {
        assert_eq!(self.over, self.window.len(), "the simulation is not over");
        for (host_use, host) in self.uses.iter_mut().zip(&self.hosts) {
            host_use.busy_s = host.busy_s();
        }
        Outcome {
            records: self.requests.iter().map(|progress| progress.record).collect(),
            hosts: self.uses,
            span_s: self.now_s,
            warm_up_share: self.scenario.warm_up_share,
        }
    }

    /// Lets the next event happen.
    fn step(&mut self, policy: &mut dyn Policy) {
        let next_arrival = self.next_arrival;
        let (next_host, host) = self.clock.next();
        let next_other = self.queue.next();
        if next_arrival < next_host && next_arrival < next_other {
            self.now_s = next_arrival.at_s();
            let request = self.next_timed;
            self.await_timed(self.fate.next_timed(request + 1));
            self.arrive(request);
        } else if next_host < next_other {
            self.now_s = next_host.at_s();
            self.advance_host(host, policy);
        } else {
            self.now_s = next_other.at_s();
            let event = self.queue.pop().expect("requests are under way, so events are scheduled");
            self.happen(event, policy);
        }
    }

    fn happen(&mut self, event: Event, policy: &mut dyn Policy) {
        match event {
            Event::Poll { balancer } => self.poll(balancer),
            Event::PollArrives => self.poll_arrives(policy),
            Event::ProbeMeasures { balancer, host } => self.probe_measures(balancer, host, policy),
            Event::ProbeArrives => self.probe_arrives(policy),
            Event::Slowness { host, slow } => self.change_slowness(host, slow),
            Event::Crash { host } => self.crash(host, policy),
            Event::Restart { host } => self.restart(host),
            Event::Warm { host, restarts } => self.warm(host, restarts),
            Event::Error { request } => self.answer_error(request, policy),
            Event::Timeout { request } => self.time_out(request, policy),
            Event::Spell { host, scheduled } => self.begin_spell(host, scheduled),
            Event::SpellEnds { host, spells } => self.end_spell(host, spells),
            Event::Join { host } => self.join(host),
            Event::NoWork { request, attempt } => self.end_without_work(request, attempt, policy),
            Event::Leave { request } => self.leave(request, policy),
            Event::Turn { request } => self.arrive(request),
        }
    }

    /// Waits for the arrival of this request, if there is such a one.
    fn await_timed(&mut self, request: u32) {
        let exists = (request as usize) < self.window.len();
        self.next_arrival = if exists { Moment::new(self.window.arrival_s(request), 0) } else { Moment::NEVER };
        self.next_timed = request;
    }

    fn arrive(&mut self, request: u32) {
        let balancer = match self.scenario.assignment {
            Assignment::Random => below(&mut self.assignment_rng, self.balancers.len()),
            Assignment::RoundRobin => request as usize % self.balancers.len(),
        };
        let prompt_tokens = self.window.requests()[request as usize].prompt_tokens;
        let mut progress = Progress::unborn();
        progress.record.arrival_s = self.now_s;
        progress.record.balancer = balancer as u16;
        progress.claimed_tokens = self.fate.claimed_tokens(prompt_tokens);
        progress.is_exchange = self.fate.draw_exchange();
        match self.requests.get_mut(request as usize) {
            Some(place) => *place = progress,
            None => self.requests.push(progress),
        }
        self.undecided.push_back(request);
        if progress.is_exchange {
            return;
        }
        self.accrued.advance(self.now_s);
        self.accrued.present += 1;
        self.accrued.tokenless += 1;
        if self.scenario.timeout_s.is_finite() {
            self.schedule_in_lane(TIMEOUT_LANE, self.scenario.timeout_s, Event::Timeout { request });
        }
        if let Some(patience_s) = self.fate.draw_patience_s() {
            self.schedule(patience_s, Event::Leave { request });
        }
    }

    fn schedule(&mut self, after_s: f64, event: Event) {
        self.sequence += 1;
        self.queue.push(Moment::new(self.now_s + after_s, self.sequence), event);
    }

    /// Schedules an event of a kind that always comes after the same time.
    fn schedule_in_lane(&mut self, lane: usize, after_s: f64, event: Event) {
        self.sequence += 1;
        self.queue.push_lane(lane, Moment::new(self.now_s + after_s, self.sequence), event);
    }

    /// Brings the clock up to date with a host that was touched.
    fn reschedule(&mut self, host: u32) {
        let at_s = self.hosts[host as usize].next_event_s();
        self.sequence += 1;
        let moment = if at_s.is_finite() { Moment::new(at_s, self.sequence) } else { Moment::NEVER };
        self.clock.set(host, moment);
    }
}

/// Whether hosts keep prefixes, so that it pays to remember where they were sent.
fn has_prefix_caches(scenario: &Scenario) -> bool {
    matches!(&scenario.service, ServiceOptions::Llm(options) if options.prefix_cache_share > 0.0)
}

/// A request as hosts see it.
fn job<'a>(window: &Window, workload: &'a Workload, service_s: &[f64], request: u32) -> Job<'a> {
    let traced = &window.requests()[request as usize];
    Job {
        request,
        prompt_tokens: traced.prompt_tokens,
        output_tokens: traced.output_tokens,
        service_s: service_s.get(request as usize).copied().unwrap_or(0.0),
        prefix: workload.trace.prefix(traced),
        prefix_block_tokens: workload.trace.prefix_block_tokens,
    }
}

/// Of each host: how it misleads.
fn lies(scenario: &Scenario) -> Vec<Option<Lie>> {
    let mut lies = vec![None; scenario.fleet.hosts()];
    for liar in &scenario.liars {
        assert!(liar.host < lies.len(), "liar {} is not one of {} hosts", liar.host, lies.len());
        assert!(liar.lie.is_valid(), "the lie of host {} is out of its bounds: {:?}", liar.host, liar.lie);
        lies[liar.host] = Some(liar.lie);
    }
    lies
}

/// FIFO: the trace's service times, lognormal ones where it has none. LLM: nothing.
fn service_times(scenario: &Scenario, window: &Window, seed: u64) -> Vec<f64> {
    let ServiceOptions::Fifo(options) = &scenario.service else { return Vec::new() };
    let mut rng = stream(seed, Purpose::ServiceTime, 0);
    let (mu, sigma) = lognormal_parameters(options.service_mean_s, options.service_variation);
    let draw = |request: &evenkeel_datasets::Request| {
        if request.service_s.is_finite() { f64::from(request.service_s) } else { log_normal(&mut rng, mu, sigma) }
    };
    window.requests().iter().map(draw).collect()
}
