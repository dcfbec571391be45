//! What a host does for a while, and what it costs it: slowness that is over, answers without
//! work, claims and reports that are not true, clocks that jump.

use evenkeel_runtime::{Status, Telemetry};
use proptest::prelude::*;

use crate::fleet::{Answer, Fleet, SECOND_US};
use evenkeel_dev::builder::estimate_artifact;

/// Seconds that a request takes at a host in good order.
const GOOD_S: f64 = 0.2;

fn good(_: u32, _: u64) -> Answer {
    Answer::success(GOOD_S)
}

/// A fleet whose hosts were all measured.
fn fleet(hosts: usize, rate_per_s: f64) -> Fleet {
    let mut fleet = Fleet::new(hosts, estimate_artifact(1.0));
    fleet.run(60.0, rate_per_s, good);
    fleet
}

#[test]
fn a_host_that_was_slow_is_tried_again_and_gets_its_share() {
    for (rate_per_s, within_s) in [(10.0, 120.0), (2.0, 300.0)] {
        for slowdown in [1.5, 20.0] {
            let mut fleet = fleet(4, rate_per_s);
            fleet.run(30.0, rate_per_s, |host, _| Answer::success(if host == 0 { GOOD_S * slowdown } else { GOOD_S }));
            fleet.run(30.0, rate_per_s, good);
            assert!(fleet.sent[0] > 0, "{rate_per_s}/s, {slowdown}: {:?}", fleet.sent);
            fleet.run(within_s - 30.0, rate_per_s, good);
            fleet.run(60.0, rate_per_s, good);
            assert!(fleet.fair_shares(0) > 0.8, "{rate_per_s}/s, {slowdown}: {:?}", fleet.sent);
        }
    }
}

#[test]
fn reports_that_repeat_the_old_step_do_not_keep_a_host_away() {
    let mut fleet = fleet(4, 10.0);
    // The engine's histogram says of an idle host what it said when it was last at work.
    fleet.report = Some(|host| Telemetry {
        running: 0.0,
        waiting: 0.0,
        step_s: if host == 0 { 0.04 } else { 0.002 },
        ..Telemetry::UNKNOWN
    });
    fleet.run(30.0, 10.0, |host, _| Answer::success(if host == 0 { GOOD_S * 20.0 } else { GOOD_S }));
    fleet.run(120.0, 10.0, good);
    fleet.run(60.0, 10.0, good);
    assert!(fleet.fair_shares(0) > 0.8, "{:?}", fleet.sent);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the slowness was, it is over soon after it is over.
    #[test]
    fn slowness_is_forgotten(
        slowdown in 1.2f64..50.0,
        lasts_s in prop::sample::select(vec![1.0, 10.0, 60.0, 600.0]),
        rate_per_s in prop::sample::select(vec![0.2, 1.0, 5.0, 25.0, 100.0]),
        hosts in prop::sample::select(vec![2usize, 3, 4, 8, 16, 48]),
        reports in any::<bool>(),
    ) {
        prop_assume!(lasts_s * rate_per_s <= 10_000.0);
        let mut fleet = fleet(hosts, rate_per_s);
        if reports {
            fleet.report = Some(|_| Telemetry { running: 0.0, waiting: 0.0, step_s: 0.002, ..Telemetry::UNKNOWN });
        }
        fleet.run(lasts_s, rate_per_s, |host, _| Answer::success(if host == 0 { GOOD_S * slowdown } else { GOOD_S }));
        // One host after the other, where requests are so rare that all have been forgotten.
        let requests = 20.0 + hosts as f64 * (hosts as f64 + 1.0).clamp(5.0, 20.0);
        let retry_s = 31.0f64.max(requests / rate_per_s + 2.0);
        fleet.run(retry_s, rate_per_s, good);
        prop_assert!(fleet.sent[0] > 0, "not tried again: {:?}", fleet.sent);
        let settle_s = 120.0f64.max(requests / rate_per_s);
        fleet.run(settle_s, rate_per_s, good);
        // As many requests as tell a share of 0.8 from chance.
        fleet.run((60.0 * hosts as f64 / rate_per_s).max(30.0), rate_per_s, good);
        prop_assert!(fleet.fair_shares(0) > 0.7, "{:?}", fleet.sent);
    }
}

#[test]
fn answers_without_work_attract_nobody() {
    for status in [Status::NoWork, Status::Failure] {
        let mut fleet = fleet(4, 20.0);
        let quick = Answer { after_us: 4000, status, output_tokens: 0 };
        fleet.run(120.0, 20.0, |host, _| if host == 0 { quick } else { Answer::success(GOOD_S) });
        assert!(fleet.fair_shares(0) <= 1.1, "{status:?}: {:?}", fleet.sent);
        if status == Status::NoWork {
            assert!(fleet.fair_shares(0) >= 0.75, "{status:?} is no blame: {:?}", fleet.sent);
        }
    }
}

#[test]
fn a_report_is_bounded_by_what_was_measured() {
    let fast: [fn(u32) -> Telemetry; 4] = [
        |host| Telemetry { step_s: if host == 0 { 0.0 } else { 0.002 }, ..Telemetry::UNKNOWN },
        |host| Telemetry { step_s: if host == 0 { 1e-6 } else { 0.002 }, ..Telemetry::UNKNOWN },
        |host| Telemetry { step_s: if host == 0 { 1e-3 } else { 2.0 }, ..Telemetry::UNKNOWN },
        |host| Telemetry { step_s: if host == 0 { 1e-3 } else { 0.002 }, running: 0.0, ..Telemetry::UNKNOWN },
    ];
    for (index, report) in fast.into_iter().enumerate() {
        let mut fleet = fleet(4, 20.0);
        fleet.report = Some(report);
        fleet.run(30.0, 20.0, good);
        fleet.run(60.0, 20.0, good);
        assert!(fleet.fair_shares(0) <= 1.5, "report {index}: {:?}", fleet.sent);
    }
}

#[test]
fn claims_of_two_clients_leave_the_others_where_they_were() {
    let mut calm = fleet(4, 20.0);
    calm.run(30.0, 20.0, good);
    let mut claimed = fleet(4, 20.0);
    claimed.prompt_tokens = i32::MAX as u32;
    for host in 0..2 {
        claimed.send(host, Answer::success(3600.0));
    }
    claimed.prompt_tokens = 500;
    claimed.run(30.0, 20.0, good);
    // The two are under way all the same, as any two requests of an hour would be.
    let mut held = fleet(4, 20.0);
    for host in 0..2 {
        held.send(host, Answer::success(3600.0));
    }
    held.run(30.0, 20.0, good);
    for host in 0..4 {
        let moved = (claimed.fair_shares(host) - held.fair_shares(host)).abs();
        assert!(moved <= 0.1, "{:?}, {:?} without the claims", claimed.sent, held.sent);
    }
}

#[test]
fn one_odd_request_does_not_shut_a_host_out() {
    for (after_s, status) in [(8.0, Status::NoWork), (3600.0, Status::Success)] {
        let mut fleet = fleet(4, 10.0);
        fleet.send(0, Answer { status, ..Answer::success(after_s) });
        fleet.run(after_s, 10.0, good);
        fleet.run(36.0, 10.0, good);
        assert!(fleet.sent[0] > 0, "{status:?}: {:?}", fleet.sent);
        fleet.run(60.0, 10.0, good);
        assert!(fleet.fair_shares(0) > 0.8, "{status:?}: {:?}", fleet.sent);
    }
}

#[test]
fn times_from_the_future_are_refused_and_heal() {
    let mut fleet = fleet(4, 10.0);
    let busy = Telemetry { running: 50.0, waiting: 50.0, ..Telemetry::UNKNOWN };
    let now_us = fleet.now_us;
    assert!(!fleet.state().report(0, &busy, now_us + 3600 * SECOND_US, now_us));
    // One that was stored before the clock was set back.
    assert!(fleet.state().report(0, &busy, now_us + 3600 * SECOND_US, now_us + 3600 * SECOND_US));
    let idle = Telemetry { running: 0.0, waiting: 0.0, ..Telemetry::UNKNOWN };
    fleet.run(2.0, 10.0, good);
    assert!(fleet.state().report(0, &idle, fleet.now_us, fleet.now_us));
    fleet.run(60.0, 10.0, good);
    assert!(fleet.fair_shares(0) > 0.8, "{:?}", fleet.sent);
}
