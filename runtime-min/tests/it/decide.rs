//! Decisions: the ladder, the mask, ties, and what a lying host gains.

use evenkeel_runtime::{
    Decision, Eligible, HOST_FEATURES, HostSlot, LANES, Model, Outcome, Reason, Request, State, StateHeader, Status,
    Telemetry, decide, features,
};
use proptest::prelude::*;

use evenkeel_dev::builder::{estimate_artifact, service};

const SECOND_US: u64 = 1_000_000;

fn slots(count: usize) -> Vec<HostSlot> {
    (0..count).map(|_| HostSlot::default()).collect()
}

fn with_hosts<R>(count: usize, test: impl FnOnce(&State<'_>) -> R) -> R {
    let (header, slots) = (StateHeader::new(7), slots(count));
    let state = State::new(&header, &slots);
    for key in 1..=count as u64 {
        state.register(key, 1.0, SECOND_US).expect("room");
    }
    test(&state)
}

fn request() -> Request<'static> {
    Request { prompt_tokens: 500, ..Request::default() }
}

fn pick(model: Option<&Model<'_>>, state: &State<'_>, eligible: Eligible<'_>, now_us: u64) -> Decision {
    let mut scratch = vec![0.0; model.and_then(|m| m.policy()).map_or(0, |p| p.scratch_len(state.host_end()))];
    decide(model, state, &request(), eligible, now_us, &mut scratch)
}

#[test]
fn climbs_down_the_ladder_and_counts_each_step() {
    let good = estimate_artifact(1.0);
    let model = Model::parse(&good).expect("valid");
    with_hosts(4, |state| {
        assert_eq!(pick(Some(&model), state, Eligible::All, SECOND_US).reason, Reason::Policy);
        assert_eq!(pick(None, state, Eligible::All, SECOND_US).reason, Reason::NoPolicy);
        assert_eq!(pick(Some(&model), state, Eligible::Mask(&[0b0100]), SECOND_US).host, Some(2));
        assert_eq!(pick(Some(&model), state, Eligible::Mask(&[0]), SECOND_US).reason, Reason::NoHost);
        assert_eq!(pick(Some(&model), state, Eligible::Mask(&[]), SECOND_US).host, None);
        let short = decide(Some(&model), state, &request(), Eligible::All, SECOND_US, &mut [0.0; 3]);
        assert_eq!(short.reason, Reason::NoScore);
        assert!(short.host.is_some());
        // Finite weights can still overflow: e^20 · 3e38.
        let wild = estimate_artifact(f32::MAX);
        let wild = Model::parse(&wild).expect("valid");
        assert_eq!(pick(Some(&wild), state, Eligible::All, SECOND_US).reason, Reason::NoScore);
        let counts = Reason::ALL.map(|reason| state.decisions(reason));
        assert_eq!(counts, [1, 1, 1, 2, 2, 0]);
    });
}

#[test]
fn equal_hosts_share_equally() {
    let file = estimate_artifact(1.0);
    let model = Model::parse(&file).expect("valid");
    with_hosts(4, |state| {
        let mut counts = [0u32; 4];
        for _ in 0..4000 {
            counts[pick(Some(&model), state, Eligible::All, SECOND_US).host.expect("a host") as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    });
}

#[test]
fn load_failures_and_slowness_are_avoided() {
    let file = estimate_artifact(1.0);
    let model = Model::parse(&file).expect("valid");
    with_hosts(3, |state| {
        // Host 0 is loaded, host 1 fails fast, host 2 answers.
        for _ in 0..10 {
            let _ = state.begin(0, 500, SECOND_US);
        }
        for _ in 0..10 {
            let ticket = state.begin(1, 500, SECOND_US).expect("host");
            state.finish(
                &ticket,
                &Outcome { status: Status::Failure, output_tokens: 0, cached_tokens: None },
                Some(&service()),
                SECOND_US + 1000,
            );
            let mut ticket = state.begin(2, 500, SECOND_US).expect("host");
            state.first_token(&mut ticket, SECOND_US + 200_000);
            state.finish(
                &ticket,
                &Outcome { status: Status::Success, output_tokens: 200, cached_tokens: None },
                Some(&service()),
                7 * SECOND_US,
            );
        }
        for _ in 0..50 {
            assert_eq!(pick(Some(&model), state, Eligible::All, 8 * SECOND_US).host, Some(2));
        }
        let host = state.host(1).expect("host");
        assert_eq!(host.failed_total(), 10);
        assert!(host.latency_ewma_s().is_nan(), "a failure is no latency sample");
    });
}

#[test]
fn a_host_that_reports_itself_idle_is_not_believed() {
    let file = estimate_artifact(1.0);
    let model = Model::parse(&file).expect("valid");
    with_hosts(8, |state| {
        let honest = |n: u32| Telemetry { running: n as f32, waiting: 0.0, kv_use: 0.1, ..Telemetry::UNKNOWN };
        let mut counts = [0u32; 8];
        for request in 0..800u64 {
            let now_us = SECOND_US + request * 1000;
            for (index, slot) in state.hosts() {
                let report = if index == 0 { honest(0) } else { honest(slot.in_flight()) };
                state.report(index, &report, now_us, now_us);
            }
            let host = pick(Some(&model), state, Eligible::All, now_us).host.expect("a host");
            let _ = state.begin(host, 500, now_us);
            counts[host as usize] += 1;
        }
        // What it holds of ours counts whatever it says.
        assert!(counts[0] <= 150, "{counts:?}");
    });
}

#[test]
fn hosts_far_from_the_trained_service_all_get_their_share() {
    // Twenty times faster than the service model says, or ten times slower, streamed or not.
    for (token_us, streamed) in [(1500, true), (1500, false), (300_000, true), (300_000, false)] {
        let file = estimate_artifact(1.0);
        let model = Model::parse(&file).expect("valid");
        with_hosts(4, |state| {
            let mut counts = [0u32; 4];
            let mut now_us = SECOND_US;
            let mut open = std::collections::VecDeque::new();
            for _ in 0..400 {
                now_us += 20 * token_us;
                let host = pick(Some(&model), state, Eligible::All, now_us).host.expect("a host");
                counts[host as usize] += 1;
                open.push_back(state.begin(host, 500, now_us).expect("host"));
                if open.len() > 6 {
                    let mut ticket = open.pop_front().expect("not empty");
                    let first_us = if streamed { ticket.sent_us + 5 * token_us } else { now_us - 10 };
                    state.first_token(&mut ticket, first_us);
                    let success = Outcome { status: Status::Success, output_tokens: 120, cached_tokens: None };
                    state.finish(&ticket, &success, Some(&service()), now_us);
                }
            }
            assert!(counts.iter().all(|count| *count > 40), "{token_us} {streamed} {counts:?}");
        });
    }
}

#[test]
fn the_fallback_prefers_the_emptier_of_two() {
    with_hosts(2, |state| {
        let _ = state.begin(0, 1, SECOND_US);
        for _ in 0..50 {
            assert_eq!(pick(None, state, Eligible::All, SECOND_US).host, Some(1));
        }
    });
}

#[test]
fn feature_names_are_unique_and_the_padding_is_zero() {
    let mut names = features::NAMES.to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), HOST_FEATURES);
    with_hosts(5, |state| {
        let mut out = vec![f32::NAN; HOST_FEATURES * LANES];
        features::write(&service(), state, &request(), Eligible::All, 5, SECOND_US, &mut out);
        for column in out.chunks(LANES) {
            assert!(column[..5].iter().all(|x| x.is_finite() && x.abs() <= 20.0), "{column:?}");
            assert!(column[5..].iter().all(|x| *x == 0.0));
        }
    });
}

fn hostile() -> impl Strategy<Value = f32> {
    prop_oneof![
        Just(f32::NAN),
        Just(f32::INFINITY),
        Just(f32::NEG_INFINITY),
        Just(-1.0f32),
        Just(0.0),
        Just(1e30),
        0.0f32..100.0,
    ]
}

proptest! {
    #[test]
    fn whatever_a_host_reports_the_pick_is_eligible(
        reports in prop::collection::vec((hostile(), hostile(), hostile(), hostile(), hostile(), any::<u64>()), 12),
        mask in any::<u64>(),
        now_us in any::<u64>(),
        prompt_tokens in any::<u32>(),
    ) {
        let file = estimate_artifact(1.0);
        let model = Model::parse(&file).expect("valid");
        with_hosts(12, |state| {
            for ((running, waiting, pending_prefill_tokens, kv_use, step_s, at_us), host) in reports.into_iter().zip(0..) {
                state.report(host, &Telemetry { running, waiting, pending_prefill_tokens, kv_use, step_s }, at_us, at_us);
            }
            let words = [mask];
            let mut scratch = vec![0.0; model.policy().map_or(0, |p| p.scratch_len(12))];
            let request = Request { prompt_tokens, cached_tokens: &[u32::MAX, 5], ..Request::default() };
            let decision = decide(Some(&model), state, &request, Eligible::Mask(&words), now_us, &mut scratch);
            match decision.host {
                Some(host) => assert!(host < 12 && mask >> host & 1 == 1),
                None => assert_eq!(mask & 0xFFF, 0),
            }
            assert!(decision.reason != Reason::NoScore, "features must stay finite: {decision:?}");
        });
    }
}

#[test]
fn threads_that_decide_and_report_at_once_lose_no_count() {
    const THREADS: u64 = 8;
    const REQUESTS: u64 = 4000;
    const HOSTS: usize = 5;
    let file = estimate_artifact(1.0);
    let model = Model::parse(&file).expect("valid");
    let (header, slots) = (StateHeader::new(3), slots(HOSTS));
    let state = State::new(&header, &slots);
    for key in 1..=HOSTS as u64 {
        state.register(key, 1.0, SECOND_US).expect("room");
    }
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (model, state) = (&model, &state);
            scope.spawn(move || {
                let mut scratch = vec![0.0; model.policy().map_or(0, |policy| policy.scratch_len(HOSTS))];
                for request in 0..REQUESTS {
                    let now_us = SECOND_US + request;
                    let asked = Request { prompt_tokens: 7, ..Request::default() };
                    let made = decide(Some(model), state, &asked, Eligible::All, now_us, &mut scratch);
                    let host = made.host.expect("all are eligible");
                    let ticket = state.begin(host, asked.prompt_tokens, now_us).expect("registered");
                    let report = Telemetry { running: thread as f32, ..Telemetry::UNKNOWN };
                    state.report(host, &report, now_us, now_us);
                    let success = Outcome { status: Status::Success, output_tokens: 3, cached_tokens: None };
                    state.finish(&ticket, &success, Some(&service()), now_us + 10);
                }
            });
        }
    });
    let total = |count: fn(&HostSlot) -> u64| slots.iter().map(count).sum::<u64>();
    assert_eq!(total(HostSlot::sent_total), THREADS * REQUESTS);
    assert_eq!(total(HostSlot::done_total), THREADS * REQUESTS);
    assert_eq!(total(|slot| u64::from(slot.in_flight())), 0);
    assert_eq!(total(|slot| u64::from(slot.in_flight_prompt_tokens())), 0);
    assert_eq!(Reason::ALL.map(|reason| state.decisions(reason)).iter().sum::<u64>(), THREADS * REQUESTS);
}
