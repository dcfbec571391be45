//! Prequal: hot-cold lexicographic selection over a pool of asynchronous probes
//! (Wydrowski, Kleinberg, Rumble and Archer, "Load is not what you should balance",
//! NSDI 2024).
//!
//! Every probe answer enters its balancer's pool with the host's requests in flight (RIF)
//! and the host's own latency estimate. A host is *hot* if its RIF is above the `Q_RIF`
//! quantile of the RIFs of recent answers. Among cold pool entries the lowest latency wins;
//! if all are hot, the lowest RIF. An entry may be used a few times, its RIF growing by one
//! each time; it leaves when it is used up, too old, displaced as the oldest, or taken out
//! as the worst (every `removals_per_query`-th time alternately the worst and the oldest).

use std::collections::VecDeque;

use super::Parameter;
use crate::policy::{Decision, Policy, Setting, TelemetryEvent};
use crate::random::below;
use crate::telemetry::Source;

/// Parameters of Prequal. How many probes a request sends belongs to the scenario.
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
    /// How often an answer may be used.
    pub uses_max: u32,
}

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "rif_quantile", default: 0.84, min: 0.0, max: 1.0 },
    Parameter { name: "pool_size", default: 16.0, min: 2.0, max: 64.0 },
    Parameter { name: "age_max_s", default: 1.0, min: 0.05, max: 100.0 },
    Parameter { name: "removals_per_query", default: 1.0, min: 0.0, max: 3.0 },
    Parameter { name: "uses_max", default: 2.0, min: 1.0, max: 16.0 },
];

impl PrequalOptions {
    /// From numbers in the order of the registry's parameters.
    pub(super) fn from_parameters(p: &[f64]) -> Self {
        Self {
            rif_quantile: p[0],
            pool_size: p[1] as usize,
            age_max_s: p[2],
            removals_per_query: p[3],
            uses_max: p[4] as u32,
        }
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
    uses: u32,
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
    pools: Vec<Pool>,
    sorted: Vec<f64>,
}

impl Prequal {
    /// With these parameters.
    pub fn new(options: PrequalOptions) -> Self {
        Self { options, pools: Vec::new(), sorted: Vec::new() }
    }
}

/// Order of preference: cold before hot, then latency among the cold, RIF among the hot.
fn preference(answer: &Answer, hot_above: f64) -> (bool, f64) {
    let is_hot = answer.rif > hot_above;
    // A host without an estimate has not answered yet: try it.
    let latency_s = if answer.latency_s.is_nan() { 0.0 } else { answer.latency_s };
    (is_hot, if is_hot { answer.rif } else { latency_s })
}

fn compare(a: &Answer, b: &Answer, hot_above: f64) -> std::cmp::Ordering {
    let ((a_hot, a_value), (b_hot, b_value)) = (preference(a, hot_above), preference(b, hot_above));
    a_hot.cmp(&b_hot).then(a_value.total_cmp(&b_value))
}

impl Pool {
    fn add(&mut self, answer: Answer, pool_size: usize) {
        if self.rifs.len() == RIFS_KEPT {
            self.rifs.pop_front();
        }
        self.rifs.push_back(answer.rif);
        if self.answers.len() == pool_size {
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
        self.pools = vec![Pool::default(); setting.balancers];
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
        answer.uses += 1;
        // The request that is about to be sent there counts.
        answer.rif += 1.0;
        if answer.uses >= self.options.uses_max {
            pool.answers.remove(best);
        }
        pool.remove_due(self.options.removals_per_query, hot_above);
        host
    }

    fn on_telemetry(&mut self, event: &TelemetryEvent) {
        if event.source == Source::Probe {
            let answer = Answer {
                host: event.host,
                rif: f64::from(event.telemetry.running + event.telemetry.waiting),
                latency_s: event.latency_s,
                measured_s: event.measured_s,
                uses: 0,
            };
            self.pools[event.balancer].add(answer, self.options.pool_size);
        }
    }
}
