//! The simulator's true state, and what it costs to place a request on each host.
//!
//! The cost is the *marginal* one: by how much the sum of the completion times of all
//! requests present grows, the new one included, plus a weight times its time to first
//! token. It is had by draining copies of the host, with and without the request, through
//! the host's own model without further arrivals, so it is exact for a world in which
//! nothing else arrives. Sizes may be the true ones or expectations (hindsight would teach
//! a policy what it can never know).

use std::cell::RefCell;

use evenkeel_datasets::Request;

use crate::host::fifo::{FifoHost, FifoOptions};
use crate::host::llm::{LlmHost, LlmJob};
use crate::host::{Engine, Host, Job, Notice};
use crate::sizes::{SizeModel, Sizes, lognormal_left};

/// The true state at a decision. For oracles and critics only.
pub struct Truth<'a> {
    pub(crate) now_s: f64,
    pub(crate) hosts: &'a [Host],
    pub(crate) sizes: &'a SizeModel,
    /// The requests by number, with what they will truly need.
    pub(crate) requests: &'a [Request],
    pub(crate) job: Job<'a>,
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

    /// The same for one host alone, at one host's expense.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn marginal_cost(&self, host: usize, sizes: Sizes, ttft_weight: f64) -> f64 {
        self.cost_s(&self.hosts[host], sizes, ttft_weight, &mut self.scratch.borrow_mut())
    }

    fn cost_s(&self, host: &Host, sizes: Sizes, ttft_weight: f64, scratch: &mut Scratch) -> f64 {
        if !host.is_up() {
            return f64::INFINITY;
        }
        match host.engine() {
            Engine::Llm(engine, _) => self.llm_cost_s(host, engine, sizes, ttft_weight, scratch),
            Engine::Fifo(engine) => (1.0 + ttft_weight) * self.fifo_latency_s(engine, sizes, scratch),
        }
    }

    fn llm_cost_s(&self, host: &Host, engine: &LlmHost, sizes: Sizes, ttft_weight: f64, scratch: &mut Scratch) -> f64 {
        let present = scratch.present.get_or_insert_with(|| LlmHost::new(*engine.options(), 1.0));
        let drained = scratch.drained.get_or_insert_with(|| LlmHost::new(*engine.options(), 1.0));
        present.clone_from(engine);
        scratch.notices.clear();
        let output_tokens = |request: u32, generated: u32| match sizes {
            Sizes::Expected => generated + self.sizes.output_tokens_left(generated),
            Sizes::True => self.requests[request as usize].output_tokens,
        };
        let at_s = present.settle(self.now_s, &mut scratch.notices, output_tokens);
        drained.clone_from(present);
        drained.resume(at_s, None);
        let without = drain(drained, &mut scratch.notices, None, self.now_s);
        let job = LlmJob {
            request: self.job.request,
            prompt_tokens: self.job.prompt_tokens,
            output_tokens: output_tokens(self.job.request, 0),
            cached_tokens: host.cached_tokens(&self.job),
        };
        present.resume(at_s, Some(job));
        let with = drain(present, &mut scratch.notices, Some(self.job.request), self.now_s);
        with.completions_s - without.completions_s + ttft_weight * with.ttft_s
    }

    /// In a queue nobody behind is delayed, so the cost is the request's own latency.
    fn fifo_latency_s(&self, engine: &FifoHost, sizes: Sizes, scratch: &mut Scratch) -> f64 {
        let options = engine.options();
        let work_s = engine.work_s(self.now_s);
        let left_s = |served_s: f64| service_left_s(self.sizes, options, served_s);
        let free_at_s = &mut scratch.free_at_s;
        free_at_s.clear();
        free_at_s.extend(engine.in_service().map(|serving| match sizes {
            Sizes::True => serving.end_work_s - work_s,
            Sizes::Expected => {
                let began_work_s = serving.end_work_s - serving.job.service_s;
                left_s(work_s - began_work_s)
            }
        }));
        free_at_s.resize(options.servers as usize, 0.0);
        let new_s = match sizes {
            Sizes::True => self.job.service_s,
            Sizes::Expected => left_s(0.0),
        };
        let mut end_s = 0.0;
        let queued = engine.queue().map(|job| match sizes {
            Sizes::True => job.service_s,
            Sizes::Expected => new_s,
        });
        for service_s in queued.chain([new_s]) {
            let first = free_at_s.iter_mut().min_by(|a, b| a.total_cmp(b)).expect("a host has servers");
            *first += service_s;
            end_s = *first;
        }
        end_s * engine.stretch()
    }
}

/// Service that a request is expected still to need, in seconds at speed 1.
fn service_left_s(sizes: &SizeModel, options: &FifoOptions, served_s: f64) -> f64 {
    sizes
        .service_left_s(served_s)
        .unwrap_or_else(|| lognormal_left(options.service_mean_s, options.service_variation, served_s))
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
