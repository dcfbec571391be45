//! Every pointer of every function of the C interface as NULL and misaligned: refused, unless
//! the header says that it may be NULL, and never followed.
#![allow(unsafe_code, reason = "calls the C interface as C would, wrongly")]

use std::ffi::c_void;
use std::ptr;

use evenkeel_runtime::ffi::*;
use evenkeel_runtime::telemetry_file::{MAGIC, VERSION};

use crate::boundary::{Fixture, choice, facts, options, outcome, telemetry, ticket};
use crate::guarded::Shared;

/// Checks that a call refuses NULL and a misaligned pointer in one place: `$bad` stands for the
/// address. `$at` is where there is room.
macro_rules! refuses {
    ($at:expr, $bad:ident => $($call:expr);+ $(;)?) => {$(
        for (address, code) in [(0, EkCode::NullPointer), ($at + 1, EkCode::Misaligned)] {
            let $bad: usize = address;
            // SAFETY: neither NULL nor a misaligned pointer is followed.
            let returned = unsafe { $call };
            assert_eq!(returned, code, "{}", stringify!($call));
        }
    )+};
}

/// The same of pointers that may be NULL.
macro_rules! refuses_misaligned {
    ($at:expr, $bad:ident => $($call:expr);+ $(;)?) => {$(
        let $bad: usize = $at + 1;
        // SAFETY: a misaligned pointer is not followed.
        let returned = unsafe { $call };
        assert_eq!(returned, EkCode::Misaligned, "{}", stringify!($call));
    )+};
}

/// Room for any structure, `struct_size` of a large one.
fn room() -> Shared {
    let room = Shared::new(4096);
    // SAFETY: mapped and aligned.
    unsafe { room.begin().cast::<c_void>().cast::<u32>().write(1024) };
    room
}

fn eligible(hosts: *const u64, tried: *const u64) -> EkEligible {
    EkEligible { struct_size: size_of::<EkEligible>() as u32, words: 1, hosts, tried }
}

#[test]
fn of_an_upstream() {
    let all = Fixture::new(0);
    let room = room();
    let at = room.begin() as usize;
    let (memory, len, options) = (all.memory.begin().cast::<c_void>(), all.memory.len(), options(1, 0));
    let (wanted, mut found, mut host) = (&raw const options, ptr::null_mut(), 0);
    let (found, host, none) = (&raw mut found, &raw mut host, ptr::null_mut());
    let (upstream, told, model) = (all.upstream, telemetry([1.0; 5]), all.model);
    refuses!(at, bad =>
        ek_upstream_open(bad as *mut _, len, wanted, found, none);
        ek_upstream_open(memory, len, bad as *const _, found, none);
        ek_upstream_open(memory, len, wanted, bad as *mut _, none);
        ek_upstream_attach(bad as *mut _, len, found);
        ek_upstream_attach(memory, len, bad as *mut _);
        ek_upstream_join(bad as *mut _, 0, none);
        ek_upstream_arrived(bad as *mut _);
        ek_upstream_counters(bad as *const _, at as *mut _);
        ek_upstream_counters(upstream, bad as *mut _);
        ek_upstream_timed(bad as *mut _, 1);
        ek_upstream_time_bucket(bad as *const _, 0, at as *mut _, at as *mut _);
        ek_upstream_time_bucket(upstream, 0, bad as *mut _, at as *mut _);
        ek_upstream_time_bucket(upstream, 0, at as *mut _, bad as *mut _);
        ek_host_register(bad as *mut _, 1, 1.0, 0, host);
        ek_host_register(upstream, 1, 1.0, 0, bad as *mut _);
        ek_host_remove(bad as *mut _, 1);
        ek_host_find(bad as *const _, 1, host);
        ek_host_find(upstream, 1, bad as *mut _);
        ek_host_weight(bad as *mut _, 0, 1.0);
        ek_host_restarted(bad as *mut _, 0, 1);
        ek_host_report(bad as *mut _, 0, &raw const told, 1, 1);
        ek_host_report(upstream, 0, bad as *const _, 1, 1);
        ek_host_report_orca(bad as *mut _, 0, at as *const _, 1, 1);
        ek_host_stats(bad as *const _, 0, 0, at as *mut _);
        ek_host_stats(upstream, 0, 0, bad as *mut _);
        ek_upstream_tick(bad as *mut _, model, 0, 1, 0.0, ptr::null_mut(), 0);
        ek_upstream_tick(upstream, model, 0, 1, 0.0, bad as *mut _, 64);
        ek_upstream_demand(bad as *const _, model, ptr::null(), at as *mut _);
        ek_upstream_demand(upstream, model, ptr::null(), bad as *mut _);
        ek_upstream_forecast(bad as *const _, model, at as *mut _);
        ek_upstream_forecast(upstream, bad as *const _, at as *mut _);
        ek_upstream_forecast(upstream, model, bad as *mut _);
        ek_telemetry_file_apply(bad as *const _, 4096, upstream, 1, host);
        ek_telemetry_file_heartbeat(bad as *const _, 4096, at as *mut _);
    );
    refuses_misaligned!(at, bad =>
        ek_upstream_open(memory, len, wanted, found, bad as *mut _);
        ek_upstream_join(upstream, 0, bad as *mut _);
        ek_upstream_tick(upstream, bad as *const _, 0, 1, 0.0, ptr::null_mut(), 0);
        ek_upstream_demand(upstream, bad as *const _, ptr::null(), at as *mut _);
        ek_upstream_demand(upstream, model, bad as *const _, at as *mut _);
    );
    // SAFETY: neither is followed.
    let sizes = unsafe { [ek_upstream_size(ptr::null()), ek_upstream_size((at + 1) as *const _)] };
    assert_eq!(sizes, [0, 0]);
    // SAFETY: NULL is not followed.
    assert_eq!(unsafe { ek_host_report_orca(upstream, 0, ptr::null(), 1, 1) }, EkCode::NullPointer);
    // SAFETY: NULL is not followed.
    assert_eq!(unsafe { ek_host_key(ptr::null(), 5) }, 0);
    // Nothing of all this has changed anything.
    // SAFETY: our own.
    assert!(unsafe { (*found).is_null() && *host == 0 });
}

#[test]
fn of_a_telemetry_file() {
    let all = Fixture::new(0);
    let file = Shared::new(4096);
    let at = file.begin() as usize;
    // What is no file is refused; one of a single slot is taken.
    // SAFETY: mapped memory.
    let without_mark = unsafe { ek_telemetry_file_apply(file.begin().cast(), 4096, all.upstream, 1, ptr::null_mut()) };
    assert_eq!(without_mark, EkCode::ReportFormat);
    // SAFETY: a header of the layout that `telemetry_file.rs` describes.
    let room = unsafe {
        let words = file.begin().cast::<c_void>().cast::<u64>();
        words.write(MAGIC);
        words.add(1).write(u64::from(VERSION) | 1 << 32);
        words
    };
    refuses!(at, bad =>
        ek_telemetry_file_apply(room.cast(), 4096, bad as *mut _, 1, ptr::null_mut());
        ek_telemetry_file_heartbeat(room.cast(), 4096, bad as *mut _);
    );
    refuses_misaligned!(at, bad => ek_telemetry_file_apply(room.cast(), 4096, all.upstream, 1, bad as *mut _));
}

#[test]
fn of_a_model() {
    let all = Fixture::new(0);
    let room = room();
    let at = room.begin() as usize;
    let (memory, len, model) = (all.memory.begin().cast::<c_void>(), all.memory.len(), all.model);
    let (mut found, mut size) = (ptr::null(), 0usize);
    // The bytes of an artifact need no alignment.
    // SAFETY: NULL is not followed.
    assert_eq!(unsafe { ek_model_load(ptr::null(), 64, memory, len, &raw mut found) }, EkCode::NullPointer);
    refuses!(at, bad =>
        ek_model_load(memory, 64, bad as *mut _, 4096, &raw mut found);
        ek_model_load(memory, 64, memory, len, bad as *mut _);
        ek_model_metadata(bad as *const _, at as *mut _, &raw mut size);
        ek_model_metadata(model, bad as *mut _, &raw mut size);
        ek_model_metadata(model, at as *mut _, bad as *mut _);
        ek_model_identity(bad as *const _, at as *mut _);
        ek_model_identity(model, bad as *mut _);
        ek_model_scale(bad as *const _, at as *mut _);
        ek_model_scale(model, bad as *mut _);
        ek_scale_check(bad as *const _);
    );
    for bad in [ptr::null(), (at + 1) as *const EkModel] {
        // SAFETY: neither is followed.
        assert_eq!(unsafe { (ek_scratch_size(bad, 8), ek_model_history(bad)) }, (0, 0));
    }
    assert!(found.is_null());
}

#[test]
fn of_a_choice() {
    let all = Fixture::new(0);
    let room = room();
    let at = room.begin() as usize;
    let (model, upstream) = (all.model, all.upstream);
    let (scratch, scratch_len) = (all.scratch.begin().cast::<c_void>(), all.scratch.len());
    let (asked, every, mut made) = (facts(), eligible(ptr::null(), ptr::null()), choice());
    let (asked, every, made) = (&raw const asked, &raw const every, &raw mut made);
    let none = ptr::null_mut();
    refuses!(at, bad =>
        ek_upstream_choose(bad as *mut _, model, asked, every, 1, scratch, scratch_len, made);
        ek_upstream_choose(upstream, model, asked, every, 1, bad as *mut _, scratch_len, made);
        ek_upstream_choose(upstream, model, asked, every, 1, scratch, scratch_len, bad as *mut _);
        ek_upstream_explain(bad as *mut _, model, asked, every, 1, scratch, scratch_len, at as *mut _);
        ek_upstream_explain(upstream, model, asked, every, 1, bad as *mut _, scratch_len, at as *mut _);
        ek_upstream_explain(upstream, model, asked, every, 1, scratch, scratch_len, bad as *mut _);
        ek_record_decision(bad as *mut _, upstream, model, asked, every, 1, scratch, scratch_len, made, 0, 0, none);
        ek_record_decision(all.ring, bad as *mut _, model, asked, every, 1, scratch, scratch_len, made, 0, 0, none);
        ek_record_decision(all.ring, upstream, model, asked, every, 1, bad as *mut _, scratch_len, made, 0, 0, none);
        ek_record_decision(all.ring, upstream, model, asked, every, 1, scratch, scratch_len, bad as *const _, 0, 0, none);
    );
    refuses_misaligned!(at, bad =>
        ek_upstream_choose(upstream, bad as *const _, asked, every, 1, scratch, scratch_len, made);
        ek_upstream_choose(upstream, model, bad as *const _, every, 1, scratch, scratch_len, made);
        ek_upstream_choose(upstream, model, asked, bad as *const _, 1, scratch, scratch_len, made);
        ek_upstream_choose(upstream, model, asked, &eligible(bad as *const _, ptr::null()), 1, scratch, scratch_len, made);
        ek_upstream_choose(upstream, model, asked, &eligible(ptr::null(), bad as *const _), 1, scratch, scratch_len, made);
        ek_upstream_explain(upstream, bad as *const _, asked, every, 1, scratch, scratch_len, at as *mut _);
        ek_upstream_explain(upstream, model, bad as *const _, every, 1, scratch, scratch_len, at as *mut _);
        ek_upstream_explain(upstream, model, asked, bad as *const _, 1, scratch, scratch_len, at as *mut _);
        ek_record_decision(all.ring, upstream, bad as *const _, asked, every, 1, scratch, scratch_len, made, 0, 0, none);
        ek_record_decision(all.ring, upstream, model, bad as *const _, every, 1, scratch, scratch_len, made, 0, 0, none);
        ek_record_decision(all.ring, upstream, model, asked, bad as *const _, 1, scratch, scratch_len, made, 0, 0, none);
        ek_record_decision(all.ring, upstream, model, asked, every, 1, scratch, scratch_len, made, 0, 0, bad as *mut _);
    );
    // What may be NULL: a first attempt, at any host, of a request that nothing is known of.
    // SAFETY: as the header says.
    let code = unsafe { ek_upstream_choose(upstream, ptr::null(), ptr::null(), ptr::null(), 1, none.cast(), 0, made) };
    assert_eq!(code, EkCode::Ok);
}

#[test]
fn of_a_request() {
    let all = Fixture::new(0);
    let room = room();
    let at = room.begin() as usize;
    let (model, upstream, ring) = (all.model, all.upstream, all.ring);
    let (asked, ended, mut under_way) = (facts(), outcome(0), ticket());
    let (asked, ended, ticket) = (&raw const asked, &raw const ended, &raw mut under_way);
    refuses!(at, bad =>
        ek_upstream_begin(bad as *mut _, u32::MAX, model, asked, 0, 1, ticket);
        ek_upstream_begin(upstream, u32::MAX, model, asked, 0, 1, bad as *mut _);
    );
    refuses_misaligned!(at, bad =>
        ek_upstream_begin(upstream, u32::MAX, bad as *const _, asked, 0, 1, ticket);
        ek_upstream_begin(upstream, u32::MAX, model, bad as *const _, 0, 1, ticket);
    );
    assert_eq!(all.stats(0).sent_total, 0, "refused, it is not counted");
    // SAFETY: as the header says.
    let code = unsafe { ek_upstream_begin(upstream, u32::MAX, ptr::null(), ptr::null(), 0, 1, ticket) };
    assert_eq!(code, EkCode::Ok);
    refuses!(at, bad =>
        ek_upstream_first_token(bad as *mut _, ticket, 1);
        ek_upstream_first_token(upstream, bad as *mut _, 1);
        ek_upstream_finish(bad as *mut _, model, ticket, asked, ended, 1);
        ek_upstream_finish(upstream, model, bad as *mut _, asked, ended, 1);
        ek_upstream_finish(upstream, model, ticket, asked, bad as *const _, 1);
        ek_upstream_counted(bad as *mut _, asked, 7, 1);
        ek_upstream_prompt_tokens(bad as *const _, asked, 1, at as *mut _);
        ek_upstream_prompt_tokens(upstream, asked, 1, bad as *mut _);
        ek_record_outcome(bad as *mut _, 0, ticket, ended, 1);
        ek_record_outcome(ring, 0, bad as *const _, ended, 1);
        ek_record_outcome(ring, 0, ticket, bad as *const _, 1);
    );
    refuses_misaligned!(at, bad =>
        ek_upstream_finish(upstream, bad as *const _, ticket, asked, ended, 1);
        ek_upstream_finish(upstream, model, ticket, bad as *const _, ended, 1);
        ek_upstream_counted(upstream, bad as *const _, 7, 1);
        ek_upstream_prompt_tokens(upstream, bad as *const _, 1, at as *mut _);
    );
    assert_eq!(all.stats(0).in_flight, 1, "refused, it is not counted out");
    // SAFETY: as the header says.
    assert_eq!(unsafe { ek_upstream_finish(upstream, ptr::null(), ticket, ptr::null(), ended, 2) }, EkCode::Ok);
}

#[test]
fn of_a_ring() {
    let all = Fixture::new(0);
    let room = room();
    let at = room.begin() as usize;
    let (memory, mut found) = (all.memory.begin().cast::<c_void>(), ptr::null_mut());
    let (ring, len) = (all.ring, all.ring_memory.len());
    refuses!(at, bad =>
        ek_record_init(bad as *mut _, len, 4, 5, &raw mut found);
        ek_record_init(memory, len, 4, 5, bad as *mut _);
        ek_record_attach(bad as *mut _, len, &raw mut found);
        ek_record_attach(ring.cast(), len, bad as *mut _);
        ek_record_counts(bad as *const _, at as *mut _);
        ek_record_counts(ring, bad as *mut _);
    );
    assert!(found.is_null());
}

#[test]
fn of_a_body() {
    let room = room();
    let at = room.begin() as usize;
    let memory = Shared::new(4096);
    let place = memory.begin().cast::<c_void>();
    let (mut asked, mut answered, mut flag) = (ptr::null_mut(), ptr::null_mut(), 7);
    let kind = EkBodyKind::Json as u32;
    refuses!(at, bad =>
        ek_body_request_init(bad as *mut _, 4096, &raw mut asked);
        ek_body_request_init(place, 4096, bad as *mut _);
        ek_body_response_init(bad as *mut _, 4096, kind, &raw mut answered);
        ek_body_response_init(place, 4096, kind, bad as *mut _);
        ek_body_request_tokens(bad as *const _, 4.0, 0, 0, &raw mut flag);
    );
    // SAFETY: mapped memory, large enough.
    assert_eq!(unsafe { ek_body_request_init(place, 4096, &raw mut asked) }, EkCode::Ok);
    refuses!(at, bad =>
        ek_body_request_feed(bad as *mut _, place, 1, &raw mut flag);
        ek_body_request_read(bad as *const _, 1, at as *mut _);
        ek_body_request_read(asked, 1, bad as *mut _);
    );
    refuses_misaligned!(at, bad => ek_body_request_feed(asked, at as *const _, 1, bad as *mut _));
    // SAFETY: NULL is not followed; a structure as large as it says.
    unsafe {
        assert_eq!(ek_body_request_feed(asked, ptr::null(), 1, &raw mut flag), EkCode::NullPointer);
        room.begin().cast::<c_void>().cast::<u32>().write(size_of::<EkRequestBody>() as u32);
        assert_eq!(ek_body_request_read(asked, 1, at as *mut _), EkCode::Ok);
    }
    refuses!(at, bad => ek_body_request_tokens(at as *const _, 4.0, 0, 0, bad as *mut _));
    // SAFETY: mapped memory, large enough.
    assert_eq!(unsafe { ek_body_response_init(place, 4096, kind, &raw mut answered) }, EkCode::Ok);
    refuses!(at, bad =>
        ek_body_response_feed(bad as *mut _, place, 1, &raw mut flag);
        ek_body_response_read(bad as *const _, at as *mut _);
        ek_body_response_read(answered, bad as *mut _);
    );
    refuses_misaligned!(at, bad => ek_body_response_feed(answered, at as *const _, 1, bad as *mut _));
    // SAFETY: NULL is not followed.
    unsafe {
        assert_eq!(ek_body_response_feed(answered, ptr::null(), 1, &raw mut flag), EkCode::NullPointer);
        // A missing header is none, whatever its length is said to be.
        assert_eq!(ek_body_request_accepts(ptr::null(), 4, ptr::null(), 4), 0);
        assert_eq!(ek_body_response_kind(ptr::null(), 4, ptr::null(), 4), EkBodyKind::None as u32);
    }
    assert_eq!(flag, 7);
}

#[test]
fn no_function_that_takes_a_pointer_is_left_out() {
    let (header, tests) = (include_str!("../../include/evenkeel.h"), include_str!("pointers.rs"));
    let code: Vec<_> = header.lines().filter(|line| !line.trim_start().starts_with(['*', '/', '#'])).collect();
    let declarations = code.join(" ");
    let names = declarations.split(';').filter_map(|text| text.split_once('(')).filter_map(|(before, after)| {
        let name = before.rsplit([' ', '*']).next().filter(|name| name.starts_with("ek_"))?;
        after.contains('*').then_some(name)
    });
    let missing: Vec<_> = names.clone().filter(|name| !tests.contains(&format!("{name}("))).collect();
    assert!(names.count() > 40 && missing.is_empty(), "no test here for {missing:?}");
}
