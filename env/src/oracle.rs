//! The simulator's true state, and what it costs to place a request on each host.
//!
//! The cost is the *marginal* one: by how much the sum of the completion times of all
//! requests present grows, the new one included, plus a weight times its time to first
//! token. It is had by draining copies of the host, with and without the request, through
//! the host's own model without further arrivals, so it is exact for a world in which
//! nothing else arrives; or, nearer to the truth on a busy fleet, for one in which average
//! requests keep arriving. Either way it is the cost of one decision on one host, the others
//! being as they are: whoever takes the least of it is greedy, and no proven bound on what
//! could be reached. Sizes may be the true ones or expectations (hindsight would teach
//! a policy what it can never know).

mod outlook;
mod prospect;

use std::cell::RefCell;

use evenkeel_datasets::Request;

use crate::host::fifo::{FifoHost, FifoJob};
use crate::host::llm::{LlmHost, LlmJob};
use crate::host::{Engine, Host, Job, Notice};
use crate::sizes::{SizeModel, Sizes, lognormal_left, share_of_guess};
use outlook::{Arrivals, in_work, inflicted_s, replay, serve};

pub use prospect::Prospect;

/// The true state at a decision. For oracles and critics only.
pub struct Truth<'a> {
    pub(crate) now_s: f64,
    pub(crate) hosts: &'a [Host],
    pub(crate) sizes: &'a SizeModel,
    /// The requests by number, with what they will truly need.
    pub(crate) requests: &'a [Request],
    pub(crate) job: Job<'a>,
    /// Requests a second that arrive at all balancers together, on average.
    pub(crate) offered_per_s: f64,
    /// Mean prompt, in tokens.
    pub(crate) prompt_tokens_mean: f64,
    pub(crate) scratch: &'a RefCell<Scratch>,
}

impl std::fmt::Debug for Truth<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Truth").field("now_s", &self.now_s).field("job", &self.job).finish_non_exhaustive()
    }
}

/// Memory for copies of hosts.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    present: Option<LlmHost>,
    drained: Option<LlmHost>,
    notices: Vec<Notice>,
    free_at_s: Vec<f64>,
}

impl Truth<'_> {
    /// The hosts as they are.
    pub fn hosts(&self) -> &[Host] {
        self.hosts
    }

    /// What the request to be placed will truly need.
    pub fn job(&self) -> &Job<'_> {
        &self.job
    }

    /// What placing the request costs on every host, in seconds; infinite on hosts that are
    /// down. `ttft_weight` is λ, the weight of the request's time to first token beside the
    /// sum of completion times.
    pub fn marginal_costs(&self, sizes: Sizes, ttft_weight: f64, costs: &mut Vec<f64>) {
        let scratch = &mut *self.scratch.borrow_mut();
        costs.clear();
        costs.extend(self.hosts.iter().map(|host| self.cost_s(host, sizes, ttft_weight, scratch)));
    }

    /// The same where others keep arriving for `horizon_s`, at each host in proportion to its
    /// present speed: delays of later arrivals count too, and every request's time to first
    /// token. As this takes several times as long, costs that are infinite stay so, and only
    /// the others are replaced: `costs` may be those of [`marginal_costs`](Self::marginal_costs)
    /// with the hosts left out that are out of the question anyway.
    ///
    /// # Panics
    /// If there is not one cost for each host.
    pub fn marginal_costs_under_load(&self, sizes: Sizes, ttft_weight: f64, horizon_s: f64, costs: &mut [f64]) {
        assert_eq!(costs.len(), self.hosts.len(), "one cost for each host");
        let scratch = &mut *self.scratch.borrow_mut();
        let speed = |host: &Host| if host.is_up() { host.speed() / host.slowness() } else { 0.0 };
        let speed_total: f64 = self.hosts.iter().map(speed).sum();
        for (host, cost) in self.hosts.iter().zip(costs).filter(|(host, cost)| host.is_up() && cost.is_finite()) {
            let every_s = speed_total / (self.offered_per_s * speed(host));
            let arrivals = Arrivals { every_s, horizon_s };
            *cost = match host.engine() {
                Engine::Llm(engine, _) => self.llm_loaded_cost_s(host, engine, sizes, ttft_weight, &arrivals, scratch),
                Engine::Fifo(engine) => (1.0 + ttft_weight) * self.fifo_cost_s(engine, sizes, Some(&arrivals), scratch),
            };
        }
    }

    fn cost_s(&self, host: &Host, sizes: Sizes, ttft_weight: f64, scratch: &mut Scratch) -> f64 {
        if !host.is_up() {
            return f64::INFINITY;
        }
        match host.engine() {
            Engine::Llm(engine, _) => self.llm_cost_s(host, engine, sizes, ttft_weight, scratch),
            Engine::Fifo(engine) => (1.0 + ttft_weight) * self.fifo_cost_s(engine, sizes, None, scratch),
        }
    }

    fn llm_cost_s(&self, host: &Host, engine: &LlmHost, sizes: Sizes, ttft_weight: f64, scratch: &mut Scratch) -> f64 {
        let present = scratch.present.get_or_insert_with(|| LlmHost::new(*engine.options(), 1.0));
        let drained = scratch.drained.get_or_insert_with(|| LlmHost::new(*engine.options(), 1.0));
        let at_s = self.settle(engine, sizes, present, &mut scratch.notices);
        drained.clone_from(present);
        drained.resume(at_s, None);
        let without = drain(drained, &mut scratch.notices, None, self.now_s);
        present.resume(at_s, Some(self.llm_job(host, sizes)));
        let with = drain(present, &mut scratch.notices, Some(self.job.request), self.now_s);
        with.completions_s - without.completions_s + ttft_weight * with.ttft_s
    }

    fn llm_loaded_cost_s(
        &self,
        host: &Host,
        engine: &LlmHost,
        sizes: Sizes,
        ttft_weight: f64,
        arrivals: &Arrivals,
        scratch: &mut Scratch,
    ) -> f64 {
        let Scratch { present, drained, notices, .. } = scratch;
        let with = present.get_or_insert_with(|| LlmHost::new(*engine.options(), 1.0));
        let without = drained.get_or_insert_with(|| LlmHost::new(*engine.options(), 1.0));
        let at_s = self.settle(engine, sizes, with, notices);
        without.clone_from(with);
        without.resume(at_s, None);
        with.resume(at_s, Some(self.llm_job(host, sizes)));
        let average = LlmJob {
            request: u32::MAX,
            prompt_tokens: self.prompt_tokens_mean as u32,
            output_tokens: self.sizes.output_tokens_left(0),
            cached_tokens: 0,
        };
        let with = replay(with, notices, at_s, arrivals, average);
        let without = replay(without, notices, at_s, arrivals, average);
        // Until the step under way ends, the request is present and nothing else differs.
        (1.0 + ttft_weight) * (at_s - self.now_s)
            + (with.present_s - without.present_s)
            + ttft_weight * (with.tokenless_s - without.tokenless_s)
    }

    /// A copy of a host at the end of the step under way, its requests as large as they are
    /// taken to be; returns when that is.
    fn settle(&self, engine: &LlmHost, sizes: Sizes, copy: &mut LlmHost, notices: &mut Vec<Notice>) -> f64 {
        copy.clone_from(engine);
        notices.clear();
        copy.settle(self.now_s, notices, |request, generated| self.output_tokens(sizes, request, generated))
    }

    /// Tokens that a request which has generated so many will have generated in the end.
    fn output_tokens(&self, sizes: Sizes, request: u32, generated: u32) -> u32 {
        match sizes {
            Sizes::Expected => generated + self.sizes.output_tokens_left(generated),
            Sizes::Guessed { draw, draws } => {
                self.sizes.output_tokens_at(generated, share_of_guess(request, draw, draws))
            }
            Sizes::True => self.requests[request as usize].output_tokens,
        }
    }

    /// The request to be placed, as this host would see it.
    fn llm_job(&self, host: &Host, sizes: Sizes) -> LlmJob {
        LlmJob {
            request: self.job.request,
            prompt_tokens: self.job.prompt_tokens,
            output_tokens: self.output_tokens(sizes, self.job.request, 0),
            cached_tokens: host.cached_tokens(&self.job),
        }
    }

    /// The request's own latency, and what it delays later arrivals by: in a queue nobody
    /// else is delayed.
    fn fifo_cost_s(&self, engine: &FifoHost, sizes: Sizes, arrivals: Option<&Arrivals>, scratch: &mut Scratch) -> f64 {
        let free_at_s = &mut scratch.free_at_s;
        self.fifo_backlog(engine, sizes, free_at_s);
        let new = FifoJob { request: self.job.request, service_s: self.job.service_s };
        let new_s = self.service_left_s(engine, sizes, &new, 0.0);
        let inflicted_s = arrivals.map_or(0.0, |arrivals| {
            let mean_s = self.service_left_s(engine, Sizes::Expected, &new, 0.0);
            inflicted_s(free_at_s, new_s, mean_s, &in_work(arrivals, engine))
        });
        (serve(free_at_s, 0.0, new_s) + inflicted_s) * engine.stretch()
    }

    /// When each server of a host will be free, in seconds of work from now.
    fn fifo_backlog(&self, engine: &FifoHost, sizes: Sizes, free_at_s: &mut Vec<f64>) {
        let work_s = engine.work_s(self.now_s);
        free_at_s.clear();
        free_at_s.extend(engine.in_service().map(|serving| {
            let began_work_s = serving.end_work_s - serving.job.service_s;
            self.service_left_s(engine, sizes, &serving.job, work_s - began_work_s)
        }));
        free_at_s.resize(engine.options().servers as usize, 0.0);
        for job in engine.queue() {
            serve(free_at_s, 0.0, self.service_left_s(engine, sizes, job, 0.0));
        }
    }

    /// Service that a request still needs after so much of it, in seconds at speed 1.
    fn service_left_s(&self, engine: &FifoHost, sizes: Sizes, job: &FifoJob, served_s: f64) -> f64 {
        let known = match sizes {
            Sizes::True => return job.service_s - served_s,
            Sizes::Expected => self.sizes.service_left_s(served_s),
            Sizes::Guessed { draw, draws } => {
                self.sizes.service_left_at_s(served_s, share_of_guess(job.request, draw, draws))
            }
        };
        let options = engine.options();
        known.unwrap_or_else(|| lognormal_left(options.service_mean_s, options.service_variation, served_s))
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Drained {
    /// Sum of the times from now to each completion.
    completions_s: f64,
    /// Time from now to the first token of the watched request.
    ttft_s: f64,
}

/// Runs a host until it is empty.
fn drain(host: &mut LlmHost, notices: &mut Vec<Notice>, watched: Option<u32>, now_s: f64) -> Drained {
    let mut drained = Drained::default();
    loop {
        let at_s = host.next_event_s();
        if at_s.is_infinite() {
            return drained;
        }
        notices.clear();
        host.advance(at_s, notices);
        for notice in &*notices {
            match *notice {
                Notice::Done(_) => drained.completions_s += at_s - now_s,
                Notice::FirstToken(request) if Some(request) == watched => drained.ttft_s = at_s - now_s,
                Notice::FirstToken(_) => {}
            }
        }
    }
}
