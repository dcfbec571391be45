//! Every rule is better than chance where it should be.

use evenkeel_env::fleet::{Antagonists, Fleet};
use evenkeel_env::metrics::{Metrics, MetricsOptions};
use evenkeel_env::policies::REGISTRY;
use evenkeel_env::telemetry::TelemetryOptions;
use evenkeel_env::{Outcome, Scenario, Workload};

use crate::common::{conversations, run, workload};

fn metrics(outcome: &Outcome) -> Metrics {
    Metrics::of(outcome, &MetricsOptions::default())
}

/// Mean latency of every rule over a few seeds, by name.
fn latencies_s(scenario: &Scenario, workload: &Workload) -> Vec<(&'static str, f64)> {
    let rules = REGISTRY.iter().filter(|entry| !entry.is_oracle);
    let latency_s = |name| (0..2).map(|seed| metrics(&run(scenario, workload, name, seed)).latency_mean_s).sum::<f64>();
    rules.map(|entry| (entry.name, 0.5 * latency_s(entry.name))).collect()
}

fn assert_better_than_random(latencies_s: &[(&str, f64)], except: &[&str]) {
    let random_s = latencies_s.iter().find(|(name, _)| *name == "random").expect("random is a rule").1;
    for (name, latency_s) in latencies_s.iter().filter(|(name, _)| *name != "random") {
        println!("{name:22} {latency_s:8.4} s, {:.2} of random", latency_s / random_s);
        assert!(except.contains(name) || *latency_s < 0.9 * random_s, "{name}: {latency_s} s, random: {random_s} s");
    }
}

#[test]
fn rules_beat_chance_at_a_language_model() {
    let scenario = Scenario { load: 0.7, ..Scenario::llm(Fleet::het(9)) };
    // Hosts that run a batch are never idle, so that join-idle-queue is random.
    assert_better_than_random(&latencies_s(&scenario, &workload(6_000)), &["round_robin", "join_idle_queue"]);
}

#[test]
fn rules_beat_chance_at_a_queue() {
    let scenario = Scenario { load: 0.7, ..Scenario::fifo(Fleet::het(9)) };
    // Nothing waits at a picker's scorer while servers are merely busy.
    assert_better_than_random(&latencies_s(&scenario, &workload(10_000)), &["round_robin"]);
}

#[test]
fn polls_stand_in_for_prequals_probes() {
    let telemetry = TelemetryOptions::polled(0.1);
    let scenario = Scenario { telemetry, load: 0.7, ..Scenario::llm(Fleet::het(9)) };
    let workload = workload(4_000);
    let latency_s = |name| metrics(&run(&scenario, &workload, name, 1)).latency_mean_s;
    assert!(latency_s("prequal") < 0.8 * latency_s("random"));
}

#[test]
fn rules_that_know_prefixes_answer_sooner() {
    let workload = conversations(4_000);
    let base = Scenario::llm(Fleet::hom(6));
    let scenario = Scenario { antagonists: Antagonists::NONE, balancers: 2, load: 1.0, ..base };
    let ttft_s = |name| metrics(&run(&scenario, &workload, name, 1)).ttft_mean_s;
    let blind_s = ttft_s("least_request");
    for name in ["cache_aware", "token_aware", "queue_kv", "ext"] {
        println!("{name:22} TTFT {:.3} s, least_request {blind_s:.3} s", ttft_s(name));
        assert!(ttft_s(name) < 0.8 * blind_s, "{name}: {} s, least_request {blind_s} s", ttft_s(name));
    }
}
