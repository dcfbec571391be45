//! A host's load: a page's values by field, and its step over pages.

use evenkeel_runtime::Telemetry;

use crate::engines::{Engine, Field, Rules};
use crate::page::{Counter, Page};
use crate::step::{REQUESTS_MIN, StepClock, TOKENS_MIN};

/// A number, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The number.
    pub value: f64,
    /// The engine whose metrics it is from.
    pub engine: Engine,
    /// The field of those metrics.
    pub field: Field,
}

/// The load and the limits that a page reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Requests being processed.
    pub running: Option<Found>,
    /// Requests waiting.
    pub waiting: Option<Found>,
    /// Prompt tokens to prefill.
    pub pending_prefill_tokens: Option<Found>,
    /// Share of the KV cache in use, 0 to 1.
    pub kv_use: Option<Found>,
    /// Tokens that the KV caches of all the host's engines hold.
    pub kv_capacity_tokens: Option<Found>,
    /// Requests that the host processes at once, at most.
    pub batch_limit: Option<Found>,
    /// Engines behind the host's address.
    pub engines: Option<u32>,
}

impl Load {
    /// Reads a page. Each field is that of the first engine that has it.
    pub fn of(page: &Page, rules: &Rules) -> Self {
        let first = |read: &dyn Fn(Engine) -> Option<Found>| Engine::ALL.into_iter().find_map(read);
        let plain = |field: Field| {
            first(&|engine| page.value(rules, engine, field).map(|value| Found { value, engine, field }))
        };
        let running = first(&|engine| running(page, rules, engine));
        let waiting = plain(Field::Waiting);
        let counted = running.or(waiting);
        Self {
            running,
            waiting,
            pending_prefill_tokens: plain(Field::PendingPrefill),
            kv_use: plain(Field::KvUse),
            kv_capacity_tokens: first(&|engine| capacity(page, rules, engine)),
            batch_limit: plain(Field::BatchLimit),
            engines: counted.and_then(|found| page.engines(rules, found.engine, found.field)).map(|count| count as u32),
        }
    }

    /// Returns true if running, waiting or the KV cache's use is known.
    pub fn is_known(&self) -> bool {
        self.running.or(self.waiting).or(self.kv_use).is_some()
    }
}

/// Requests running, or those active less those waiting.
fn running(page: &Page, rules: &Rules, engine: Engine) -> Option<Found> {
    let found = |value, field| Found { value, engine, field };
    page.value(rules, engine, Field::Running).map(|value| found(value, Field::Running)).or_else(|| {
        let active = page.value(rules, engine, Field::Active)?;
        let waiting = page.value(rules, engine, Field::Waiting).unwrap_or(0.0);
        Some(found((active - waiting).max(0.0), Field::Active))
    })
}

/// Tokens of the KV cache, or its blocks times their size.
fn capacity(page: &Page, rules: &Rules, engine: Engine) -> Option<Found> {
    let found = |value, field| Found { value, engine, field };
    page.value(rules, engine, Field::KvCapacity).map(|value| found(value, Field::KvCapacity)).or_else(|| {
        let blocks = page.value(rules, engine, Field::KvBlocks)?;
        Some(found(blocks * page.value(rules, engine, Field::KvBlockTokens)?, Field::KvBlocks))
    })
}

/// The counters that a step is measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepSource {
    /// Whose metrics.
    pub engine: Engine,
    /// The counter over which time is taken: tokens, requests, or the engine's steps.
    pub count: Field,
}

/// Makes telemetry of pages, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    source: Option<StepSource>,
    clock: StepClock,
    /// Times the engine's own steps, for as long as no request has ended.
    steps: StepClock,
    /// Since when the host has been busy.
    busy: Option<u64>,
    is_by_steps: bool,
    /// The load that the last page reported.
    pub load: Load,
    /// Seconds per output token.
    pub step_s: Option<f64>,
    /// Its age.
    pub step_age_us: Option<u64>,
}

impl Reader {
    /// Takes in a page that was measured at `now_us`.
    pub fn take(&mut self, page: &Page, rules: &Rules, now_us: u64) {
        self.load = Load::of(page, rules);
        let (source, counters) = step_source(page, rules);
        if self.source != source && source.is_some() {
            (self.source, self.clock) = (source, StepClock::default());
        }
        let is_by_request = source.is_some_and(|source| source.count == Field::Requests);
        let count_min = if is_by_request { REQUESTS_MIN } else { TOKENS_MIN };
        self.clock.observe(&counters, count_min, now_us);
        self.take_steps(page, rules, now_us);
        let by_tokens = self.clock.step(now_us);
        let step = by_tokens.or_else(|| self.steps.step(now_us));
        self.is_by_steps = by_tokens.is_none() && step.is_some();
        (self.step_s, self.step_age_us) = (step.map(|(step_s, _)| step_s), step.map(|(_, age_us)| age_us));
    }

    /// Steps of the engine itself, timed by the pages: only over times in which it was busy.
    fn take_steps(&mut self, page: &Page, rules: &Rules, now_us: u64) {
        let is_busy = self.load.running.is_some_and(|found| found.value > 0.0);
        let steps = Engine::ALL.into_iter().find_map(|engine| page.value(rules, engine, Field::Steps));
        let Some(count) = steps.filter(|_| is_busy) else {
            self.busy = None;
            self.steps.forget();
            return;
        };
        let since_us = *self.busy.get_or_insert(now_us);
        let sum_s = now_us.saturating_sub(since_us) as f64 * 1e-6;
        self.steps.observe(&[Counter { id: 0, sum_s, count }], TOKENS_MIN, now_us);
    }

    /// Notes how many requests the host processes at once, where its page does not say.
    pub fn slots(&mut self, slots: Option<u32>) {
        let found = |slots| Found { value: f64::from(slots), engine: Engine::LlamaCpp, field: Field::BatchLimit };
        self.load.batch_limit = self.load.batch_limit.or(slots.map(found));
    }

    /// Returns the counters of the present step, or those that will give one once tokens come.
    pub fn step_source(&self) -> Option<StepSource> {
        let by_steps = self.source.filter(|_| self.is_by_steps);
        by_steps.map(|source| StepSource { count: Field::Steps, ..source }).or(self.source)
    }

    /// Steps that no host could mean, so far.
    pub fn dropped(&self) -> u64 {
        self.clock.dropped + self.steps.dropped
    }

    /// Returns the values that proxies get, NaN for those that are not known.
    pub fn telemetry(&self) -> Telemetry {
        let known = |found: Option<Found>| found.map_or(f32::NAN, |found| found.value as f32);
        Telemetry {
            running: known(self.load.running),
            waiting: known(self.load.waiting),
            pending_prefill_tokens: known(self.load.pending_prefill_tokens),
            kv_use: known(self.load.kv_use),
            step_s: self.step_s.map_or(f32::NAN, |step_s| step_s as f32),
        }
    }
}

/// The counters of the first engine that has any: of tokens, before those of requests.
fn step_source(page: &Page, rules: &Rules) -> (Option<StepSource>, Vec<Counter>) {
    let kinds = [(Field::TokenSeconds, Field::Tokens), (Field::RequestSeconds, Field::Requests)];
    for engine in Engine::ALL {
        for (sum, count) in kinds {
            let counters = page.counters(rules, engine, sum, count);
            if !counters.is_empty() {
                return (Some(StepSource { engine, count }), counters);
            }
        }
    }
    (None, Vec::new())
}
