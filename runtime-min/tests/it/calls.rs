//! Random sequences of calls of the C interface hold its invariants.
#![allow(unsafe_code, reason = "calls the C interface")]

use std::ptr;

use evenkeel_runtime::ffi::{
    EkCode, EkStats, EkTicket, ek_host_register, ek_host_remove, ek_host_stats, ek_upstream_begin, ek_upstream_finish,
    ek_upstream_first_token, ek_upstream_join,
};
use proptest::prelude::*;

use crate::boundary::{Fixture, facts, outcome};

const HOSTS: usize = 5;
const PROCESSES: u32 = 3;

#[derive(Clone, Debug)]
enum Call {
    Register(u64),
    Remove(u64),
    /// Choose among the hosts of the mask, and send the request there.
    Send {
        process: u32,
        mask: u64,
    },
    FirstByte(usize),
    Finish(usize, u32),
    /// The process dies and another one takes its place.
    Die(u32),
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        1 => (1u64..8).prop_map(Call::Register),
        1 => (1u64..8).prop_map(Call::Remove),
        8 => (0..PROCESSES, any::<u64>()).prop_map(|(process, mask)| Call::Send { process, mask }),
        2 => (0usize..12).prop_map(Call::FirstByte),
        6 => (0usize..12, 0u32..5).prop_map(|(request, status)| Call::Finish(request, status)),
        1 => (0..PROCESSES).prop_map(Call::Die),
    ]
}

fn stats(all: &Fixture, host: u32) -> Option<EkStats> {
    // SAFETY: all zeros are a valid structure of numbers.
    let mut stats: EkStats = unsafe { std::mem::zeroed() };
    stats.struct_size = size_of::<EkStats>() as u32;
    // SAFETY: an upstream, and a structure of the size it says.
    (unsafe { ek_host_stats(all.upstream, host, 0, &raw mut stats) } == EkCode::Ok).then_some(stats)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn counts_and_picks_hold(calls in prop::collection::vec((call(), any::<u32>()), 0..120)) {
        let all = Fixture::new(PROCESSES);
        for process in 0..PROCESSES {
            // SAFETY: an upstream.
            prop_assert_eq!(unsafe { ek_upstream_join(all.upstream, process, ptr::null_mut()) }, EkCode::Ok);
        }
        let mut under_way: Vec<(u32, EkTicket)> = Vec::new();
        for (call, clock) in calls {
            // Clocks jump back and forth.
            let now_us = u64::from(clock) << 8;
            match call {
                Call::Register(key) => {
                    let mut host = 0;
                    // SAFETY: an upstream, and a place for the index.
                    let code = unsafe { ek_host_register(all.upstream, key, 1.0, now_us, &raw mut host) };
                    prop_assert!(matches!(code, EkCode::Ok | EkCode::HostsFull));
                }
                Call::Remove(key) => {
                    // SAFETY: an upstream.
                    let code = unsafe { ek_host_remove(all.upstream, key) };
                    prop_assert!(matches!(code, EkCode::Ok | EkCode::HostUnknown));
                }
                Call::Send { process, mask } => {
                    let is_eligible = |host: u32| mask >> host & 1 == 1 && stats(&all, host).is_some();
                    let eligible = (0..HOSTS as u32).filter(|host| is_eligible(*host)).count();
                    let (code, choice) = all.choose(&[mask], now_us);
                    prop_assert_eq!(code, if eligible == 0 { EkCode::NoHost } else { EkCode::Ok });
                    if code == EkCode::Ok {
                        prop_assert!(is_eligible(choice.host));
                        prop_assert_eq!(choice.reason == 1, eligible == 1);
                        let (asked, host) = (facts(), choice.host);
                        let mut ticket = std::mem::MaybeUninit::uninit();
                        // SAFETY: an upstream, a model, facts, and a place for the ticket.
                        let code = unsafe {
                            let (asked, ticket) = (&raw const asked, ticket.as_mut_ptr());
                            ek_upstream_begin(all.upstream, process, all.model, asked, host, now_us, ticket)
                        };
                        prop_assert_eq!(code, EkCode::Ok);
                        // SAFETY: written, as the code says.
                        under_way.push((process, unsafe { ticket.assume_init() }));
                    }
                }
                Call::FirstByte(index) => {
                    if let Some((_, ticket)) = under_way.get_mut(index) {
                        // SAFETY: an upstream and a ticket.
                        prop_assert_eq!(unsafe { ek_upstream_first_token(all.upstream, ticket, now_us) }, EkCode::Ok);
                    }
                }
                Call::Finish(index, status) => {
                    if index < under_way.len() {
                        let (_, mut ticket) = under_way.swap_remove(index);
                        let (asked, ended) = (facts(), outcome(status));
                        let mut finish = || {
                            let (asked, ended) = (&raw const asked, &raw const ended);
                            // SAFETY: an upstream, a model, a ticket, facts and an outcome.
                            unsafe {
                                ek_upstream_finish(all.upstream, all.model, &raw mut ticket, asked, ended, now_us)
                            }
                        };
                        prop_assert_eq!((finish(), finish()), (EkCode::Ok, EkCode::Ticket));
                    }
                }
                Call::Die(process) => {
                    let mut taken_back = 0;
                    // SAFETY: an upstream, and a place for the number.
                    let code = unsafe { ek_upstream_join(all.upstream, process, &raw mut taken_back) };
                    prop_assert_eq!(code, EkCode::Ok);
                    let left = under_way.iter().filter(|(owner, _)| *owner == process).count();
                    prop_assert_eq!(taken_back as usize, left);
                    under_way.retain(|(owner, _)| *owner != process);
                }
            }
            for host in 0..HOSTS as u32 {
                if let Some(stats) = stats(&all, host) {
                    let expected = under_way.iter().filter(|(_, ticket)| ticket.host == host).count();
                    prop_assert_eq!(stats.in_flight as usize, expected);
                    prop_assert_eq!(stats.sent_total - stats.done_total, expected as u64);
                    prop_assert_eq!(stats.in_flight_prompt_tokens as usize, 100 * expected);
                }
            }
        }
    }
}
