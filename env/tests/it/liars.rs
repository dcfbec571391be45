//! Hosts that lie.

use evenkeel_env::fleet::{Antagonists, Fleet};
use evenkeel_env::liar::{Liar, Lie};
use evenkeel_env::metrics::fair_share;
use evenkeel_env::{Decision, Outcome, Policy, Scenario, Status, simulate};

use crate::common::{run, workload};

/// Believes what hosts report.
struct Believer;

impl Policy for Believer {
    fn name(&self) -> &'static str {
        "believer"
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let state = decision.state;
        decision.choose_lowest(|host| {
            let telemetry = state.host(host).expect("every host is registered").telemetry();
            f64::from(telemetry.running + telemetry.waiting)
        })
    }
}

/// Eight equal hosts, the third of which lies.
fn scenario(lie: Option<Lie>) -> Scenario {
    let liars = lie.map(|lie| Liar { host: 2, lie }).into_iter().collect();
    Scenario { liars, antagonists: Antagonists::NONE, load: 0.7, ..Scenario::llm(Fleet::hom(8)) }
}

fn outcome(lie: Option<Lie>, policy: &str) -> Outcome {
    run(&scenario(lie), &workload(4_000), policy, 1)
}

#[test]
fn a_host_that_reports_itself_idle_draws_those_who_believe_it() {
    let lie = Some(Lie::ReportsIdle);
    let believed = simulate(&scenario(lie), &workload(4_000), &mut Believer, 1);
    assert!(fair_share(&believed, 2) > 4.0, "{}", fair_share(&believed, 2));
    assert!((0.85..1.15).contains(&fair_share(&outcome(lie, "least_request"), 2)), "own requests cannot be lied about");
    assert_eq!(outcome(None, "least_request").hosts, outcome(lie, "least_request").hosts, "the work is the same");
}

#[test]
fn a_host_that_fails_fast_draws_those_who_count_requests() {
    let failing = outcome(Some(Lie::FAILS_FAST), "least_request");
    assert!(fair_share(&failing, 2) > 2.0);
    let failed = failing.records.iter().filter(|record| record.status == Status::Failed);
    assert!(failed.clone().count() as u64 == failing.hosts[2].sent, "every request sent there fails");
    assert!(failed.clone().all(|record| record.host == 2 && (record.latency_s - 0.005).abs() < 1e-9));
    assert_eq!(failing.hosts[2].answered, 0);
}

#[test]
fn part_of_the_requests_may_fail() {
    let failing = outcome(Some(Lie::FailsFast { share: 0.5, after_s: 0.01 }), "round_robin");
    let share = failing.hosts[2].answered as f64 / failing.hosts[2].sent as f64;
    assert!((0.4..0.6).contains(&share), "{share}");
}
