//! The features of a host for a request: defined here once, for training and serving.
//!
//! All are logarithms, shares or clipped ratios, of order 1, and 0 where nothing is
//! known. They are computed for sixteen hosts at a time ([`columns`]), for training and
//! serving alike; [`View`] says the same of one host, for rules that need the estimate
//! alone.

mod columns;
#[cfg(test)]
mod tests;

use evenkeel_numbers::fnv::Fnv1a;

use crate::candidates::{Candidates, Eligible};
use crate::forecast;
use crate::program::stride;
use crate::request::Request;
use crate::service::{Load, ServiceModel};
use crate::simd::Level;
use crate::slot::HostSlot;
use crate::state::State;
use crate::telemetry::Telemetry;
use columns::Columns;

pub use crate::telemetry::TELEMETRY_STALE_S;

/// Features of a host.
pub const HOST_FEATURES: usize = 24;

/// Names of the features, in the order of their columns.
pub const NAMES: [&str; HOST_FEATURES] = [
    "ln_estimate",
    "ln_estimate_over_best",
    "ln1p_in_flight",
    "ln1p_requests",
    "ln1p_waiting",
    "ln1p_pending_prefill",
    "ln1p_sent_since_telemetry",
    "ln1p_prompt_tokens_since_telemetry",
    "knowledge",
    "ln_step_ratio",
    "ln_latency_ratio",
    "ln_ttft_ratio",
    "ln_peak_latency_ratio",
    "ln_prompt_ratio",
    "ln1p_in_flight_prompt_tokens",
    "ln1p_completions",
    "ln1p_silence",
    "ln1p_unseen_arrivals",
    "kv_use",
    "ln1p_telemetry_age",
    "kv_free_after",
    "kv_exceeded_after",
    "cached_share",
    "failure_share",
];

/// Changes whenever a feature's name, place or meaning changes, the forecaster's included:
/// FNV-1a over the names and [`MEANING`]. An artifact trained on other features is refused.
pub const SCHEMA_HASH: u64 = schema_hash();

/// To be raised when a feature's formula changes but its name does not.
///
/// 4: what was learned of a host ages, samples and claims are bounded, answers without work hold
/// their place for a while, and `knowledge` stands where requests done since the report were.
/// 6: completions are counted at any rate (5/s at most before), a host's first samples count
/// alike, and claims of hosts that have done no work wait until something was measured.
const MEANING: u8 = 6;

/// Logarithms of ratios are clipped to ±this (a factor of about 400).
const LN_RATIO_MAX: f32 = 6.0;

/// What one host looks like to a request: the estimate's input, corrected for what has
/// happened since the host's last report.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Input of the analytic estimate.
    pub load: Load,
    /// Prompt tokens of the request that the host does not have cached.
    pub prompt_tokens: f32,
    /// Tokens that the request is expected to generate.
    pub output_tokens: f32,
    /// Share of the prompt that is cached at the host.
    pub cached_share: f32,
    /// Requests waiting, as last reported; 0 where unknown.
    pub waiting: f32,
    /// Age of the last report; [`TELEMETRY_STALE_S`] where there is none.
    pub telemetry_age_s: f32,
    /// How much is known of the host, 0 to 1: all of it where it reports its requests.
    pub knowledge: f32,
}

impl View {
    /// Looks at one host of an upstream.
    pub fn new(
        service: &ServiceModel,
        state: &State<'_>,
        host: u32,
        slot: &HostSlot,
        request: &Request<'_>,
        now_us: u64,
    ) -> Self {
        let age_s = slot.telemetry_age_s(now_us).unwrap_or(TELEMETRY_STALE_S).min(TELEMETRY_STALE_S);
        let known = |value: f32, otherwise: f32| if value.is_nan() { otherwise } else { value };
        let telemetry = if age_s < TELEMETRY_STALE_S { slot.telemetry() } else { Telemetry::UNKNOWN };
        let waiting = known(telemetry.waiting, 0.0);
        let in_flight = slot.in_flight() as f32;
        let sent = slot.sent_since_telemetry() as f32;
        let done = slot.done_since_telemetry() as f32;
        // What has ended was prefilled. Without this, where reports stop, all prompts ever sent
        // would count as work ahead, and the estimate would deal out tokens in turn.
        let prompt_tokens_sent = slot.prompt_tokens_since_telemetry().min(slot.in_flight_prompt_tokens());
        // The report, carried forward by what we sent and got back since; never less than
        // what we ourselves have there: a host that reports itself idle is not believed. Nor is
        // one idle that answers at once without working.
        let reported = telemetry.running + waiting + sent - done;
        let held = slot.unworked(state.latency_held_s(), now_us);
        let requests = known(reported, in_flight).max(in_flight) + held;
        // A host not measured yet is taken to be like those that are, not like the service
        // trained for: on other hardware, the first one measured would look unlike all the
        // rest and take, or lose, all the traffic.
        let unmeasured_s = state.step_mean_s().unwrap_or(service.step_typical_s) / slot.weight();
        let step_s = known(telemetry.step_s, known(slot.local_step_s(), unmeasured_s)).max(1e-7);
        // Work announced before the report's age could be done has been done since.
        let slowness = step_s / service.step_typical_s;
        let prefill_s = service.step_per_prefill_token_s() * slowness;
        let prefilled = if prefill_s > 0.0 { age_s / prefill_s } else { 0.0 };
        let reported_tokens = known(telemetry.pending_prefill_tokens, waiting * service.prompt_tokens_mean);
        let pending = (reported_tokens + prompt_tokens_sent as f32 - prefilled).max(0.0);
        let prompt_tokens = request.expected_prompt_tokens(service);
        let cached =
            request.cached_tokens.get(host as usize).map_or(0.0, |tokens| (*tokens).min(request.prompt_tokens) as f32);
        let cached = cached.min(prompt_tokens);
        Self {
            load: Load {
                requests,
                pending_prefill_tokens: pending.min(1e7),
                kv_use: known(telemetry.kv_use, 0.0),
                step_s,
                failure_share: slot.failure_share(now_us),
            },
            prompt_tokens: prompt_tokens - cached,
            output_tokens: request.expected_output_tokens(service),
            cached_share: cached / prompt_tokens.max(1.0),
            waiting,
            telemetry_age_s: age_s,
            knowledge: if telemetry.running.is_nan() { slot.knowledge() } else { 1.0 },
        }
    }

    /// The analytic estimate for this host (see [`ServiceModel::estimate_s`]).
    pub fn estimate_s(&self, service: &ServiceModel) -> f32 {
        service.estimate_s(&self.load, self.prompt_tokens, self.output_tokens)
    }
}

/// Writes the features of every eligible host, feature-major: [`HOST_FEATURES`] columns
/// of [`stride`]`(rows)` numbers, rows in order of the hosts' indices, padding zero.
/// `rows` is the number of eligible hosts; `out` must hold at least
/// `HOST_FEATURES * stride(rows)` numbers (if it does not, nothing is written).
pub fn write(
    service: &ServiceModel,
    state: &State<'_>,
    request: &Request<'_>,
    eligible: Eligible<'_>,
    rows: usize,
    now_us: u64,
    out: &mut [f32],
) {
    let candidates = Candidates::new(state, eligible);
    write_rows(Level::detect(), service, state, request, &candidates, rows, now_us, out);
}

/// [`write()`] with the vectors of a level, for the first `rows` of the candidates.
#[expect(clippy::too_many_arguments, reason = "the inputs of a decision, each on its own")]
pub(crate) fn write_rows(
    level: Level,
    service: &ServiceModel,
    state: &State<'_>,
    request: &Request<'_>,
    candidates: &Candidates<'_>,
    rows: usize,
    now_us: u64,
    out: &mut [f32],
) {
    let stride = stride(rows);
    let Some(out) = out.get_mut(..HOST_FEATURES * stride) else { return };
    if candidates.count < rows {
        out.fill(0.0);
    }
    let rows = rows.min(candidates.count);
    level.run_rows(rows, Columns { service, state, request, candidates, rows, stride, now_us, out });
}

const fn schema_hash() -> u64 {
    let mut hash = Fnv1a::new();
    let mut feature = 0;
    while feature < HOST_FEATURES {
        // Names are separated, so that ["ab", "c"] and ["a", "bc"] differ.
        hash = hash.bytes(NAMES[feature].as_bytes()).byte(0xFF);
        feature += 1;
    }
    hash.byte(MEANING).finish() ^ forecast::features::SCHEMA_HASH
}
