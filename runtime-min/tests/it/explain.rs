//! An explanation says what the decision would be, and why.

use evenkeel_runtime::explain::{HostExplanation, explain};
use evenkeel_runtime::{Eligible, HostSlot, Model, Reason, Request, State, StateHeader, Telemetry, decide};

use evenkeel_dev::builder::estimate_artifact;

const NOW_US: u64 = 5_000_000;

/// Four hosts with 0, 1, 2 and 3 requests under way.
fn with_hosts<R>(test: impl FnOnce(&State<'_>) -> R) -> R {
    let (header, slots) = (StateHeader::new(3), std::array::from_fn::<_, 4, _>(|_| HostSlot::default()));
    let state = State::new(&header, &slots);
    for key in 1..=4u64 {
        let host = state.register(key, 1.0, 0).expect("room");
        for _ in 1..key {
            let _ = state.begin(host, 400, NOW_US);
        }
    }
    test(&state)
}

fn explained(
    model: Option<&Model<'_>>,
    state: &State<'_>,
    eligible: Eligible<'_>,
    scratch_len: usize,
) -> (evenkeel_runtime::explain::Explanation, Vec<HostExplanation>) {
    let mut hosts = Vec::new();
    let request = Request { prompt_tokens: 500, ..Request::default() };
    let mut scratch = vec![0.0; scratch_len];
    let found = explain(model, state, &request, eligible, NOW_US, &mut scratch, |host| hosts.push(host));
    (found, hosts)
}

#[test]
fn the_best_is_what_is_decided_and_the_runner_up_what_would_be() {
    let file = estimate_artifact(1.0);
    let model = Model::parse(&file).expect("valid");
    with_hosts(|state| {
        state.report(2, &Telemetry { running: 2.0, ..Telemetry::UNKNOWN }, NOW_US - 1_000_000, NOW_US - 1_000_000);
        let len = decide::scratch_len(&model, 4);
        let (found, hosts) = explained(Some(&model), state, Eligible::All, len);
        let mut scratch = vec![0.0; len];
        let request = Request { prompt_tokens: 500, ..Request::default() };
        let mut pick =
            |mask: &[u64]| decide(Some(&model), state, &request, Eligible::Mask(mask), NOW_US, &mut scratch).host;
        assert_eq!((found.reason, found.best), (Reason::Policy, pick(&[0b1111])));
        let best = found.best.expect("a host");
        assert_eq!(found.runner_up, pick(&[0b1111 & !(1 << best)]));
        assert_eq!((best, found.runner_up), (0, Some(1)), "fewer requests under way");
        assert!(found.margin > 0.0);
        assert_eq!(hosts.len(), 4);
        for (index, host) in hosts.iter().enumerate() {
            assert_eq!((host.host as usize, host.in_flight as usize, host.eligible), (index, index, true));
            // The policy is the estimate, so that nothing is left over.
            assert!(host.residual.abs() < 1e-3 && host.estimate_s > 0.0, "{host:?}");
            assert!((host.score - host.estimate_s.ln()).abs() < 1e-3, "{host:?}");
        }
        assert!((hosts[2].telemetry_age_s - 1.0).abs() < 1e-3 && hosts[1].telemetry_age_s.is_nan());
    });
}

#[test]
fn the_residual_is_what_the_network_adds() {
    let file = estimate_artifact(1.5);
    let model = Model::parse(&file).expect("valid");
    with_hosts(|state| {
        let (_, hosts) = explained(Some(&model), state, Eligible::All, decide::scratch_len(&model, 4));
        for host in hosts {
            assert!((host.residual - 0.5 * host.estimate_s.ln()).abs() < 2e-3, "{host:?}");
        }
    });
}

#[test]
fn every_step_of_the_ladder_is_named() {
    let file = estimate_artifact(1.0);
    let model = Model::parse(&file).expect("valid");
    let wild = estimate_artifact(f32::MAX);
    let wild = Model::parse(&wild).expect("valid");
    with_hosts(|state| {
        let len = decide::scratch_len(&model, 4);
        let cases = [
            (Some(&model), &[0b1001][..], len, Reason::Policy, Some(0)),
            (Some(&model), &[0b0100], len, Reason::OnlyHost, Some(2)),
            (Some(&model), &[], len, Reason::NoHost, None),
            (None, &[0b1111], 0, Reason::NoPolicy, None),
            (Some(&model), &[0b1111], 3, Reason::NoScore, None),
            (Some(&wild), &[0b1111], len, Reason::NoScore, None),
        ];
        for (model, mask, len, reason, best) in cases {
            let before = Reason::ALL.map(|reason| state.decisions(reason));
            let (found, hosts) = explained(model, state, Eligible::Mask(mask), len);
            assert_eq!((found.reason, found.best), (reason, best));
            let eligible = hosts.iter().filter(|host| host.eligible).count() as u32;
            assert_eq!(eligible, mask.iter().map(|word| word.count_ones()).sum::<u32>());
            assert_eq!(hosts.len(), 4, "hosts that are not eligible are shown too");
            assert!(hosts.iter().all(|host| host.eligible || host.score.is_nan()));
            assert!(hosts.iter().all(|host| host.estimate_s.is_nan() == model.is_none()));
            assert_eq!(before, Reason::ALL.map(|reason| state.decisions(reason)), "explaining decides nothing");
        }
    });
}
