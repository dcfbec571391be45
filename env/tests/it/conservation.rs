//! Every request ends exactly once, whatever happens.

use evenkeel_env::fleet::{Crash, Crashes};
use evenkeel_env::{Outcome, Scenario, Status};

use crate::common::{run, scenarios, workload};

fn check(outcome: &Outcome, requests: usize, case: &str) {
    assert_eq!(outcome.records.len(), requests, "{case}");
    for record in &outcome.records {
        assert!(record.latency_s >= 0.0 && record.latency_s.is_finite(), "{case}: {record:?}");
        assert!(record.attempts >= 1, "{case}: {record:?}");
        if record.status == Status::Answered {
            assert!(record.ttft_s > 0.0 && record.ttft_s <= record.latency_s, "{case}: {record:?}");
        }
    }
    let answered = outcome.records.iter().filter(|record| record.status == Status::Answered).count() as u64;
    assert_eq!(outcome.hosts.iter().map(|host| host.answered).sum::<u64>(), answered, "{case}");
}

fn count(outcome: &Outcome, status: Status) -> usize {
    outcome.records.iter().filter(|record| record.status == status).count()
}

#[test]
fn every_request_is_answered_where_nothing_fails() {
    let workload = workload(2_000);
    for scenario in scenarios(6) {
        for policy in ["random", "p2c", "least_request", "peak_ewma", "prequal", "ext", "oracle_shortest_queue"] {
            let outcome = run(&scenario, &workload, policy, 3);
            check(&outcome, 2_000, policy);
            assert_eq!(count(&outcome, Status::Answered), 2_000, "{policy}");
            assert!(outcome.records.iter().all(|record| record.attempts == 1), "{policy}");
        }
    }
}

#[test]
fn a_crash_loses_no_request_silently() {
    let workload = workload(2_000);
    for scenario in scenarios(3) {
        let span_s = run(&scenario, &workload, "p2c", 3).span_s;
        let crashes = Crashes {
            scheduled: (0..3).map(|host| Crash { host, at_s: span_s * 0.2 * (host + 1) as f64 }).collect(),
            down_s: 0.05 * span_s,
            warm_up_s: 0.05 * span_s,
            ..Crashes::NONE
        };
        let crashing = Scenario { crashes, ejection_s: 0.02 * span_s, ..scenario };
        let outcome = run(&crashing, &workload, "least_request", 3);
        check(&outcome, 2_000, "crash");
        assert!(outcome.records.iter().any(|record| record.attempts == 2), "lost requests are sent again");
        let without_retries = Scenario { retries_max: 0, ..crashing };
        let outcome = run(&without_retries, &workload, "least_request", 3);
        check(&outcome, 2_000, "crash without retries");
        assert!(count(&outcome, Status::Failed) > 0, "without retries they fail, and are counted");
    }
}

#[test]
fn a_dead_fleet_fails_every_request() {
    let workload = workload(200);
    for scenario in scenarios(2) {
        let scheduled = (0..2).map(|host| Crash { host, at_s: 0.0 }).collect();
        let crashes = Crashes { scheduled, down_s: 1e9, ..Crashes::NONE };
        let outcome = run(&Scenario { crashes, ..scenario }, &workload, "p2c", 3);
        check(&outcome, 200, "dead fleet");
        // The first arrival may be placed in the instant before the crash.
        assert_eq!(count(&outcome, Status::Failed), 200);
    }
}

#[test]
fn random_crashes_and_timeouts_are_all_accounted_for() {
    let workload = workload(3_000);
    for scenario in scenarios(4) {
        let span_s = run(&scenario, &workload, "p2c", 3).span_s;
        let crashes =
            Crashes { up_mean_s: 0.2 * span_s, down_s: 0.02 * span_s, warm_up_s: 0.05 * span_s, ..Crashes::NONE };
        let timeout_s = if crate::common::is_llm(&scenario) { 8.0 } else { 0.05 };
        let scenario = Scenario { crashes, timeout_s, load: 0.9, ..scenario };
        let outcome = run(&scenario, &workload, "p2c", 3);
        check(&outcome, 3_000, "crashes and timeouts");
        assert!(count(&outcome, Status::TimedOut) > 0);
        let slowest_s = outcome.records.iter().map(|record| record.latency_s).fold(0.0, f64::max);
        assert!(slowest_s <= timeout_s + 1e-9, "nobody waits longer than the timeout: {slowest_s}");
    }
}
