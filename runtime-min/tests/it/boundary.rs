//! The C interface at its limits: pointers that are none, memory that is something else,
//! numbers that nobody means.
#![allow(unsafe_code, reason = "calls the C interface as C would, wrongly")]

use std::ffi::c_void;
use std::ptr;

use evenkeel_runtime::ffi::{
    EkCode, EkCounters, EkDecision, EkExplanation, EkHostExplanation, EkModel, EkOutcome, EkRequest, EkRing,
    EkRingCounts, EkState, EkStateOptions, EkStats, EkTelemetry, EkTicket, ek_begin, ek_classes_expected,
    ek_classes_note, ek_counters_read, ek_decide, ek_decisions, ek_explain, ek_finish, ek_first_token, ek_host_find,
    ek_host_register, ek_host_restarted, ek_host_stats, ek_host_weight, ek_hosts_warm, ek_model_load,
    ek_model_metadata, ek_model_size, ek_process_begin, ek_process_join, ek_record_attach, ek_record_counts,
    ek_record_decision, ek_record_init, ek_record_outcome, ek_record_size, ek_report, ek_report_orca, ek_scratch_size,
    ek_shared_state_size, ek_state_attach, ek_state_init, ek_state_open, ek_state_size,
};
use proptest::prelude::*;

use crate::builder::estimate_artifact;
use crate::guarded::Shared;

const HOSTS: u32 = 5;

/// All that a call may need, valid. Each part is on pages of its own.
pub(crate) struct Fixture {
    _artifact: Shared,
    _storage: Shared,
    pub(crate) model: *const EkModel,
    pub(crate) state_memory: Shared,
    pub(crate) state: *mut EkState,
    ring_memory: Shared,
    pub(crate) ring: *mut EkRing,
    pub(crate) scratch: Shared,
}

impl Fixture {
    /// A state of [`HOSTS`] hosts, which `processes_max` processes share.
    pub(crate) fn new(processes_max: u32) -> Self {
        let file = estimate_artifact(1.0);
        let mut artifact = Shared::new(file.len());
        artifact.bytes().copy_from_slice(&file);
        let storage = Shared::new(ek_model_size());
        let (mut model, mut state, mut ring) = (ptr::null(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: mapped memory of these sizes.
        let loaded = unsafe {
            ek_model_load(artifact.begin().cast(), file.len(), storage.begin().cast(), storage.len(), &raw mut model)
        };
        assert_eq!(loaded, EkCode::Ok);
        let state_memory = Shared::new(ek_shared_state_size(HOSTS, processes_max));
        let options = EkStateOptions { hosts_max: HOSTS, processes_max, ..options() };
        // SAFETY: mapped memory of this size, a structure that is filled in.
        let opened = unsafe {
            let memory = state_memory.begin().cast();
            ek_state_open(memory, state_memory.len(), &raw const options, &raw mut state, ptr::null_mut())
        };
        assert_eq!(opened, EkCode::Ok);
        let mut host = 0;
        for key in 1..=u64::from(HOSTS) {
            // SAFETY: a state, and a place for the index.
            assert_eq!(unsafe { ek_host_register(state, key, 1.0, 0, &raw mut host) }, EkCode::Ok);
        }
        let ring_memory = Shared::new(ek_record_size(4, HOSTS));
        // SAFETY: mapped memory of this size.
        let made = unsafe { ek_record_init(ring_memory.begin().cast(), ring_memory.len(), 4, HOSTS, &raw mut ring) };
        assert_eq!(made, EkCode::Ok);
        // SAFETY: a model.
        let scratch = Shared::new(unsafe { ek_scratch_size(model, HOSTS) });
        Self { _artifact: artifact, _storage: storage, model, state_memory, state, ring_memory, ring, scratch }
    }

    pub(crate) fn decide(&self, mask: &[u64], now_us: u64) -> (EkCode, EkDecision) {
        let request = request();
        let mut decision = decision();
        // SAFETY: everything is as it should be.
        let code = unsafe {
            ek_decide(
                self.model,
                self.state,
                &raw const request,
                mask.as_ptr(),
                mask.len(),
                now_us,
                self.scratch.begin().cast(),
                self.scratch.len(),
                &raw mut decision,
            )
        };
        (code, decision)
    }
}

fn options() -> EkStateOptions {
    EkStateOptions {
        struct_size: size_of::<EkStateOptions>() as u32,
        hosts_max: 1,
        processes_max: 0,
        if_other: 0,
        seed: 1,
    }
}

pub(crate) fn request() -> EkRequest {
    let struct_size = size_of::<EkRequest>() as u32;
    EkRequest { struct_size, prompt_tokens: 100, cached_tokens: ptr::null(), cached_tokens_len: 0, output_tokens: 0 }
}

fn decision() -> EkDecision {
    EkDecision { struct_size: size_of::<EkDecision>() as u32, host: 77, reason: 0, score: 0.0 }
}

pub(crate) fn outcome(status: u32) -> EkOutcome {
    EkOutcome { struct_size: size_of::<EkOutcome>() as u32, status, output_tokens: 5, reserved: 0 }
}

fn telemetry(numbers: [f32; 5]) -> EkTelemetry {
    let [running, waiting, pending_prefill_tokens, kv_use, step_s] = numbers;
    let struct_size = size_of::<EkTelemetry>() as u32;
    EkTelemetry { struct_size, running, waiting, pending_prefill_tokens, kv_use, step_s }
}

fn ticket() -> EkTicket {
    EkTicket { host: 0, prompt_tokens: 0, sent_us: 0, first_token_us: 0, in_flight_at_send: 0, under_way: 0 }
}

/// Checks that a call refuses NULL and a misaligned pointer in one place: `$bad` stands
/// for the address.
macro_rules! refuses {
    ($room:expr, $bad:ident => $call:expr) => {
        for (address, code) in [(0, EkCode::NullPointer), ($room + 1, EkCode::Misaligned)] {
            let $bad: usize = address;
            // SAFETY: neither NULL nor a misaligned pointer is followed.
            let returned = unsafe { $call };
            assert_eq!(returned, code, "{}", stringify!($call));
        }
    };
}

#[test]
fn no_pointer_is_trusted() {
    let all = Fixture::new(0);
    let room = Shared::new(4096);
    let at = room.begin() as usize;
    let (model, state, ring) = (all.model, all.state, all.ring);
    let (scratch, scratch_len) = (all.scratch.begin().cast(), all.scratch.len());
    let (request, mut decided, ended) = (request(), decision(), outcome(0));
    let (request, decided, ended) = (&raw const request, &raw mut decided, &raw const ended);
    let (mut under_way, mut host, mut size) = (ticket(), 0u32, 0usize);
    let (ticket, host, size) = (&raw mut under_way, &raw mut host, &raw mut size);
    let told = telemetry([1.0; 5]);
    let (no_mask, options) = (ptr::null(), options());
    let memory = all.state_memory.begin().cast::<c_void>();
    let (len, ring_len) = (all.state_memory.len(), all.ring_memory.len());
    let (mut found_state, mut found_ring, mut found_model) = (ptr::null_mut(), ptr::null_mut(), ptr::null());

    // The bytes of an artifact need no alignment.
    // SAFETY: NULL is not followed.
    let without_bytes = unsafe { ek_model_load(ptr::null(), 64, memory, len, &raw mut found_model) };
    assert_eq!(without_bytes, EkCode::NullPointer);
    refuses!(at, bad => ek_model_load(memory, 64, bad as *mut _, 4096, &raw mut found_model));
    refuses!(at, bad => ek_model_load(memory, 64, memory, len, bad as *mut _));
    refuses!(at, bad => ek_model_metadata(bad as *const _, at as *mut _, size));
    refuses!(at, bad => ek_model_metadata(model, bad as *mut _, size));
    refuses!(at, bad => ek_model_metadata(model, at as *mut _, bad as *mut _));
    refuses!(at, bad => ek_state_init(bad as *mut _, len, 1, 1, &raw mut found_state));
    refuses!(at, bad => ek_state_init(memory, len, 1, 1, bad as *mut _));
    refuses!(at, bad => ek_state_attach(bad as *mut _, len, &raw mut found_state));
    refuses!(at, bad => ek_state_attach(memory, len, bad as *mut _));
    refuses!(at, bad => ek_state_open(bad as *mut _, len, &raw const options, &raw mut found_state, ptr::null_mut()));
    refuses!(at, bad => ek_state_open(memory, len, bad as *const _, &raw mut found_state, ptr::null_mut()));
    refuses!(at, bad => ek_state_open(memory, len, &raw const options, bad as *mut _, ptr::null_mut()));
    refuses!(at, bad => ek_host_register(bad as *mut _, 1, 1.0, 0, host));
    refuses!(at, bad => ek_host_register(state, 1, 1.0, 0, bad as *mut _));
    refuses!(at, bad => ek_host_find(bad as *const _, 1, host));
    refuses!(at, bad => ek_host_find(state, 1, bad as *mut _));
    refuses!(at, bad => ek_host_weight(bad as *mut _, 0, 1.0));
    refuses!(at, bad => ek_host_restarted(bad as *mut _, 0, 1));
    refuses!(at, bad => ek_hosts_warm(bad as *mut _, 1, 1));
    refuses!(at, bad => ek_classes_expected(bad as *const _, 192, 1, host));
    refuses!(at, bad => ek_classes_expected(memory, 192, 1, bad as *mut _));
    refuses!(at, bad => ek_classes_note(bad as *mut _, 192, 1, 1));
    refuses!(at, bad => ek_host_stats(bad as *const _, 0, 0, at as *mut _));
    refuses!(at, bad => ek_host_stats(state, 0, 0, bad as *mut _));
    refuses!(at, bad => ek_process_join(bad as *mut _, 0, ptr::null_mut()));
    refuses!(at, bad => ek_process_begin(bad as *mut _, 0, 0, 1, 1, ticket));
    refuses!(at, bad => ek_decisions(bad as *const _, 0, at as *mut _));
    refuses!(at, bad => ek_decisions(state, 0, bad as *mut _));
    refuses!(at, bad => ek_counters_read(bad as *const _, at as *mut _));
    refuses!(at, bad => ek_counters_read(state, bad as *mut _));
    refuses!(at, bad => ek_begin(bad as *mut _, 0, 1, 1, ticket));
    refuses!(at, bad => ek_begin(state, 0, 1, 1, bad as *mut _));
    refuses!(at, bad => ek_first_token(bad as *mut _, ticket, 1));
    refuses!(at, bad => ek_first_token(state, bad as *mut _, 1));
    refuses!(at, bad => ek_finish(bad as *mut _, model, ticket, ended, 1));
    refuses!(at, bad => ek_finish(state, model, bad as *mut _, ended, 1));
    refuses!(at, bad => ek_report(bad as *mut _, 0, &raw const told, 1, 1));
    refuses!(at, bad => ek_report(state, 0, bad as *const _, 1, 1));
    refuses!(at, bad => ek_report_orca(bad as *mut _, 0, at as *const _, 1, 1));
    refuses!(at, bad => ek_decide(model, bad as *mut _, request, no_mask, 0, 1, scratch, scratch_len, decided));
    refuses!(at, bad => ek_decide(model, state, bad as *const _, no_mask, 0, 1, scratch, scratch_len, decided));
    refuses!(at, bad => ek_decide(model, state, request, bad as *const _, 1, 1, scratch, scratch_len, decided));
    refuses!(at, bad => ek_decide(model, state, request, no_mask, 0, 1, bad as *mut _, scratch_len, decided));
    refuses!(at, bad => ek_decide(model, state, request, no_mask, 0, 1, scratch, scratch_len, bad as *mut _));
    refuses!(at, bad => ek_explain(model, bad as *mut _, request, no_mask, 0, 1, scratch, scratch_len, at as *mut _));
    refuses!(at, bad => ek_explain(model, state, bad as *const _, no_mask, 0, 1, scratch, scratch_len, at as *mut _));
    refuses!(at, bad => ek_explain(model, state, request, no_mask, 0, 1, scratch, scratch_len, bad as *mut _));
    refuses!(at, bad => ek_record_init(bad as *mut _, ring_len, 4, HOSTS, &raw mut found_ring));
    refuses!(at, bad => ek_record_init(memory, ring_len, 4, HOSTS, bad as *mut _));
    refuses!(at, bad => ek_record_attach(bad as *mut _, ring_len, &raw mut found_ring));
    refuses!(at, bad => ek_record_attach(ring.cast(), ring_len, bad as *mut _));
    refuses!(at, bad => ek_record_counts(bad as *const _, at as *mut _));
    refuses!(at, bad => ek_record_counts(ring, bad as *mut _));
    refuses!(at, bad => ek_record_outcome(bad as *mut _, 0, ticket, ended, 1));
    refuses!(at, bad => ek_record_outcome(ring, 0, bad as *const _, ended, 1));
    refuses!(at, bad => ek_record_decision(bad as *mut _, model, state, request, no_mask, 0, 1, scratch, scratch_len, decided, 0, 0, ptr::null_mut()));
    refuses!(at, bad => ek_record_decision(ring, model, bad as *const _, request, no_mask, 0, 1, scratch, scratch_len, decided, 0, 0, ptr::null_mut()));
    refuses!(at, bad => ek_record_decision(ring, model, state, bad as *const _, no_mask, 0, 1, scratch, scratch_len, decided, 0, 0, ptr::null_mut()));
    refuses!(at, bad => ek_record_decision(ring, model, state, request, no_mask, 0, 1, scratch, scratch_len, bad as *const _, 0, 0, ptr::null_mut()));
    // Nothing of all this has changed anything.
    assert!(found_state.is_null() && found_ring.is_null() && found_model.is_null());
}

#[test]
fn memory_of_something_else_is_refused() {
    let all = Fixture::new(2);
    let blank = Shared::new(8192);
    let (state, ring, model) = (blank.begin().cast(), blank.begin().cast(), blank.begin().cast());
    let (mut host, mut taken, request, mut decided) = (0, 0, request(), decision());
    let (mask, scratch) = (ptr::null(), all.scratch.begin().cast());
    let (request, decided) = (&raw const request, &raw mut decided);
    // SAFETY: mapped memory everywhere, if not of what it is said to be.
    unsafe {
        assert_eq!(ek_host_register(state, 1, 1.0, 0, &raw mut host), EkCode::StateForeign);
        assert_eq!(ek_process_join(state, 0, &raw mut taken), EkCode::StateForeign);
        assert_eq!(ek_decide(model, all.state, request, mask, 0, 1, scratch, 0, decided), EkCode::ModelForeign);
        assert_eq!(ek_decide(all.model, state, request, mask, 0, 1, scratch, 0, decided), EkCode::StateForeign);
        // One for the other: each has its own mark.
        assert_eq!(
            ek_decide(all.model, all.ring.cast(), request, mask, 0, 1, scratch, 0, decided),
            EkCode::StateForeign
        );
        assert_eq!(
            ek_decide(all.state.cast(), all.state, request, mask, 0, 1, scratch, 0, decided),
            EkCode::ModelForeign
        );
        let mut counts: EkRingCounts = std::mem::zeroed();
        counts.struct_size = size_of::<EkRingCounts>() as u32;
        assert_eq!(ek_record_counts(ring, &raw mut counts), EkCode::RingForeign);
        assert_eq!(ek_record_counts(all.state.cast(), &raw mut counts), EkCode::RingForeign);
        let (mut found, begin) = (ptr::null_mut(), all.ring_memory.begin());
        assert_eq!(ek_record_attach(begin.cast(), all.ring_memory.len() - 8, &raw mut found), EkCode::MemorySize);
        begin.add(8).write(9);
        assert_eq!(ek_record_attach(begin.cast(), all.ring_memory.len(), &raw mut found), EkCode::RingLayout);
        assert_eq!(ek_record_counts(all.ring, &raw mut counts), EkCode::RingLayout);
    }
    assert_eq!((ek_state_size(0), ek_state_size(1025), ek_shared_state_size(1, 1025)), (0, 0, 0));
    assert_eq!((ek_record_size(0, 1), ek_record_size(1, 0), ek_record_size(1, 1025)), (0, 0, 0));
}

#[test]
fn structures_may_grow_and_reserved_fields_stay_zero() {
    let all = Fixture::new(0);
    let hosts = Shared::new(4096);
    let (request, scratch) = (request(), all.scratch.begin().cast());
    let explain = |explanation: &mut EkExplanation| {
        // SAFETY: everything is mapped and as long as it says.
        unsafe {
            ek_explain(
                all.model,
                all.state,
                &raw const request,
                ptr::null(),
                0,
                1,
                scratch,
                all.scratch.len(),
                explanation,
            )
        }
    };
    let element = size_of::<EkHostExplanation>() as u32;
    let asked = EkExplanation {
        struct_size: size_of::<EkExplanation>() as u32,
        host_size: element,
        hosts: hosts.begin().cast(),
        hosts_len: HOSTS,
        hosts_written: 77,
        reason: 77,
        best: 77,
        runner_up: 77,
        margin: 0.0,
    };
    for (changed, code) in [
        (EkExplanation { struct_size: asked.struct_size - 1, ..asked }, EkCode::StructSize),
        (EkExplanation { host_size: element - 4, ..asked }, EkCode::StructSize),
        (EkExplanation { host_size: element + 1, ..asked }, EkCode::StructSize),
        (EkExplanation { hosts_len: HOSTS - 1, ..asked }, EkCode::Capacity),
        (EkExplanation { hosts: ptr::null_mut(), ..asked }, EkCode::NullPointer),
    ] {
        let mut explanation = changed;
        assert_eq!(explain(&mut explanation), code);
        assert_eq!(explanation.hosts_written, 77, "nothing is written on failure");
    }
    let first = hosts.begin().cast::<c_void>().cast::<EkHostExplanation>();
    // Elements of a later, longer kind: their further fields are left alone.
    for host_size in [element, element + 16] {
        let mut explanation = EkExplanation { host_size, ..asked };
        assert_eq!(explain(&mut explanation), EkCode::Ok);
        assert_eq!((explanation.hosts_written, explanation.reason), (HOSTS, 0));
        for index in 0..HOSTS {
            // SAFETY: inside of the array.
            let host = unsafe { first.byte_add((index * host_size) as usize).read() };
            assert_eq!((host.host, host.eligible, host.reserved), (index, 1, 0));
        }
    }
    // SAFETY: all zeros are a valid structure of numbers.
    let mut counters: EkCounters = unsafe { std::mem::zeroed() };
    // SAFETY: a state, and a structure.
    assert_eq!(unsafe { ek_counters_read(all.state, &raw mut counters) }, EkCode::StructSize);
}

const NUMBERS: [f32; 9] =
    [0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-30, 3.0];
const CLOCKS_US: [u64; 7] = [0, 1, 5_000_000, 5_000_001, u64::MAX / 2, u64::MAX - 1, u64::MAX];

#[test]
fn no_report_and_no_clock_keeps_a_decision_from_an_eligible_host() {
    let all = Fixture::new(0);
    let mut ticket = ticket();
    let mut made = 0;
    // Forwards, and then backwards.
    for now_us in CLOCKS_US.into_iter().chain(CLOCKS_US.into_iter().rev()) {
        for (index, number) in NUMBERS.into_iter().enumerate() {
            let mut told = [1.0; 5];
            told[index % 5] = number;
            let telemetry = telemetry(told);
            let host = index as u32 % HOSTS;
            // SAFETY: a state, a report, a ticket and an outcome.
            unsafe {
                let code = ek_report(all.state, host, &raw const telemetry, now_us, now_us);
                assert!(matches!(code, EkCode::Ok | EkCode::ReportStale));
                assert_eq!(ek_begin(all.state, host, u32::MAX, now_us, &raw mut ticket), EkCode::Ok);
                let later = CLOCKS_US[index % CLOCKS_US.len()];
                assert_eq!(ek_first_token(all.state, &raw mut ticket, later), EkCode::Ok);
                let ended = outcome(index as u32 % 4);
                assert_eq!(ek_finish(all.state, all.model, &raw mut ticket, &raw const ended, later), EkCode::Ok);
            }
            let (code, decision) = all.decide(&[0b10110], now_us);
            assert_eq!(code, EkCode::Ok);
            assert!([1, 2, 4].contains(&decision.host), "{decision:?}");
            assert!(decision.reason != 0 || decision.score.is_finite(), "{decision:?}");
            made += u32::from(decision.reason == 0);
        }
    }
    assert!(made > 100, "nearly all of them by the policy: {made}");
    assert_eq!(all.decide(&[!0b11111], 1).0, EkCode::NoHost);
}

#[test]
fn stale_telemetry_is_counted() {
    let all = Fixture::new(0);
    let told = telemetry([1.0, 0.0, 0.0, 0.1, 0.02]);
    let stale = || {
        // SAFETY: all zeros are a valid structure of numbers.
        let mut counters: EkCounters = unsafe { std::mem::zeroed() };
        counters.struct_size = size_of::<EkCounters>() as u32;
        // SAFETY: a state, and a structure of the size it says.
        assert_eq!(unsafe { ek_counters_read(all.state, &raw mut counters) }, EkCode::Ok);
        (counters.policy, counters.stale_telemetry)
    };
    assert_eq!(all.decide(&[0b11], 1_000_000).1.reason, 0);
    assert_eq!(stale(), (1, 1), "never reported");
    for host in 0..2 {
        // SAFETY: a state and a report.
        assert_eq!(unsafe { ek_report(all.state, host, &raw const told, 1_000_000, 1_000_000) }, EkCode::Ok);
    }
    assert_eq!(all.decide(&[0b11], 30_000_000).1.reason, 0);
    assert_eq!(stale(), (2, 1), "reported 29 s ago");
    assert_eq!(all.decide(&[0b11], 31_000_001).1.reason, 0);
    assert_eq!(stale(), (3, 2), "reported 30 s ago");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever a broken process scribbled over hosts, counters and ledger.
    #[test]
    fn any_contents_of_a_state_are_survived(seed in any::<u64>(), dense in any::<bool>(), now_us in any::<u64>()) {
        let mut all = Fixture::new(2);
        let mut numbers = crate::mutate::Numbers::new(seed);
        // The mark, the layout and the sizes are what a state is known by.
        for byte in all.state_memory.bytes().iter_mut().skip(32) {
            if dense || numbers.below(16) == 0 {
                *byte = numbers.next() as u8;
            }
        }
        let mut taken_back = 0;
        // SAFETY: a state of the right size, however wrong.
        let code = unsafe { ek_process_join(all.state, 0, &raw mut taken_back) };
        prop_assert!(matches!(code, EkCode::Ok | EkCode::Busy));
        let (code, decision) = all.decide(&[0b01110], now_us);
        prop_assert!(code == EkCode::NoHost || (code == EkCode::Ok && [1, 2, 3].contains(&decision.host)));
        // SAFETY: all zeros are a valid structure of numbers.
        let mut stats: EkStats = unsafe { std::mem::zeroed() };
        stats.struct_size = size_of::<EkStats>() as u32;
        let mut begun = ticket();
        let ended = outcome(0);
        for host in 0..=HOSTS {
            // SAFETY: as above.
            unsafe {
                let code = ek_host_stats(all.state, host, now_us, &raw mut stats);
                prop_assert!(matches!(code, EkCode::Ok | EkCode::HostUnknown));
                let code = ek_process_begin(all.state, 0, host, 100, now_us, &raw mut begun);
                prop_assert!(matches!(code, EkCode::Ok | EkCode::HostUnknown | EkCode::ProcessUnknown));
                if code == EkCode::Ok {
                    let code = ek_finish(all.state, all.model, &raw mut begun, &raw const ended, now_us);
                    prop_assert!(matches!(code, EkCode::Ok | EkCode::Ticket));
                }
            }
        }
    }
}
