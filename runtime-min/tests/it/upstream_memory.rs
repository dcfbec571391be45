//! An upstream in a block of the caller's memory: found again, refused, shared, its history kept.
#![allow(unsafe_code, reason = "calls the C interface, and forks")]

use std::ptr;

use evenkeel_runtime::artifact::format;
use evenkeel_runtime::ffi::{
    EkChoice, EkCode, EkFacts, EkForecast, EkIfOther, EkModel, EkOutcome, EkTicket, EkUpstream, EkUpstreamOptions,
    ek_host_register, ek_host_restarted, ek_model_history, ek_model_load, ek_model_size, ek_scratch_size,
    ek_upstream_arrived, ek_upstream_attach, ek_upstream_begin, ek_upstream_choose, ek_upstream_finish,
    ek_upstream_forecast, ek_upstream_size, ek_upstream_tick,
};
use evenkeel_runtime::forecast::Calibration;

use crate::boundary::{choice, facts, outcome, ticket};
use crate::guarded::Shared;
use crate::mutate::forecaster;
use crate::processes::{SECOND_US, fork, join, memory_for, open, options};
use evenkeel_dev::builder::{artifact, service};

fn attach(memory: &Shared, len: usize) -> Result<*mut EkUpstream, EkCode> {
    let mut upstream = ptr::null_mut();
    // SAFETY: mapped memory of at least this size.
    let code = unsafe { ek_upstream_attach(memory.begin().cast(), len, &raw mut upstream) };
    if code == EkCode::Ok { Ok(upstream) } else { Err(code) }
}

#[test]
fn another_size_is_another_upstream() {
    let wanted = EkUpstreamOptions { history_values: 100, ..options(3, 2, EkIfOther::Refuse) };
    let memory = memory_for(&wanted);
    assert_eq!(attach(&memory, memory.len()), Err(EkCode::UpstreamForeign), "blank memory");
    let (upstream, was_made) = open(&memory, &wanted).expect("blank memory");
    assert!(was_made && attach(&memory, memory.len()) == Ok(upstream));
    assert_eq!(open(&memory, &wanted), Ok((upstream, false)));
    for len in [0, 8, 127, memory.len() - 1] {
        assert_eq!(attach(&memory, len), Err(EkCode::MemorySize), "{len}");
    }
    for other in [
        EkUpstreamOptions { hosts_max: 2, ..wanted },
        EkUpstreamOptions { processes_max: 0, ..wanted },
        EkUpstreamOptions { affinity_entries: 0, ..wanted },
        EkUpstreamOptions { class_entries: 0, ..wanted },
        EkUpstreamOptions { history_values: 99, ..wanted },
    ] {
        assert_eq!(open(&memory, &other), Err(EkCode::UpstreamLayout), "{other:?}");
    }
    // Entries come in sets of eight: as many sets are the same upstream.
    let rounded = EkUpstreamOptions { affinity_entries: wanted.affinity_entries - 7, ..wanted };
    assert_eq!(open(&memory, &rounded), Ok((upstream, false)));
    for (refused, code) in [
        (EkUpstreamOptions { hosts_max: 0, ..wanted }, EkCode::MaxHosts),
        (EkUpstreamOptions { hosts_max: 1025, ..wanted }, EkCode::MaxHosts),
        (EkUpstreamOptions { processes_max: 1025, ..wanted }, EkCode::MaxHosts),
        (EkUpstreamOptions { affinity_entries: u32::MAX, ..wanted }, EkCode::Capacity),
        (EkUpstreamOptions { class_entries: (1 << 24) + 1, ..wanted }, EkCode::Capacity),
        (EkUpstreamOptions { history_values: (1 << 24) + 1, ..wanted }, EkCode::Capacity),
        (EkUpstreamOptions { struct_size: wanted.struct_size - 1, ..wanted }, EkCode::StructSize),
    ] {
        assert_eq!(open(&memory, &refused), Err(code), "{refused:?}");
        // SAFETY: a structure of its size.
        assert_eq!(unsafe { ek_upstream_size(&raw const refused) }, 0, "{refused:?}");
    }
    assert_eq!(open(&memory, &EkUpstreamOptions { reserved: 1, ..wanted }), Err(EkCode::Reserved));
    assert_eq!(open(&memory, &EkUpstreamOptions { if_other: 2, ..wanted }), Err(EkCode::Enumeration));
    let larger = EkUpstreamOptions { hosts_max: 4, ..wanted };
    assert_eq!(open(&memory, &larger), Err(EkCode::MemorySize));
}

#[test]
fn sizes_that_were_scribbled_over_are_no_upstream() {
    let wanted = options(3, 2, EkIfOther::Refuse);
    let mut memory = memory_for(&wanted);
    open(&memory, &wanted).expect("blank memory");
    // Layout, hosts, size, processes, sets of prefixes and of classes, values of history.
    for at in [8, 12, 16, 24, 32, 36, 40] {
        for value in [0, 1 << 20, u32::MAX] {
            let before: [u8; 4] = memory.bytes()[at..at + 4].try_into().expect("four");
            memory.bytes()[at..at + 4].copy_from_slice(&value.to_le_bytes());
            if before != value.to_le_bytes() {
                assert_eq!(attach(&memory, memory.len()), Err(EkCode::UpstreamLayout), "{value} at {at}");
            }
            memory.bytes()[at..at + 4].copy_from_slice(&before);
        }
    }
    assert!(attach(&memory, memory.len()).is_ok());
}

/// A model in memory of its own.
struct Loaded {
    _bytes: Shared,
    _storage: Shared,
    model: *const EkModel,
}

impl Loaded {
    /// A model that forecasts in steps of so many seconds.
    fn new(step_s: f32) -> Self {
        let calibration = (format::CALIBRATION, Calibration::new(step_s).encode().to_vec());
        let service = (format::SERVICE, service().encode().to_vec());
        let file = artifact(&[service, (format::FORECAST, forecaster()), calibration]);
        let mut bytes = Shared::new(file.len());
        bytes.bytes().copy_from_slice(&file);
        let storage = Shared::new(ek_model_size());
        let mut model = ptr::null();
        let (begin, place) = (bytes.begin().cast(), storage.begin().cast());
        // SAFETY: mapped memory of these sizes.
        let code = unsafe { ek_model_load(begin, file.len(), place, storage.len(), &raw mut model) };
        assert_eq!(code, EkCode::Ok);
        Self { _bytes: bytes, _storage: storage, model }
    }

    fn history(&self) -> u32 {
        // SAFETY: a model.
        unsafe { ek_model_history(self.model) }
    }
}

/// The time goes on by a second, with a request.
fn tick(upstream: *mut EkUpstream, model: *const EkModel, second: u64) -> EkCode {
    // SAFETY: an upstream, a model, and scratch memory as large as it asks for.
    unsafe {
        let scratch = Shared::new(ek_scratch_size(model, 1).max(1));
        let (place, len) = (scratch.begin().cast(), ek_scratch_size(model, 1));
        assert_eq!(ek_upstream_arrived(upstream), EkCode::Ok);
        ek_upstream_tick(upstream, model, 0, second * SECOND_US, second as f64, place, len)
    }
}

fn forecast(upstream: *const EkUpstream, model: *const EkModel) -> Result<EkForecast, EkCode> {
    // SAFETY: all zeros are a valid structure of numbers.
    let mut forecast: EkForecast = unsafe { std::mem::zeroed() };
    forecast.struct_size = size_of::<EkForecast>() as u32;
    // SAFETY: an upstream, a model, and a structure of the size it says.
    let code = unsafe { ek_upstream_forecast(upstream, model, &raw mut forecast) };
    if code == EkCode::Ok { Ok(forecast) } else { Err(code) }
}

#[test]
fn a_history_is_kept_until_the_models_step_changes() {
    let [slow, fast] = [30.0, 10.0].map(Loaded::new);
    assert!(fast.history() > slow.history() && slow.history() > 0);
    // SAFETY: NULL is no model.
    assert_eq!(unsafe { ek_model_history(ptr::null()) }, 0);
    let wanted = EkUpstreamOptions { history_values: fast.history(), ..options(1, 0, EkIfOther::Refuse) };
    let memory = memory_for(&wanted);
    let (upstream, _) = open(&memory, &wanted).expect("blank memory");
    let mut second = 1_000_000_000;
    let mut run = |upstream, model, seconds: u64| {
        for _ in 0..seconds {
            second += 1;
            assert_eq!(tick(upstream, model, second), EkCode::Ok);
        }
    };
    assert_eq!(forecast(upstream, slow.model).err(), Some(EkCode::NoForecast));
    // An hour; the first step is not seen whole.
    run(upstream, slow.model, 3600);
    let found = forecast(upstream, slow.model).expect("an hour is enough");
    assert!((found.history_days - 3600.0 / 86_400.0).abs() < 0.002 && found.step_s == 30.0, "{}", found.history_days);
    assert!(found.quantiles.as_flattened().iter().all(|value| value.is_finite() && *value >= 0.0));
    assert!(found.horizons.is_sorted());
    // Somebody else goes on with the same block, such as the one who ticks after a reload.
    let again = attach(&memory, memory.len()).expect("found");
    run(again, slow.model, 3600);
    let found = forecast(upstream, slow.model).expect("two hours");
    assert!((found.history_days - 7200.0 / 86_400.0).abs() < 0.002, "{}", found.history_days);
    // Another model of the same step changes nothing; no model leaves it as it is.
    run(upstream, Loaded::new(30.0).model, 60);
    run(upstream, ptr::null(), 1);
    assert!(forecast(upstream, slow.model).is_ok_and(|found| found.history_days > 0.08));
    // Values of another step are no history: it starts anew, and with it the forecast.
    run(upstream, fast.model, 1);
    assert_eq!(forecast(upstream, fast.model).err(), Some(EkCode::NoForecast));
    run(upstream, fast.model, 600);
    let found = forecast(upstream, fast.model).expect("ten minutes");
    assert!((found.history_days - 600.0 / 86_400.0).abs() < 0.001 && found.step_s == 10.0, "{}", found.history_days);
    run(upstream, slow.model, 1);
    assert_eq!(forecast(upstream, slow.model).err(), Some(EkCode::NoForecast), "and back again");
}

#[test]
fn without_room_for_the_history_all_else_goes_on() {
    let model = Loaded::new(30.0);
    let wanted = EkUpstreamOptions { history_values: model.history() - 1, ..options(2, 0, EkIfOther::Refuse) };
    let memory = memory_for(&wanted);
    let (upstream, _) = open(&memory, &wanted).expect("blank memory");
    for second in 1_000_000_000..1_000_000_100 {
        assert_eq!(tick(upstream, model.model, second), EkCode::HistoryShort);
    }
    assert_eq!(forecast(upstream, model.model).err(), Some(EkCode::NoForecast));
    // SAFETY: an upstream, a structure of the size it says, NULL for what may be.
    let reading = unsafe {
        let mut reading: evenkeel_runtime::ffi::EkDemandReading = std::mem::zeroed();
        reading.struct_size = size_of_val(&reading) as u32;
        let code = evenkeel_runtime::ffi::ek_upstream_demand(upstream, model.model, ptr::null(), &raw mut reading);
        assert_eq!(code, EkCode::Ok);
        reading
    };
    assert!((0.8..1.1).contains(&reading.present_per_s), "a request a second: {}", reading.present_per_s);
    assert!(reading.forecast_per_s.is_nan() && reading.history_days.is_nan());
}

fn choose(upstream: *mut EkUpstream, asked: &EkFacts) -> EkChoice {
    let mut made = choice();
    // SAFETY: an upstream, facts, and a structure of the size it says.
    let code = unsafe {
        let none = ptr::null_mut();
        ek_upstream_choose(upstream, ptr::null(), asked, ptr::null(), 2 * SECOND_US, none, 0, &raw mut made)
    };
    assert_eq!(code, EkCode::Ok);
    made
}

fn begin(upstream: *mut EkUpstream, process: u32, asked: &EkFacts, host: u32) -> EkTicket {
    let mut begun = ticket();
    // SAFETY: an upstream, facts, and a place for the ticket.
    let code = unsafe { ek_upstream_begin(upstream, process, ptr::null(), asked, host, 2 * SECOND_US, &raw mut begun) };
    assert_eq!(code, EkCode::Ok);
    begun
}

fn end(upstream: *mut EkUpstream, begun: &mut EkTicket, asked: &EkFacts, ended: &EkOutcome) -> EkCode {
    // SAFETY: an upstream, a ticket, facts and an outcome.
    unsafe { ek_upstream_finish(upstream, ptr::null(), begun, asked, ended, 2 * SECOND_US) }
}

#[test]
fn two_processes_share_what_they_learn() {
    let wanted = options(1, 2, EkIfOther::Refuse);
    let memory = memory_for(&wanted);
    let (upstream, _) = open(&memory, &wanted).expect("blank memory");
    let mut host = 77;
    // SAFETY: an upstream, and a place for the index.
    assert_eq!(unsafe { ek_host_register(upstream, 5, 1.0, SECOND_US, &raw mut host) }, EkCode::Ok);
    let asked = EkFacts { prompt_tokens: 3000, ..facts() };
    assert_eq!((join(upstream, 0), choose(upstream, &asked).cached_tokens), (Ok(0), 0));
    let page = Shared::new(size_of::<EkTicket>());
    let left = page.begin().cast::<std::ffi::c_void>().cast::<EkTicket>();
    // The other one answers a request and dies with a second one under way.
    let child = fork(|| {
        let own = attach(&memory, memory.len()).expect("found");
        assert_eq!(join(own, 1), Ok(0));
        let mut begun = begin(own, 1, &asked, 0);
        assert_eq!(end(own, &mut begun, &asked, &outcome(0)), EkCode::Ok);
        // SAFETY: mapped, aligned, large enough, and nobody else's while the child is at work.
        unsafe { left.write(begin(own, 1, &asked, 0)) };
    });
    let mut status = 0;
    // SAFETY: our own child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child ends as it should");
    assert_eq!(choose(upstream, &asked).cached_tokens, 2999, "what the other one sent");
    let stats = crate::processes::stats(upstream, 0);
    assert_eq!((stats.sent_total, stats.done_total, stats.in_flight), (2, 1, 1));
    // SAFETY: the child wrote it, and has ended.
    let mut lost = unsafe { left.read() };
    assert_ne!(lost.owner, 0);
    // Only its own process may end it; taken back, nobody.
    let mut forged = EkTicket { owner: 0, ..lost };
    assert_eq!(end(upstream, &mut forged, &asked, &outcome(0)), EkCode::Ticket);
    assert_eq!(join(upstream, 1), Ok(1));
    assert_eq!(end(upstream, &mut lost, &asked, &outcome(0)), EkCode::Ticket);
    assert_eq!(crate::processes::stats(upstream, 0).in_flight, 0);
    // SAFETY: an upstream.
    assert_eq!(unsafe { ek_host_restarted(upstream, 0, 3 * SECOND_US) }, EkCode::Ok);
    assert_eq!(choose(upstream, &asked).cached_tokens, 0, "both forget what a restarted host had");
}
