//! Prequal: hot-cold lexicographic selection over a pool of asynchronous probes
//! (Wydrowski, Kleinberg, Rumble and Archer, "Load is not what you should balance",
//! NSDI 2024).
//!
//! Every probe answer enters its balancer's pool with the host's requests in flight (RIF)
//! and the host's own latency estimate, in place of an older one of the same host. A host is *hot* if its RIF is above the `Q_RIF`
//! quantile of the RIFs of recent answers. Among cold pool entries the lowest latency wins;
//! if all are hot, the lowest RIF. An entry may be used a few times, its RIF growing by one
//! each time; it leaves when it is used up, too old, displaced as the oldest, or taken out
//! (every `removals_per_query`-th time, alternately the worst and the oldest).
//!
//! How often an entry may be used follows from the rates, as in the paper's section 4:
//! `max(1, (1 + δ) / ((1 − pool / hosts) · probes − removals))`, rounded at random to a whole
//! number with that mean; `1 − pool / hosts` is the share of the probes that bring a host
//! which is not in the pool. Where the denominator is not positive, because the pool holds as
//! many answers as there are hosts, an entry may be used until it leaves otherwise.
//!
//! Probes follow requests; the paper's probes of balancers without traffic are left out.
//! Where a scenario has no probes, polled reports take their place.

use std::cmp::Ordering;
use std::collections::VecDeque;

use rand_pcg::Pcg64Mcg;

use super::Parameter;
use crate::policy::{Decision, Policy, Setting, TelemetryEvent};
use crate::random::{Purpose, below, stream, uniform};
use crate::telemetry::Source;

/// Parameters of Prequal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrequalOptions {
    /// Quantile of the RIFs above which a host is hot.
    pub rif_quantile: f64,
    /// Most probe answers in a pool.
    pub pool_size: usize,
    /// Age at which an answer leaves, in seconds.
    pub age_max_s: f64,
    /// Answers taken out for each request, besides those used up or too old.
    pub removals_per_query: f64,
    /// Probes after each request; the scenario may allow fewer.
    pub probes_per_query: f64,
    /// δ of the reuse budget: how much faster answers may come in than be used up.
    pub reuse_delta: f64,
}

/// The paper's defaults.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "rif_quantile", default: 0.84, min: 0.0, max: 1.0 },
    Parameter { name: "pool_size", default: 16.0, min: 2.0, max: 64.0 },
    Parameter { name: "age_max_s", default: 1.0, min: 0.05, max: 100.0 },
    Parameter { name: "removals_per_query", default: 1.0, min: 0.0, max: 3.0 },
    Parameter { name: "probes_per_query", default: 3.0, min: 1.0, max: 5.0 },
    Parameter { name: "reuse_delta", default: 1.0, min: 0.0, max: 16.0 },
];

impl PrequalOptions {
    /// From numbers in the order of the registry's parameters.
    pub(super) fn from_parameters(p: &[f64]) -> Self {
        Self {
            rif_quantile: p[0],
            pool_size: p[1] as usize,
            age_max_s: p[2],
            removals_per_query: p[3],
            probes_per_query: p[4],
            reuse_delta: p[5],
        }
    }

    /// Mean number of times that an answer may be used.
    fn reuse_budget(&self, hosts: usize) -> f64 {
        let fresh = (1.0 - self.pool_size as f64 / hosts as f64) * self.probes_per_query - self.removals_per_query;
        if fresh > 0.0 { ((1.0 + self.reuse_delta) / fresh).max(1.0) } else { f64::INFINITY }
    }
}

impl Default for PrequalOptions {
    fn default() -> Self {
        let defaults: Vec<f64> = PARAMETERS.iter().map(|parameter| parameter.default).collect();
        Self::from_parameters(&defaults)
    }
}

/// RIFs that the estimate of their distribution remembers.
const RIFS_KEPT: usize = 128;

/// Fewer answers than this say too little: a random host instead.
const POOL_MIN: usize = 2;

#[derive(Clone, Copy, Debug)]
struct Answer {
    host: usize,
    rif: f64,
    latency_s: f64,
    measured_s: f64,
    /// How often it may still be used.
    uses_left: f64,
}

/// What one balancer knows.
#[derive(Clone, Debug, Default)]
struct Pool {
    /// Oldest first.
    answers: VecDeque<Answer>,
    rifs: VecDeque<f64>,
    removals_due: f64,
    removes_worst: bool,
}

/// Prequal.
#[derive(Clone, Debug)]
pub struct Prequal {
    options: PrequalOptions,
    reuse_budget: f64,
    pools: Vec<Pool>,
    sorted: Vec<f64>,
    /// Whether a probe was ever answered; polls stand in for probes until then.
    is_probing: bool,
    rng: Pcg64Mcg,
}

impl Prequal {
    /// With these parameters.
    pub fn new(options: PrequalOptions) -> Self {
        Self {
            options,
            reuse_budget: 1.0,
            pools: Vec::new(),
            sorted: Vec::new(),
            is_probing: false,
            rng: stream(0, Purpose::Policy, 2),
        }
    }
}

/// Order of preference: cold before hot; then latency among the cold, RIF among the hot
/// and where a latency is not known.
fn compare(a: &Answer, b: &Answer, hot_above: f64) -> Ordering {
    let is_hot = |answer: &Answer| answer.rif > hot_above;
    let by_rif = a.rif.total_cmp(&b.rif);
    is_hot(a).cmp(&is_hot(b)).then_with(|| {
        if is_hot(a) { by_rif } else { a.latency_s.partial_cmp(&b.latency_s).unwrap_or(by_rif).then(by_rif) }
    })
}

impl Pool {
    fn add(&mut self, answer: Answer, pool_size: usize) {
        if self.rifs.len() == RIFS_KEPT {
            self.rifs.pop_front();
        }
        self.rifs.push_back(answer.rif);
        if let Some(older) = self.answers.iter().position(|known| known.host == answer.host) {
            self.answers.remove(older);
        } else if self.answers.len() >= pool_size {
            self.answers.pop_front();
        }
        self.answers.push_back(answer);
    }

    fn expire(&mut self, now_s: f64, age_max_s: f64) {
        while self.answers.front().is_some_and(|answer| now_s - answer.measured_s > age_max_s) {
            self.answers.pop_front();
        }
    }

    /// The RIF above which a host is hot.
    fn hot_above(&self, quantile: f64, sorted: &mut Vec<f64>) -> f64 {
        sorted.clear();
        sorted.extend(&self.rifs);
        if sorted.is_empty() {
            return f64::INFINITY;
        }
        let rank = ((quantile * sorted.len() as f64) as usize).min(sorted.len() - 1);
        if quantile >= 1.0 {
            return f64::INFINITY;
        }
        *sorted.select_nth_unstable_by(rank, f64::total_cmp).1
    }

    /// Alternately the worst answer and the oldest.
    fn remove_due(&mut self, removals_per_query: f64, hot_above: f64) {
        self.removals_due += removals_per_query;
        while self.removals_due >= 1.0 {
            self.removals_due -= 1.0;
            if self.answers.len() <= POOL_MIN {
                continue;
            }
            self.removes_worst = !self.removes_worst;
            let worst = (0..self.answers.len()).max_by(|a, b| compare(&self.answers[*a], &self.answers[*b], hot_above));
            let index = if self.removes_worst { worst.unwrap_or(0) } else { 0 };
            self.answers.remove(index);
        }
    }
}

impl Policy for Prequal {
    fn name(&self) -> &'static str {
        "prequal"
    }

    fn reset(&mut self, setting: &Setting) {
        *self = Self::new(self.options);
        self.pools = vec![Pool::default(); setting.balancers];
        self.reuse_budget = self.options.reuse_budget(setting.hosts);
    }

    fn probes_wanted(&self) -> f64 {
        self.options.probes_per_query
    }

    fn wants_probed_latency(&self) -> bool {
        true
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let pool = &mut self.pools[decision.balancer];
        pool.expire(decision.now_s, self.options.age_max_s);
        let hot_above = pool.hot_above(self.options.rif_quantile, &mut self.sorted);
        let eligible = |answer: &Answer| decision.eligible.binary_search(&(answer.host as u32)).is_ok();
        let best = (0..pool.answers.len())
            .filter(|index| eligible(&pool.answers[*index]))
            .min_by(|a, b| compare(&pool.answers[*a], &pool.answers[*b], hot_above));
        let Some(best) = best.filter(|_| pool.answers.len() >= POOL_MIN) else {
            return decision.eligible[below(decision.rng, decision.eligible.len())] as usize;
        };
        let answer = &mut pool.answers[best];
        let host = answer.host;
        answer.uses_left -= 1.0;
        // The request that is about to be sent there counts.
        answer.rif += 1.0;
        if answer.uses_left < 1.0 {
            pool.answers.remove(best);
        }
        pool.remove_due(self.options.removals_per_query, hot_above);
        host
    }

    fn on_telemetry(&mut self, event: &TelemetryEvent) {
        match event.source {
            Source::Probe => self.is_probing = true,
            Source::Poll if !self.is_probing => {}
            Source::Poll | Source::Piggyback => return,
        }
        // Rounded at random; an infinite budget stays what it is.
        let uses_left = libm::floor(self.reuse_budget + uniform(&mut self.rng));
        let answer = Answer {
            host: event.host,
            rif: f64::from(event.telemetry.running + event.telemetry.waiting),
            latency_s: event.latency_s,
            measured_s: event.measured_s,
            uses_left,
        };
        self.pools[event.balancer].add(answer, self.options.pool_size);
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Pool, PrequalOptions, compare};

    fn answer(host: usize, rif: f64, latency_s: f64) -> Answer {
        Answer { host, rif, latency_s, measured_s: host as f64, uses_left: 1.0 }
    }

    fn pool(answers: &[Answer]) -> Pool {
        let mut pool = Pool::default();
        for answer in answers {
            pool.add(*answer, 16);
        }
        pool
    }

    fn best(pool: &Pool, hot_above: f64) -> usize {
        pool.answers.iter().min_by(|a, b| compare(a, b, hot_above)).expect("the pool has answers").host
    }

    #[test]
    fn cold_hosts_go_by_latency_and_hot_ones_by_requests() {
        let pool = pool(&[answer(0, 2.0, 0.9), answer(1, 4.0, 0.3), answer(2, 9.0, 0.1)]);
        assert_eq!(best(&pool, 5.0), 1, "the fastest is hot");
        assert_eq!(best(&pool, 9.0), 2, "none is hot");
        assert_eq!(best(&pool, 1.0), 0, "all are hot");
    }

    #[test]
    fn unknown_latencies_go_by_requests() {
        let pool = pool(&[answer(0, 5.0, f64::NAN), answer(1, 3.0, f64::NAN), answer(2, 4.0, f64::NAN)]);
        assert_eq!(best(&pool, 10.0), 1);
    }

    #[test]
    fn the_threshold_is_a_quantile_of_recent_answers() {
        let answers: Vec<_> = (0..100).map(|rif| answer(0, f64::from(rif), 0.0)).collect();
        let pool = pool(&answers);
        let mut sorted = Vec::new();
        assert_eq!(pool.hot_above(0.84, &mut sorted), 84.0);
        assert_eq!(pool.hot_above(0.0, &mut sorted), 0.0);
        assert_eq!(pool.hot_above(1.0, &mut sorted), f64::INFINITY);
    }

    #[test]
    fn answers_age_and_are_removed() {
        let mut pool = pool(&[answer(0, 1.0, 0.1), answer(1, 9.0, 0.1), answer(2, 1.0, 0.5), answer(3, 1.0, 0.2)]);
        let hosts = |pool: &Pool| pool.answers.iter().map(|answer| answer.host).collect::<Vec<_>>();
        pool.remove_due(1.0, 5.0);
        assert_eq!(hosts(&pool), [0, 2, 3], "the worst first: it is hot");
        pool.remove_due(1.0, 5.0);
        assert_eq!(hosts(&pool), [2, 3], "then the oldest");
        pool.remove_due(1.0, 5.0);
        assert_eq!(hosts(&pool), [2, 3], "two are left");
        pool.expire(3.5, 1.0);
        assert_eq!(hosts(&pool), [3], "the answer of second 2 is too old");
    }

    #[test]
    fn a_newer_answer_takes_the_place_of_an_older_one() {
        let mut pool = pool(&[answer(7, 9.0, 0.9), answer(8, 1.0, 0.1)]);
        pool.add(Answer { measured_s: 9.0, ..answer(7, 2.0, 0.2) }, 2);
        pool.add(answer(9, 1.0, 0.1), 2);
        let kept: Vec<_> = pool.answers.iter().map(|answer| (answer.host, answer.rif)).collect();
        assert_eq!(kept, [(7, 2.0), (9, 1.0)], "the pool is full, and host 8 was the oldest");
    }

    #[test]
    fn the_reuse_budget_follows_from_the_rates() {
        let options = PrequalOptions::default();
        assert!((options.reuse_budget(100) - 2.0 / (0.84 * 3.0 - 1.0)).abs() < 1e-12);
        assert_eq!(options.reuse_budget(16), f64::INFINITY);
        let eager = PrequalOptions { probes_per_query: 5.0, removals_per_query: 0.0, ..options };
        assert_eq!(eager.reuse_budget(1_000_000), 1.0, "at least once");
    }
}
