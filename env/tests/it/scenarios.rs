//! The settings that evaluations are made of: many balancers, large fleets, every age of
//! telemetry, a crash.

use evenkeel_env::fleet::{Antagonists, Fleet};
use evenkeel_env::telemetry::TelemetryOptions;
use evenkeel_env::{Scenario, Status};

use crate::common::{run, scenarios, workload};

#[test]
fn every_size_and_age_runs() {
    let workload = workload(1_500);
    let periods = [0.0, 0.05, 0.2, 2.0, 10.0, f64::INFINITY].map(TelemetryOptions::polled);
    for scenario in scenarios(8) {
        for telemetry in periods.into_iter().chain([TelemetryOptions::instant(), TelemetryOptions::none()]) {
            let outcome = run(&Scenario { telemetry, ..scenario.clone() }, &workload, "ext", 1);
            assert!(outcome.records.iter().all(|record| record.status == Status::Answered), "{telemetry:?}");
        }
        for (hosts, balancers) in [(8, 16), (32, 1), (128, 100)] {
            let scenario = Scenario { fleet: Fleet::het(hosts), balancers, ..scenario.clone() };
            let outcome = run(&scenario, &workload, "prequal", 1);
            assert_eq!(outcome.records.len(), 1_500);
            let last = outcome.records.iter().map(|record| record.balancer).max();
            assert_eq!(last, Some(balancers as u16 - 1), "every balancer has requests");
        }
    }
}

#[test]
fn lost_telemetry_is_as_none() {
    let scenario = Scenario::llm(Fleet::het(6));
    let all_lost = TelemetryOptions { loss: 1.0, ..TelemetryOptions::polled(0.25) };
    let of = |telemetry| run(&Scenario { telemetry, ..scenario.clone() }, &workload(1_000), "ext", 1).records;
    assert_eq!(of(all_lost), of(TelemetryOptions::none()));
}

#[test]
fn a_crash_takes_the_fastest_host_away_for_a_while() {
    let workload = workload(3_000);
    let base = Scenario { antagonists: Antagonists::NONE, ..Scenario::llm(Fleet::het(6)) };
    let without = run(&base, &workload, "least_request", 1);
    let last_arrival_s = without.records.last().map_or(0.0, |record| record.arrival_s);
    assert!((base.span_s(&workload) / last_arrival_s - 1.0).abs() < 0.01, "the span is foreseen");
    let scenario = base.with_crash(&workload);
    let crash = scenario.crashes.scheduled[0];
    assert_eq!(scenario.fleet.speeds[crash.host], 2.5);
    let with = run(&scenario, &workload, "least_request", 1);
    assert!(with.records.iter().any(|record| record.attempts > 1), "requests are tried again");
    assert!(with.hosts[crash.host].answered < without.hosts[crash.host].answered);
    let down = crash.at_s..crash.at_s + scenario.crashes.down_s;
    let answered_there = |record: &&evenkeel_env::Record| {
        usize::from(record.host) == crash.host && down.contains(&(record.arrival_s + record.latency_s))
    };
    let there = with.records.iter().filter(answered_there);
    assert!(there.into_iter().all(|record| record.status == Status::Failed));
}
