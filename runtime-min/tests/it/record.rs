//! Recorded decisions: what is read is what was written, or is known to be torn.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use evenkeel_runtime::record::{Actual, HEADER_BYTES, Record, RecordError, Records, Ring, RingError, ring_bytes};
use evenkeel_runtime::{
    Decision, Eligible, HOST_FEATURES, HostSlot, Model, Outcome, Policy, Reason, Request, State, StateHeader, Status,
    decide, stride,
};

use evenkeel_dev::builder::estimate_artifact;

const NOW_US: u64 = 7_000_000;

fn words(records: u32, hosts_max: u32) -> Vec<AtomicU64> {
    (0..ring_bytes(records, hosts_max).expect("in range") / 8).map(|_| AtomicU64::new(0)).collect()
}

fn bytes(words: &[AtomicU64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect()
}

fn with_hosts<R>(count: usize, test: impl FnOnce(&State<'_>) -> R) -> R {
    let slots: Vec<_> = (0..count).map(|_| HostSlot::default()).collect();
    let header = StateHeader::new(5);
    let state = State::new(&header, &slots);
    for key in 1..=count as u64 {
        state.register(key, 1.0, 0).expect("room");
    }
    test(&state)
}

fn request() -> Request<'static> {
    Request { prompt_tokens: 300, ..Request::default() }
}

/// Decides and records.
fn record(
    ring: &Ring<'_>,
    model: Option<&Model<'_>>,
    state: &State<'_>,
    actual: Actual,
) -> (Decision, Result<u64, RingError>) {
    let mut scratch = vec![0.0; model.map_or(0, |model| decide::scratch_len(model, state.host_end()))];
    let decision = decide(model, state, &request(), Eligible::All, NOW_US, &mut scratch);
    let sequence = ring.record(model, state, &request(), Eligible::All, NOW_US, &mut scratch, &decision, actual);
    (decision, sequence)
}

/// The scores that the recorded features give.
fn scores_again(policy: &Policy<'_>, record: &Record<'_>) -> Vec<f32> {
    let rows = record.hosts().len();
    let mut scratch = vec![0.0; policy.scratch_len(rows)];
    for (row, host) in record.hosts().enumerate() {
        for (column, feature) in host.features.into_iter().enumerate() {
            scratch[column * stride(rows) + row] = feature;
        }
    }
    policy.run(rows, &mut scratch).expect("long enough")[..rows].to_vec()
}

#[test]
fn a_decision_can_be_made_again() {
    let file = estimate_artifact(1.0);
    let model = Model::parse(&file).expect("valid");
    let words = words(4, 5);
    let ring = Ring::init(&words, 4, 5).expect("room");
    with_hosts(5, |state| {
        for host in 0..3 {
            let _ = state.begin(host, 50 * (host + 1), NOW_US);
        }
        let (decision, sequence) = record(&ring, Some(&model), state, Actual::AsDecided);
        assert_eq!(sequence, Ok(0));
        let ticket = state.begin(decision.host.expect("a host"), 300, NOW_US).expect("host");
        let outcome = Outcome { status: Status::Timeout, output_tokens: 7, cached_tokens: None };
        assert_eq!(ring.record_outcome(0, &ticket, &outcome, NOW_US + 2500), Ok(()));

        let bytes = bytes(&words);
        let records = Records::parse(&bytes).expect("a ring");
        let found: Vec<_> = records.iter().collect();
        let [Some(found)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((found.sequence, found.now_us, found.prompt_tokens), (0, NOW_US, 300));
        assert_eq!((found.reason, found.decided, found.actual), (Reason::Policy, decision.host, decision.host));
        assert_eq!(found.score.to_bits(), decision.score.to_bits());
        assert_eq!(found.model, Some(model.checksum()));
        assert!(!found.is_shadow() && !found.has_moved() && found.has_features() && found.has_scores());
        assert_eq!(found.hosts().map(|host| host.in_flight).collect::<Vec<_>>(), [1, 1, 1, 0, 0]);
        let scores = scores_again(model.policy().expect("a policy"), found);
        for (host, score) in found.hosts().zip(scores) {
            assert!((host.score - score).abs() < 1e-6 && host.features.len() == HOST_FEATURES);
            assert!(host.score >= decision.score);
            assert!((host.estimate_s.ln() - host.score).abs() < 1e-3);
        }
        let outcome = found.outcome.expect("recorded");
        assert_eq!((outcome.status, outcome.latency_us, outcome.output_tokens), (Status::Timeout, 2500, 7));
        assert_eq!(outcome.first_token_us, None);
    });
}

#[test]
fn a_shadow_is_told_from_a_decision_that_was_followed() {
    let file = estimate_artifact(1.0);
    let model = Model::parse(&file).expect("valid");
    let words = words(8, 4);
    let ring = Ring::init(&words, 8, 4).expect("room");
    with_hosts(4, |state| {
        let _ = state.begin(3, 10, NOW_US);
        record(&ring, Some(&model), state, Actual::Host(3)).1.expect("recorded");
        record(&ring, None, state, Actual::AsDecided).1.expect("recorded");
        let bytes = bytes(&words);
        let found: Vec<_> = Records::parse(&bytes).expect("a ring").iter().flatten().collect();
        assert!(found[0].is_shadow() && found[0].actual == Some(3) && found[0].decided != Some(3));
        assert_eq!((found[1].reason, found[1].model), (Reason::NoPolicy, None));
        assert!(!found[1].is_shadow() && !found[1].has_features() && !found[1].has_scores());
        assert!(found[1].hosts().all(|host| host.score.is_nan() && host.estimate_s.is_nan()));
    });
}

#[test]
fn the_last_decisions_remain() {
    let words = words(3, 2);
    let ring = Ring::init(&words, 3, 2).expect("room");
    with_hosts(2, |state| {
        let sequences: Vec<_> = (0..8).map(|_| record(&ring, None, state, Actual::AsDecided).1).collect();
        assert_eq!(sequences, (0..8).map(Ok).collect::<Vec<_>>());
        let ticket = state.begin(0, 1, NOW_US).expect("host");
        let outcome = Outcome { status: Status::Success, output_tokens: 1, cached_tokens: None };
        assert_eq!(ring.record_outcome(4, &ticket, &outcome, NOW_US), Err(RingError::Gone));
        assert_eq!(ring.record_outcome(5, &ticket, &outcome, NOW_US), Ok(()));
        assert_eq!(ring.record_outcome(8, &ticket, &outcome, NOW_US), Err(RingError::Gone));
    });
    let bytes = bytes(&words);
    let records = Records::parse(&bytes).expect("a ring");
    let mut sequences: Vec<_> = records.iter().map(|record| record.expect("whole").sequence).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, [5, 6, 7]);
    assert_eq!(records.counts().begun, 8);
    with_hosts(3, |state| {
        assert_eq!(record(&ring, None, state, Actual::AsDecided).1, Err(RingError::Hosts));
        assert_eq!(ring.counts().too_many_hosts, 1);
    });
}

#[test]
fn what_is_torn_is_known_to_be() {
    let file = estimate_artifact(1.0);
    let model = Model::parse(&file).expect("valid");
    let words = words(2, 3);
    let ring = Ring::init(&words, 2, 3).expect("room");
    with_hosts(3, |state| {
        record(&ring, Some(&model), state, Actual::AsDecided).1.expect("recorded");
        let whole = bytes(&words);
        assert_eq!(Records::parse(&whole).expect("a ring").iter().flatten().count(), 1);
        // Any bit of a record but those of the outcome and the padding.
        let used = (0..56).chain(128..128 + 3 * 112);
        for at in used {
            let mut torn = whole.clone();
            torn[HEADER_BYTES + at] ^= 4;
            let found: Vec<_> = Records::parse(&torn).expect("a ring").iter().collect();
            assert!(matches!(found.as_slice(), [None]), "byte {at}");
        }
        // A writer that died in the middle: its place is taken over a round later.
        let begin = HEADER_BYTES / 8;
        words[begin].store((2 * 2 + 1u64).to_le(), Relaxed);
        assert_eq!(record(&ring, None, state, Actual::AsDecided).1, Ok(1));
        let third = record(&ring, None, state, Actual::AsDecided).1;
        assert_eq!(third, Err(RingError::Taken), "a writer of this round is at work");
        assert_eq!(record(&ring, None, state, Actual::AsDecided).1, Ok(3));
        assert_eq!(record(&ring, None, state, Actual::AsDecided).1, Err(RingError::Taken), "perhaps it only sleeps");
        assert_eq!(record(&ring, None, state, Actual::AsDecided).1, Ok(5));
        assert_eq!(record(&ring, None, state, Actual::AsDecided).1, Ok(6), "it has slept for a whole round");
        assert_eq!(ring.counts().place_taken, 2);
    });
}

#[test]
fn foreign_rings_are_refused() {
    assert_eq!(ring_bytes(0, 1), None);
    assert_eq!(ring_bytes(1, 1025), None);
    assert_eq!(ring_bytes((1 << 24) + 1, 1), None);
    let blank = words(2, 2);
    assert_eq!(Ring::attach(&blank).err(), Some(RingError::Foreign));
    assert_eq!(Ring::init(&blank[..50], 2, 2).err(), Some(RingError::Memory));
    assert_eq!(Ring::init(&blank, 0, 2).err(), Some(RingError::Numbers));
    Ring::init(&blank, 2, 2).expect("room");
    assert!(Ring::attach(&blank).is_ok());
    assert_eq!(Ring::attach(&blank[..blank.len() - 1]).err(), Some(RingError::Memory));
    let good = bytes(&blank);
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        Records::parse(&bytes).err()
    };
    assert_eq!(changed(0), Some(RecordError::Magic));
    assert_eq!(changed(8), Some(RecordError::Version));
    for at in [16, 24, 28, 32] {
        assert_eq!(changed(at), Some(RecordError::Header), "byte {at}");
    }
    assert_eq!(changed(36), Some(RecordError::Schema));
    assert_eq!(changed(40), Some(RecordError::Schema));
    assert_eq!(Records::parse(&good[..good.len() - 1]).err(), Some(RecordError::Truncated));
    assert_eq!(Records::parse(b"EK").err(), Some(RecordError::Truncated));
}

#[test]
fn many_writers_leave_whole_records() {
    const WRITERS: u64 = 4;
    const DECISIONS: u64 = 3000;
    let file = estimate_artifact(1.0);
    let model = Model::parse(&file).expect("valid");
    let words = words(16, 6);
    let ring = Ring::init(&words, 16, 6).expect("room");
    with_hosts(6, |state| {
        let recorded: u64 = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|_| {
                    scope.spawn(|| {
                        let write = |_| u64::from(record(&ring, Some(&model), state, Actual::AsDecided).1.is_ok());
                        (0..DECISIONS).map(write).sum::<u64>()
                    })
                })
                .collect();
            writers.into_iter().map(|writer| writer.join().expect("no writer panics")).sum()
        });
        let counts = ring.counts();
        assert_eq!(counts.begun, WRITERS * DECISIONS);
        assert_eq!(recorded + counts.place_taken, counts.begun, "each is recorded or counted");
        assert!(recorded > counts.begun / 4, "{recorded} of {}", counts.begun);
    });
    let bytes = bytes(&words);
    let found: Vec<_> = Records::parse(&bytes).expect("a ring").iter().collect();
    // One that was suspended until the others had come round may have torn a later one's.
    assert!(found.iter().filter(|record| record.is_none()).count() <= WRITERS as usize);
    for record in found.iter().flatten() {
        let lowest = record.hosts().map(|host| host.score).fold(f32::INFINITY, f32::min);
        assert_eq!((record.hosts().len(), record.score.to_bits()), (6, lowest.to_bits()));
    }
}
