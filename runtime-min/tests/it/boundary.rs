//! The C interface at its limits: pointers that are none, memory that is something else,
//! numbers that nobody means.
#![allow(unsafe_code, reason = "calls the C interface as C would, wrongly")]

use std::ffi::c_void;
use std::ptr;

use evenkeel_runtime::ffi::types::{EK_NO_PROCESS, EK_UNKNOWN_TOKENS};
use evenkeel_runtime::ffi::{
    EkChoice, EkCode, EkCounters, EkEligible, EkExplanation, EkFacts, EkHostExplanation, EkModel, EkOutcome, EkRing,
    EkRingCounts, EkStats, EkTelemetry, EkTicket, EkUpstream, EkUpstreamOptions, ek_host_register, ek_host_report,
    ek_host_stats, ek_model_load, ek_model_size, ek_record_attach, ek_record_counts, ek_record_init, ek_record_size,
    ek_scratch_size, ek_upstream_begin, ek_upstream_choose, ek_upstream_counters, ek_upstream_explain,
    ek_upstream_finish, ek_upstream_first_token, ek_upstream_join, ek_upstream_size, ek_upstream_tick,
};
use proptest::prelude::*;

use crate::guarded::Shared;
use crate::processes::{self, FACTS, memory_for, open};
use evenkeel_dev::builder::estimate_artifact;

const HOSTS: u32 = 5;

/// All that a call may need, valid. Each part is on pages of its own.
pub(crate) struct Fixture {
    _artifact: Shared,
    _storage: Shared,
    pub(crate) model: *const EkModel,
    pub(crate) memory: Shared,
    pub(crate) upstream: *mut EkUpstream,
    pub(crate) ring_memory: Shared,
    pub(crate) ring: *mut EkRing,
    pub(crate) scratch: Shared,
}

impl Fixture {
    /// An upstream of [`HOSTS`] hosts, which `processes_max` processes share.
    pub(crate) fn new(processes_max: u32) -> Self {
        let file = estimate_artifact(1.0);
        let mut artifact = Shared::new(file.len());
        artifact.bytes().copy_from_slice(&file);
        let storage = Shared::new(ek_model_size());
        let (mut model, mut ring) = (ptr::null(), ptr::null_mut());
        // SAFETY: mapped memory of these sizes.
        let loaded = unsafe {
            ek_model_load(artifact.begin().cast(), file.len(), storage.begin().cast(), storage.len(), &raw mut model)
        };
        assert_eq!(loaded, EkCode::Ok);
        let memory = memory_for(&options(HOSTS, processes_max));
        let (upstream, _) = open(&memory, &options(HOSTS, processes_max)).expect("blank memory");
        let mut host = 0;
        for key in 1..=u64::from(HOSTS) {
            // SAFETY: an upstream, and a place for the index.
            assert_eq!(unsafe { ek_host_register(upstream, key, 1.0, 0, &raw mut host) }, EkCode::Ok);
        }
        let ring_memory = Shared::new(ek_record_size(4, HOSTS));
        // SAFETY: mapped memory of this size.
        let made = unsafe { ek_record_init(ring_memory.begin().cast(), ring_memory.len(), 4, HOSTS, &raw mut ring) };
        assert_eq!(made, EkCode::Ok);
        // SAFETY: a model.
        let scratch = Shared::new(unsafe { ek_scratch_size(model, HOSTS) });
        Self { _artifact: artifact, _storage: storage, model, memory, upstream, ring_memory, ring, scratch }
    }

    pub(crate) fn choose(&self, mask: &[u64], now_us: u64) -> (EkCode, EkChoice) {
        let (asked, mut made) = (facts(), choice());
        let struct_size = size_of::<EkEligible>() as u32;
        let words = mask.len() as u32;
        let eligible = EkEligible { struct_size, words, hosts: mask.as_ptr(), tried: ptr::null() };
        // SAFETY: everything is as it should be.
        let code = unsafe {
            ek_upstream_choose(
                self.upstream,
                self.model,
                &raw const asked,
                &raw const eligible,
                now_us,
                self.scratch.begin().cast(),
                self.scratch.len(),
                &raw mut made,
            )
        };
        (code, made)
    }

    pub(crate) fn stats(&self, host: u32) -> EkStats {
        processes::stats(self.upstream, host)
    }
}

pub(crate) fn options(hosts_max: u32, processes_max: u32) -> EkUpstreamOptions {
    processes::options(hosts_max, processes_max, evenkeel_runtime::ffi::EkIfOther::Refuse)
}

/// A prompt with all keys.
pub(crate) fn facts() -> EkFacts {
    EkFacts { output_tokens_max: 50, prefix_keys: [1, 2, 3, 4, 5], session_key: 6, class_key: 7, ..FACTS }
}

pub(crate) fn choice() -> EkChoice {
    let struct_size = size_of::<EkChoice>() as u32;
    EkChoice { struct_size, host: 77, reason: 77, score: 0.0, cached_tokens: 77, output_tokens: 77 }
}

pub(crate) fn outcome(status: u32) -> EkOutcome {
    let struct_size = size_of::<EkOutcome>() as u32;
    EkOutcome { struct_size, status, output_tokens: 5, cached_tokens: EK_UNKNOWN_TOKENS }
}

pub(crate) fn telemetry(numbers: [f32; 5]) -> EkTelemetry {
    let [running, waiting, pending_prefill_tokens, kv_use, step_s] = numbers;
    let struct_size = size_of::<EkTelemetry>() as u32;
    EkTelemetry { struct_size, running, waiting, pending_prefill_tokens, kv_use, step_s }
}

pub(crate) fn ticket() -> EkTicket {
    EkTicket {
        host: 0,
        prompt_tokens: 0,
        sent_us: 0,
        first_token_us: 0,
        in_flight_at_send: 0,
        cached_tokens: 0,
        cached_age: 0,
        owner: 0,
        under_way: 0,
        reserved: 0,
    }
}

#[test]
fn memory_of_something_else_is_refused() {
    let all = Fixture::new(2);
    let blank = Shared::new(8192);
    let (upstream, ring, model) = (blank.begin().cast(), blank.begin().cast(), blank.begin().cast());
    let (mut host, mut taken, asked, mut made) = (0, 0, facts(), choice());
    let (every, scratch) = (ptr::null(), all.scratch.begin().cast());
    let (asked, made) = (&raw const asked, &raw mut made);
    // SAFETY: mapped memory everywhere, if not of what it is said to be.
    unsafe {
        assert_eq!(ek_host_register(upstream, 1, 1.0, 0, &raw mut host), EkCode::UpstreamForeign);
        assert_eq!(ek_upstream_join(upstream, 0, &raw mut taken), EkCode::UpstreamForeign);
        assert_eq!(ek_upstream_tick(upstream, ptr::null(), 0, 1, 0.0, ptr::null_mut(), 0), EkCode::UpstreamForeign);
        let choose = |upstream, model| ek_upstream_choose(upstream, model, asked, every, 1, scratch, 0, made);
        assert_eq!(choose(all.upstream, model), EkCode::ModelForeign);
        assert_eq!(choose(upstream, all.model), EkCode::UpstreamForeign);
        // One for the other: each has its own mark.
        assert_eq!(choose(all.ring.cast(), all.model), EkCode::UpstreamForeign);
        assert_eq!(choose(all.upstream, all.upstream.cast_const().cast()), EkCode::ModelForeign);
        let mut counts: EkRingCounts = std::mem::zeroed();
        counts.struct_size = size_of::<EkRingCounts>() as u32;
        assert_eq!(ek_record_counts(ring, &raw mut counts), EkCode::RingForeign);
        assert_eq!(ek_record_counts(all.upstream.cast(), &raw mut counts), EkCode::RingForeign);
        let (mut found, begin) = (ptr::null_mut(), all.ring_memory.begin());
        assert_eq!(ek_record_attach(begin.cast(), all.ring_memory.len() - 8, &raw mut found), EkCode::MemorySize);
        begin.add(8).write(9);
        assert_eq!(ek_record_attach(begin.cast(), all.ring_memory.len(), &raw mut found), EkCode::RingLayout);
        assert_eq!(ek_record_counts(all.ring, &raw mut counts), EkCode::RingLayout);
    }
    let [no_host, too_many_hosts, too_many_processes] = [(0, 0), (1025, 0), (1, 1025)].map(|(hosts, processes)| {
        let options = options(hosts, processes);
        // SAFETY: the structure is filled in.
        unsafe { ek_upstream_size(&raw const options) }
    });
    assert_eq!((no_host, too_many_hosts, too_many_processes), (0, 0, 0));
    assert_eq!((ek_record_size(0, 1), ek_record_size(1, 0), ek_record_size(1, 1025)), (0, 0, 0));
}

#[test]
fn structures_may_grow_and_reserved_fields_stay_zero() {
    let all = Fixture::new(0);
    let hosts = Shared::new(4096);
    let (asked, scratch) = (facts(), all.scratch.begin().cast());
    let explain = |explanation: &mut EkExplanation| {
        // SAFETY: everything is mapped and as long as it says.
        unsafe {
            ek_upstream_explain(
                all.upstream,
                all.model,
                &raw const asked,
                ptr::null(),
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
    // SAFETY: an upstream, and a structure.
    assert_eq!(unsafe { ek_upstream_counters(all.upstream, &raw mut counters) }, EkCode::StructSize);
}

const NUMBERS: [f32; 9] =
    [0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-30, 3.0];
const CLOCKS_US: [u64; 7] = [0, 1, 5_000_000, 5_000_001, u64::MAX / 2, u64::MAX - 1, u64::MAX];

#[test]
fn no_report_and_no_clock_keeps_a_choice_from_an_eligible_host() {
    let all = Fixture::new(0);
    let (asked, mut ticket) = (EkFacts { prompt_tokens: u32::MAX, ..facts() }, ticket());
    let mut made = 0;
    // Forwards, and then backwards.
    for now_us in CLOCKS_US.into_iter().chain(CLOCKS_US.into_iter().rev()) {
        for (index, number) in NUMBERS.into_iter().enumerate() {
            let mut told = [1.0; 5];
            told[index % 5] = number;
            let telemetry = telemetry(told);
            let host = index as u32 % HOSTS;
            let (upstream, model, ticket, asked) = (all.upstream, all.model, &raw mut ticket, &raw const asked);
            // SAFETY: an upstream, a report, a ticket, facts and an outcome.
            unsafe {
                let code = ek_host_report(upstream, host, &raw const telemetry, now_us, now_us);
                assert!(matches!(code, EkCode::Ok | EkCode::ReportStale));
                let code = ek_upstream_begin(upstream, EK_NO_PROCESS, model, asked, host, now_us, ticket);
                assert_eq!(code, EkCode::Ok);
                let later = CLOCKS_US[index % CLOCKS_US.len()];
                assert_eq!(ek_upstream_first_token(upstream, ticket, later), EkCode::Ok);
                let cached_tokens = later as u32;
                let ended = EkOutcome { output_tokens: cached_tokens, cached_tokens, ..outcome(index as u32 % 5) };
                assert_eq!(ek_upstream_finish(upstream, model, ticket, asked, &raw const ended, later), EkCode::Ok);
                let code = ek_upstream_tick(upstream, ptr::null(), later, now_us, later as f64, ptr::null_mut(), 0);
                assert_eq!(code, EkCode::Ok);
            }
            let (code, choice) = all.choose(&[0b10110], now_us);
            assert_eq!(code, EkCode::Ok);
            assert!([1, 2, 4].contains(&choice.host), "{choice:?}");
            assert!(choice.reason != 0 || choice.score.is_finite(), "{choice:?}");
            made += u32::from(choice.reason == 0);
        }
    }
    assert!(made > 100, "nearly all of them by the policy: {made}");
    assert_eq!(all.choose(&[!0b11111], 1).0, EkCode::NoHost);
}

#[test]
fn stale_telemetry_is_counted() {
    let all = Fixture::new(0);
    let told = telemetry([1.0, 0.0, 0.0, 0.1, 0.02]);
    let stale = || {
        // SAFETY: all zeros are a valid structure of numbers.
        let mut counters: EkCounters = unsafe { std::mem::zeroed() };
        counters.struct_size = size_of::<EkCounters>() as u32;
        // SAFETY: an upstream, and a structure of the size it says.
        assert_eq!(unsafe { ek_upstream_counters(all.upstream, &raw mut counters) }, EkCode::Ok);
        (counters.policy, counters.stale_telemetry)
    };
    assert_eq!(all.choose(&[0b11], 1_000_000).1.reason, 0);
    assert_eq!(stale(), (1, 0), "never reported, and so not expected to");
    for host in 0..2 {
        // SAFETY: an upstream and a report.
        assert_eq!(unsafe { ek_host_report(all.upstream, host, &raw const told, 1_000_000, 1_000_000) }, EkCode::Ok);
    }
    assert_eq!(all.choose(&[0b11], 30_000_000).1.reason, 0);
    assert_eq!(stale(), (2, 0), "reported 29 s ago");
    assert_eq!(all.choose(&[0b11], 31_000_001).1.reason, 0);
    assert_eq!(stale(), (3, 1), "reported 30 s ago");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever a broken process scribbled over hosts, counters and ledger.
    #[test]
    fn any_contents_of_an_upstream_are_survived(seed in any::<u64>(), dense in any::<bool>(), now_us in any::<u64>()) {
        let mut all = Fixture::new(2);
        let mut numbers = crate::mutate::Numbers::new(seed);
        // The mark, the layout and the sizes are what an upstream is known by.
        let is_known = |at: usize| at < 28 || (32..44).contains(&at);
        for (_, byte) in all.memory.bytes().iter_mut().enumerate().filter(|(at, _)| !is_known(*at)) {
            if dense || numbers.below(16) == 0 {
                *byte = numbers.next() as u8;
            }
        }
        // SAFETY: an upstream of the right size, however wrong.
        let code = unsafe { ek_upstream_tick(all.upstream, all.model, seed, now_us, 1e9, ptr::null_mut(), 0) };
        prop_assert_eq!(code, EkCode::Ok);
        let mut taken_back = 0;
        // SAFETY: an upstream of the right size, however wrong.
        let code = unsafe { ek_upstream_join(all.upstream, 0, &raw mut taken_back) };
        prop_assert!(matches!(code, EkCode::Ok | EkCode::Busy));
        let (code, choice) = all.choose(&[0b01110], now_us);
        prop_assert!(code == EkCode::NoHost || (code == EkCode::Ok && [1, 2, 3].contains(&choice.host)));
        // SAFETY: all zeros are a valid structure of numbers.
        let mut stats: EkStats = unsafe { std::mem::zeroed() };
        stats.struct_size = size_of::<EkStats>() as u32;
        let mut begun = ticket();
        let (asked, ended) = (facts(), outcome(0));
        for host in 0..=HOSTS {
            // SAFETY: as above.
            unsafe {
                let code = ek_host_stats(all.upstream, host, now_us, &raw mut stats);
                prop_assert!(matches!(code, EkCode::Ok | EkCode::HostUnknown));
                let code = ek_upstream_begin(all.upstream, 0, all.model, &raw const asked, host, now_us, &raw mut begun);
                prop_assert!(matches!(code, EkCode::Ok | EkCode::HostUnknown | EkCode::ProcessUnknown));
                if code == EkCode::Ok {
                    let code = ek_upstream_finish(all.upstream, all.model, &raw mut begun, &raw const asked, &raw const ended, now_us);
                    prop_assert!(matches!(code, EkCode::Ok | EkCode::Ticket));
                }
            }
        }
    }
}
