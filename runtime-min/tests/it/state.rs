//! Host state: counts stay exact through any sequence of calls and from several threads.

use evenkeel_runtime::state::RegisterError;
use evenkeel_runtime::{HostSlot, Outcome, State, StateHeader, Status, Telemetry, Ticket};
use proptest::prelude::*;

use evenkeel_dev::builder::service;

fn slots(count: usize) -> Vec<HostSlot> {
    (0..count).map(|_| HostSlot::default()).collect()
}

#[derive(Clone, Debug)]
enum Call {
    Register(u64),
    Remove(u64),
    Begin(u32, u32),
    FirstByte(usize),
    Finish(usize, u8),
    Report(u32),
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        (0u64..6).prop_map(Call::Register),
        (0u64..6).prop_map(Call::Remove),
        (0u32..6, any::<u32>()).prop_map(|(host, tokens)| Call::Begin(host, tokens)),
        (0u32..6, 0u32..5000).prop_map(|(host, tokens)| Call::Begin(host, tokens)),
        (0usize..8).prop_map(Call::FirstByte),
        (0usize..8, 0u8..4).prop_map(|(ticket, status)| Call::Finish(ticket, status)),
        (0u32..6).prop_map(Call::Report),
    ]
}

proptest! {
    #[test]
    fn counts_are_exact(calls in prop::collection::vec((call(), any::<u32>()), 0..300)) {
        let (header, slots) = (StateHeader::new(1), slots(4));
        let state = State::new(&header, &slots);
        let mut open: Vec<Ticket> = Vec::new();
        for (call, clock_us) in calls {
            // Clocks jump back and forth; counts must not care.
            let now_us = u64::from(clock_us);
            match call {
                Call::Register(key) => {
                    let result = state.register(key, 1.0, now_us);
                    prop_assert!(key != 0 || result == Err(RegisterError::KeyZero));
                }
                Call::Remove(key) => {
                    state.remove(key);
                }
                Call::Begin(host, tokens) => {
                    if let Some(ticket) = state.begin(host, tokens, now_us) {
                        open.push(ticket);
                    }
                }
                Call::FirstByte(index) => {
                    if let Some(ticket) = open.get_mut(index) {
                        state.first_token(ticket, now_us);
                    }
                }
                Call::Finish(index, status) => {
                    if index < open.len() {
                        let ticket = open.swap_remove(index);
                        let status = [Status::Success, Status::Failure, Status::Timeout, Status::ClientAbort][status as usize];
                        state.finish(&ticket, &Outcome { status, output_tokens: 10, cached_tokens: None }, Some(&service()), now_us);
                    }
                }
                Call::Report(host) => {
                    state.report(host, &Telemetry::UNKNOWN, now_us, now_us);
                }
            }
            for (index, slot) in state.hosts() {
                let expected = open.iter().filter(|ticket| ticket.host == index).count();
                prop_assert_eq!(slot.in_flight() as usize, expected);
                prop_assert_eq!(slot.sent_total() - slot.done_total(), expected as u64);
                prop_assert!(slot.failed_total() <= slot.done_total());
            }
        }
    }
}

#[test]
fn threads_lose_no_count() {
    const THREADS: u64 = 4;
    const REQUESTS: u64 = 20_000;
    let (header, slots) = (StateHeader::new(1), slots(2));
    let state = State::new(&header, &slots);
    state.register(1, 1.0, 0).expect("room");
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for now_us in 0..REQUESTS {
                    let ticket = state.begin(0, 3, now_us).expect("host");
                    state.finish(
                        &ticket,
                        &Outcome { status: Status::Success, output_tokens: 2, cached_tokens: None },
                        Some(&service()),
                        now_us + 5,
                    );
                }
            });
        }
    });
    let slot = state.host(0).expect("host");
    assert_eq!((slot.sent_total(), slot.done_total()), (THREADS * REQUESTS, THREADS * REQUESTS));
    assert_eq!((slot.in_flight(), slot.in_flight_prompt_tokens()), (0, 0));
    assert!(slot.latency_ewma_s() > 0.0);
}

#[test]
fn registering_keeps_what_was_learned_and_slots_are_reused() {
    let (header, slots) = (StateHeader::new(1), slots(2));
    let state = State::new(&header, &slots);
    assert_eq!(state.register(10, 1.0, 0), Ok(0));
    assert_eq!(state.register(20, 1.0, 0), Ok(1));
    assert_eq!(state.register(10, 1.0, 0), Ok(0));
    assert_eq!(state.register(30, 1.0, 0), Err(RegisterError::Full));
    assert!(state.remove(10) && !state.remove(10));
    assert_eq!(state.register(30, 1.0, 0), Ok(0));
    assert_eq!(state.host(0).map(HostSlot::key), Some(30));
    assert_eq!(state.find(10), None);
}

#[test]
fn a_slot_waits_for_its_last_request_before_it_changes_hands() {
    let (header, slots) = (StateHeader::new(1), slots(1));
    let state = State::new(&header, &slots);
    state.register(1, 1.0, 0).expect("room");
    let late = state.begin(0, 1, 5).expect("host");
    state.remove(1);
    assert_eq!(state.register(2, 1.0, 6), Err(RegisterError::Full));
    state.finish(
        &late,
        &Outcome { status: Status::Success, output_tokens: 1, cached_tokens: None },
        Some(&service()),
        9,
    );
    assert_eq!(state.register(2, 1.0, 10), Ok(0));
    assert_eq!(state.host(0).map(|slot| (slot.in_flight(), slot.done_total())), Some((0, 0)));
}

#[test]
fn an_older_report_is_dropped() {
    let (header, slots) = (StateHeader::new(1), slots(1));
    let state = State::new(&header, &slots);
    state.register(1, 1.0, 0).expect("room");
    let report = |running| Telemetry { running, ..Telemetry::UNKNOWN };
    assert!(state.report(0, &report(3.0), 2_000_000, 2_000_000));
    assert!(!state.report(0, &report(9.0), 1_000_000, 3_000_000));
    let slot = state.host(0).expect("host");
    assert_eq!(slot.telemetry().running, 3.0);
    assert_eq!(slot.telemetry_age_s(3_000_000), Some(1.0));
}
