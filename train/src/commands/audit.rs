//! `evenkeel audit`: decisions that a balancer recorded, made again.
//!
//! What is checked and what is said, from one ring of records:
//!
//! - *Agreement*: the policy, run on the recorded features, gives the recorded scores, and
//!   the decided host has the lowest.
//! - *Shadow*: how often the decided host is not the one that the request went to.
//! - *Cost*: what the analytic estimate (`ServiceModel::estimate_s`) says that the difference
//!   is worth. It is a prediction by the model that the policy starts from, not a measured
//!   one, and knows nothing of what the other choice would have changed for later requests.
//! - *Outcomes*, where they were recorded: how long requests really took. Requests whose
//!   host was decided and those whose host was not are different requests: the figures stand
//!   side by side and are no experiment.

mod text;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use evenkeel_runtime::record::{Host, Record, Records, RingCounts};
use evenkeel_runtime::{Model, Policy, Reason, Status, stride};
use serde::Serialize;

use crate::output::write_whole;

/// Scores may differ by this share (of 1 or of the score, whichever is larger): vectors of
/// other widths add up in another order.
const SCORE_TOLERANCE: f32 = 1e-4;

/// Records named one by one.
const NAMED_MAX: usize = 10;

/// Arguments of `evenkeel audit`.
#[derive(Clone, Debug, Args)]
pub struct AuditArgs {
    /// The artifact that decided.
    #[arg(long, value_name = "FILE.ekm")]
    pub model: PathBuf,
    /// The recorded decisions: the memory of `ek_record_init`, written to a file as it is.
    #[arg(long, value_name = "RING")]
    pub record: PathBuf,
    /// Write every figure to this file, as JSON.
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
}

/// Makes the recorded decisions again and prints what came of it.
///
/// # Errors
/// A file that cannot be read or is not what it should be; and recorded decisions that the
/// model does not make again, so that a script notices.
pub fn run(arguments: &AuditArgs) -> Result<()> {
    let artifact = fs::read(&arguments.model).with_context(|| format!("cannot read {}", arguments.model.display()))?;
    let model = Model::parse(&artifact).with_context(|| arguments.model.display().to_string())?;
    let ring = fs::read(&arguments.record).with_context(|| format!("cannot read {}", arguments.record.display()))?;
    let records = Records::parse(&ring).with_context(|| arguments.record.display().to_string())?;
    let audit = audit(&model, &records);
    print!("{}", audit.text());
    if let Some(path) = &arguments.json {
        write_whole(path, &serde_json::to_vec_pretty(&audit)?)?;
    }
    ensure!(
        audit.agreement.disagree == 0,
        "{} of {} decisions are not what the model decides on the recorded features: records {:?}",
        audit.agreement.disagree,
        audit.agreement.checked,
        audit.agreement.disagreeing_records
    );
    Ok(())
}

/// What an audit found.
#[derive(Debug, Serialize)]
pub struct Audit {
    /// Records that could be read.
    pub records: u64,
    /// Places whose record was being written or is damaged.
    pub torn: u64,
    /// Decisions that the ring has seen; all but the last are written over.
    pub begun: u64,
    /// Decisions that were left out: more hosts than a record holds.
    pub left_out_hosts: u64,
    /// Decisions that were left out: another writer at the same place.
    pub left_out_place: u64,
    /// Whether the model decides as was recorded.
    pub agreement: Agreement,
    /// Decisions and choices, by the reason of the decision.
    pub reasons: Vec<ByReason>,
    /// Where the request went to another host than decided; `None` if it never did.
    pub difference: Option<Difference>,
    /// Requests that went to the decided host and whose end was recorded.
    pub outcomes_as_decided: Option<Outcomes>,
    /// Requests that went to another host and whose end was recorded.
    pub outcomes_otherwise: Option<Outcomes>,
}

/// Decisions made again.
#[derive(Debug, Default, Serialize)]
pub struct Agreement {
    /// Decisions by the policy that were made again.
    pub checked: u64,
    /// Of these: same scores, and the decided host's is the lowest.
    pub agree: u64,
    /// Of these: not so, with nothing to explain it.
    pub disagree: u64,
    /// The first of those, by number.
    pub disagreeing_records: Vec<u64>,
    /// Not checked: the state changed between decision and record.
    pub moved: u64,
    /// Not checked: made with another model.
    pub other_model: u64,
    /// Not checked: by no policy, or recorded without features.
    pub without_policy: u64,
    /// Largest difference of a score.
    pub score_difference_max: f32,
}

/// Decisions for one reason.
#[derive(Debug, Serialize)]
pub struct ByReason {
    /// The reason, as the C interface calls it.
    pub reason: &'static str,
    /// Decisions.
    pub decisions: u64,
    /// Of these: recorded in shadow mode.
    pub shadow: u64,
    /// Of these: the request went to another host.
    pub differ: u64,
}

/// What other choices than the decided ones are expected to cost.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// Requests that went to another host than decided.
    pub requests: u64,
    /// Of these, those with an estimate for both hosts.
    pub estimated: u64,
    /// Mean analytic estimate of the cost at the decided host, in seconds.
    pub decided_estimate_s: f64,
    /// Mean analytic estimate of the cost at the actual host, in seconds.
    pub actual_estimate_s: f64,
    /// Mean of actual minus decided, in seconds: positive where the decided host was
    /// expected to be better.
    pub mean_difference_s: f64,
    /// Half-width of its 95 % confidence interval, in seconds, were the decisions
    /// independent.
    pub half_width_s: f64,
    /// Share of these requests for which the decided host was expected to be better.
    pub decided_better_share: f64,
    /// Share for which the actual host was; for the rest the two were expected to be equal.
    pub actual_better_share: f64,
}

/// How requests ended.
#[derive(Debug, Serialize)]
pub struct Outcomes {
    /// Requests.
    pub requests: u64,
    /// Of these: failed or timed out.
    pub failed: u64,
    /// Mean latency of the successful ones, in seconds; `None` without any.
    pub latency_mean_s: Option<f64>,
    /// Their median latency, in seconds.
    pub latency_p50_s: Option<f64>,
    /// Their 99th percentile, in seconds.
    pub latency_p99_s: Option<f64>,
}

/// Makes the decisions of a ring again.
pub fn audit(model: &Model<'_>, records: &Records<'_>) -> Audit {
    let RingCounts { begun, too_many_hosts, place_taken } = records.counts();
    let torn = records.iter().filter(Option::is_none).count() as u64;
    let mut readable: Vec<Record<'_>> = records.iter().flatten().collect();
    readable.sort_by_key(|record| record.sequence);
    let differs = |record: &Record<'_>| record.actual != record.decided;
    Audit {
        records: readable.len() as u64,
        torn,
        begun,
        left_out_hosts: too_many_hosts,
        left_out_place: place_taken,
        agreement: agreement(model, &readable),
        reasons: Reason::ALL.into_iter().filter_map(|reason| by_reason(reason, &readable)).collect(),
        difference: difference(readable.iter().filter(|record| differs(record))),
        outcomes_as_decided: outcomes(readable.iter().filter(|record| !differs(record))),
        outcomes_otherwise: outcomes(readable.iter().filter(|record| differs(record))),
    }
}

fn agreement(model: &Model<'_>, records: &[Record<'_>]) -> Agreement {
    let mut found = Agreement::default();
    for record in records {
        let policy = model.policy().filter(|_| record.reason == Reason::Policy && record.has_scores());
        let Some(policy) = policy else {
            found.without_policy += 1;
            continue;
        };
        if record.model != Some(model.checksum()) {
            found.other_model += 1;
            continue;
        }
        let again = decide_again(policy, record);
        found.score_difference_max = found.score_difference_max.max(again.score_difference);
        if again.has_same_scores && record.has_moved() {
            found.moved += 1;
            continue;
        }
        found.checked += 1;
        if again.has_same_scores && again.is_lowest {
            found.agree += 1;
        } else {
            found.disagree += 1;
            if found.disagreeing_records.len() < NAMED_MAX {
                found.disagreeing_records.push(record.sequence);
            }
        }
    }
    found
}

struct Again {
    has_same_scores: bool,
    is_lowest: bool,
    score_difference: f32,
}

/// Runs the policy on the features of a record.
fn decide_again(policy: &Policy<'_>, record: &Record<'_>) -> Again {
    let hosts: Vec<Host> = record.hosts().collect();
    let rows = hosts.len();
    let mut scratch = vec![0.0; policy.scratch_len(rows)];
    for (row, host) in hosts.iter().enumerate() {
        for (column, feature) in host.features.into_iter().enumerate() {
            scratch[column * stride(rows) + row] = feature;
        }
    }
    let scores = policy.run(rows, &mut scratch).unwrap_or(&[]);
    let tolerance = |score: f32| SCORE_TOLERANCE * score.abs().max(1.0);
    let differences = hosts.iter().zip(scores).map(|(host, score)| (host.score - score).abs());
    let has_same_scores =
        rows > 0 && hosts.iter().zip(scores).all(|(host, score)| (host.score - score).abs() <= tolerance(*score));
    let lowest = scores.iter().take(rows).copied().fold(f32::INFINITY, f32::min);
    let decided = hosts.iter().zip(scores).find(|(host, _)| Some(host.host) == record.decided);
    Again {
        has_same_scores,
        is_lowest: decided.is_some_and(|(_, score)| *score <= lowest + policy.tie_width() + tolerance(lowest)),
        score_difference: differences.fold(0.0, f32::max),
    }
}

#[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general over the lifetime")]
fn by_reason(reason: Reason, records: &[Record<'_>]) -> Option<ByReason> {
    let own = || records.iter().filter(|record| record.reason == reason);
    let count = |of: fn(&Record<'_>) -> bool| own().filter(|record| of(record)).count() as u64;
    let decisions = count(|_| true);
    (decisions > 0).then(|| ByReason {
        reason: reason.name(),
        decisions,
        shadow: count(|record| record.is_shadow()),
        differ: count(|record| record.actual != record.decided),
    })
}

fn difference<'r, 'a: 'r>(differing: impl Iterator<Item = &'r Record<'a>>) -> Option<Difference> {
    let mut requests = 0;
    let mut pairs: Vec<(f64, f64)> = Vec::new();
    for record in differing {
        requests += 1;
        let estimate_s = |host: Option<u32>| {
            let found = record.hosts().find(|found| Some(found.host) == host)?;
            Some(f64::from(found.estimate_s)).filter(|estimate_s| estimate_s.is_finite())
        };
        pairs.extend(estimate_s(record.decided).zip(estimate_s(record.actual)));
    }
    let count = pairs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / count.max(1.0);
    let mean_difference_s = mean(|(decided, actual)| actual - decided);
    let squares = pairs.iter().map(|(decided, actual)| (actual - decided - mean_difference_s).powi(2)).sum::<f64>();
    (requests > 0).then(|| Difference {
        requests,
        estimated: pairs.len() as u64,
        decided_estimate_s: mean(|(decided, _)| *decided),
        actual_estimate_s: mean(|(_, actual)| *actual),
        mean_difference_s,
        half_width_s: 1.96 * (squares / (count - 1.0).max(1.0) / count.max(1.0)).sqrt(),
        decided_better_share: mean(|(decided, actual)| f64::from(u8::from(decided < actual))),
        actual_better_share: mean(|(decided, actual)| f64::from(u8::from(actual < decided))),
    })
}

fn outcomes<'r, 'a: 'r>(records: impl Iterator<Item = &'r Record<'a>>) -> Option<Outcomes> {
    let ended: Vec<_> = records.filter_map(|record| record.outcome).collect();
    let failed = ended.iter().filter(|end| matches!(end.status, Status::Failure | Status::Timeout)).count() as u64;
    let mut latencies_s: Vec<f64> =
        ended.iter().filter(|end| end.status == Status::Success).map(|end| end.latency_us as f64 * 1e-6).collect();
    latencies_s.sort_by(f64::total_cmp);
    // The nearest rank: no latency that did not happen.
    let quantile = |share: f64| {
        let rank = (share * latencies_s.len() as f64).ceil().max(1.0) as usize;
        latencies_s.get(rank - 1).copied()
    };
    (!ended.is_empty()).then(|| Outcomes {
        requests: ended.len() as u64,
        failed,
        latency_mean_s: (!latencies_s.is_empty()).then(|| latencies_s.iter().sum::<f64>() / latencies_s.len() as f64),
        latency_p50_s: quantile(0.5),
        latency_p99_s: quantile(0.99),
    })
}
