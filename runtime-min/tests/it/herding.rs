//! Against herding: how far choices are spread, and when.

use evenkeel_runtime::{
    Eligible, HostSlot, Model, Request, ServiceModel, State, StateHeader, Telemetry, decide, herding,
};

use evenkeel_dev::builder::{estimate_artifact, service};

const SECOND_US: u64 = 1_000_000;

/// A balancer with 8 hosts, each of which reported so many requests a while ago; the
/// balancer sends a request every 100 ms and has one under way at each host.
fn with_hosts<R>(reported: f32, age_us: u64, test: impl FnOnce(&State<'_>, u64) -> R) -> R {
    let header = StateHeader::new(7);
    let slots: Vec<HostSlot> = (0..8).map(|_| HostSlot::default()).collect();
    let state = State::new(&header, &slots);
    let mut now_us = SECOND_US;
    for key in 1..=8 {
        let host = state.register(key, 1.0, now_us).expect("room");
        now_us += 100_000;
        let _ = state.begin(host, 500, now_us);
    }
    for host in 0..8 {
        let report = Telemetry { running: reported, waiting: 0.0, step_s: 0.02, ..Telemetry::UNKNOWN };
        state.report(host, &report, now_us, now_us);
    }
    test(&state, now_us + age_us)
}

fn width(reported: f32, age_us: u64) -> f32 {
    with_hosts(reported, age_us, |state, now_us| herding::width(state, Eligible::All, now_us))
}

#[test]
fn spreads_with_age_and_with_the_others_share_of_the_load() {
    assert_eq!(width(1.0, SECOND_US), 0.0, "all requests are its own");
    assert_eq!(width(20.0, 0), 0.0, "nothing has happened since the reports");
    assert!(width(20.0, SECOND_US) > width(20.0, SECOND_US / 10));
    assert!(width(20.0, SECOND_US) > width(2.0, SECOND_US));
    let header = StateHeader::new(7);
    assert_eq!(herding::width(&State::new(&header, &[]), Eligible::All, SECOND_US), 0.0);
}

#[test]
fn without_the_weight_the_lowest_score_is_taken() {
    let asks = ServiceModel { herding_weight: 0.5, ..service() };
    with_hosts(20.0, SECOND_US, |state, now_us| {
        assert_eq!(herding::temperature(&service(), state, Eligible::All, now_us), None);
        let temperature = herding::temperature(&asks, state, Eligible::All, now_us).expect("a crowd");
        assert!((0.001..=1.0).contains(&temperature));
        let extreme = ServiceModel { herding_weight: 1e6, ..service() };
        assert_eq!(herding::temperature(&extreme, state, Eligible::All, now_us), Some(1.0));
    });
}

#[test]
fn draws_follow_the_softmax_and_repeat_with_the_seed() {
    let scores = [0.0, 0.5, 2.0];
    let counts = |seed: u64| {
        let header = StateHeader::new(seed);
        let state = State::new(&header, &[]);
        let mut counts = [0u32; 3];
        for _ in 0..20_000 {
            let (row, score) = herding::draw(&scores, 0.5, &state).expect("finite");
            assert_eq!(score, scores[row]);
            counts[row] += 1;
        }
        counts
    };
    let drawn = counts(3);
    assert_eq!(drawn, counts(3));
    let weights = scores.map(|score: f32| (-score / 0.5).exp());
    for (count, weight) in drawn.iter().zip(weights) {
        let expected = 20_000.0 * weight / weights.iter().sum::<f32>();
        assert!((*count as f32 - expected).abs() < 4.0 * expected.sqrt() + 5.0, "{drawn:?}");
    }
    let header = StateHeader::new(1);
    assert_eq!(herding::draw(&[0.0, f32::NAN], 0.5, &State::new(&header, &[])), None);
}

#[test]
fn the_artifact_without_the_weight_is_deterministic() {
    let file = estimate_artifact(1.0);
    let model = Model::parse(&file).expect("valid");
    with_hosts(20.0, SECOND_US, |state, now_us| {
        // One host is clearly better: with no weight it gets everything.
        let report = Telemetry { running: 1.0, waiting: 0.0, step_s: 0.02, ..Telemetry::UNKNOWN };
        state.report(3, &report, now_us, now_us);
        let mut scratch = vec![0.0; model.policy().map_or(0, |policy| policy.scratch_len(8))];
        let request = Request { prompt_tokens: 500, ..Request::default() };
        for _ in 0..50 {
            let decision = decide(Some(&model), state, &request, Eligible::All, now_us, &mut scratch);
            assert_eq!(decision.host, Some(3));
        }
    });
}
