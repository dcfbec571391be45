//! Ageing: what was learned of a host loses its weight while nothing comes from it, and
//! drifts to the fleet's mean. A host that was slow once, and was avoided since, becomes one
//! like the others, and is tried again.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{AtomicF32, HostSlot};
use crate::clock::elapsed_s;
use crate::math;

/// Half-life of what was learned, in seconds without a sample.
const HALF_LIFE_S: f32 = 8.0;

/// Half-life in requests of the upstream for each of its hosts: where requests are rare, a
/// host that is not avoided may well be without one for longer than above.
const HALF_LIFE_REQUESTS: f32 = 2.0;

/// Half-lives of what was learned in one of the error of a host's claims: a host that measures wrongly
/// goes on doing so. What fades sooner is how sure the error is, so that a claim that was put right
/// is believed with the next request.
const CLAIM_LIVES: f32 = 75.0;

/// A host that was sent nothing lately is taken to be a little faster than the fleet's mean, so
/// that an idle fleet visits all of its hosts.
const OPTIMISM: f32 = 0.95;

/// Numbers with a sample within this time do not age, in seconds.
const FRESH_S: f32 = 2.0;

/// A host that was sent nothing for this long is tried, whatever is known of it, in seconds;
/// and not before the upstream had so many requests.
const UNTRIED_MAX_S: f32 = 25.0;
const UNTRIED_REQUESTS: u64 = 18;

/// Means over the hosts of an upstream, in seconds; NaN where nothing was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FleetMeans {
    pub(crate) step: f32,
    pub(crate) latency: f32,
    pub(crate) ttft: f32,
}

/// The time since the last ageing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ageing {
    /// Share that numbers without samples keep of their distance from the fleet's mean.
    keep: f32,
    /// The same of the errors of claims.
    keep_error: f32,
    now_us: u64,
    begun: u64,
}

impl Ageing {
    /// So many seconds in which the upstream, of so many hosts, had so many requests; `begun`
    /// in all.
    pub(crate) fn new(elapsed_s: f32, requests: u64, hosts: usize, now_us: u64, begun: u64) -> Self {
        let lives = (elapsed_s / HALF_LIFE_S).min(requests as f32 / (HALF_LIFE_REQUESTS * hosts.max(1) as f32));
        let kept_after = |lives: f32| math::decay(core::f32::consts::LN_2 * lives);
        Self { keep: kept_after(lives), keep_error: kept_after(lives / CLAIM_LIVES), now_us, begun }
    }
}

impl HostSlot {
    /// Lets time pass.
    pub(crate) fn age(&self, fleet: &FleetMeans, ageing: &Ageing) {
        let Ageing { keep, keep_error, now_us, .. } = *ageing;
        for time in [&self.telemetry_us, &self.last_sign_us, &self.tried_us] {
            // Stored by a clock that has been set back since.
            let _ = time.fetch_update(Relaxed, Relaxed, |then_us| (then_us > now_us).then_some(now_us));
        }
        let is_old = |sampled_us: &AtomicU64| elapsed_s(sampled_us.load(Relaxed), now_us) > FRESH_S;
        let drift = |number: &AtomicF32, mean: f32| number.update(|old| drifted(old, mean, keep));
        let optimism = if is_old(&self.tried_us) { OPTIMISM } else { 1.0 };
        let step_s = optimism * fleet.step / self.weight();
        if self.step_us.load(Relaxed) == 0 {
            // Never measured: as one that was measured long ago, or it would never be tried beside those.
            self.local_step_s.store(if optimism < 1.0 { step_s } else { f32::NAN });
        } else if is_old(&self.step_us) {
            drift(&self.local_step_s, step_s);
            self.claim_error.update(|error| error * keep_error);
            let fewer = |checked| Some((checked as f32 * keep) as u32);
            let _ = self.claims_checked.fetch_update(Relaxed, Relaxed, fewer);
        }
        if is_old(&self.reported_step_us) {
            drift(&self.telemetry_step_s, step_s);
        }
        if is_old(&self.latency_us) {
            drift(&self.latency_ewma_s, fleet.latency);
            self.knowledge.update(|known| known * keep);
        }
        if is_old(&self.ttft_us) {
            drift(&self.ttft_ewma_s, fleet.ttft);
        }
    }

    /// Seconds for which the host should have been tried and was not; `None` if it need not be:
    /// a request is under way there, it was tried, or its own report says that it is at work.
    pub(crate) fn untried_s(&self, stale_s: f32, ageing: &Ageing) -> Option<f32> {
        let now_us = ageing.now_us;
        let untried_s = elapsed_s(self.tried_us.load(Relaxed), now_us);
        let is_at_work = self.telemetry_age_s(now_us).is_some_and(|age_s| age_s < stale_s)
            && self.running.load() + self.waiting.load().max(0.0) >= 1.0;
        let is_due = untried_s > UNTRIED_MAX_S
            && ageing.begun.saturating_sub(self.tried_begun.load(Relaxed)) >= UNTRIED_REQUESTS;
        (is_due && !is_at_work && self.in_flight() == 0).then_some(untried_s)
    }
}

impl HostSlot {
    /// Puts off the host's next trial, since it may not be chosen now.
    pub(crate) fn passed_over(&self, now_us: u64) {
        self.tried_us.fetch_max(now_us, Relaxed);
    }
}

/// A number on its way to the mean, geometrically; it stays where it is if there is none.
#[inline(never)]
fn drifted(old: f32, mean: f32, keep: f32) -> f32 {
    if old > 0.0 && mean > 0.0 {
        mean * math::decay(keep * (math::ln_called(mean) - math::ln_called(old)))
    } else {
        old
    }
}
