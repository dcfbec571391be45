//! Artifacts are untrusted: whatever the bytes, parsing returns.

use evenkeel_runtime::artifact::{ArtifactError, format};
use evenkeel_runtime::program::Op;
use evenkeel_runtime::{Eligible, Engine, Fifo, HOST_FEATURES, HostSlot, Model, Request, State, StateHeader, decide};
use proptest::prelude::*;

use evenkeel_dev::builder::{artifact, estimate_artifact, instruction, program, rows, seal, service};

#[test]
fn reads_what_was_written() {
    let file = estimate_artifact(1.0);
    let model = Model::parse(&file).expect("valid");
    assert_eq!(model.metadata_json(), r#"{"made":"for a test"}"#);
    assert_eq!(*model.service(), service());
    assert_eq!(model.policy().map(|policy| policy.program().input_width()), Some(HOST_FEATURES));
    assert!(model.forecaster().is_none());
}

#[test]
fn names_what_is_wrong() {
    use ArtifactError as E;
    let good = estimate_artifact(1.0);
    let changed = |at: usize, to: u8, sealed: bool| {
        let mut file = good.clone();
        file[at] = to;
        if sealed {
            seal(&mut file);
        }
        Model::parse(&file).map(|_| ()).expect_err("must be refused")
    };
    assert_eq!(Model::parse(&[]).map(|_| ()), Err(E::Truncated));
    assert_eq!(Model::parse(&good[..good.len() - 1]).map(|_| ()), Err(E::Truncated));
    assert_eq!(Model::parse(&[good.as_slice(), &[0]].concat()).map(|_| ()), Err(E::Length));
    assert_eq!(changed(0, b'X', false), E::Magic);
    assert_eq!(changed(8, 9, false), E::Version);
    assert_eq!(changed(16, !good[16], false), E::Schema);
    assert_eq!(changed(good.len() - 3, !good[good.len() - 3], false), E::Checksum);
    assert_eq!(changed(12, 200, true), E::Sections);
    assert_eq!(changed(64 + 8, 1, true), E::Sections, "section not aligned");
    assert_eq!(changed(64 + 16 + 6, 1, true), E::Sections, "section beyond the end");

    let narrow = program(&[rows(3), rows(3)], &[instruction(Op::Tanh, 1, 0, 0)], &[], 1);
    let sections =
        |policy: Vec<u8>| artifact(&[(format::SERVICE, service().encode().to_vec()), (format::POLICY, policy)]);
    assert_eq!(Model::parse(&sections(narrow)).map(|_| ()), Err(E::ProgramInterface));
    let mut hopeless = service();
    hopeless.engine = Engine::Fifo(Fifo { service_mean_s: 1.0, servers: 0.0 });
    let file = artifact(&[(format::SERVICE, hopeless.encode().to_vec())]);
    assert_eq!(Model::parse(&file).map(|_| ()), Err(E::Service));
    let twice =
        artifact(&[(format::SERVICE, service().encode().to_vec()), (format::SERVICE, service().encode().to_vec())]);
    assert_eq!(Model::parse(&twice).map(|_| ()), Err(E::Sections));
}

/// If an artifact is accepted, deciding with it works and picks a host.
fn use_if_accepted(file: &[u8]) {
    let Ok(model) = Model::parse(file) else { return };
    let header = StateHeader::new(1);
    let slots: [HostSlot; 3] = std::array::from_fn(|_| HostSlot::default());
    let state = State::new(&header, &slots);
    for key in 1..=3 {
        state.register(key, 1.0, 0).expect("room");
    }
    let mut scratch = vec![0.0; model.policy().map_or(0, |policy| policy.scratch_len(3)).min(1 << 22)];
    let decision = decide(Some(&model), &state, &Request::default(), Eligible::All, 1, &mut scratch);
    assert!(decision.host.is_some_and(|host| host < 3));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_crash(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        use_if_accepted(&bytes);
    }
}
