//! Who knows more does better.

use evenkeel_env::fleet::Fleet;
use evenkeel_env::metrics::{Metrics, MetricsOptions};
use evenkeel_env::{Scenario, policies};

use crate::common::{run, workload};

/// Mean over seeds of mean latency plus the oracles' weight times mean time to first token.
fn cost_s(scenario: &Scenario, policy: &str) -> f64 {
    let workload = workload(8_000);
    let costs = (0..3).map(|seed| {
        let metrics = Metrics::of(&run(scenario, &workload, policy, seed), &MetricsOptions::default());
        metrics.latency_mean_s + policies::TTFT_WEIGHT * metrics.ttft_mean_s
    });
    costs.sum::<f64>() / 3.0
}

#[test]
fn oracles_beat_rules_and_rules_beat_round_robin() {
    for load in [0.6, 0.8] {
        let scenario = Scenario { load, ..Scenario::llm(Fleet::het(8)) };
        let [all, no_sizes, ext, least_request, round_robin] =
            ["oracle", "oracle_no_sizes", "ext", "least_request", "round_robin"]
                .map(|policy| cost_s(&scenario, policy));
        println!("load {load}: {all:.3} {no_sizes:.3} {ext:.3} {least_request:.3} {round_robin:.3}");
        assert!(all < no_sizes && no_sizes < ext && ext < least_request && least_request < round_robin);
    }
}

#[test]
fn the_order_holds_for_queues() {
    let scenario = Scenario::fifo(Fleet::het(8));
    let [no_sizes, shortest, least_request, round_robin] =
        ["oracle_no_sizes", "oracle_shortest_queue", "least_request", "round_robin"]
            .map(|policy| cost_s(&scenario, policy));
    println!("{no_sizes:.4} {shortest:.4} {least_request:.4} {round_robin:.4}");
    assert!(no_sizes < shortest && shortest < least_request && least_request < round_robin);
}

#[test]
fn a_quiet_homogeneous_fleet_leaves_little_to_win() {
    let base = Scenario::llm(Fleet::hom(8));
    let scenario = Scenario { antagonists: evenkeel_env::fleet::Antagonists::NONE, load: 0.5, ..base };
    let (oracle, least_request) = (cost_s(&scenario, "oracle_no_sizes"), cost_s(&scenario, "least_request"));
    assert!(oracle <= least_request && least_request < 1.15 * oracle, "{oracle} and {least_request}");
}
