//! A host that serves a language model with continuous batching.
//!
//! Requests share steps. In every step each decoding request generates one token, and up
//! to [`LlmOptions::prefill_tokens_per_step`] prompt tokens of newly admitted requests are
//! prefilled, first come first served. A step takes
//!
//! ```text
//! (base + per_request·decoding + per_kv_token·kv + per_prefill_token·prefilled)·slowness/speed
//! ```
//!
//! seconds, fixed when it starts. Between two events (an admission, the end of a prompt, a
//! completion, the cache running full, a change of slowness) the batch stays the same and
//! each step is longer than the one before by the same amount: `k` steps are an arithmetic
//! series with a closed form. The host jumps from event to event and never looks at the
//! steps in between.
//!
//! Requests are admitted in order of arrival while the batch and the KV cache have room.
//! When the cache would overflow, the youngest request is preempted: it loses its cache and
//! waits at the front of the queue to be prefilled again, prompt and generated tokens
//! alike. A request that is larger than the whole cache runs alone.

mod abort;
mod options;
mod run;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::{HostReport, Notice};
use run::Run;

pub use options::{LlmOptions, StepModel};

/// A request as the host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LlmJob {
    /// The caller's number for the request, returned in every [`Notice`].
    pub request: u32,
    /// Length of the prompt in tokens; 0 counts as 1.
    pub prompt_tokens: u32,
    /// Tokens to generate; 0 counts as 1.
    pub output_tokens: u32,
    /// Leading tokens of the prompt whose KV is cached here. The last token of a prompt is
    /// always computed.
    pub cached_tokens: u32,
}

/// A request that waits for admission.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    job: LlmJob,
    /// More than 0 only after a preemption.
    generated: u32,
}

impl Waiting {
    fn prefill_tokens(&self) -> u32 {
        self.job.prompt_tokens + self.generated - self.job.cached_tokens
    }
}

/// A request of the batch.
#[derive(Clone, Copy, Debug)]
struct Running {
    job: LlmJob,
    /// Tokens generated before the present stay in the batch.
    generated: u32,
    /// Prompt tokens still to prefill; 0 once decoding.
    prefill_tokens: u32,
    /// Step after which the last token is there; meaningful once decoding.
    finish_step: u64,
    /// Order of admission: the largest is the youngest.
    admission: u64,
}

/// Continuous batching, jumping from event to event.
#[derive(Debug)]
pub struct LlmHost {
    options: LlmOptions,
    /// Slowness over speed: what step times are multiplied by.
    stretch: f64,
    run: Run,
    /// Steps completed before the present run.
    steps_done: u64,
    /// The batch; `None` marks free places.
    batch: Vec<Option<Running>>,
    free: Vec<u16>,
    /// Decoding requests: `finish_step << 16 | place`, earliest first.
    finishing: BinaryHeap<Reverse<u64>>,
    /// Places being prefilled, in order of admission.
    prefilling: VecDeque<u16>,
    waiting: VecDeque<Waiting>,
    /// KV tokens held by the batch at the start of the run, prompts counted from admission.
    kv_held: u64,
    /// KV tokens read by a decoding step at the start of the run.
    kv_read: u64,
    /// Prompt tokens to prefill, of the batch at the start of the run and of the queue.
    pending_prefill_tokens: u64,
    admissions: u64,
    preemptions: u64,
    busy_s: f64,
    /// Length of the last step that was completed.
    last_step_s: f64,
    /// Requests of the batch that are dropped at the end of the run.
    aborted: Vec<u32>,
}

impl Clone for LlmHost {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.options, 1.0);
        copy.clone_from(self);
        copy
    }

    /// Reuses the memory of `self`: the oracles copy hosts for every decision.
    fn clone_from(&mut self, source: &Self) {
        self.options = source.options;
        self.stretch = source.stretch;
        self.run = source.run;
        self.steps_done = source.steps_done;
        self.batch.clone_from(&source.batch);
        self.free.clone_from(&source.free);
        self.finishing.clone_from(&source.finishing);
        self.prefilling.clone_from(&source.prefilling);
        self.waiting.clone_from(&source.waiting);
        self.kv_held = source.kv_held;
        self.kv_read = source.kv_read;
        self.pending_prefill_tokens = source.pending_prefill_tokens;
        self.admissions = source.admissions;
        self.preemptions = source.preemptions;
        self.busy_s = source.busy_s;
        self.last_step_s = source.last_step_s;
        self.aborted.clone_from(&source.aborted);
    }
}

const PLACE_BITS: u32 = 16;

impl LlmHost {
    /// An idle host. `stretch` is its slowness over its speed.
    ///
    /// # Panics
    /// If the batch limit is 0 or above 65,536, the prefill budget is 0, or `stretch` is not
    /// positive.
    pub fn new(options: LlmOptions, stretch: f64) -> Self {
        assert!((1..=1 << PLACE_BITS).contains(&options.batch_max), "batch_max must be 1 to 65,536");
        assert!(options.prefill_tokens_per_step > 0, "a step must prefill at least one token");
        assert!(stretch > 0.0, "stretch must be positive");
        Self {
            options,
            stretch,
            run: Run::IDLE,
            steps_done: 0,
            batch: Vec::new(),
            free: Vec::new(),
            finishing: BinaryHeap::new(),
            prefilling: VecDeque::new(),
            waiting: VecDeque::new(),
            kv_held: 0,
            kv_read: 0,
            pending_prefill_tokens: 0,
            admissions: 0,
            preemptions: 0,
            busy_s: 0.0,
            last_step_s: options.step.base_s * stretch,
            aborted: Vec::new(),
        }
    }

    /// When [`advance`](Self::advance) must be called next; infinite while idle.
    pub fn next_event_s(&self) -> f64 {
        self.run.end_s
    }

    /// A request arrives. It is admitted at the end of the step under way at the earliest.
    pub fn offer(&mut self, now_s: f64, job: LlmJob) {
        self.enqueue(job);
        if self.running() == 0 {
            self.plan(now_s);
        } else if self.waiting.len() == 1 {
            self.cut_if_admissible(now_s);
        }
    }

    fn enqueue(&mut self, job: LlmJob) {
        let prompt_tokens = job.prompt_tokens.max(1);
        let job = LlmJob {
            prompt_tokens,
            output_tokens: job.output_tokens.max(1),
            cached_tokens: job.cached_tokens.min(prompt_tokens - 1),
            ..job
        };
        let arrived = Waiting { job, generated: 0 };
        self.pending_prefill_tokens += u64::from(arrived.prefill_tokens());
        self.waiting.push_back(arrived);
    }

    /// Lets the events of `now_s`, which must be [`next_event_s`](Self::next_event_s), happen.
    pub fn advance(&mut self, now_s: f64, notices: &mut Vec<Notice>) {
        debug_assert!(now_s == self.run.end_s, "advance at {now_s}, but the event is at {}", self.run.end_s);
        self.end_run(notices);
        self.plan(now_s);
    }

    /// Changes slowness over speed, from the next step on.
    pub fn set_stretch(&mut self, now_s: f64, stretch: f64) {
        assert!(stretch > 0.0, "stretch must be positive");
        self.stretch = stretch;
        self.cut(now_s);
    }

    /// Drops everything, and says what was dropped.
    pub fn crash(&mut self, now_s: f64, lost: &mut Vec<u32>) {
        if self.run.end_s.is_finite() {
            self.busy_s += (now_s - self.run.start_s).clamp(0.0, self.run.end_s - self.run.start_s);
        }
        lost.extend(self.batch.iter().flatten().map(|running| running.job.request));
        lost.extend(self.waiting.iter().map(|waiting| waiting.job.request));
        let emptied =
            Self { busy_s: self.busy_s, preemptions: self.preemptions, ..Self::new(self.options, self.stretch) };
        *self = emptied;
    }

    /// Requests in the batch.
    pub fn running(&self) -> usize {
        self.batch.len() - self.free.len()
    }

    /// Requests waiting for admission.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Requests that wait or are being prefilled: those without a first token, and those that
    /// were preempted.
    pub fn tokenless(&self) -> usize {
        self.waiting.len() + self.prefilling.len()
    }

    /// Preemptions so far.
    pub fn preemptions(&self) -> u64 {
        self.preemptions
    }

    /// Seconds spent in completed runs of steps.
    pub fn busy_s(&self) -> f64 {
        self.busy_s
    }

    /// Parameters of the host.
    pub fn options(&self) -> &LlmOptions {
        &self.options
    }

    /// What the host would report of itself at `now_s`.
    pub fn report(&self, now_s: f64) -> HostReport {
        let steps = self.steps_ended(now_s);
        let decoding = self.finishing.len() as u64;
        let prefilled = u64::from(self.run.prefill_tokens_per_step) * steps;
        let kv_tokens = self.kv_held + decoding * steps;
        let step_s = if self.running() == 0 {
            self.last_step_s
        } else {
            self.run.first_step_s + self.run.growth_s * steps as f64
        };
        HostReport {
            running: self.running() as u32,
            waiting: self.waiting.len() as u32,
            pending_prefill_tokens: self.pending_prefill_tokens - prefilled,
            kv_use: (kv_tokens as f64 / f64::from(self.options.kv_capacity_tokens)).min(1.0),
            step_s,
        }
    }

    /// Appends each running request's number and the tokens that it has generated by `now_s`.
    pub fn progress(&self, now_s: f64, generated: &mut Vec<(u32, u32)>) {
        let steps_done = self.steps_done + self.steps_ended(now_s);
        let running = self.batch.iter().flatten();
        generated.extend(running.map(|running| (running.job.request, running.generated_by(steps_done))));
    }

    /// Ends the step under way and gives every request the output length that
    /// `output_tokens` (of request and tokens generated so far) says, but at least one token
    /// to go. Returns the time at which the step ended; [`resume`](Self::resume) must follow.
    pub(crate) fn settle(
        &mut self,
        now_s: f64,
        notices: &mut Vec<Notice>,
        output_tokens: impl Fn(u32, u32) -> u32,
    ) -> f64 {
        let mut at_s = now_s;
        if self.running() > 0 {
            self.cut(now_s);
            at_s = self.run.end_s;
            self.end_run(notices);
        }
        let steps_done = self.steps_done;
        self.finishing.clear();
        for (place, running) in self.batch.iter_mut().enumerate() {
            let Some(running) = running else { continue };
            let generated = running.generated_by(steps_done);
            let output = output_tokens(running.job.request, generated).max(generated + 1);
            running.job.output_tokens = output;
            if running.prefill_tokens == 0 {
                running.finish_step = steps_done + u64::from(output - generated);
                self.finishing.push(Reverse(running.finish_step << PLACE_BITS | place as u64));
            }
        }
        for waiting in &mut self.waiting {
            waiting.job.output_tokens =
                output_tokens(waiting.job.request, waiting.generated).max(waiting.generated + 1);
        }
        at_s
    }

    /// Plans on after [`settle`](Self::settle), perhaps with one request more.
    pub(crate) fn resume(&mut self, at_s: f64, arrived: Option<LlmJob>) {
        if let Some(job) = arrived {
            self.enqueue(job);
        }
        self.plan(at_s);
    }

    /// Steps of the run that have ended by `now_s`.
    fn steps_ended(&self, now_s: f64) -> u64 {
        if self.running() == 0 || now_s <= self.run.start_s {
            return 0;
        }
        let steps = self.run.steps_until(now_s);
        if self.run.span_s(steps) <= now_s - self.run.start_s { steps } else { steps - 1 }
    }

    /// Lets the run end with the step under way.
    fn cut(&mut self, now_s: f64) {
        if self.running() > 0 {
            self.cut_to(self.run.steps_until(now_s));
        }
    }

    fn cut_to(&mut self, steps: u64) {
        if steps < self.run.steps {
            self.run.steps = steps;
            self.run.end_s = self.run.start_s + self.run.span_s(steps);
        }
    }

    /// Lets the run end with the step under way if the head of the queue can be admitted
    /// then. If it cannot, it cannot before the end of the run either: until then the cache
    /// only fills.
    fn cut_if_admissible(&mut self, now_s: f64) {
        let steps = self.run.steps_until(now_s);
        let grown = self.kv_held + self.finishing.len() as u64 * steps;
        if steps < self.run.steps && self.is_admissible(grown) {
            self.cut_to(steps);
        }
    }

    /// Whether the head of the queue fits beside a batch that holds `kv_held` tokens.
    fn is_admissible(&self, kv_held: u64) -> bool {
        let Some(head) = self.waiting.front() else { return false };
        if self.running() == 0 {
            return true;
        }
        // Room for one token more for everyone, so that the next step does not preempt it.
        let after = kv_held + u64::from(head.prefill_tokens()) + self.finishing.len() as u64 + 1;
        self.running() < self.options.batch_max as usize && after <= u64::from(self.options.kv_capacity_tokens)
    }

    /// Books the steps of the run: tokens, ends of prompts, completions.
    fn end_run(&mut self, notices: &mut Vec<Notice>) {
        let steps = self.run.steps;
        self.busy_s += self.run.end_s - self.run.start_s;
        self.last_step_s = self.run.first_step_s + self.run.growth_s * (steps - 1) as f64;
        let generated = self.finishing.len() as u64 * steps;
        self.steps_done += steps;
        self.kv_held += generated;
        self.kv_read += generated;
        self.prefill(u64::from(self.run.prefill_tokens_per_step) * steps, notices);
        while let Some(Reverse(first)) = self.finishing.peek() {
            if first >> PLACE_BITS > self.steps_done {
                break;
            }
            let place = (first & ((1 << PLACE_BITS) - 1)) as u16;
            self.finishing.pop();
            let running = self.vacate(place);
            self.kv_read -= running.context_tokens(self.steps_done);
            notices.push(Notice::Done(running.job.request));
        }
        if !self.aborted.is_empty() {
            self.drop_aborted();
        }
        self.run = Run::IDLE;
    }

    fn prefill(&mut self, mut tokens: u64, notices: &mut Vec<Notice>) {
        self.pending_prefill_tokens -= tokens;
        while tokens > 0
            && let Some(&place) = self.prefilling.front()
        {
            let running = self.batch[place as usize].as_mut().expect("a place being prefilled is taken");
            let taken = tokens.min(u64::from(running.prefill_tokens));
            running.prefill_tokens -= taken as u32;
            tokens -= taken;
            if running.prefill_tokens == 0 {
                self.prefilling.pop_front();
                self.end_prompt(place, notices);
            }
        }
    }

    /// The step that prefills the last of a prompt also generates the first token.
    fn end_prompt(&mut self, place: u16, notices: &mut Vec<Notice>) {
        let running = self.batch[place as usize].as_mut().expect("a place being prefilled is taken");
        if running.generated == 0 {
            notices.push(Notice::FirstToken(running.job.request));
        }
        running.generated += 1;
        self.kv_held += 1;
        let left = running.job.output_tokens.saturating_sub(running.generated);
        running.finish_step = self.steps_done + u64::from(left);
        if left == 0 {
            let request = running.job.request;
            self.vacate(place);
            notices.push(Notice::Done(request));
        } else {
            self.kv_read += running.context_tokens(self.steps_done);
            self.finishing.push(Reverse(running.finish_step << PLACE_BITS | u64::from(place)));
        }
    }

    /// Frees a place and the cache that it held.
    fn vacate(&mut self, place: u16) -> Running {
        let running = self.batch[place as usize].take().expect("a place being vacated is taken");
        self.free.push(place);
        self.kv_held -= running.kv_held(self.steps_done);
        running
    }

    /// Takes a request out of the batch before it is complete.
    fn evict(&mut self, place: u16) -> Running {
        let running = self.vacate(place);
        if running.prefill_tokens > 0 {
            self.prefilling.retain(|other| *other != place);
            self.pending_prefill_tokens -= u64::from(running.prefill_tokens);
        } else {
            self.kv_read -= running.context_tokens(self.steps_done);
            self.finishing.retain(|Reverse(entry)| (entry & ((1 << PLACE_BITS) - 1)) as u16 != place);
        }
        running
    }

    /// Preempts, admits, and computes the run up to the next event.
    fn plan(&mut self, now_s: f64) {
        let capacity = u64::from(self.options.kv_capacity_tokens);
        while self.running() > 1 && self.kv_held + self.finishing.len() as u64 > capacity {
            self.preempt_youngest();
        }
        while self.is_admissible(self.kv_held) {
            self.admit();
        }
        if self.running() == 0 {
            self.run = Run::IDLE;
            return;
        }
        let decoding = self.finishing.len() as u64;
        let (prefill_tokens, mut steps) = self.plan_prefill();
        if let Some(Reverse(first)) = self.finishing.peek() {
            steps = steps.min((first >> PLACE_BITS) - self.steps_done);
            if self.running() > 1 {
                steps = steps.min((capacity - self.kv_held) / decoding);
            }
        }
        debug_assert!(steps >= 1, "a run has at least one step");
        let step = &self.options.step;
        self.run = Run {
            start_s: now_s,
            end_s: 0.0,
            first_step_s: self.stretch * step.step_s(decoding, self.kv_read, u64::from(prefill_tokens)),
            growth_s: self.stretch * step.per_kv_token_s * decoding as f64,
            steps,
            prefill_tokens_per_step: prefill_tokens,
        };
        self.run.end_s = now_s + self.run.span_s(steps);
    }

    /// Prompt tokens of the next step, and for how many steps that stays so.
    fn plan_prefill(&self) -> (u32, u64) {
        let budget = self.options.prefill_tokens_per_step;
        let left = |place: u16| self.batch[place as usize].as_ref().map_or(0, |running| running.prefill_tokens);
        let Some(&head) = self.prefilling.front() else { return (0, u64::MAX) };
        if left(head) > budget {
            return (budget, u64::from((left(head) - 1) / budget));
        }
        let mut tokens = 0;
        for &place in &self.prefilling {
            tokens += left(place).min(budget - tokens);
            if tokens == budget {
                break;
            }
        }
        (tokens, 1)
    }

    fn admit(&mut self) {
        let waiting = self.waiting.pop_front().expect("an admissible head exists");
        let prefill_tokens = waiting.prefill_tokens();
        let place = self.free.pop().unwrap_or_else(|| {
            self.batch.push(None);
            (self.batch.len() - 1) as u16
        });
        self.admissions += 1;
        let running = Running {
            job: waiting.job,
            generated: waiting.generated,
            prefill_tokens,
            finish_step: 0,
            admission: self.admissions,
        };
        self.kv_held += u64::from(prefill_tokens);
        self.batch[place as usize] = Some(running);
        self.prefilling.push_back(place);
    }

    fn preempt_youngest(&mut self) {
        let youngest =
            self.batch.iter().enumerate().filter_map(|(place, running)| Some((running.as_ref()?.admission, place)));
        let (_, place) = youngest.max().expect("preemption needs a batch");
        let running = self.evict(place as u16);
        let generated = running.generated_by(self.steps_done);
        let waiting = Waiting { job: running.job, generated };
        self.pending_prefill_tokens += u64::from(waiting.prefill_tokens());
        self.waiting.push_front(waiting);
        self.preemptions += 1;
    }
}

impl Running {
    /// Tokens generated once `steps_done` steps are done.
    fn generated_by(&self, steps_done: u64) -> u32 {
        if self.prefill_tokens > 0 {
            return self.generated;
        }
        self.job.output_tokens - (self.finish_step - steps_done) as u32
    }

    /// Tokens that a decoding step reads.
    fn context_tokens(&self, steps_done: u64) -> u64 {
        u64::from(self.job.prompt_tokens) + u64::from(self.generated_by(steps_done))
    }

    /// Tokens of cache that are this request's own.
    fn kv_held(&self, steps_done: u64) -> u64 {
        u64::from(self.job.prompt_tokens - self.job.cached_tokens + self.generated_by(steps_done))
    }
}
