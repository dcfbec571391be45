//! The features of sixteen hosts at a time.
//!
//! For each block of sixteen: their slots are read and transposed, so that a register
//! holds one field of all of them; everything from there on is arithmetic on registers,
//! the analytic estimate included. Divisions by what the hosts share become
//! multiplications by reciprocals, computed once a decision.

use super::{HOST_FEATURES, LN_RATIO_MAX, TELEMETRY_STALE_S};
use crate::LANES;
use crate::candidates::Candidates;
use crate::decide::Request;
use crate::service::{FAILURE_COST, ServiceKind, ServiceModel};
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
        let mut hosts = candidates.iter();
        let mut best = lanes.fill(f32::INFINITY);
        for begin in (0..rows).step_by(LANES) {
            let Some(block) = Hosts::next(&mut hosts, request, rows - begin) else { return };
            let features = shared.features(lanes, &block);
            let [estimate, ..] = features;
            best = best.min(estimate);
            put(out, stride, begin, features);
        }
        let best = lanes.fill(least(best));
        for begin in (0..rows).step_by(LANES) {
            let Some(estimates) = block_at(out, begin) else { return };
            // How far each host is from the best by the analytic estimate alone.
            let distance = (lanes.load(estimates) - best).min(lanes.fill(LN_RATIO_MAX));
            if let Some(distances) = block_at(out, stride + begin) {
                distance.store(distances);
            }
        }
        clear_padding(lanes, out, rows, stride);
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
    fn next(
        hosts: &mut impl Iterator<Item = (usize, &'m HostSlot)>,
        request: &Request<'_>,
        rows: usize,
    ) -> Option<Self> {
        let mut cached_tokens = [0.0; LANES];
        let (host, first) = hosts.next()?;
        let cached = |host: usize| {
            request.cached_tokens.get(host).map_or(0.0, |tokens| (*tokens).min(request.prompt_tokens) as f32)
        };
        let mut slots = [first; LANES];
        cached_tokens[0] = cached(host);
        for (slot, tokens) in slots.iter_mut().zip(&mut cached_tokens).take(rows).skip(1) {
            let (host, next) = hosts.next()?;
            *slot = next;
            *tokens = cached(host);
        }
        Some(Self { slots, cached_tokens })
    }
}

/// What all hosts of a decision share.
struct Shared<'a> {
    service: &'a ServiceModel,
    now_us: [u32; 2],
    prompt_tokens: f32,
    arrivals_per_s: f32,
    step_mean_s: f32,
    prompts_per_token: f32,
    per_prompt_token: f32,
    per_step: f32,
    per_latency: f32,
    per_ttft: f32,
    per_batch: f32,
    per_server: f32,
    per_kv_token: f32,
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
        let prompt_tokens = request.prompt_tokens as f32;
        let prompts_per_token = 1.0 / service.prompt_tokens_mean;
        let mut ln_prompt_ratio = [0.0; LANES];
        ln_ratio(lanes.fill((prompt_tokens + 1.0) * prompts_per_token)).store(&mut ln_prompt_ratio);
        Self {
            service,
            now_us: [now_us as u32, (now_us >> 32) as u32],
            prompt_tokens,
            arrivals_per_s: state.arrivals_per_s(),
            step_mean_s: state.step_mean_s().unwrap_or(service.step_typical_s),
            prompts_per_token,
            per_prompt_token: 1.0 / request.prompt_tokens.max(1) as f32,
            per_step: 1.0 / service.step_typical_s,
            per_latency: 1.0 / service.latency_typical_s,
            per_ttft: 1.0 / service.ttft_typical_s,
            per_batch: 1.0 / service.batch_max,
            per_server: 1.0 / service.servers,
            per_kv_token: 1.0 / service.kv_capacity_tokens,
            ln_prompt_ratio,
        }
    }

    /// The features in the order of [`super::NAMES`], but for the distance from the best.
    /// Token counts are in mean prompts and times in typical ones, so that a policy
    /// carries over between services.
    #[inline(always)]
    fn features<V: Lanes>(&self, lanes: V, hosts: &Hosts<'_>) -> [V; HOST_FEATURES] {
        let mut words = [[0.0; LANES]; HOT_WORDS];
        lanes.gather(&hosts.slots, &mut words);
        let number = |index: usize| lanes.load(&words[index]);
        let count = |index: usize| number(index).unsigned_to_number();
        let fill = |number: f32| lanes.fill(number);
        let (zero, one) = (fill(0.0), fill(1.0));

        let in_flight = count(word::IN_FLIGHT);
        let sent = count(word::SENT_SINCE_TELEMETRY);
        let done = count(word::DONE_SINCE_TELEMETRY);
        let prompt_tokens_sent = count(word::PROMPT_TOKENS_SINCE_TELEMETRY);
        let silence_s = self.elapsed_s(lanes, &words, word::LAST_SIGN_US);
        let fading = math::exp(silence_s * fill(-1.0 / AVERAGING_TIME_S));

        // What the host reported, unless that is long ago.
        let stale_s = fill(TELEMETRY_STALE_S);
        let age_s = self.elapsed_s(lanes, &words, word::TELEMETRY_US).min(stale_s);
        // Time 0, both words of it, means never.
        let age_s = {
            let (low, high) = (number(word::TELEMETRY_US), number(word::TELEMETRY_US + 1));
            stale_s.replaced(low.integer_greater(zero), age_s).replaced(high.integer_greater(zero), age_s)
        };
        let is_fresh = stale_s.greater(age_s);
        let unknown = fill(f32::NAN);
        let reported = |index: usize| unknown.replaced(is_fresh, number(index));
        let waiting = reported(word::WAITING).or(zero);
        // Carried forward by what we sent and got back since; never less than what we
        // ourselves have there: a host that reports itself idle is not believed.
        let requests = (reported(word::RUNNING) + waiting + sent - done).max(in_flight);
        // A host not measured yet is taken to be like those that are, not like the service
        // trained for: on other hardware, the first one measured would look unlike all the
        // rest and take, or lose, all the traffic.
        let unmeasured_s = fill(self.step_mean_s) / number(word::WEIGHT);
        let step_s = reported(word::TELEMETRY_STEP_S).or(number(word::LOCAL_STEP_S).or(unmeasured_s)).max(fill(1e-7));
        let slowness = step_s * fill(self.per_step);
        // Work announced before the report's age could be done has been done since.
        let prefill_s = slowness * fill(self.service.step_per_prefill_token_s);
        let prefilled = if self.service.step_per_prefill_token_s > 0.0 { age_s / prefill_s } else { zero };
        let waiting_tokens = waiting * fill(self.service.prompt_tokens_mean);
        let reported_tokens = reported(word::PENDING_PREFILL_TOKENS).or(waiting_tokens);
        let pending = (reported_tokens + prompt_tokens_sent - prefilled).max(zero).min(fill(1e7));
        let kv_use = reported(word::KV_USE).or(zero);
        let failure_share = number(word::FAILURE_SHARE);
        let cached = lanes.load(&hosts.cached_tokens);
        let prompt_tokens = fill(self.prompt_tokens) - cached;
        let half_output = fill(0.5 * self.service.output_tokens_mean);
        let kv_after = (pending + prompt_tokens + half_output).mul_add(fill(self.per_kv_token), kv_use);

        let load = Loads { requests, pending, kv_after, step_s, slowness, prefill_s, prompt_tokens };
        let healthy_s = match self.service.kind {
            ServiceKind::Llm => self.llm_estimate_s(lanes, &load),
            ServiceKind::Fifo => self.fifo_estimate_s(lanes, &load),
        };
        let cost = failure_share.mul_add(fill(FAILURE_COST), one);
        let estimate_s = (healthy_s * cost).max(fill(1e-9)).min(fill(1e9));

        let prompts = fill(self.prompts_per_token);
        let latency = fill(self.per_latency);
        let typical_latency = fill(self.service.latency_typical_s);
        [
            math::ln(estimate_s).max(fill(-20.0)).min(fill(20.0)),
            zero,
            ln_1p(in_flight),
            ln_1p(requests),
            ln_1p(waiting),
            ln_1p(pending * prompts),
            ln_1p(sent),
            ln_1p(prompt_tokens_sent * prompts),
            ln_1p(done),
            ln_ratio(slowness),
            ln_ratio(number(word::LATENCY_EWMA_S) * latency),
            ln_ratio(number(word::TTFT_EWMA_S) * fill(self.per_ttft)),
            ln_ratio(number(word::PEAK_LATENCY_S) * fading * latency),
            lanes.load(&self.ln_prompt_ratio),
            ln_1p(count(word::IN_FLIGHT_PROMPT_TOKENS) * prompts),
            ln_1p(number(word::COMPLETIONS_PER_S) * fading * typical_latency),
            ln_1p(silence_s * latency),
            ln_1p(age_s * fill(self.arrivals_per_s)),
            kv_use,
            ln_1p(age_s * fill(10.0)),
            (one - kv_after).max(zero).min(one),
            (kv_after - one).max(zero).min(one),
            cached * fill(self.per_prompt_token),
            failure_share,
        ]
    }

    /// [`ServiceModel::estimate_s`] for a language model, before failures.
    #[inline(always)]
    fn llm_estimate_s<V: Lanes>(&self, lanes: V, load: &Loads<V>) -> V {
        let fill = |number: f32| lanes.fill(number);
        let zero = fill(0.0);
        let service = self.service;
        let batch_max = fill(service.batch_max);
        let queued = (load.requests + fill(1.0) - batch_max).max(zero) * fill(self.per_batch);
        let output_tokens = fill(service.output_tokens_mean);
        let decode_s = load.step_s * output_tokens;
        let queue_s = load.prefill_s * fill(service.queue_weight) * (load.pending + load.prompt_tokens);
        let overflow = (load.kv_after - fill(1.0)).max(zero);
        let own = queued.mul_add(decode_s, decode_s)
            + overflow.mul_add(fill(service.kv_weight * service.latency_typical_s), queue_s);
        let context_tokens = load.prompt_tokens + fill(0.5 * service.output_tokens_mean);
        let per_request_s = context_tokens.mul_add(fill(service.step_per_kv_token_s), fill(service.step_per_request_s));
        let slower_steps_s = load.slowness * per_request_s * output_tokens;
        let inflicted = load.requests.min(batch_max) * load.prefill_s.mul_add(load.prompt_tokens, slower_steps_s);
        inflicted.mul_add(fill(service.delay_weight), own)
    }

    /// [`ServiceModel::estimate_s`] for first in, first out, before failures.
    #[inline(always)]
    fn fifo_estimate_s<V: Lanes>(&self, lanes: V, load: &Loads<V>) -> V {
        let fill = |number: f32| lanes.fill(number);
        let beyond = load.requests + fill(1.0) - fill(self.service.servers);
        let ahead = beyond.max(fill(0.0)) * fill(self.per_server);
        load.step_s * ahead.mul_add(fill(self.service.queue_weight), fill(1.0))
    }

    /// Seconds from a time in two words until now; 0 if that lies in the future.
    #[inline(always)]
    fn elapsed_s<V: Lanes>(&self, lanes: V, words: &[Block; HOT_WORDS], index: usize) -> V {
        let [now_low, now_high] = self.now_us.map(|word| lanes.fill_bits(word));
        let (low, high) = (lanes.load(&words[index]), lanes.load(&words[index + 1]));
        let zero = lanes.fill(0.0);
        let borrow = zero.replaced(low.integer_greater(now_low), lanes.fill_bits(1));
        let high = now_high.integer_sub(high).integer_sub(borrow).signed_to_number();
        let elapsed_us = high.mul_add(lanes.fill(4_294_967_296.0), now_low.integer_sub(low).unsigned_to_number());
        elapsed_us.max(zero) * lanes.fill(1e-6)
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

#[inline(always)]
fn put<V: Lanes>(out: &mut [f32], stride: usize, begin: usize, features: [V; HOST_FEATURES]) {
    for (column, feature) in features.into_iter().enumerate() {
        if let Some(block) = block_at(out, column * stride + begin) {
            feature.store(block);
        }
    }
}

/// The least of the lanes.
#[inline(always)]
fn least<V: Lanes>(lanes: V) -> f32 {
    let mut numbers = [0.0; LANES];
    lanes.store(&mut numbers);
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            numbers[lane] = numbers[lane].min(numbers[lane + half]);
        }
    }
    numbers[0]
}

/// Zeroes the rows behind the last.
#[inline(always)]
fn clear_padding<V: Lanes>(lanes: V, out: &mut [f32], rows: usize, stride: usize) {
    let used = rows % LANES;
    if used == 0 {
        return;
    }
    let mut mask = [0.0; LANES];
    for lane in mask.iter_mut().take(used) {
        *lane = f32::from_bits(u32::MAX);
    }
    let mask = lanes.load(&mask);
    for column in 0..HOST_FEATURES {
        if let Some(block) = block_at(out, column * stride + rows - used) {
            lanes.load(block).bits_and(mask).store(block);
        }
    }
}
