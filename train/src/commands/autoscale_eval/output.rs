//! What `autoscale-eval` prints and writes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use evenkeel_env::metrics;
use evenkeel_env::scale::{Bill, scalers};
use serde_json::{Map, Value, json};

use super::{NeededOn, Outcome};
use crate::scale::duel::{Point, duel};

/// A figure of a bill.
type Figure = (&'static str, fn(&Bill) -> f64);

/// Figures of a run, by their names in the JSON.
const FIGURES: [Figure; 10] = [
    ("replica_hours", Bill::replica_hours),
    ("replica_hours_over_needed", Bill::replica_hours_over_needed),
    ("capacity_over_demand", Bill::capacity_over_demand),
    ("missed_share", Bill::missed_share),
    ("under_time_share", Bill::under_time_share),
    ("over_time_share", Bill::over_time_share),
    ("under_accuracy", Bill::under_accuracy),
    ("over_accuracy", Bill::over_accuracy),
    ("changes_per_hour", Bill::changes_per_hour),
    ("reversals_per_hour", Bill::reversals_per_hour),
];

/// Capacity that predictions need, one line for each series and kind.
pub(super) fn needed_table(all: &[NeededOn]) -> String {
    let mut text = format!(
        "capacity over demand, under-provisioned in at most 1 % of the steps\n{:<28}{:>6}{:>12}{:>24}{:>24}  {}\n",
        "series", "lead", "policy", "needed [95 %]", "/ reactive [95 %]", "prediction"
    );
    let interval = |estimate: &crate::metrics::Estimate| {
        format!("{:.3} [{:.2} {:.2}]", estimate.value, estimate.ci95[0], estimate.ci95[1])
    };
    for on in all {
        for needed in &on.needed {
            let _ = writeln!(
                text,
                "{:<28}{:>6}{:>12}{:>24}{:>24}  {}",
                on.series,
                on.lead_steps,
                needed.policy,
                interval(&needed.capacity),
                interval(&needed.over_reactive),
                needed.variant
            );
        }
    }
    text.push('\n');
    text
}

/// A block of the table: one series, one cold start; then Evenkeel beside the others at
/// equal terms.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    let Some(first) = outcomes.first() else { return text };
    let _ = writeln!(
        text,
        "{}, cold start {} s\n{:<12}{:>9}{:>12}{:>9}{:>10}{:>9}{:>9}{:>10}{:>10}{:>11}{:>12}",
        first.series,
        first.cold_start_s,
        "policy",
        "tuned %",
        "replica-h",
        "/ needed",
        "missed %",
        "under %",
        "over %",
        "under acc",
        "over acc",
        "changes/h",
        "reversals/h"
    );
    for outcome in outcomes {
        let _ = writeln!(
            text,
            "{:<12}{:>9}{:>12.1}{:>9.3}{:>10.3}{:>9.2}{:>9.2}{:>10.4}{:>10.3}{:>11.2}{:>12.2}",
            outcome.policy,
            tuned_for(outcome),
            outcome.mean(Bill::replica_hours),
            outcome.mean(Bill::replica_hours_over_needed),
            100.0 * outcome.mean(Bill::missed_share),
            100.0 * outcome.mean(Bill::under_time_share),
            100.0 * outcome.mean(Bill::over_time_share),
            outcome.mean(Bill::under_accuracy),
            outcome.mean(Bill::over_accuracy),
            outcome.mean(Bill::changes_per_hour),
            outcome.mean(Bill::reversals_per_hour),
        );
    }
    text.push_str(&duels(outcomes));
    text.push('\n');
    text
}

fn tuned_for(outcome: &Outcome) -> String {
    if outcome.parameters.is_empty() { "-".to_owned() } else { format!("{}", 100.0 * outcome.missed_share_max) }
}

/// Evenkeel beside the best reactive rule, the best rule and the one that knows the future.
fn duels(outcomes: &[Outcome]) -> String {
    let points = |is_in: &dyn Fn(&str) -> bool| -> Vec<Point> {
        let of = outcomes.iter().filter(|outcome| is_in(outcome.policy));
        of.map(|outcome| [outcome.mean(Bill::replica_hours_over_needed), outcome.mean(Bill::missed_share)]).collect()
    };
    let ours = points(&|name| name == "evenkeel");
    let is_reactive = |name: &str| scalers::find(name).is_some_and(scalers::Entry::is_reactive);
    let rivals = [
        ("best reactive rule", points(&is_reactive)),
        ("best rule", points(&|name| name != "evenkeel" && name != "clairvoyant")),
    ];
    let mut shares: Vec<f64> = outcomes.iter().map(|outcome| outcome.missed_share_max).collect();
    shares.sort_by(f64::total_cmp);
    shares.dedup();
    let mut text = String::new();
    for (name, theirs) in &rivals {
        for share in &shares {
            let found = duel(&ours, theirs, *share);
            let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
            let _ = writeln!(
                text,
                "against the {name} that misses at most {} %: {} × its replica-hours at no more misses; its misses \
                 are {} × ours at no more replica-hours",
                100.0 * share,
                ratio(found.hours_ratio),
                ratio(found.misses_ratio)
            );
        }
    }
    text
}

/// The JSON: an entry for each outcome, and for each prediction whose needed capacity was
/// measured.
pub(super) fn entries(outcomes: &[Outcome], needed: &[NeededOn]) -> Vec<Value> {
    let mut entries: Vec<Value> = outcomes.iter().map(entry).collect();
    for on in needed {
        for needed in &on.needed {
            entries.push(json!({
                "series": on.series,
                "policy": needed.policy,
                "cold_start_s": null,
                "lead_steps": on.lead_steps,
                "prediction": needed.variant,
                "metrics": {
                    "capacity_needed": needed.capacity,
                    "capacity_needed_over_reactive": needed.over_reactive,
                },
            }));
        }
    }
    entries
}

fn entry(outcome: &Outcome) -> Value {
    let metrics: Map<String, Value> = FIGURES
        .iter()
        .map(|(name, figure)| {
            let values: Vec<f64> = outcome.bills.iter().map(figure).collect();
            let estimate = metrics::estimate(&values);
            ((*name).to_owned(), json!({"value": estimate.value, "ci95": [estimate.low, estimate.high]}))
        })
        .collect();
    json!({
        "series": outcome.series,
        "policy": outcome.policy,
        "cold_start_s": outcome.cold_start_s,
        "missed_share_max": outcome.missed_share_max,
        "parameters": outcome.parameters.iter().copied().collect::<BTreeMap<_, _>>(),
        "seeds": outcome.bills.len(),
        "metrics": metrics,
    })
}
