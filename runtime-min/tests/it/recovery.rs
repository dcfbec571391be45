//! Hosts that come back: after failures, after a restart, with another weight.

use std::collections::VecDeque;

use evenkeel_runtime::{
    Eligible, HostSlot, Model, Outcome, Request, State, StateHeader, Status, Telemetry, Ticket, decide,
};
use proptest::prelude::*;

use evenkeel_dev::builder::{estimate_artifact, service};

const SECOND_US: u64 = 1_000_000;
const HOSTS: usize = 4;

/// A fleet under steady load: a request every 100 ms, each of which takes 4 s wherever it is,
/// so that about forty are under way.
struct Fleet<'s> {
    state: State<'s>,
    artifact: Vec<u8>,
    under_way: VecDeque<Ticket>,
    now_us: u64,
}

impl<'s> Fleet<'s> {
    fn new(state: State<'s>) -> Self {
        for key in 1..=HOSTS as u64 {
            state.register(key, 1.0, SECOND_US).expect("room");
        }
        let mut fleet = Self { state, artifact: estimate_artifact(1.0), under_way: VecDeque::new(), now_us: SECOND_US };
        // Everybody is measured before anything happens.
        fleet.run(30, |_, _| Status::Success);
        fleet
    }

    /// Lets some seconds pass; returns how many requests each host got. `status` tells how a
    /// request ends at a host, `Failure` at once.
    fn run(&mut self, seconds: u64, status: impl Fn(u32, u64) -> Status) -> [u32; HOSTS] {
        let mut sent = [0; HOSTS];
        for _ in 0..seconds * 10 {
            self.now_us += SECOND_US / 10;
            let asked = Request { prompt_tokens: 500, ..Request::default() };
            let host = pick(&self.artifact, &self.state, &asked, self.now_us);
            sent[host as usize] += 1;
            let mut ticket = self.state.begin(host, asked.prompt_tokens, self.now_us).expect("registered");
            let status = status(host, self.now_us);
            if status == Status::Success {
                self.state.first_token(&mut ticket, self.now_us + SECOND_US / 20);
                self.under_way.push_back(ticket);
            } else {
                self.state.finish(
                    &ticket,
                    &Outcome { status, output_tokens: 0, cached_tokens: None },
                    Some(&service()),
                    self.now_us + 1000,
                );
            }
            while self.under_way.front().is_some_and(|ticket| ticket.sent_us + 4 * SECOND_US <= self.now_us) {
                let ticket = self.under_way.pop_front().expect("not empty");
                let success = Outcome { status: Status::Success, output_tokens: 200, cached_tokens: None };
                self.state.finish(&ticket, &success, Some(&service()), self.now_us);
            }
        }
        sent
    }
}

fn pick(artifact: &[u8], state: &State<'_>, asked: &Request<'_>, now_us: u64) -> u32 {
    let model = Model::parse(artifact).expect("valid");
    let mut scratch = vec![0.0; model.policy().map_or(0, |policy| policy.scratch_len(HOSTS))];
    let mut hosts = [u64::MAX];
    state.spare(&mut hosts);
    decide(Some(&model), state, asked, Eligible::Mask(&hosts), now_us, &mut scratch).host.expect("one is always left")
}

fn with_fleet<R>(test: impl FnOnce(&mut Fleet<'_>) -> R) -> R {
    let (header, slots) = (StateHeader::new(5), (0..HOSTS).map(|_| HostSlot::default()).collect::<Vec<_>>());
    test(&mut Fleet::new(State::new(&header, &slots)))
}

#[test]
fn a_host_that_fails_is_tried_now_and_then_and_one_that_stopped_gets_its_share_again() {
    with_fleet(|fleet| {
        // It fails at once and is never busy: if that did not count, it would get everything.
        let sent = fleet.run(60, |host, _| if host == 0 { Status::Failure } else { Status::Success });
        assert!((1..60).contains(&sent[0]), "{sent:?}");
        // The worst case: nothing but failures, up to now.
        for _ in 0..40 {
            let ticket = fleet.state.begin(0, 1, fleet.now_us).expect("host");
            let failure = Outcome { status: Status::Failure, output_tokens: 0, cached_tokens: None };
            fleet.state.finish(&ticket, &failure, Some(&service()), fleet.now_us);
        }
        assert_eq!(fleet.run(15, |_, _| Status::Success)[0], 0);
        let sent = fleet.run(30, |_, _| Status::Success);
        assert!(sent[0] > 0, "tried again within 45 s: {sent:?}");
        fleet.run(15, |_, _| Status::Success);
        let sent = fleet.run(60, |_, _| Status::Success);
        assert!((100..200).contains(&sent[0]), "after a minute, a fair share of 600: {sent:?}");
    });
}

#[test]
fn failures_fade_while_nothing_is_sent() {
    with_fleet(|fleet| {
        let now_us = fleet.now_us;
        for _ in 0..40 {
            let ticket = fleet.state.begin(0, 1, now_us).expect("host");
            fleet.state.finish(
                &ticket,
                &Outcome { status: Status::Failure, output_tokens: 0, cached_tokens: None },
                Some(&service()),
                now_us,
            );
        }
        let slot = fleet.state.host(0).expect("host");
        let share = |seconds: u64| slot.failure_share(now_us + seconds * SECOND_US);
        assert!(share(0) > 0.99 && share(10) < 0.37 && share(30) < 0.05 && share(60) < 0.003);
        // A first byte is a sign of life, not of health: what has faded stays so.
        let mut ticket = fleet.state.begin(0, 1, now_us).expect("host");
        let before = share(30);
        fleet.state.first_token(&mut ticket, now_us + 30 * SECOND_US);
        assert!((share(30) - before).abs() < 1e-5);
        // A later failure counts from there.
        let late_us = now_us + 31 * SECOND_US;
        fleet.state.finish(
            &ticket,
            &Outcome { status: Status::Timeout, output_tokens: 0, cached_tokens: None },
            Some(&service()),
            late_us,
        );
        assert!((0.12..0.2).contains(&share(31)), "{}", share(31));
    });
}

#[test]
fn a_poorer_report_does_not_replace_a_richer_one_that_is_believed() {
    with_fleet(|fleet| {
        let (state, now_us) = (fleet.state, fleet.now_us);
        let full = Telemetry { running: 3.0, waiting: 2.0, pending_prefill_tokens: 900.0, kv_use: 0.5, step_s: 0.02 };
        let poor = Telemetry { waiting: 7.0, kv_use: 0.75, ..Telemetry::UNKNOWN };
        assert!(state.report(1, &full, now_us, now_us));
        let slot = state.host(1).expect("host");
        let _ = state.begin(1, 100, now_us);
        // The header of a response half a second later says less.
        let header_us = now_us + SECOND_US / 2;
        assert!(state.report(1, &poor, header_us, header_us));
        let known = slot.telemetry();
        assert_eq!((known.running, known.waiting, known.kv_use), (3.0, 2.0, 0.75));
        assert_eq!(slot.sent_since_telemetry(), 1, "counted from the fuller report on");
        assert_eq!(slot.telemetry_age_s(header_us), Some(0.5));
        // Once the fuller one is not believed any more, all there is is better.
        let late_us = now_us + 31 * SECOND_US;
        assert!(state.report(1, &poor, late_us, late_us));
        assert!(slot.telemetry().running.is_nan());
        assert_eq!((slot.telemetry().waiting, slot.telemetry_age_s(late_us)), (7.0, Some(0.0)));
    });
}

#[test]
fn a_restarted_host_warms_up() {
    const SLOW_START_US: u64 = 60 * SECOND_US;
    with_fleet(|fleet| {
        let mut shares = Vec::new();
        fleet.state.warm(SLOW_START_US, fleet.now_us);
        assert!(fleet.state.restarted(0, fleet.now_us));
        assert!(!fleet.state.restarted(HOSTS as u32, fleet.now_us), "there is no such host");
        assert_eq!(fleet.state.host(0).map(HostSlot::full_share), Some(0.1), "from the first moment on");
        for _ in 0..8 {
            let mut sent = 0;
            for _ in 0..10 {
                fleet.state.warm(SLOW_START_US, fleet.now_us);
                sent += fleet.run(1, |_, _| Status::Success)[0];
            }
            shares.push(sent);
        }
        // Of a hundred in ten seconds, 25 are fair.
        assert!(shares[0] < 10 && shares[0] < shares[2] && shares[2] < shares[5], "{shares:?}");
        assert!((20..35).contains(&shares[7]), "{shares:?}");
        assert_eq!(fleet.state.host(0).map(HostSlot::full_share), Some(1.0));
    });
}

#[test]
fn without_a_slow_start_a_restarted_host_only_forgets() {
    with_fleet(|fleet| {
        let (state, now_us) = (fleet.state, fleet.now_us);
        let ticket = state.begin(0, 1, now_us).expect("host");
        state.finish(
            &ticket,
            &Outcome { status: Status::Failure, output_tokens: 0, cached_tokens: None },
            Some(&service()),
            now_us,
        );
        state.report(0, &Telemetry { running: 3.0, ..Telemetry::UNKNOWN }, now_us, now_us);
        let slot = state.host(0).expect("host");
        let in_flight = slot.in_flight();
        assert!(slot.failure_share(now_us) > 0.1);
        assert!(state.restarted(0, now_us));
        assert_eq!((slot.full_share(), slot.failure_share(now_us), slot.in_flight()), (1.0, 0.0, in_flight));
        assert!(slot.telemetry().running.is_nan() && slot.telemetry_age_s(now_us).is_none());
        // What its successor reports is taken, even from a clock that is a little behind.
        assert!(state.report(0, &Telemetry { running: 1.0, ..Telemetry::UNKNOWN }, now_us - 1000, now_us - 1000));
        // A slow start that begins late finds it on its way; one that ends lets it go.
        state.warm(4 * SECOND_US, now_us + 2 * SECOND_US);
        assert_eq!(slot.full_share(), 0.5);
        state.warm(0, now_us + 2 * SECOND_US);
        assert_eq!(slot.full_share(), 1.0);
    });
}

#[test]
fn weights_steer_the_fallback_and_can_be_changed() {
    let (header, slots) = (StateHeader::new(5), (0..2).map(|_| HostSlot::default()).collect::<Vec<_>>());
    let state = State::new(&header, &slots);
    for key in 1..=2 {
        state.register(key, 1.0, 0).expect("room");
    }
    let chosen = || {
        let made = decide(None, &state, &Request::default(), Eligible::All, 0, &mut []).host.expect("two hosts");
        let _ = state.begin(made, 1, 0);
        made
    };
    for _ in 0..10 {
        chosen();
    }
    assert_eq!((slots[0].in_flight(), slots[1].in_flight()), (5, 5));
    assert!(state.set_weight(1, 3.0) && !state.set_weight(2, 3.0));
    for _ in 0..30 {
        chosen();
    }
    assert_eq!((slots[0].in_flight(), slots[1].in_flight()), (10, 30));
}

proptest! {
    #[test]
    fn slow_starts_are_bounded_whatever_the_clock_says(
        calls in prop::collection::vec((0u8..3, any::<u64>(), any::<u64>()), 1..40),
    ) {
        let (header, slots) = (StateHeader::new(1), [HostSlot::default()]);
        let state = State::new(&header, &slots);
        state.register(1, 1.0, 0).expect("room");
        for (call, a, b) in calls {
            // Small times too, where it matters which one is larger.
            let (a, b) = if a % 2 == 0 { (a, b) } else { (a % 64, b % 64) };
            match call {
                0 => prop_assert!(state.restarted(0, a)),
                1 => state.warm(a, b),
                _ => state.warm(0, b),
            }
            let share = slots[0].full_share();
            prop_assert!((0.1..=1.0).contains(&share), "{share}");
            prop_assert!(call != 2 || share == 1.0);
        }
    }

    #[test]
    fn no_expected_output_is_the_mean_to_the_bit(
        loads in prop::collection::vec((0u32..200, 0.0f32..1.0, 0.001f32..0.2), HOSTS),
        prompt_tokens in 0u32..8000,
        output_tokens in 1u32..8000,
    ) {
        let file = estimate_artifact(1.0);
        let model = Model::parse(&file).expect("valid");
        let policy = model.policy().expect("a policy");
        let (header, slots) = (StateHeader::new(1), (0..HOSTS).map(|_| HostSlot::default()).collect::<Vec<_>>());
        let state = State::new(&header, &slots);
        for (key, (running, kv_use, step_s)) in (1..).zip(loads) {
            let host = state.register(key, 1.0, 0).expect("room");
            let report =
                Telemetry { running: running as f32, waiting: 0.0, kv_use, step_s, ..Telemetry::UNKNOWN };
            state.report(host, &report, 1, 1);
        }
        let scores = |output_tokens| {
            let request = Request { prompt_tokens, output_tokens, ..Request::default() };
            let mut scratch = vec![0.0; policy.scratch_len(HOSTS)];
            let scores = decide::scores(&model, policy, &state, &request, Eligible::All, HOSTS, 2, &mut scratch);
            scores.expect("scratch is long enough").to_vec()
        };
        let mean = service().output_tokens_mean;
        let same = scores(0).iter().zip(scores(mean as u32)).all(|(a, b)| a.to_bits() == b.to_bits());
        prop_assert!(same);
        // Longer answers cost more, on every host.
        let (shorter, longer) = (scores(output_tokens), scores(2 * output_tokens));
        prop_assert!(shorter.iter().zip(longer).all(|(shorter, longer)| *shorter < longer));
    }
}
