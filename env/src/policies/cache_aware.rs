//! SGLang's cache-aware rule: the longest cached prefix, unless the load is uneven.
//!
//! As in the SGLang gateway (`--policy cache_aware`): where the most loaded host has more
//! than `balance_abs_threshold` requests more than the least loaded one, and more than
//! `balance_rel_threshold` times as many, the request goes to the shortest queue. Otherwise
//! it goes to the host which probably has the largest share of its prompt cached, if that is
//! above `cache_threshold`, and to the shortest queue if not. Loads are the balancer's own
//! requests in flight, as in a gateway that is the only one; equal shares go to the shorter
//! queue.

use super::Parameter;
use super::queue_kv::cached_share;
use crate::policy::{Decision, Policy};

/// The gateway's thresholds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CacheAwareOptions {
    /// Share of a prompt from which on a cached prefix is followed.
    pub cache_threshold: f64,
    /// Difference of loads beyond which they may be uneven.
    pub balance_abs_threshold: f64,
    /// Ratio of loads beyond which they may be uneven.
    pub balance_rel_threshold: f64,
}

/// The defaults of gateway 0.3.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "cache_threshold", default: 0.3, min: 0.0, max: 1.0 },
    Parameter { name: "balance_abs_threshold", default: 64.0, min: 0.0, max: 128.0 },
    Parameter { name: "balance_rel_threshold", default: 1.5, min: 1.0, max: 4.0 },
];

impl CacheAwareOptions {
    /// From numbers in the order of the registry's parameters.
    pub(super) fn from_parameters(p: &[f64]) -> Self {
        Self { cache_threshold: p[0], balance_abs_threshold: p[1], balance_rel_threshold: p[2] }
    }

    /// Whether these loads are uneven.
    fn is_uneven(&self, least: f64, most: f64) -> bool {
        most - least > self.balance_abs_threshold && most > least * self.balance_rel_threshold
    }

    /// What is to be lowest: load alone, or first the part of the prompt that is not cached.
    fn score(&self, is_uneven: bool, best_share: f64, share: f64, load: f64) -> f64 {
        /// Above any load.
        const FIRST: f64 = 1e9;
        let follows_cache = !is_uneven && best_share > self.cache_threshold;
        if follows_cache { (1.0 - share) * FIRST + load } else { load }
    }
}

/// SGLang's cache-aware rule.
#[derive(Clone, Copy, Debug)]
pub struct CacheAware {
    options: CacheAwareOptions,
}

impl CacheAware {
    /// With these thresholds.
    pub fn new(options: CacheAwareOptions) -> Self {
        Self { options }
    }
}

impl Policy for CacheAware {
    fn name(&self) -> &'static str {
        "cache_aware"
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let (state, request) = (decision.state, decision.request);
        let load = |host: u32| state.host(host).map_or(f64::INFINITY, |slot| f64::from(slot.in_flight()));
        let (mut least, mut most, mut best_share) = (f64::INFINITY, 0.0f64, 0.0f64);
        for &host in decision.eligible {
            least = least.min(load(host));
            most = most.max(load(host));
            best_share = best_share.max(cached_share(request, host));
        }
        let is_uneven = self.options.is_uneven(least, most);
        decision
            .choose_lowest(|host| self.options.score(is_uneven, best_share, cached_share(request, host), load(host)))
    }
}

#[cfg(test)]
mod tests {
    use super::{CacheAwareOptions, PARAMETERS};

    fn published() -> CacheAwareOptions {
        CacheAwareOptions::from_parameters(&PARAMETERS.iter().map(|parameter| parameter.default).collect::<Vec<_>>())
    }

    #[test]
    fn loads_are_uneven_if_both_thresholds_say_so() {
        let options = published();
        assert!(options.is_uneven(10.0, 80.0));
        assert!(!options.is_uneven(10.0, 74.0), "a difference of 64 is not above 64");
        assert!(!options.is_uneven(200.0, 290.0), "less than one and a half times");
    }

    #[test]
    fn the_cache_is_followed_until_loads_are_uneven() {
        let options = published();
        let (cached, short) = ((0.9, 50.0), (0.0, 1.0));
        let score = |is_uneven, best, (share, load)| options.score(is_uneven, best, share, load);
        assert!(score(false, 0.9, cached) < score(false, 0.9, short), "affinity");
        assert!(score(true, 0.9, cached) > score(true, 0.9, short), "shortest queue");
        let little = (0.2, 50.0);
        assert!(score(false, 0.2, little) > score(false, 0.2, short), "too little is cached to follow");
        assert!(score(false, 0.9, (0.9, 3.0)) < score(false, 0.9, (0.9, 4.0)), "of equals the shorter queue");
    }
}
