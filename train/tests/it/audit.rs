//! `evenkeel audit` on a ring that the runtime recorded.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use evenkeel_runtime::record::{Actual, HEADER_BYTES, Ring, ring_bytes};
use evenkeel_runtime::{Eligible, HostSlot, Model, Outcome, Request, State, StateHeader, Status, Telemetry, decide};
use serde_json::Value;

use crate::support::{fail, succeed, text, write_artifact};

const HOSTS: usize = 4;
const DECISIONS: u32 = 40;

/// Records decisions in shadow mode: host 3, which is loaded, is what another rule always
/// chooses.
fn write_ring(folder: &Path, artifact: &Path) -> PathBuf {
    let bytes = std::fs::read(artifact).expect("an artifact");
    let model = Model::parse(&bytes).expect("valid");
    let words: Vec<_> = (0..ring_bytes(64, 8).expect("in range") / 8).map(|_| AtomicU64::new(0)).collect();
    let ring = Ring::init(&words, 64, 8).expect("room");
    let (header, slots) = (StateHeader::new(1), std::array::from_fn::<_, HOSTS, _>(|_| HostSlot::default()));
    let state = State::new(&header, &slots);
    for key in 1..=HOSTS as u64 {
        let host = state.register(key, 1.0, 0).expect("room");
        let load = Telemetry { running: if key == 4 { 50.0 } else { 1.0 }, ..Telemetry::UNKNOWN };
        state.report(host, &load, 1000, 1000);
    }
    let mut scratch = vec![0.0; decide::scratch_len(&model, HOSTS)];
    for number in 0..DECISIONS {
        let now_us = 2000 + u64::from(number) * 1000;
        let request = Request { prompt_tokens: 100 + number, ..Request::default() };
        let all = Eligible::All;
        let decision = decide(Some(&model), &state, &request, all, now_us, &mut scratch);
        let shadow = Actual::Host(3);
        let sequence = ring.record(Some(&model), &state, &request, all, now_us, &mut scratch, &decision, shadow);
        let ticket = state.begin(3, request.prompt_tokens, now_us).expect("host");
        let ended = Outcome { status: Status::Success, output_tokens: 10, cached_tokens: None };
        ring.record_outcome(sequence.expect("recorded"), &ticket, &ended, now_us + 500_000).expect("there");
        state.finish(&ticket, &ended, Some(model.service()), now_us + 500_000);
    }
    let path = folder.join("ring");
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
    std::fs::write(&path, bytes).expect("a writable folder");
    path
}

#[test]
fn recorded_decisions_are_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let artifact = write_artifact(folder.path());
    let ring = write_ring(folder.path(), &artifact);
    let json = folder.path().join("audit.json");
    let printed = succeed(&["audit", "--model", text(&artifact), "--record", text(&ring), "--json", text(&json)]);
    assert!(printed.contains("40 agree, 0 do not"), "{printed}");
    let audit: Value = serde_json::from_slice(&std::fs::read(&json).expect("written")).expect("JSON");
    assert_eq!(audit["records"], 40);
    assert_eq!(audit["agreement"]["agree"], 40);
    let reason = &audit["reasons"][0];
    assert_eq!((&reason["reason"], &reason["shadow"], &reason["differ"]), (&"policy".into(), &40.into(), &40.into()));
    assert!(audit["difference"]["mean_difference_s"].as_f64().expect("a number") > 0.0, "host 3 is loaded: {audit}");
    assert_eq!(audit["difference"]["decided_better_share"], 1.0);
    assert!(audit["outcomes_as_decided"].is_null());
    assert!((audit["outcomes_otherwise"]["latency_mean_s"].as_f64().expect("a number") - 0.5).abs() < 1e-9);
}

#[test]
fn what_the_model_would_not_decide_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let artifact = write_artifact(folder.path());
    let ring = write_ring(folder.path(), &artifact);
    let mut bytes = std::fs::read(&ring).expect("a ring");
    let arguments = ["audit", "--model", text(&artifact), "--record", text(&ring)];

    // A damaged record is torn, not wrong.
    bytes[HEADER_BYTES + 130] ^= 1;
    std::fs::write(&ring, &bytes).expect("a writable folder");
    let printed = succeed(&arguments);
    assert!(printed.contains("39 records of 40 decisions, 1 torn"), "{printed}");

    // A policy that prefers the costliest host, recorded as if by the model.
    bytes[HEADER_BYTES + 130] ^= 1;
    let decided_worst = |place: &mut [u8]| place[24..28].copy_from_slice(&3u32.to_le_bytes());
    let begin = HEADER_BYTES;
    decided_worst(&mut bytes[begin..]);
    reseal(&mut bytes[begin..begin + 128 + HOSTS * 112]);
    std::fs::write(&ring, &bytes).expect("a writable folder");
    let error = fail(&arguments);
    assert!(error.contains("1 of 40 decisions") && error.contains("[0]"), "{error}");

    bytes[0] = b'X';
    std::fs::write(&ring, &bytes).expect("a writable folder");
    assert!(fail(&arguments).contains("not a ring of recorded decisions"));
}

/// Makes the check of a record right again, as `docs/runtime.md` describes it.
fn reseal(record: &mut [u8]) {
    let word = |index: usize| u64::from_le_bytes(record[8 * index..8 * index + 8].try_into().expect("8 bytes"));
    let covered = [0, 1, 2, 3, 4, 5].into_iter().chain(16..record.len() / 8).map(word);
    let check = covered.fold(14_695_981_039_346_656_037_u64, |check, word| {
        let mixed = (check ^ word).wrapping_mul(1_099_511_628_211);
        mixed ^ (mixed >> 32)
    });
    record[48..56].copy_from_slice(&check.to_le_bytes());
}
