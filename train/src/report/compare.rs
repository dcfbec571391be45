//! Who is better than whom: the results grouped, and Evenkeel against the baselines.

use crate::metrics::{Estimate, PolicyResult};

use super::number;

/// The name under which Evenkeel's own policy is listed.
pub(crate) const OURS: &str = "evenkeel";

/// What a policy is compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// A rule that NGINX and Envoy have: what runs today.
    Proxy,
    /// Another rule: published, or Evenkeel's own estimate without the network (EXT).
    Rule,
    /// Evenkeel.
    Ours,
    /// A bound that sees what no balancer can.
    Oracle,
}

/// Role of a policy, by its name.
pub(crate) fn role(policy: &str) -> Role {
    if policy == OURS {
        Role::Ours
    } else if policy.starts_with("oracle") {
        Role::Oracle
    } else if ["round_robin", "random", "p2c", LEAST_REQUEST].contains(&policy) || policy.starts_with(LEAST_REQUEST_OF)
    {
        Role::Proxy
    } else {
        Role::Rule
    }
}

/// Least request over all hosts, as NGINX's `least_conn`.
pub(crate) const LEAST_REQUEST: &str = "least_request";
/// Least request over some hosts at random, as Envoy's with a `choice_count`; the number follows.
pub(crate) const LEAST_REQUEST_OF: &str = "least_request_of_";

/// The name of a policy as people write it. Not escaped.
pub(crate) fn display_name(policy: &str) -> String {
    match policy {
        OURS => "Evenkeel".to_owned(),
        "p2c" => "P2C".to_owned(),
        "peak_ewma" => "Peak-EWMA".to_owned(),
        "ext" => "EXT".to_owned(),
        "c3" => "C3".to_owned(),
        "prequal" => "Prequal".to_owned(),
        // "least_request_of_4" and the rest are words.
        other => other.replace('_', " "),
    }
}

/// Something measured for each policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    /// Name in a sentence.
    pub(crate) name: &'static str,
    /// Name over a column.
    pub(crate) short: &'static str,
    /// A share of one, rather than a time in seconds.
    pub(crate) is_share: bool,
    /// Whether more of it is better.
    pub(crate) higher_is_better: bool,
    /// Reads it.
    pub(crate) of: fn(&PolicyResult) -> Estimate,
}

/// Mean latency.
pub(crate) const MEAN: Measure = Measure {
    name: "mean latency",
    short: "mean",
    is_share: false,
    higher_is_better: false,
    of: |result| result.latency_mean_s,
};
/// Median latency.
pub(crate) const P50: Measure =
    Measure { name: "p50 latency", short: "p50", of: |result| result.latency_p50_s, ..MEAN };
/// 99th percentile of the latency.
pub(crate) const P99: Measure =
    Measure { name: "p99 latency", short: "p99", of: |result| result.latency_p99_s, ..MEAN };
/// Mean time to first token.
pub(crate) const TTFT_MEAN: Measure =
    Measure { name: "mean TTFT", short: "TTFT mean", of: |result| result.ttft_mean_s, ..MEAN };
/// 99th percentile of the time to first token.
pub(crate) const TTFT_P99: Measure =
    Measure { name: "p99 TTFT", short: "TTFT p99", of: |result| result.ttft_p99_s, ..MEAN };
/// Share of failed requests.
pub(crate) const FAILED: Measure =
    Measure { name: "failed requests", short: "failed", is_share: true, of: |result| result.failed_share, ..MEAN };
/// Load-balancing efficiency.
pub(crate) const EFFICIENCY: Measure = Measure {
    name: "balance efficiency",
    short: "balance",
    is_share: true,
    higher_is_better: true,
    of: |result| result.balance_efficiency,
};
/// All measures, in the order of the columns.
pub(crate) const MEASURES: [Measure; 7] = [MEAN, P50, P99, TTFT_MEAN, TTFT_P99, FAILED, EFFICIENCY];

impl Measure {
    /// Value of a result; NaN where it is unknown.
    pub(crate) fn value(&self, result: &PolicyResult) -> f64 {
        (self.of)(result).value
    }

    /// Whether `a` is better than `b`; false where either is unknown.
    pub(crate) fn better(&self, a: f64, b: f64) -> bool {
        if self.higher_is_better { a > b } else { a < b }
    }

    /// The best of some results, leaving out unknown values.
    pub(crate) fn best<'a>(&self, results: impl IntoIterator<Item = &'a PolicyResult>) -> Option<&'a PolicyResult> {
        results
            .into_iter()
            .filter(|result| self.value(result).is_finite())
            .reduce(|best, result| if self.better(self.value(result), self.value(best)) { result } else { best })
    }

    /// Column unit that suits these results.
    pub(crate) fn unit<'a>(&self, results: impl IntoIterator<Item = &'a PolicyResult>) -> number::Unit {
        if self.is_share {
            number::Unit::PERCENT
        } else {
            number::Unit::of_seconds(results.into_iter().map(|result| self.value(result)))
        }
    }

    /// A value with its unit.
    pub(crate) fn format(&self, value: f64) -> String {
        if self.is_share { number::percent(value) } else { number::seconds(value) }
    }

    /// From `from` to `to`: relative for times, in percentage points for shares.
    pub(crate) fn change(&self, from: f64, to: f64) -> String {
        if !self.is_share {
            return number::change(to / from - 1.0);
        }
        let points = (to - from) * 100.0;
        if points.is_finite() {
            let sign = if points > 0.0 { "+" } else { "" };
            format!("{sign}{} points", number::significant(points))
        } else {
            number::MISSING.to_owned()
        }
    }
}

/// All policies at one load of one trace: the proxies' rules, other rules, Evenkeel, oracles.
pub(crate) struct Group<'a> {
    /// Name of the trace.
    pub(crate) trace: &'a str,
    /// Offered load as a share of capacity.
    pub(crate) load: f64,
    /// The results.
    pub(crate) results: Vec<&'a PolicyResult>,
}

/// Groups results by trace, in order of appearance, and by load, ascending.
pub(crate) fn groups(results: &[PolicyResult]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    for trace in traces(results) {
        let start = groups.len();
        for result in results.iter().filter(|result| result.trace == trace) {
            match groups[start..].iter_mut().find(|group| group.load.total_cmp(&result.load).is_eq()) {
                Some(group) => group.results.push(result),
                None => groups.push(Group { trace, load: result.load, results: vec![result] }),
            }
        }
        groups[start..].sort_by(|a, b| a.load.total_cmp(&b.load));
    }
    for group in &mut groups {
        group.results.sort_by_key(|result| role(&result.policy));
    }
    groups
}

/// Names of the traces, in order of appearance.
pub(crate) fn traces(results: &[PolicyResult]) -> Vec<&str> {
    let mut traces: Vec<&str> = Vec::new();
    for result in results {
        if !traces.contains(&result.trace.as_str()) {
            traces.push(&result.trace);
        }
    }
    traces
}

impl<'a> Group<'a> {
    /// Evenkeel's result.
    pub(crate) fn ours(&self) -> Option<&'a PolicyResult> {
        self.with_role(Role::Ours).next()
    }

    /// Results of the policies in this role.
    pub(crate) fn with_role(&self, wanted: Role) -> impl Iterator<Item = &'a PolicyResult> {
        self.results.iter().copied().filter(move |result| role(&result.policy) == wanted)
    }

    /// All rules, the proxies' first.
    pub(crate) fn baselines(&self) -> impl Iterator<Item = &'a PolicyResult> {
        self.with_role(Role::Proxy).chain(self.with_role(Role::Rule))
    }

    /// The policies that could be deployed: all rules and Evenkeel.
    pub(crate) fn attainable(&self) -> impl Iterator<Item = &'a PolicyResult> {
        self.baselines().chain(self.with_role(Role::Ours))
    }

    /// Evenkeel against the best, by this measure, of the rules that NGINX and Envoy have; of all
    /// rules where none of those was run.
    pub(crate) fn compare(&self, measure: Measure) -> Option<Comparison<'a>> {
        let best = measure.best(self.with_role(Role::Proxy)).or_else(|| measure.best(self.baselines()))?;
        self.compare_with(measure, best)
    }

    /// Evenkeel against the best, by this measure, of the rules that no proxy has.
    pub(crate) fn compare_rules(&self, measure: Measure) -> Option<Comparison<'a>> {
        self.compare_with(measure, measure.best(self.with_role(Role::Rule))?)
    }

    fn compare_with(&self, measure: Measure, baseline: &'a PolicyResult) -> Option<Comparison<'a>> {
        let ours = self.ours()?;
        measure.value(ours).is_finite().then(|| Comparison::new(self, measure, ours, baseline))
    }

    /// Baselines that beat Evenkeel by this measure, the best first.
    pub(crate) fn losses(&self, measure: Measure) -> Vec<Comparison<'a>> {
        let Some(ours) = self.ours() else {
            return Vec::new();
        };
        let mut losses: Vec<_> = self
            .baselines()
            .filter(|baseline| measure.better(measure.value(baseline), measure.value(ours)))
            .map(|baseline| Comparison::new(self, measure, ours, baseline))
            .collect();
        losses.sort_by(|a, b| a.theirs.value.total_cmp(&b.theirs.value));
        if measure.higher_is_better {
            losses.reverse();
        }
        losses
    }
}

/// How a difference stands against its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Better, and the 95 % confidence intervals do not overlap.
    Better,
    /// Worse, and the 95 % confidence intervals do not overlap.
    Worse,
    /// The confidence intervals overlap, or there are none.
    Undecided,
}

/// Evenkeel against one baseline by one measure.
#[derive(Clone, Copy)]
pub(crate) struct Comparison<'a> {
    /// Name of the trace.
    pub(crate) trace: &'a str,
    /// Offered load.
    pub(crate) load: f64,
    /// What is compared.
    pub(crate) measure: Measure,
    /// The baseline's name.
    pub(crate) baseline: &'a str,
    /// Evenkeel's estimate.
    pub(crate) ours: Estimate,
    /// The baseline's estimate.
    pub(crate) theirs: Estimate,
}

impl<'a> Comparison<'a> {
    fn new(group: &Group<'a>, measure: Measure, ours: &PolicyResult, baseline: &'a PolicyResult) -> Self {
        Self {
            trace: group.trace,
            load: group.load,
            measure,
            baseline: &baseline.policy,
            ours: (measure.of)(ours),
            theirs: (measure.of)(baseline),
        }
    }

    /// From the baseline to Evenkeel, as text.
    pub(crate) fn change(&self) -> String {
        self.measure.change(self.theirs.value, self.ours.value)
    }

    /// Whether the difference is larger than its uncertainty.
    pub(crate) fn verdict(&self) -> Verdict {
        let (a, b) = (self.ours.ci95, self.theirs.ci95);
        if !(a[1] < b[0] || b[1] < a[0]) {
            Verdict::Undecided
        } else if self.measure.better(self.ours.value, self.theirs.value) {
            Verdict::Better
        } else {
            Verdict::Worse
        }
    }
}

/// The comparison the headline speaks of: p99 latency against the best rule that NGINX and Envoy
/// have, on the first trace, at the load nearest 70 %. A fixed rule, so that the choice cannot
/// flatter.
pub(crate) fn headline<'a>(groups: &[Group<'a>]) -> Option<Comparison<'a>> {
    headline_group(groups)?.compare(P99)
}

/// The group the headline speaks of.
pub(crate) fn headline_group<'g, 'a>(groups: &'g [Group<'a>]) -> Option<&'g Group<'a>> {
    let first = groups.first()?.trace;
    groups
        .iter()
        .filter(|group| group.trace == first)
        .min_by(|a, b| (a.load - 0.7).abs().total_cmp(&(b.load - 0.7).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_headline_compares_with_the_best_rule_of_the_proxies_and_never_an_oracle() {
        let metrics = sample::metrics();
        let groups = groups(&metrics.policies);
        let headline = headline(&groups).unwrap();
        assert_eq!(headline.load, 0.7);
        assert_eq!(headline.baseline, LEAST_REQUEST);
        assert_eq!(headline.verdict(), Verdict::Better);
        let group = headline_group(&groups).unwrap();
        assert_eq!(group.compare_rules(P99).unwrap().baseline, "ext");
    }

    #[test]
    fn rules_that_no_proxy_has_are_compared_with_where_there_are_no_others() {
        let mut metrics = sample::metrics();
        metrics.policies.retain(|result| role(&result.policy) != Role::Proxy);
        let groups = groups(&metrics.policies);
        assert_eq!(headline(&groups).unwrap().baseline, "ext");
    }

    #[test]
    fn overlapping_or_unknown_intervals_decide_nothing() {
        let estimate = |value, low, high| Estimate { value, ci95: [low, high] };
        let verdict =
            |ours, theirs| Comparison { trace: "", load: 0.7, measure: P99, baseline: "p2c", ours, theirs }.verdict();
        let theirs = estimate(2.0, 1.9, 2.1);
        assert_eq!(verdict(estimate(1.0, 0.9, 1.1), theirs), Verdict::Better);
        assert_eq!(verdict(estimate(3.0, 2.9, 3.1), theirs), Verdict::Worse);
        assert_eq!(verdict(estimate(1.9, 1.8, 2.0), theirs), Verdict::Undecided);
        let unknown = estimate(1.0, f64::NAN, f64::NAN);
        assert_eq!(verdict(unknown, theirs), Verdict::Undecided);
    }

    #[test]
    fn losses_are_sorted_from_the_best() {
        let metrics = sample::metrics();
        let groups = groups(&metrics.policies);
        let losses = groups[0].losses(EFFICIENCY);
        assert!(!losses.is_empty());
        assert!(losses.is_sorted_by(|a, b| a.theirs.value >= b.theirs.value));
    }
}
