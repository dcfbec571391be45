//! The features of sixteen hosts at a time.
//!
//! For each block of sixteen: their slots are read and transposed, so that a register
//! holds one field of all of them; everything from there on is arithmetic on registers,
//! the analytic estimate included. Divisions by what the hosts share become
//! multiplications by reciprocals, computed once a decision.

use super::{HOST_FEATURES, LN_RATIO_MAX, TELEMETRY_STALE_S};
use crate::LANES;
use crate::candidates::{Candidates, Rows};
use crate::request::Request;
use crate::service::{Engine, FAILURE_COST, Fifo, Llm, ServiceModel};
use crate::simd::{Block, Kernel, Lanes, math};
use crate::slot::{AVERAGING_TIME_S, HOT_WORDS, HostSlot, word};
use crate::state::State;

/// Writes all columns (see [`super::write`]); `out` is `HOST_FEATURES * stride` long.
pub(super) struct Columns<'a> {
    pub(super) service: &'a ServiceModel,
    pub(super) state: &'a State<'a>,
    pub(super) request: &'a Request<'a>,
    pub(super) candidates: &'a Candidates<'a>,
    pub(super) rows: usize,
    pub(super) stride: usize,
    pub(super) now_us: u64,
    pub(super) out: &'a mut [f32],
}

impl Kernel for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self, lanes: V) {
        let Self { service, state, request, candidates, rows, stride, now_us, out } = self;
        let shared = Shared::new(lanes, service, state, request, now_us);
        let mut hosts = candidates.rows();
        let mut best = lanes.fill(f32::INFINITY);
        let mut begin = 0;
        while begin < rows {
            let Some(block) = Hosts::next(&mut hosts, request, rows - begin) else { return };
            let estimate = shared.features(lanes, &block, &mut Out { numbers: out, stride, begin });
            best = best.min(estimate);
            begin += LANES;
        }
        let best = lanes.fill(best.least());
        begin = 0;
        while begin < rows {
            let Some(estimates) = block_at(out, begin) else { return };
            // How far each host is from the best by the analytic estimate alone.
            let distance = (lanes.load(estimates) - best).min(lanes.fill(LN_RATIO_MAX));
            Out { numbers: out, stride, begin }.put(1, distance);
            begin += LANES;
        }
        clear_padding(lanes, out, rows, stride);
    }
}

/// Where a block's columns go.
struct Out<'a> {
    numbers: &'a mut [f32],
    stride: usize,
    begin: usize,
}

impl Out<'_> {
    #[inline(always)]
    fn put<V: Lanes>(&mut self, column: usize, feature: V) {
        if let Some(block) = block_at(self.numbers, column * self.stride + self.begin) {
            feature.store(block);
        }
    }
}

/// Sixteen slots, and what the request says of each host.
struct Hosts<'m> {
    slots: [&'m HostSlot; LANES],
    cached_tokens: Block,
}

impl<'m> Hosts<'m> {
    /// The next `rows` hosts; where they are fewer than sixteen, the first stands for the
    /// others.
    #[inline(always)]
    fn next(hosts: &mut Rows<'m>, request: &Request<'_>, rows: usize) -> Option<Self> {
        let (host, first) = hosts.next()?;
        let mut next = Self { slots: [first; LANES], cached_tokens: [0.0; LANES] };
        next.note_cached(0, host, request);
        let mut row = 1;
        while row < rows.min(LANES) {
            let (host, slot) = hosts.next()?;
            if let Some(place) = next.slots.get_mut(row) {
                *place = slot;
            }
            next.note_cached(row, host, request);
            row += 1;
        }
        Some(next)
    }

    #[inline(always)]
    fn note_cached(&mut self, row: usize, host: usize, request: &Request<'_>) {
        if let (Some(tokens), Some(place)) = (request.cached_tokens.get(host), self.cached_tokens.get_mut(row)) {
            *place = (*tokens).min(request.prompt_tokens) as f32;
        }
    }
}

/// What all hosts of a decision share.
struct Shared<'a> {
    service: &'a ServiceModel,
    now_us: [u32; 2],
    prompt_tokens: f32,
    output_tokens: f32,
    arrivals_per_s: f32,
    step_mean_s: f32,
    latency_mean_s: f32,
    ttft_mean_s: f32,
    prompts_per_token: f32,
    per_prompt_token: f32,
    per_step: f32,
    per_latency: f32,
    per_ttft: f32,
    per_batch: f32,
    per_kv_token: f32,
    prefill_token_s: f32,
    per_latency_held: f32,
    ln_prompt_ratio: Block,
}

impl<'a> Shared<'a> {
    #[inline(always)]
    fn new<V: Lanes>(
        lanes: V,
        service: &'a ServiceModel,
        state: &State<'_>,
        request: &Request<'_>,
        now_us: u64,
    ) -> Self {
        let prompt_tokens = request.expected_prompt_tokens(service);
        let prompts_per_token = 1.0 / service.prompt_tokens_mean;
        let mut ln_prompt_ratio = [0.0; LANES];
        ln_ratio(lanes.fill((prompt_tokens + 1.0) * prompts_per_token)).store(&mut ln_prompt_ratio);
        Self {
            service,
            now_us: [now_us as u32, (now_us >> 32) as u32],
            prompt_tokens,
            output_tokens: request.expected_output_tokens(service),
            arrivals_per_s: state.arrivals_per_s(),
            step_mean_s: state.step_mean_s().unwrap_or(service.step_typical_s),
            latency_mean_s: state.latency_mean_s().unwrap_or(f32::NAN),
            ttft_mean_s: state.ttft_mean_s().unwrap_or(f32::NAN),
            prompts_per_token,
            per_prompt_token: 1.0 / prompt_tokens.max(1.0),
            per_step: 1.0 / service.step_typical_s,
            per_latency: 1.0 / service.latency_typical_s,
            per_ttft: 1.0 / service.ttft_typical_s,
            per_batch: 1.0 / service.concurrency_max(),
            per_kv_token: 1.0 / service.kv_capacity_tokens(),
            prefill_token_s: service.step_per_prefill_token_s(),
            per_latency_held: 1.0 / state.latency_held_s(),
            ln_prompt_ratio,
        }
    }

    /// Puts out the features in the order of [`super::NAMES`], but for the distance from
    /// the best; returns the first, the estimate. Token counts are in mean prompts and times in typical ones, so that a policy
    /// carries over between services.
    #[inline(always)]
    fn features<V: Lanes>(&self, lanes: V, hosts: &Hosts<'_>, out: &mut Out<'_>) -> V {
        let slots = Slots::gather(lanes, hosts);
        let (zero, one) = (lanes.fill(0.0), lanes.fill(1.0));

        let in_flight = slots.count(word::IN_FLIGHT);
        // What has ended was prefilled. Without this, where reports stop, all prompts ever sent
        // would count as work ahead, and the estimate would deal out tokens in turn.
        let in_flight_tokens = slots.count(word::IN_FLIGHT_PROMPT_TOKENS);
        let prompt_tokens_sent = slots.count(word::PROMPT_TOKENS_SINCE_TELEMETRY).min(in_flight_tokens);
        let silence_s = self.elapsed_s(&slots, word::LAST_SIGN_US);
        let fading = math::exp(silence_s * lanes.fill(-1.0 / AVERAGING_TIME_S));

        // What the host reported, unless that is long ago.
        let stale_s = lanes.fill(TELEMETRY_STALE_S);
        let age_s = self.elapsed_s(&slots, word::TELEMETRY_US).min(stale_s);
        // Time 0, both words of it, means never.
        let age_s = {
            let (low, high) = (slots.number(word::TELEMETRY_US), slots.number(word::TELEMETRY_US + 1));
            stale_s.replaced(low.integer_greater(zero), age_s).replaced(high.integer_greater(zero), age_s)
        };
        let is_fresh = stale_s.greater(age_s);
        // Counts since a report that says nothing any more only tell for how long there was none.
        let sent = in_flight.replaced(is_fresh, slots.count(word::SENT_SINCE_TELEMETRY));
        let done = zero.replaced(is_fresh, slots.count(word::DONE_SINCE_TELEMETRY));
        let unknown = lanes.fill(f32::NAN);
        let report = Report { slots: &slots, unknown, is_fresh };
        let waiting = report.number(word::WAITING).or(zero);
        // Carried forward by what we sent and got back since; never less than what we
        // ourselves have there: a host that reports itself idle is not believed. Nor is one
        // idle that answers at once without working: such answers hold their place for a while.
        let running = report.number(word::RUNNING);
        let faded = silence_s * lanes.fill(self.per_latency_held);
        let held = slots.number(word::UNWORKED) / ((faded * lanes.fill(0.5) + one) * faded + one);
        let requests = (running + waiting + sent - done).max(in_flight) + held;
        // What is under way at a host that has just come up counts for more.
        // A host not measured yet is taken to be like those that are, not like the service
        // trained for: on other hardware, the first one measured would look unlike all the
        // rest and take, or lose, all the traffic.
        let unmeasured_s = lanes.fill(self.step_mean_s) / slots.number(word::WEIGHT);
        let step_s = report
            .number(word::TELEMETRY_STEP_S)
            .or(slots.number(word::LOCAL_STEP_S).or(unmeasured_s))
            .max(lanes.fill(1e-7));
        let slowness = step_s * lanes.fill(self.per_step);
        // Work announced before the report's age could be done has been done since.
        let prefill_s = slowness * lanes.fill(self.prefill_token_s);
        let prefilled = if self.prefill_token_s > 0.0 { age_s / prefill_s } else { zero };
        let waiting_tokens = waiting * lanes.fill(self.service.prompt_tokens_mean);
        let reported_tokens = report.number(word::PENDING_PREFILL_TOKENS).or(waiting_tokens);
        let pending = (reported_tokens + prompt_tokens_sent - prefilled).max(zero).min(lanes.fill(1e7));
        let kv_use = report.number(word::KV_USE).or(zero);
        let failure_share = slots.number(word::FAILURE_SHARE) * fading;
        let cached = lanes.load(&hosts.cached_tokens).min(lanes.fill(self.prompt_tokens));
        let prompt_tokens = lanes.fill(self.prompt_tokens) - cached;
        let half_output = lanes.fill(0.5 * self.output_tokens);
        let kv_after = (pending + prompt_tokens + half_output).mul_add(lanes.fill(self.per_kv_token), kv_use);

        let load = Loads { requests, pending, kv_after, step_s, slowness, prefill_s, prompt_tokens };
        let healthy_s = match &self.service.engine {
            Engine::Llm(llm) => self.llm_estimate_s(lanes, llm, &load),
            Engine::Fifo(fifo) => self.fifo_estimate_s(lanes, fifo, &load),
        };
        let cost = failure_share.mul_add(lanes.fill(FAILURE_COST), one);
        let estimate_s = (healthy_s * cost).max(lanes.fill(1e-9)).min(lanes.fill(1e9));

        let prompts = lanes.fill(self.prompts_per_token);
        let latency = lanes.fill(self.per_latency);
        let typical_latency = lanes.fill(self.service.latency_typical_s);
        let estimate = math::ln(estimate_s).max(lanes.fill(-20.0)).min(lanes.fill(20.0));
        // As for the step: who was not measured yet is like those who were.
        let latency_mean_s = lanes.fill(self.latency_mean_s);
        let latency_s = slots.number(word::LATENCY_EWMA_S).or(latency_mean_s);
        let peak_s = slots.number(word::PEAK_LATENCY_S).or(latency_mean_s);
        let ttft_s = slots.number(word::TTFT_EWMA_S).or(lanes.fill(self.ttft_mean_s));
        let own_knowledge = slots.number(word::KNOWLEDGE);
        out.put(0, estimate);
        // Whoever reports its requests is known. NaN is not greater than anything.
        out.put(8, own_knowledge.replaced(running.greater(lanes.fill(-1.0)), one));
        out.put(13, lanes.load(&self.ln_prompt_ratio));
        out.put(18, kv_use);
        out.put(20, (one - kv_after).max(zero).min(one));
        out.put(21, (kv_after - one).max(zero).min(one));
        out.put(22, cached * lanes.fill(self.per_prompt_token));
        out.put(23, failure_share);
        // In loops, that the logarithm be in the program twice and not sixteen times.
        let ratios = [
            (9, slowness),
            (10, latency_s * latency),
            (11, ttft_s * lanes.fill(self.per_ttft)),
            (12, peak_s * fading * latency),
        ];
        for (column, ratio) in ratios {
            out.put(column, ln_ratio(ratio));
        }
        let amounts = [
            (2, in_flight),
            (3, requests),
            (4, waiting),
            (5, pending * prompts),
            (6, sent),
            (7, prompt_tokens_sent * prompts),
            (14, in_flight_tokens * prompts),
            (15, slots.number(word::COMPLETIONS_PER_S) * fading * typical_latency),
            (16, silence_s * latency),
            (17, age_s * lanes.fill(self.arrivals_per_s)),
            (19, age_s * lanes.fill(10.0)),
        ];
        for (column, amount) in amounts {
            out.put(column, ln_1p(amount));
        }
        estimate
    }

    /// [`ServiceModel::estimate_s`] for a language model, before failures.
    #[inline(always)]
    fn llm_estimate_s<V: Lanes>(&self, lanes: V, llm: &Llm, load: &Loads<V>) -> V {
        let zero = lanes.fill(0.0);
        let service = self.service;
        let batch_max = lanes.fill(llm.batch_max);
        let queued = (load.requests + lanes.fill(1.0) - batch_max).max(zero) * lanes.fill(self.per_batch);
        let output_tokens = lanes.fill(self.output_tokens);
        let decode_s = load.step_s * output_tokens;
        let queue_s = load.prefill_s * lanes.fill(service.queue_weight) * (load.pending + load.prompt_tokens);
        let overflow = (load.kv_after - lanes.fill(1.0)).max(zero);
        let own = queued.mul_add(decode_s, decode_s)
            + overflow.mul_add(lanes.fill(service.kv_weight * service.latency_typical_s), queue_s);
        let context_tokens = load.prompt_tokens + lanes.fill(0.5 * self.output_tokens);
        let per_request_s =
            context_tokens.mul_add(lanes.fill(llm.step_per_kv_token_s), lanes.fill(llm.step_per_request_s));
        let slower_steps_s = load.slowness * per_request_s * output_tokens;
        let inflicted = load.requests.min(batch_max) * load.prefill_s.mul_add(load.prompt_tokens, slower_steps_s);
        inflicted.mul_add(lanes.fill(service.delay_weight), own)
    }

    /// [`ServiceModel::estimate_s`] for first in, first out, before failures.
    #[inline(always)]
    fn fifo_estimate_s<V: Lanes>(&self, lanes: V, fifo: &Fifo, load: &Loads<V>) -> V {
        let beyond = load.requests + lanes.fill(1.0) - lanes.fill(fifo.servers);
        let ahead = beyond.max(lanes.fill(0.0)) * lanes.fill(self.per_batch);
        load.step_s * ahead.mul_add(lanes.fill(self.service.queue_weight), lanes.fill(1.0))
    }

    /// Seconds from a time in two words until now; 0 if that lies in the future.
    #[inline(always)]
    fn elapsed_s<V: Lanes>(&self, slots: &Slots<V>, index: usize) -> V {
        let lanes = slots.lanes;
        let [now_low, now_high] = self.now_us;
        let (now_low, now_high) = (lanes.fill_bits(now_low), lanes.fill_bits(now_high));
        let (low, high) = (slots.number(index), slots.number(index + 1));
        let zero = lanes.fill(0.0);
        let borrow = zero.replaced(low.integer_greater(now_low), lanes.fill_bits(1));
        let high = now_high.integer_sub(high).integer_sub(borrow).signed_to_number();
        let elapsed_us = high.mul_add(lanes.fill(4_294_967_296.0), now_low.integer_sub(low).unsigned_to_number());
        elapsed_us.max(zero) * lanes.fill(1e-6)
    }
}

/// What sixteen slots hold: four words at a time, as they were read.
struct Slots<V> {
    lanes: V,
    words: [[V; 4]; HOT_WORDS / 4],
}

impl<V: Lanes> Slots<V> {
    #[inline(always)]
    fn gather(lanes: V, hosts: &Hosts<'_>) -> Self {
        let slots = &hosts.slots;
        let words = [
            lanes.gather(slots, 0),
            lanes.gather(slots, 4),
            lanes.gather(slots, 8),
            lanes.gather(slots, 12),
            lanes.gather(slots, 16),
            lanes.gather(slots, 20),
        ];
        Self { lanes, words }
    }

    /// One word of each slot; its index is constant wherever this is called.
    #[inline(always)]
    fn number(&self, index: usize) -> V {
        self.words.as_flattened().get(index).copied().unwrap_or(self.lanes)
    }

    #[inline(always)]
    fn count(&self, index: usize) -> V {
        self.number(index).unsigned_to_number()
    }
}

/// What the hosts reported, unless that is long ago.
struct Report<'a, V: Lanes> {
    slots: &'a Slots<V>,
    unknown: V,
    is_fresh: V::Mask,
}

impl<V: Lanes> Report<'_, V> {
    /// A field, NaN where it is unknown.
    #[inline(always)]
    fn number(&self, index: usize) -> V {
        self.unknown.replaced(self.is_fresh, self.slots.number(index))
    }
}

/// What the estimate needs of each host.
struct Loads<V> {
    requests: V,
    pending: V,
    kv_after: V,
    step_s: V,
    slowness: V,
    /// Per token, as slow as the host is.
    prefill_s: V,
    prompt_tokens: V,
}

/// `ln(1 + x)`, clipped to 10.
#[inline(always)]
fn ln_1p<V: Lanes>(x: V) -> V {
    math::ln_1p(x).min(x.fill(10.0))
}

/// Logarithm of a ratio, clipped; 0 or NaN means unknown: 0.
#[inline(always)]
fn ln_ratio<V: Lanes>(x: V) -> V {
    let zero = x.fill(0.0);
    let clipped = math::ln(x).max(x.fill(-LN_RATIO_MAX)).min(x.fill(LN_RATIO_MAX));
    zero.replaced(x.greater(zero), clipped)
}

#[inline(always)]
fn block_at(out: &mut [f32], begin: usize) -> Option<&mut Block> {
    out.get_mut(begin..)?.first_chunk_mut()
}

/// Zeroes the rows behind the last.
#[inline(always)]
fn clear_padding<V: Lanes>(lanes: V, out: &mut [f32], rows: usize, stride: usize) {
    let used = rows % LANES;
    if used == 0 {
        return;
    }
    let (zero, in_use) = (lanes.fill(0.0), lanes.first(used));
    let mut column = 0;
    while column < HOST_FEATURES {
        if let Some(block) = block_at(out, column * stride + rows - used) {
            zero.replaced(in_use, lanes.load(block)).store(block);
        }
        column += 1;
    }
}
