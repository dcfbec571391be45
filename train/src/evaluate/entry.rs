//! Results in the form of the JSON file: one entry for each setting and policy.

use std::collections::BTreeMap;

use evenkeel_env::metrics::{Estimate, estimate};
use serde::{Deserialize, Serialize};

use super::contender::{Contender, TRAINED};
use super::paired;
use super::replay::Run;
use super::setting::{Label, Setting};

/// The rule from which headroom is measured, where it was replayed.
const RULE: &str = "least_request";
/// The oracles towards which it is measured, with the endings of the figures' names.
const ORACLES: [(&str, &str); 3] =
    [("oracle_no_sizes", ""), ("oracle", "_oracle"), ("oracle_shortest_queue", "_shortest_queue")];
/// The figures of which the headroom is measured.
const HEADROOMS: [(&str, &str); 3] = [
    ("headroom_closed_mean", "latency_mean_s"),
    ("headroom_closed_p99", "latency_p99_s"),
    ("headroom_closed_ttft_mean", "ttft_mean_s"),
];

/// One policy in one setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The setting.
    pub scenario: Label,
    /// Name of the policy; `evenkeel` is the trained one.
    pub policy: String,
    /// False for published parameters that could be tuned; true where they were tuned, and
    /// where there is nothing to tune.
    pub tuned: bool,
    /// Whether it sees what no balancer can.
    pub oracle: bool,
    /// Parameters by name.
    pub parameters: BTreeMap<String, f64>,
    /// Number of replays.
    pub seeds: usize,
    /// Figures by name, means over seeds.
    pub metrics: BTreeMap<String, Figure>,
    /// The trained policy less this one, paired by seed: relative for times (names in `_s`)
    /// and goodput, absolute for shares and indices. Empty for the trained policy itself, and
    /// where it was not replayed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evenkeel_difference: BTreeMap<String, Figure>,
}

/// A mean with its 95 % confidence interval. Whatever is not a finite number is `null`: the
/// interval of a single seed, the headroom where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Mean.
    pub value: Option<f64>,
    /// 95 % confidence interval, lower end first.
    pub ci95: [Option<f64>; 2],
}

impl From<Estimate> for Figure {
    fn from(estimate: Estimate) -> Self {
        let finite = |value: f64| value.is_finite().then_some(value);
        Self { value: finite(estimate.value), ci95: [finite(estimate.low), finite(estimate.high)] }
    }
}

impl Figure {
    /// The mean, NaN where there is none.
    pub fn mean(&self) -> f64 {
        self.value.unwrap_or(f64::NAN)
    }

    /// Half the width of the interval, NaN where there is none.
    pub fn half_width(&self) -> f64 {
        match self.ci95 {
            [Some(low), Some(high)] => 0.5 * (high - low),
            _ => f64::NAN,
        }
    }

    /// Whether the whole interval lies above 0.
    pub fn is_above_zero(&self) -> bool {
        self.ci95[0].is_some_and(|low| low > 0.0)
    }

    /// Whether the whole interval lies under 0.
    pub fn is_below_zero(&self) -> bool {
        self.ci95[1].is_some_and(|high| high < 0.0)
    }
}

/// Whether a figure's difference is relative.
pub fn is_relative(name: &str) -> bool {
    name.ends_with("_s")
}

/// A figure of each seed.
type Samples = BTreeMap<&'static str, Vec<f64>>;

/// The entries of one setting, in the order of the contenders; `runs` are by contender and
/// seed.
pub fn entries(setting: &Setting, contenders: &[Contender], runs: &[Vec<Run>]) -> Vec<Entry> {
    let samples: Vec<Samples> = runs.iter().map(|runs| samples(runs)).collect();
    entries_of(&setting.label, contenders, &samples)
}

/// The same for the mean over several settings, taken seed by seed.
///
/// # Panics
/// Without settings.
pub fn mean_entries(label: &Label, contenders: &[Contender], runs: &[&Vec<Vec<Run>>]) -> Vec<Entry> {
    let mean_of = |contender: usize| {
        let each: Vec<Samples> = runs.iter().map(|runs| samples(&runs[contender])).collect();
        let mut mean = each[0].clone();
        for (name, values) in &mut mean {
            for (seed, value) in values.iter_mut().enumerate() {
                let sum: f64 = each.iter().map(|samples| samples.get(name).map_or(f64::NAN, |own| own[seed])).sum();
                *value = sum / each.len() as f64;
            }
        }
        mean
    };
    let samples: Vec<Samples> = (0..contenders.len()).map(mean_of).collect();
    entries_of(label, contenders, &samples)
}

fn samples(runs: &[Run]) -> Samples {
    let mut samples = Samples::new();
    for run in runs {
        for (name, value) in run.fields() {
            samples.entry(name).or_default().push(value);
        }
    }
    samples
}

fn entries_of(label: &Label, contenders: &[Contender], samples: &[Samples]) -> Vec<Entry> {
    let of = |name: &str| {
        let place = contenders.iter().rposition(|contender| contender.name() == name);
        place.map(|place| &samples[place])
    };
    let trained = of(TRAINED);
    let entry = |(contender, own): (&Contender, &Samples)| {
        let mut metrics: BTreeMap<String, Figure> =
            own.iter().map(|(name, values)| ((*name).to_owned(), estimate(values).into())).collect();
        for (headroom, metric) in HEADROOMS {
            for (oracle, ending) in ORACLES {
                let closed = match (of(RULE), of(oracle)) {
                    (Some(rule), Some(oracle)) => {
                        paired::headroom_closed(&own[metric], &rule[metric], &oracle[metric]).into()
                    }
                    _ => Figure::default(),
                };
                metrics.insert(format!("{headroom}{ending}"), closed);
            }
        }
        let is_trained = matches!(contender, Contender::Trained);
        Entry {
            scenario: label.clone(),
            policy: contender.name().to_owned(),
            tuned: contender.is_tuned(),
            oracle: contender.is_oracle(),
            parameters: contender.parameters(),
            seeds: own.values().next().map_or(0, Vec::len),
            metrics,
            evenkeel_difference: trained
                .filter(|_| !is_trained)
                .map_or_else(BTreeMap::new, |ours| differences(ours, own)),
        }
    };
    contenders.iter().zip(samples).map(entry).collect()
}

fn differences(ours: &Samples, theirs: &Samples) -> BTreeMap<String, Figure> {
    let difference = |(name, theirs): (&&'static str, &Vec<f64>)| {
        let compare = if is_relative(name) { paired::relative_difference } else { paired::difference };
        ((*name).to_owned(), compare(&ours[name], theirs).into())
    };
    theirs.iter().map(difference).collect()
}

#[cfg(test)]
pub(crate) mod sample {
    //! Made-up entries with plausible numbers, for the tests of the table and of the report.

    use super::*;
    use crate::evaluate::options::{Fault, TelemetryContents};

    /// One setting's entries: rules with published and tuned parameters, oracles, Evenkeel.
    pub(crate) fn entries() -> Vec<Entry> {
        let policies = [
            ("round_robin", true, 2.4),
            ("least_request", true, 1.3),
            ("prequal", false, 1.35),
            ("prequal", true, 1.2),
            ("a_rule_with_a_long_name", false, 0.97),
            ("ext", true, 1.04),
            (TRAINED, true, 1.0),
            ("oracle_no_sizes", true, 0.93),
        ];
        policies.into_iter().map(|(policy, tuned, factor)| entry(policy, tuned, factor)).collect()
    }

    fn entry(policy: &str, tuned: bool, factor: f64) -> Entry {
        let figure = |value: f64, share: f64| Figure {
            value: Some(value),
            ci95: [Some(value - share * value.abs()), Some(value + share * value.abs())],
        };
        let metrics = [
            ("latency_mean_s", 4.4 * factor),
            ("latency_p50_s", 3.1 * factor),
            ("latency_p90_s", 8.2 * factor),
            ("latency_p99_s", 14.7 * factor * factor),
            ("latency_p999_s", 22.0 * factor * factor),
            ("ttft_mean_s", 0.111 * factor),
            ("ttft_p99_s", 0.7 * factor),
            ("timeout_share", 0.0),
            ("failed_share", 0.0),
            ("goodput_per_s", 12.0 / factor),
            ("balance_efficiency", 0.9),
            ("jain_index", 0.97),
            ("headroom_closed_mean", 1.3 - factor),
            ("headroom_closed_p99", 1.3 - factor),
        ];
        let differences = ["latency_mean_s", "latency_p50_s", "latency_p99_s", "ttft_mean_s", "ttft_p99_s"];
        Entry {
            scenario: Label {
                trace: "conversation".to_owned(),
                service: "llm".to_owned(),
                fleet: "het".to_owned(),
                hosts: 16,
                balancers: 4,
                telemetry_ms: Some(250.0),
                telemetry_kind: TelemetryContents::Full,
                load: 0.7,
                polled_only: false,
                antagonists: true,
                fault: Fault::None,
            },
            policy: policy.to_owned(),
            tuned,
            oracle: policy.starts_with("oracle"),
            parameters: if ["prequal", "ext"].contains(&policy) {
                BTreeMap::from([("weight".to_owned(), 0.25)])
            } else {
                BTreeMap::new()
            },
            seeds: 6,
            metrics: metrics.map(|(name, value)| (name.to_owned(), figure(value, 0.04))).into(),
            evenkeel_difference: if policy == TRAINED {
                BTreeMap::new()
            } else {
                differences.map(|name| (name.to_owned(), figure(1.0 / factor - 1.0, 0.15))).into()
            },
        }
    }

    #[test]
    fn entries_read_back_as_they_were_written() {
        let mut entries = entries();
        entries[0].metrics.insert("headroom_closed_mean".to_owned(), Figure::default());
        let text = serde_json::to_string(&entries).expect("entries are JSON");
        assert!(text.contains(r#""headroom_closed_mean":{"value":null,"ci95":[null,null]}"#));
        let again: Vec<Entry> = serde_json::from_str(&text).expect("the same form");
        assert_eq!(again.len(), entries.len());
        assert_eq!((&again[0].scenario, &again[0].parameters), (&entries[0].scenario, &entries[0].parameters));
        assert_eq!(again[0].metrics["headroom_closed_mean"], Figure::default());
    }
}
