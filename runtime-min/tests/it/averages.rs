//! Averages of a host: what a rate comes to, how much each of its first samples counts, and
//! when a claim is taken at all.

use evenkeel_runtime::{HostSlot, Outcome, State, StateHeader, Status, Telemetry};
use proptest::prelude::*;

use evenkeel_dev::builder::service;

const SECOND_US: u64 = 1_000_000;
const TOKENS: u32 = 101;

/// Serves one request: the first token at once, the others `step_s` apart.
fn serve(state: &State<'_>, host: u32, step_s: f64, sent_us: u64) {
    let mut ticket = state.begin(host, 100, sent_us).expect("registered");
    state.first_token(&mut ticket, sent_us + 1);
    let ended_us = sent_us + 1 + (step_s * 1e6) as u64 * u64::from(TOKENS - 1);
    let outcome = Outcome { status: Status::Success, output_tokens: TOKENS, cached_tokens: None };
    state.finish(&ticket, &outcome, Some(&service()), ended_us);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn completions_are_counted_at_any_rate(rate_per_s in 0.5f64..2000.0) {
        let (header, slots) = (StateHeader::new(1), [HostSlot::default()]);
        let state = State::new(&header, &slots);
        state.register(1, 1.0, 0).expect("room");
        let mut now_us = 0;
        for request in 0..(rate_per_s * 100.0) as u64 {
            now_us = (request as f64 * 1e6 / rate_per_s) as u64;
            serve(&state, 0, 1e-5, now_us);
        }
        let counted = f64::from(slots[0].completions_per_s(now_us));
        let chance = 0.1 + 0.1 / rate_per_s;
        prop_assert!((counted / rate_per_s - 1.0).abs() < chance, "{counted} for {rate_per_s}");
    }

    #[test]
    fn the_first_samples_of_a_host_count_alike(odd in 0usize..5) {
        let (header, slots) = (StateHeader::new(1), [HostSlot::default()]);
        let state = State::new(&header, &slots);
        state.register(1, 1.0, 0).expect("room");
        for request in 0..5 {
            let step_s = if request == odd { 0.02 } else { 0.01 };
            serve(&state, 0, step_s, SECOND_US + 10_000 * request as u64);
        }
        // A fifth of the difference, or twice as much at most.
        let raised = slots[0].local_step_s() / 0.01 - 1.0;
        prop_assert!((0.1..0.4).contains(&raised), "{raised}");
    }
}

#[test]
fn claims_of_hosts_without_work_wait_for_a_measurement() {
    let (header, slots) = (StateHeader::new(1), [HostSlot::default(), HostSlot::default()]);
    let state = State::new(&header, &slots);
    for key in 1..=2 {
        state.register(key, 1.0, 0).expect("room");
    }
    let claim = |host, step_s, now_us| {
        state.report(host, &Telemetry { running: 1.0, step_s, ..Telemetry::UNKNOWN }, now_us, now_us)
    };
    assert!(claim(0, 1e-6, SECOND_US));
    assert!(slots[0].telemetry().step_s.is_nan() && state.step_mean_s().is_none());

    serve(&state, 1, 0.03, 2 * SECOND_US);
    for page in 0..100 {
        claim(0, 1e-6 * (1.0 + page as f32), 6 * SECOND_US + page * 100_000);
    }
    let mean_s = state.step_mean_s().expect("measured");
    assert!((mean_s / 0.03 - 1.0).abs() < 0.01, "a bounded claim moved the fleet's mean to {mean_s} s");
    assert!(slots[0].telemetry().step_s > 0.019, "{:?}", slots[0].telemetry());
}
