//! llm-d's token-aware rule: stick to the prefix until its host is too busy, then fewest
//! uncached tokens.
//!
//! Hosts that probably have most of the prompt cached (llm-d's prefix affinity filter: at
//! least 80 %) are kept to, unless the time to the first token on the best of them is longer
//! than on the best of all by more than a gap (5 s), and but for a few requests (1 %) that
//! explore. Among the hosts that remain the one wins with the fewest uncached prompt tokens
//! in flight, this request's own included. Token counts are the balancer's own: uncached
//! tokens of what it sent there and that has not ended. The time to the first token is
//! foreseen from those whose first token has not come yet.

use evenkeel_runtime::Outcome;

use super::Parameter;
use super::grid::Grid;
use super::queue_kv::cached_share;
use crate::policy::{Decision, Policy, RequestEvent, Setting};
use crate::random::uniform;

/// Parameters of the token-aware rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenAwareOptions {
    /// Share of a prompt from which on a host is stuck to.
    pub affinity_share_min: f64,
    /// How much later the first token may come for it, in seconds.
    pub ttft_gap_max_s: f64,
    /// Share of the requests that look at all hosts alike.
    pub exploration: f64,
}

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "affinity_share_min", default: 0.8, min: 0.05, max: 1.0 },
    Parameter { name: "ttft_gap_max_s", default: 5.0, min: 0.05, max: 60.0 },
    Parameter { name: "exploration", default: 0.01, min: 0.0, max: 0.2 },
];

impl TokenAwareOptions {
    /// From numbers in the order of the registry's parameters.
    pub(super) fn from_parameters(p: &[f64]) -> Self {
        Self { affinity_share_min: p[0], ttft_gap_max_s: p[1], exploration: p[2] }
    }

    /// Whether to keep to the hosts with the prefix, the first token coming so soon on the
    /// best of them and on the best of all.
    fn sticks(&self, sticky_ttft_s: f64, best_ttft_s: f64) -> bool {
        sticky_ttft_s.is_finite() && sticky_ttft_s - best_ttft_s <= self.ttft_gap_max_s
    }
}

/// The token-aware rule.
#[derive(Clone, Debug)]
pub struct TokenAware {
    options: TokenAwareOptions,
    tokens: Grid<Tokens>,
    /// Seconds to prefill a token at speed 1.
    prefill_token_s: f64,
    /// By request: its uncached tokens at the host that it was sent to.
    uncached: Vec<u32>,
    /// Of the request being placed: its uncached tokens by host.
    deciding: Vec<u32>,
}

/// Uncached prompt tokens at a host.
#[derive(Clone, Copy, Debug, Default)]
struct Tokens {
    /// Of requests that have not ended.
    in_flight: u64,
    /// Of those, without a first token.
    unanswered: u64,
}

impl TokenAware {
    /// With these parameters.
    pub fn new(options: TokenAwareOptions) -> Self {
        Self { options, tokens: Grid::default(), prefill_token_s: 0.0, uncached: Vec::new(), deciding: Vec::new() }
    }
}

/// Prompt tokens that a host has yet to compute; at least 1, so that requests count where
/// tokens are unknown.
fn uncached_tokens(request: &evenkeel_runtime::Request<'_>, host: usize) -> u32 {
    let cached = request.cached_tokens.get(host).copied().unwrap_or(0);
    request.prompt_tokens.saturating_sub(cached).max(1)
}

impl Policy for TokenAware {
    fn name(&self) -> &'static str {
        "token_aware"
    }

    fn reset(&mut self, setting: &Setting) {
        self.tokens = Grid::new(setting, Tokens::default());
        self.prefill_token_s = f64::from(setting.service.step_per_prefill_token_s());
        self.uncached.clear();
        self.deciding = vec![0; setting.hosts];
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let (state, request, tokens) = (decision.state, decision.request, self.tokens.row(decision.balancer));
        for (host, uncached) in self.deciding.iter_mut().enumerate() {
            *uncached = uncached_tokens(request, host);
        }
        let deciding = &self.deciding;
        let ttft_s = |host: u32| {
            let speed = state.host(host).map_or(1.0, |slot| f64::from(slot.weight()));
            let ahead = tokens[host as usize].unanswered + u64::from(deciding[host as usize]);
            ahead as f64 * self.prefill_token_s / speed
        };
        let is_sticky = |host: u32| cached_share(request, host) >= self.options.affinity_share_min;
        let (mut sticky_ttft_s, mut best_ttft_s) = (f64::INFINITY, f64::INFINITY);
        for &host in decision.eligible {
            best_ttft_s = best_ttft_s.min(ttft_s(host));
            if is_sticky(host) {
                sticky_ttft_s = sticky_ttft_s.min(ttft_s(host));
            }
        }
        let explores = sticky_ttft_s.is_finite() && uniform(decision.rng) < self.options.exploration;
        let sticks = !explores && self.options.sticks(sticky_ttft_s, best_ttft_s);
        decision.choose_lowest(|host| {
            if sticks && !is_sticky(host) {
                return f64::INFINITY;
            }
            (tokens[host as usize].in_flight + u64::from(deciding[host as usize])) as f64
        })
    }

    fn on_sent(&mut self, event: &RequestEvent) {
        let request = event.request as usize;
        if self.uncached.len() <= request {
            self.uncached.resize(request + 1, 0);
        }
        // The request was sent in the moment of its decision.
        self.uncached[request] = self.deciding[event.host];
        let tokens = self.tokens.at(event.balancer, event.host);
        tokens.in_flight += u64::from(self.uncached[request]);
        tokens.unanswered += u64::from(self.uncached[request]);
    }

    fn on_first_token(&mut self, event: &RequestEvent) {
        self.answered(event);
    }

    fn on_done(&mut self, event: &RequestEvent, _outcome: &Outcome) {
        let request = event.request as usize;
        let sent = u64::from(self.uncached[request] & !ANSWERED);
        self.answered(event);
        self.tokens.at(event.balancer, event.host).in_flight -= sent;
    }
}

/// Marks requests whose first token has come.
const ANSWERED: u32 = 1 << 31;

impl TokenAware {
    /// The first token came, or none will.
    fn answered(&mut self, event: &RequestEvent) {
        let uncached = &mut self.uncached[event.request as usize];
        if *uncached & ANSWERED == 0 {
            self.tokens.at(event.balancer, event.host).unanswered -= u64::from(*uncached);
            *uncached |= ANSWERED;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PARAMETERS, TokenAwareOptions, uncached_tokens};
    use evenkeel_runtime::Request;

    #[test]
    fn affinity_ends_where_the_first_token_comes_too_late() {
        let options = TokenAwareOptions::from_parameters(
            &PARAMETERS.iter().map(|parameter| parameter.default).collect::<Vec<_>>(),
        );
        assert!(options.sticks(5.5, 1.0));
        assert!(!options.sticks(6.5, 1.0));
        assert!(!options.sticks(f64::INFINITY, 1.0), "no host has the prefix");
    }

    #[test]
    fn cached_tokens_need_no_work() {
        let request = Request { prompt_tokens: 1000, cached_tokens: &[900, 0], ..Request::default() };
        assert_eq!([0, 1, 2].map(|host| uncached_tokens(&request, host)), [100, 1000, 1000]);
        assert_eq!(uncached_tokens(&Request::default(), 0), 1);
    }
}
