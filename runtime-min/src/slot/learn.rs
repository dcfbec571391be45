//! Learning from a request's life and from a host's report. Every sample is bounded by what
//! was known before it: one odd request moves an average by a bounded step.

use core::sync::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Relaxed},
};

use super::{AVERAGING_TIME_S, HostSlot};
use crate::affinity::Guess;
use crate::clock::elapsed_s;
use crate::math;
use crate::outcome::{Outcome, Status, Ticket};
use crate::telemetry::{TELEMETRY_STALE_S, Telemetry};

/// Weight of an outcome in the share of failures.
const FAILURE_WEIGHT: f32 = 0.125;

/// A response whose time after the first token is a smaller share of the whole came at once.
const STREAMED_SHARE_MIN: f32 = 0.05;

/// A sample counts for at most so many times the average before it, and at least for its
/// inverse: an hour-long stream among answers of a second must not shut its host out.
const SAMPLE_FACTOR_MAX: f32 = 8.0;

/// Share of what is not known of a host that a sample adds to what is.
const KNOWLEDGE_GAIN: f32 = 0.4;

/// Weight of a measured step in the error of a host's claims: a measurement is a mean over a
/// request's life and lags behind a claim, which is of one moment, so that only the mean over
/// many says something.
const CLAIM_WEIGHT: f32 = 0.03;

/// The same of errors that no lag explains, beyond this logarithm.
const GROSS_WEIGHT: f32 = 0.5;
const GROSS_ERROR: f32 = 1.5;

/// A claim that is repeated for longer than this, in seconds, by a host without work is no news.
const CLAIM_FRESH_S: f32 = 2.0;

/// An average of which less than this is left when a sample arrives is replaced by it.
const KEPT_MIN: f32 = 0.25;

/// Before a step was measured at a host, it may claim to be so many times faster than the
/// fleet's mean.
const UNPROVEN_SPEED_MAX: f32 = 1.5;

/// A host may claim to be so many times faster than was measured at it: as much as one that was full
/// and is empty now. The error of its claims is known from requests, and fades between them.
const PROVEN_SPEED_MAX: f32 = 3.0;

/// Share of an average that samples before it keep at most while little is known of a host: the
/// first five count alike, so that one taken at a bad moment does not stand for fifty.
const UNPROVEN_KEPT_MIN: f32 = 0.5;

/// Most answers without work that hold a place.
const UNWORKED_MAX: f32 = 1e4;

/// Reading the step (LLM) or service time (FIFO) off a finished request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StepSample {
    /// Time after the first token over the tokens generated (`tokens_mean` if unknown).
    PerToken { tokens_mean: f32 },
    /// Latency over the rounds that a request waits with so many before it.
    PerRound { servers: f32 },
}

impl StepSample {
    fn step_s(self, ticket: &Ticket, outcome: &Outcome, now_us: u64) -> Option<f32> {
        match self {
            Self::PerToken { tokens_mean } => {
                let tokens = if outcome.output_tokens > 0 { outcome.output_tokens as f32 } else { tokens_mean };
                if ticket.first_token_us == 0 || tokens <= 1.0 {
                    return None;
                }
                let (total_s, after_first_s) =
                    (elapsed_s(ticket.sent_us, now_us), elapsed_s(ticket.first_token_us, now_us));
                // A response that comes all at once was not streamed: its first byte says
                // nothing of when generation began.
                let streamed = after_first_s > STREAMED_SHARE_MIN * total_s;
                Some(if streamed { after_first_s / (tokens - 1.0) } else { total_s / tokens })
            }
            Self::PerRound { servers } => {
                let rounds = (ticket.in_flight_at_send as f32 / servers).max(1.0);
                Some(elapsed_s(ticket.sent_us, now_us) / rounds)
            }
        }
    }
}

impl HostSlot {
    /// Counts a request in. `begun` is how many the upstream has had, this one included.
    pub(crate) fn begin(&self, host: u32, prompt_tokens: u32, begun: u64, now_us: u64) -> Ticket {
        let in_flight_at_send = self.in_flight.fetch_add(1, AcqRel).saturating_add(1);
        self.in_flight_prompt_tokens.fetch_add(prompt_tokens, Relaxed);
        self.sent.fetch_add(1, Relaxed);
        count_up(&self.sent_since_telemetry, 1);
        count_up(&self.prompt_tokens_since_telemetry, prompt_tokens);
        self.tried_us.store(now_us, Relaxed);
        self.tried_begun.store(begun, Relaxed);
        Ticket {
            host,
            prompt_tokens,
            sent_us: now_us,
            first_token_us: 0,
            in_flight_at_send,
            cached: Guess::default(),
            owner: 0,
        }
    }

    /// Notes the first token of a response. `latency_s` is the typical latency.
    pub(crate) fn first_token(&self, ticket: &mut Ticket, latency_s: f32, now_us: u64) {
        if ticket.first_token_us != 0 {
            return;
        }
        ticket.first_token_us = now_us.max(1);
        let ttft_s = elapsed_s(ticket.sent_us, now_us);
        let keep = self.keep(now_us);
        self.ttft_ewma_s.update(|old| blend(old, ttft_s, keep));
        self.ttft_us.fetch_max(now_us, Relaxed);
        let fading = self.fading(now_us);
        self.failure_share.update(|old| old * fading);
        self.sign_of_life(latency_s, 0.0, 0.0, now_us);
    }

    /// Counts a request out and learns from its end. Returns the step that it measured.
    /// `latency_s` is the typical latency.
    pub(crate) fn finish(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        step: &StepSample,
        latency_typical_s: f32,
        now_us: u64,
    ) -> Option<f32> {
        let _ = self.in_flight.fetch_update(AcqRel, Relaxed, |n| n.checked_sub(1));
        let _ = self
            .in_flight_prompt_tokens
            .fetch_update(Relaxed, Relaxed, |n| Some(n.saturating_sub(ticket.prompt_tokens)));
        self.done.fetch_add(1, Relaxed);
        count_up(&self.done_since_telemetry, 1);
        let (keep, fading) = (self.keep(now_us), self.fading(now_us));
        let latency_s = elapsed_s(ticket.sent_us, now_us);
        let mut measured_s = None;
        let (mut unworked, mut completions) = (0.0, 0.0);
        match outcome.status {
            Status::Success => {
                self.failure_share.update(|old| old * fading * (1.0 - FAILURE_WEIGHT));
                self.latency_ewma_s.update(|old| blend(old, latency_s, keep));
                self.peak_latency_s
                    .update(|old| if old > latency_s { blend(old, latency_s, keep) } else { bounded(old, latency_s) });
                self.latency_us.fetch_max(now_us, Relaxed);
                self.knowledge.update(|known| known + (1.0 - known) * KNOWLEDGE_GAIN);
                measured_s = step.step_s(ticket, outcome, now_us).filter(|step_s| *step_s > 0.0);
                if let Some(step_s) = measured_s {
                    self.local_step_s.update(|old| blend(old, step_s, keep));
                    self.step_us.fetch_max(now_us, Relaxed);
                    self.check_claim(step_s, now_us);
                }
                completions = 1.0;
            }
            Status::Failure | Status::Timeout => {
                self.failed.fetch_add(1, Relaxed);
                self.failure_share.update(|old| old * fading + (1.0 - old * fading) * FAILURE_WEIGHT);
                self.note_slower(latency_s, keep);
                unworked = 1.0;
            }
            Status::ClientAbort => {
                self.failure_share.update(|old| old * fading);
                self.note_slower(latency_s, keep);
            }
            Status::NoWork => {
                self.failure_share.update(|old| old * fading);
                unworked = 1.0;
            }
        }
        // Only what came faster than work would leaves a place to be held.
        let held = if latency_s < latency_typical_s { unworked } else { 0.0 };
        self.sign_of_life(latency_typical_s, held, completions, now_us);
        measured_s
    }

    /// A request that ended without an answer may only ever make the host look slower.
    #[inline(never)]
    fn note_slower(&self, latency_s: f32, keep: f32) {
        self.latency_ewma_s.update(|old| if latency_s > old { blend(old, latency_s, keep) } else { old });
    }

    /// Notes a sign of life, and so many answers without work and with work.
    #[inline(never)]
    fn sign_of_life(&self, latency_s: f32, unworked: f32, completions: f32, now_us: u64) {
        let fading = self.fading(now_us);
        self.completions_per_s.update(|old| old * fading + completions / AVERAGING_TIME_S);
        if unworked > 0.0 || self.unworked.load() > 0.0 {
            let held = self.unworked(latency_s, now_us);
            // Less than a hundredth of a request is none.
            let held = if held < 0.01 { 0.0 } else { held };
            self.unworked.store((held + unworked).min(UNWORKED_MAX));
        }
        self.last_sign_us.fetch_max(now_us, Relaxed);
    }

    /// Compares what the host claims of its step with what was measured.
    fn check_claim(&self, measured_s: f32, now_us: u64) {
        let claimed_s = self.claimed_step_s.load();
        if claimed_s.is_nan() || claimed_s <= 0.0 {
            return;
        }
        if elapsed_s(self.reported_step_us.load(Relaxed), now_us) > CLAIM_FRESH_S {
            // Of before the request: what was measured since is better.
            self.telemetry_step_s.store(self.local_step_s.load());
            return;
        }
        let error = math::ln_called(measured_s) - math::ln_called(claimed_s);
        let checked = self.claims_checked.fetch_add(1, Relaxed).saturating_add(1);
        self.claim_error.update(|old| {
            let surprise = error - old;
            let is_gross = !(-GROSS_ERROR..=GROSS_ERROR).contains(&surprise);
            old + surprise * (1.0 / checked as f32).max(if is_gross { GROSS_WEIGHT } else { CLAIM_WEIGHT })
        });
        self.telemetry_step_s.store(self.corrected_s(claimed_s, f32::NAN));
    }

    /// A claimed step, less its error so far and bounded by what was measured at the host, or, before
    /// anything was, by the fleet's mean (NaN where unknown). NaN for a host that has done no work yet in a fleet
    /// where nothing was measured: such a claim cannot be held against anything.
    fn corrected_s(&self, claimed_s: f32, fleet_s: f32) -> f32 {
        let local_s = self.local_step_s.load();
        if local_s.is_nan() {
            let is_checked = fleet_s > 0.0 || self.knowledge() > 0.0;
            let least_s = fleet_s / UNPROVEN_SPEED_MAX;
            return if !is_checked {
                f32::NAN
            } else if claimed_s < least_s {
                least_s
            } else {
                claimed_s
            };
        }
        let believed_s = claimed_s * math::decay(-self.claim_error.load());
        // NaN, no claim, stays what it is.
        if believed_s < local_s / PROVEN_SPEED_MAX { local_s / PROVEN_SPEED_MAX } else { believed_s }
    }

    /// Takes over a report measured at `measured_us`, and returns the step that is news (NaN if
    /// none is). `None` for a report that is older than what is known, or from the future: it is
    /// dropped. `fleet_step_s` is the fleet's mean step, NaN where unknown.
    pub(crate) fn report(
        &self,
        telemetry: &Telemetry,
        fleet_step_s: f32,
        measured_us: u64,
        now_us: u64,
    ) -> Option<f32> {
        let known_us = self.telemetry_us.load(Relaxed);
        // A time beyond now was stored by a clock that has been set back since.
        if measured_us > now_us || (measured_us < known_us && known_us <= now_us) {
            return None;
        }
        let told = telemetry.plausible();
        let is_repeated = told.step_s == self.claimed_step_s.load() && told.is_idle();
        let step_s = if is_repeated {
            // An idle host repeats its last step: no news, so that what is kept goes on ageing.
            self.telemetry_step_s.load()
        } else {
            self.claimed_step_s.store(told.step_s);
            self.reported_step_us.store(now_us, Relaxed);
            self.corrected_s(told.step_s, fleet_step_s)
        };
        if self.knows_more_than(&told, known_us, now_us) {
            self.telemetry_step_s.store(step_s);
            if !told.kv_use.is_nan() {
                self.kv_use.store(told.kv_use);
            }
        } else {
            self.store_telemetry(&Telemetry { step_s, ..told });
            self.forget_since_telemetry();
            self.telemetry_us.store(measured_us.max(1), Relaxed);
        }
        // A claim that had to be bounded says nothing of the fleet.
        let is_news = !is_repeated && (step_s <= told.step_s || !self.local_step_s.load().is_nan());
        Some(if is_news { step_s } else { f32::NAN })
    }

    /// Whether a report lacks the running requests, which another one said that is still believed:
    /// a response's header beside an agent's page. The load then stays as the fuller report and
    /// the counts since have it.
    fn knows_more_than(&self, told: &Telemetry, known_us: u64, now_us: u64) -> bool {
        told.running.is_nan()
            && !self.running.load().is_nan()
            && known_us > 0
            && elapsed_s(known_us, now_us) < TELEMETRY_STALE_S
    }

    /// Share of itself that an average keeps when a sample arrives now.
    #[inline(never)]
    fn keep(&self, now_us: u64) -> f32 {
        let kept = self.fading(now_us);
        // At least a little of each sample counts, however fast they come.
        if kept < KEPT_MIN { 0.0 } else { kept.min(0.98).min(self.knowledge().max(UNPROVEN_KEPT_MIN)) }
    }
}

/// Counts up, but not around: where reports never come, a count stops at about 2³¹.
fn count_up(count: &AtomicU32, by: u32) {
    const FULL: u32 = 1 << 31;
    // No prompt is longer; so many threads would have to pass here at once for the count
    // to go around that the check below comes in time.
    const STEP_MAX: u32 = 1 << 24;
    if count.fetch_add(by.min(STEP_MAX), Relaxed) >= FULL {
        count.store(FULL, Relaxed);
    }
}

/// A sample within the factor of what was known; as it is where nothing was.
fn bounded(old: f32, sample: f32) -> f32 {
    if old > 0.0 { sample.max(old / SAMPLE_FACTOR_MAX).min(old * SAMPLE_FACTOR_MAX) } else { sample }
}

/// Moving average of bounded samples; the first one replaces the unknown.
#[inline(never)]
fn blend(old: f32, sample: f32, keep: f32) -> f32 {
    if old.is_nan() { sample } else { old * keep + bounded(old, sample) * (1.0 - keep) }
}
