//! A fleet of hosts that take as long as a test says, balanced by the runtime: the life of
//! requests from the choice to the end, with a clock of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use evenkeel_runtime::{
    Decision, Eligible, HostSlot, Model, Outcome, Request, State, StateHeader, Status, Telemetry, Ticket, decide,
};

pub(crate) const SECOND_US: u64 = 1_000_000;

/// The end of a request, as a test decides it when the request is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) after_us: u64,
    pub(crate) status: Status,
    pub(crate) output_tokens: u32,
}

impl Answer {
    /// A success after so many seconds, with a hundred tokens.
    pub(crate) fn success(after_s: f64) -> Self {
        Self { after_us: (after_s * 1e6) as u64, status: Status::Success, output_tokens: 100 }
    }
}

/// A fleet under a steady stream of requests, evenly spaced but for a little jitter.
pub(crate) struct Fleet {
    header: StateHeader,
    slots: Vec<HostSlot>,
    artifact: Vec<u8>,
    under_way: BinaryHeap<Reverse<(u64, u64)>>,
    open: Vec<(Ticket, Answer)>,
    pub(crate) now_us: u64,
    pub(crate) prompt_tokens: u32,
    /// Requests that the hosts got in the last [`run`](Self::run).
    pub(crate) sent: Vec<u64>,
    /// A report of every host, ten times a second, where there is one.
    pub(crate) report: Option<fn(u32) -> Telemetry>,
    reported_us: u64,
    scratch: Vec<f32>,
}

impl Fleet {
    pub(crate) fn new(hosts: usize, artifact: Vec<u8>) -> Self {
        let fleet = Self {
            header: StateHeader::new(7),
            slots: (0..hosts).map(|_| HostSlot::default()).collect(),
            artifact,
            under_way: BinaryHeap::new(),
            open: Vec::new(),
            now_us: SECOND_US,
            prompt_tokens: 500,
            sent: vec![0; hosts],
            report: None,
            reported_us: 0,
            scratch: Vec::new(),
        };
        for key in 1..=hosts as u64 {
            fleet.state().register(key, 1.0, SECOND_US).expect("room");
        }
        fleet
    }

    pub(crate) fn state(&self) -> State<'_> {
        State::new(&self.header, &self.slots)
    }

    pub(crate) fn decide(&mut self) -> Decision {
        let model = Model::parse(&self.artifact).expect("valid");
        self.scratch.resize(model.policy().map_or(0, |policy| policy.scratch_len(self.slots.len())), 0.0);
        let state = State::new(&self.header, &self.slots);
        let asked = Request { prompt_tokens: self.prompt_tokens, ..Request::default() };
        decide(Some(&model), &state, &asked, Eligible::All, self.now_us, &mut self.scratch)
    }

    /// Sends requests at a rate for some time; each ends as `answer` says of its host and
    /// the time of its sending.
    pub(crate) fn run(&mut self, seconds: f64, rate_per_s: f64, answer: impl Fn(u32, u64) -> Answer) {
        self.sent.fill(0);
        let end_us = self.now_us + (seconds * 1e6) as u64;
        let gap_us = (1e6 / rate_per_s) as u64;
        let mut next_us = self.now_us + gap_us;
        while next_us <= end_us {
            self.pass(next_us);
            let host = self.decide().host.expect("all are eligible");
            self.sent[host as usize] += 1;
            self.send(host, answer(host, self.now_us));
            // Up to a quarter later, so that hosts are not visited in step with their answers.
            let jitter = (self.open.len() as u64).wrapping_mul(0x9E37_79B9) % (gap_us / 4 + 1);
            next_us += gap_us + jitter - gap_us / 8;
        }
        self.pass(end_us);
    }

    /// Sends a request to a host.
    pub(crate) fn send(&mut self, host: u32, answer: Answer) {
        let model = Model::parse(&self.artifact).expect("valid");
        let tokens = model.service().booked_prompt_tokens(self.prompt_tokens);
        let ticket = self.state().begin(host, tokens, self.now_us).expect("registered");
        self.under_way.push(Reverse((self.now_us + answer.after_us, self.open.len() as u64)));
        self.open.push((ticket, answer));
    }

    /// Lets time pass, with what ends until then.
    pub(crate) fn pass(&mut self, until_us: u64) {
        let artifact = std::mem::take(&mut self.artifact);
        let model = Model::parse(&artifact).expect("valid");
        loop {
            let end_us = self.under_way.peek().map_or(u64::MAX, |Reverse((end_us, _))| *end_us);
            let report_us = if self.report.is_some() { self.reported_us + SECOND_US / 10 } else { u64::MAX };
            if end_us.min(report_us) > until_us {
                break;
            }
            if report_us < end_us {
                self.reported_us = report_us.max(self.now_us);
                if let Some(report) = self.report {
                    for host in 0..self.slots.len() as u32 {
                        self.state().report(host, &report(host), self.reported_us, self.reported_us);
                    }
                }
                continue;
            }
            let Some(Reverse((end_us, number))) = self.under_way.pop() else { break };
            let (mut ticket, answer) = self.open[number as usize];
            if answer.status == Status::Success {
                let first_us = ticket.sent_us + (end_us - ticket.sent_us) / 5;
                self.state().first_token(&mut ticket, first_us);
            }
            let outcome = Outcome { status: answer.status, output_tokens: answer.output_tokens, cached_tokens: None };
            self.state().finish(&ticket, &outcome, Some(model.service()), end_us);
        }
        self.artifact = artifact;
        self.now_us = until_us;
    }

    /// A host's share of the last run's requests, in fair shares.
    pub(crate) fn fair_shares(&self, host: usize) -> f64 {
        let total: u64 = self.sent.iter().sum();
        self.sent[host] as f64 * self.sent.len() as f64 / total as f64
    }
}
