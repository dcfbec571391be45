//! Two processes at the same slot: whatever one of them does, the other one does something
//! in between, at every moment at which the first has changed memory.
#![allow(unsafe_code, reason = "calls the C interface")]

use std::cell::RefCell;
use std::ptr;

use evenkeel_runtime::ffi::{
    EkCode, EkTelemetry, EkTicket, EkUpstream, ek_host_find, ek_host_register, ek_host_remove, ek_host_report,
    ek_host_restarted, ek_upstream_tick,
};

use crate::guarded::Shared;
use crate::processes::{CANNOT_STEP, SECOND_US, begin, contents, finish, join, shared_upstream, stats, step_through};

/// The host that both are at, and its key.
const HOST: u32 = 0;
const KEY: u64 = 1;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Begin,
    Finish,
    Report,
    Restarted,
    Tick,
    Register,
    Remove,
}

const STEPS: [Step; 7] =
    [Step::Begin, Step::Finish, Step::Report, Step::Restarted, Step::Tick, Step::Register, Step::Remove];

/// What a process holds: tickets of requests under way, in memory that its parent sees.
#[derive(Clone, Copy)]
struct Held {
    begun: Option<EkTicket>,
    under_way: Option<EkTicket>,
}

fn take(step: Step, upstream: *mut EkUpstream, process: u32, held: &mut Held) {
    let mut host = 0;
    // SAFETY: an upstream, and structures filled in.
    let code = unsafe {
        match step {
            Step::Begin => {
                held.begun = begin(upstream, process, HOST).ok();
                EkCode::Ok
            }
            Step::Finish => held.under_way.take().map_or(EkCode::Ticket, |mut ticket| finish(upstream, &mut ticket)),
            Step::Report => {
                let struct_size = size_of::<EkTelemetry>() as u32;
                let (running, waiting, pending_prefill_tokens, kv_use, step_s) = (1.0, 0.0, 0.0, 0.1, 0.02);
                let report = EkTelemetry { struct_size, running, waiting, pending_prefill_tokens, kv_use, step_s };
                ek_host_report(upstream, HOST, &raw const report, 3 * SECOND_US, 3 * SECOND_US)
            }
            Step::Restarted => ek_host_restarted(upstream, HOST, 3 * SECOND_US),
            Step::Tick => {
                ek_upstream_tick(upstream, ptr::null(), 60 * SECOND_US, 4 * SECOND_US, 1e9, ptr::null_mut(), 0)
            }
            Step::Register => ek_host_register(upstream, KEY, 2.0, SECOND_US, &raw mut host),
            Step::Remove => ek_host_remove(upstream, KEY),
        }
    };
    // The host may be gone, and a new one finds no free slot as long as requests are under way.
    assert!(matches!(code, EkCode::Ok | EkCode::HostUnknown | EkCode::HostsFull), "{step:?}: {code:?}");
}

/// Nothing is lost, and once all requests have ended the slot is as good as new.
fn check(upstream: *mut EkUpstream, held: [Held; 2], what: &str) {
    let open: Vec<EkTicket> = held.iter().flat_map(|held| [held.begun, held.under_way]).flatten().collect();
    let (mut found, mut host) = (0, 0);
    // SAFETY: an upstream, and a place for the index.
    if unsafe { ek_host_find(upstream, KEY, &raw mut found) } == EkCode::Ok {
        let stats = stats(upstream, found);
        assert_eq!(stats.in_flight as usize, open.len(), "{what}");
        assert_eq!(stats.in_flight_prompt_tokens as usize, 100 * open.len(), "{what}");
        assert_eq!(stats.sent_total - stats.done_total, open.len() as u64, "{what}");
        assert!((0.1..=1.0).contains(&stats.full_share) && (0.0..=1.0).contains(&stats.failure_share), "{what}");
    }
    for mut ticket in open {
        assert_eq!(finish(upstream, &mut ticket), EkCode::Ok, "{what}");
    }
    // SAFETY: an upstream, and a place for the index.
    assert_eq!(unsafe { ek_host_register(upstream, KEY, 1.0, SECOND_US, &raw mut host) }, EkCode::Ok, "{what}");
    assert_eq!((host, stats(upstream, host).in_flight), (HOST, 0), "{what}");
    for process in 0..2 {
        assert_eq!(join(upstream, process), Ok(0), "{what}: the ledger agrees that nothing is under way");
    }
}

#[test]
fn any_two_steps_interleaved_lose_nothing() {
    let (mut memory, upstream) = shared_upstream();
    for process in 0..2 {
        join(upstream, process).expect("free");
    }
    let at_start: [Held; 2] = std::array::from_fn(|process| Held {
        begun: None,
        under_way: Some(begin(upstream, process as u32, HOST).expect("host")),
    });
    let base = contents(&memory).to_vec();
    let page = Shared::new(size_of::<Held>());
    let first_held = page.begin().cast::<std::ffi::c_void>().cast::<Held>();
    let mut tried = 0;
    for first in STEPS {
        for second in STEPS {
            // These are for one process at a time.
            let changes_hosts = |step| matches!(step, Step::Register | Step::Remove);
            if (changes_hosts(first) && changes_hosts(second)) || (first, second) == (Step::Tick, Step::Tick) {
                continue;
            }
            for pause in 1.. {
                memory.bytes().copy_from_slice(&base);
                // SAFETY: mapped, aligned, and nobody else's while the child is not at work.
                unsafe { first_held.write(at_start[0]) };
                let second_held = RefCell::new(at_start[1]);
                let (mut last, mut changes, mut was_between) = (base.clone(), 0, false);
                let child = || {
                    // SAFETY: as above; the parent waits.
                    take(first, upstream, 0, unsafe { &mut *first_held });
                };
                let steps = step_through(child, || {
                    if contents(&memory) != last {
                        last = contents(&memory).to_vec();
                        changes += 1;
                    }
                    if changes == pause {
                        take(second, upstream, 1, &mut second_held.borrow_mut());
                        was_between = true;
                    }
                    changes < pause
                });
                if steps.is_none() {
                    return println!("{CANNOT_STEP}");
                }
                // SAFETY: the child has ended.
                let held = [unsafe { ptr::read(first_held) }, *second_held.borrow()];
                check(upstream, held, &format!("{second:?} after change {pause} of {first:?}"));
                if !was_between {
                    break;
                }
                tried += 1;
            }
        }
    }
    println!("{tried} interleavings");
    assert!(tried > 150, "{tried}");
}
