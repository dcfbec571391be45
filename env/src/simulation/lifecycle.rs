//! What happens to a request: it is sent, answered, lost, retried, given up.

use evenkeel_runtime as runtime;

use super::{Event, PROBE_LANE, Simulation, job};
use crate::balancer::facts;
use crate::host::Notice;
use crate::liar::Lie;
use crate::outcome::Status;
use crate::policy::{Policy, RequestEvent};
use crate::random::uniform;
use crate::telemetry::Source;
use crate::time::microseconds;

impl Simulation {
    pub(super) fn send(&mut self, request: u32, host: usize, policy: &mut dyn Policy) {
        assert!(host < self.hosts.len(), "policy {} chose host {host} of {}", policy.name(), self.hosts.len());
        let unworked = self.unworked(request, host);
        let job = job(&self.window, &self.workload, &self.service_s, request);
        let progress = &mut self.requests[request as usize];
        let balancer = &mut self.balancers[progress.record.balancer as usize];
        let (service, now_us) = (&self.setting.service, microseconds(self.now_s));
        let facts = facts(&job, progress.claimed_tokens);
        let ticket = balancer.upstream().begin(None, Some(service), &facts, host as u32, now_us);
        progress.ticket = ticket.expect("every host is registered");
        progress.record.host = host as u16;
        progress.record.attempts += 1;
        progress.sent_s = self.now_s;
        progress.is_sent = true;
        progress.requests_ahead = self.hosts[host].requests().min(usize::from(u16::MAX)) as u16;
        let is_up = self.hosts[host].is_up();
        self.uses[host].sent += 1;
        progress.cached_tokens = None;
        if is_up {
            if !job.prefix.is_empty() {
                progress.cached_tokens = Some(self.hosts[host].cached_tokens(&job));
            }
            if let Some((after_s, event)) = unworked {
                self.schedule(after_s, event);
            } else {
                self.hosts[host].offer(self.now_s, &job);
                self.reschedule(host as u32);
            }
        }
        let event = self.request_event(request);
        policy.on_sent(&event);
        if !is_up {
            self.fail(request, policy);
        }
        self.send_probes(event.balancer, policy.probes_wanted());
    }

    pub(super) fn advance_host(&mut self, host: u32, policy: &mut dyn Policy) {
        let mut notices = std::mem::take(&mut self.notices);
        notices.clear();
        self.hosts[host as usize].advance(self.now_s, &mut notices);
        for notice in &notices {
            match *notice {
                Notice::FirstToken(request) => self.first_token(request, policy),
                Notice::Done(request) => self.answer(request, policy),
            }
        }
        self.notices = notices;
        self.reschedule(host);
    }

    fn first_token(&mut self, request: u32, policy: &mut dyn Policy) {
        let progress = &mut self.requests[request as usize];
        if progress.is_over {
            return;
        }
        if progress.record.ttft_s.is_nan() {
            progress.record.ttft_s = self.now_s - progress.record.arrival_s;
            self.accrued.advance(self.now_s);
            self.accrued.tokenless -= 1;
        }
        let balancer = &self.balancers[progress.record.balancer as usize];
        balancer.upstream().first_token(&mut progress.ticket, microseconds(self.now_s));
        let event = self.request_event(request);
        // Where first token and end coincide, the end brings the report.
        if self.setting.service.kind() == runtime::ServiceKind::Llm {
            self.piggyback(&event, policy);
        }
        policy.on_first_token(&event);
    }

    fn answer(&mut self, request: u32, policy: &mut dyn Policy) {
        let progress = &self.requests[request as usize];
        let host = progress.record.host as usize;
        self.reports.note_latency(host, progress.requests_ahead, self.now_s - progress.sent_s);
        if progress.is_over {
            return;
        }
        let traced = &self.window.requests()[request as usize];
        let output = f64::from(traced.output_tokens.max(1));
        let prompt = f64::from(traced.prompt_tokens);
        let work_s = match self.service_s.get(request as usize) {
            Some(service_s) => service_s / self.servers(),
            None => self.scenario.request_work_s(&self.means, prompt, output, output * (prompt + 0.5 * output)),
        };
        self.uses[host].work_s += work_s;
        self.uses[host].answered += 1;
        let (status, output_tokens) = (runtime::Status::Success, traced.output_tokens);
        let outcome = runtime::Outcome { status, output_tokens, cached_tokens: progress.cached_tokens };
        let event = self.end_attempt(request, &outcome);
        self.balancers[event.balancer].answered(event.host, microseconds(self.now_s));
        self.piggyback(&event, policy);
        policy.on_done(&event, &outcome);
        self.end(request, Status::Answered);
    }

    /// The host is down, or crashed: the balancer learns it at once.
    fn fail(&mut self, request: u32, policy: &mut dyn Policy) {
        if self.requests[request as usize].is_over {
            return;
        }
        let outcome = runtime::Outcome { status: runtime::Status::Failure, output_tokens: 0, cached_tokens: None };
        let event = self.end_attempt(request, &outcome);
        policy.on_done(&event, &outcome);
        let balancer = &mut self.balancers[event.balancer];
        balancer.eject(event.host, self.now_s, self.now_s + self.scenario.ejection_s);
        self.try_again_or_fail(request, &event);
    }

    /// Nothing can be retried of which the client has seen a part.
    fn try_again_or_fail(&mut self, request: u32, event: &RequestEvent) {
        let record = &self.requests[request as usize].record;
        let is_seen = !record.ttft_s.is_nan() || event.elapsed_s >= self.scenario.life.head_after_s;
        if u32::from(record.attempts) <= self.scenario.retries_max && !is_seen {
            if self.scenario.life.retries.untried_only {
                self.fate.note_tried(request, record.host);
            }
            self.undecided.push_back(request);
        } else {
            self.end(request, Status::Failed);
        }
    }

    /// The client gets the host's error, unless it is tried again.
    pub(super) fn answer_error(&mut self, request: u32, policy: &mut dyn Policy) {
        if self.requests[request as usize].is_over {
            return;
        }
        let outcome = runtime::Outcome { status: runtime::Status::Failure, output_tokens: 0, cached_tokens: None };
        let event = self.end_attempt(request, &outcome);
        self.piggyback(&event, policy);
        policy.on_done(&event, &outcome);
        if self.scenario.life.retries.on_error {
            self.try_again_or_fail(request, &event);
        } else {
            self.end(request, Status::Failed);
        }
    }

    /// What ends a request at a host that does not work on it, and after how long; `None` if it
    /// works.
    fn unworked(&mut self, request: u32, host: usize) -> Option<(f64, Event)> {
        let progress = &self.requests[request as usize];
        let no_work = Event::NoWork { request, attempt: progress.record.attempts + 1 };
        let answer = match self.lies[host] {
            Some(Lie::FailsFast { share, after_s }) => {
                (uniform(&mut self.lie_rng) < share).then_some((after_s, Event::Error { request }))
            }
            Some(Lie::NoWork { share, after_s }) => (uniform(&mut self.lie_rng) < share).then_some((after_s, no_work)),
            Some(Lie::ReportsIdle | Lie::ReportsStep { .. } | Lie::RepeatsReport { .. }) | None => None,
        };
        if answer.is_none() && progress.is_exchange {
            return Some((self.fate.open_exchange(request), no_work));
        }
        answer
    }

    pub(super) fn time_out(&mut self, request: u32, policy: &mut dyn Policy) {
        let progress = &self.requests[request as usize];
        if progress.is_over {
            return;
        }
        if progress.is_sent {
            let outcome = runtime::Outcome { status: runtime::Status::Timeout, output_tokens: 0, cached_tokens: None };
            let event = self.end_attempt(request, &outcome);
            policy.on_done(&event, &outcome);
        }
        self.undecided.retain(|undecided| *undecided != request);
        self.end(request, Status::TimedOut);
    }

    /// A host crashes with all that it was working on.
    pub(super) fn lose_requests(&mut self, host: u32, policy: &mut dyn Policy) {
        let mut lost = std::mem::take(&mut self.lost);
        lost.clear();
        self.hosts[host as usize].crash(self.now_s, &mut lost);
        self.reschedule(host);
        self.lose_exchanges(host, &mut lost);
        for request in &lost {
            self.fail(*request, policy);
        }
        self.lost = lost;
    }

    /// Tells the balancer's state that a request ended at its host.
    pub(super) fn end_attempt(&mut self, request: u32, outcome: &runtime::Outcome) -> RequestEvent {
        let progress = &mut self.requests[request as usize];
        progress.is_sent = false;
        let upstream = self.balancers[progress.record.balancer as usize].upstream();
        let job = job(&self.window, &self.workload, &self.service_s, request);
        let (service, now_us) = (&self.setting.service, microseconds(self.now_s));
        let finished =
            upstream.finish(Some(service), &progress.ticket, &facts(&job, progress.claimed_tokens), outcome, now_us);
        finished.expect("nothing is taken back in a single process");
        self.request_event(request)
    }

    /// The client's wait is over.
    pub(super) fn end(&mut self, request: u32, status: Status) {
        let progress = &mut self.requests[request as usize];
        debug_assert!(!progress.is_over, "request {request} ended twice");
        progress.is_over = true;
        progress.record.status = status;
        progress.record.latency_s = self.now_s - progress.record.arrival_s;
        self.over += 1;
        if !progress.is_exchange {
            self.accrued.advance(self.now_s);
            self.accrued.present -= 1;
            if progress.record.ttft_s.is_nan() {
                self.accrued.tokenless -= 1;
            }
        }
        self.schedule_turn(request);
    }

    pub(super) fn piggyback(&mut self, event: &RequestEvent, policy: &mut dyn Policy) {
        if self.scenario.telemetry.piggyback {
            let telemetry = self.reported(event.host);
            self.deliver(event.balancer, event.host, Source::Piggyback, &telemetry, f64::NAN, self.now_s, policy);
        }
    }

    fn send_probes(&mut self, balancer: usize, probes_wanted: f64) {
        let options = &self.scenario.telemetry;
        let half_way_s = 0.5 * options.probe_round_trip_s;
        let allowed = options.probes_per_request.min(self.hosts.len() as u32);
        for _ in 0..self.reports.probes_due(balancer, allowed, probes_wanted) {
            let host = self.reports.draw_probed_host(self.hosts.len());
            self.schedule_in_lane(PROBE_LANE, half_way_s, Event::ProbeMeasures { balancer: balancer as u32, host });
        }
        self.reports.forget_drawn();
    }

    fn servers(&self) -> f64 {
        f64::from(self.setting.service.concurrency_max())
    }

    fn request_event(&self, request: u32) -> RequestEvent {
        let progress = &self.requests[request as usize];
        RequestEvent {
            now_s: self.now_s,
            request,
            balancer: progress.record.balancer as usize,
            host: progress.record.host as usize,
            elapsed_s: self.now_s - progress.sent_s,
        }
    }
}
