//! Upstreams that processes share: what a killed one leaves is taken back, at whatever
//! instruction it was killed.
#![allow(unsafe_code, reason = "calls the C interface, forks and kills")]

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use evenkeel_runtime::ffi::body::EK_PREFIX_KEYS;
use evenkeel_runtime::ffi::types::{EK_NO_PROCESS, EK_UNKNOWN_TOKENS};
use evenkeel_runtime::ffi::{
    EkCode, EkCounters, EkFacts, EkIfOther, EkOutcome, EkStats, EkTicket, EkUpstream, EkUpstreamOptions,
    ek_host_register, ek_host_stats, ek_upstream_attach, ek_upstream_begin, ek_upstream_counters, ek_upstream_finish,
    ek_upstream_join, ek_upstream_open, ek_upstream_size,
};

use crate::guarded::Shared;
use crate::mutate::Numbers;

const HOSTS: u32 = 3;
const PROCESSES: u32 = 4;
pub(crate) const SECOND_US: u64 = 1_000_000;

/// An upstream of so many hosts and processes, with a small table of prefixes.
pub(crate) fn options(hosts_max: u32, processes_max: u32, if_other: EkIfOther) -> EkUpstreamOptions {
    EkUpstreamOptions {
        struct_size: size_of::<EkUpstreamOptions>() as u32,
        hosts_max,
        processes_max,
        affinity_entries: 64,
        class_entries: 8,
        history_values: 0,
        if_other: if_other as u32,
        reserved: 0,
        seed: 1,
    }
}

/// Blank shared memory for such an upstream.
pub(crate) fn memory_for(options: &EkUpstreamOptions) -> Shared {
    // SAFETY: the structure is filled in.
    let size = unsafe { ek_upstream_size(options) };
    assert!(size > 0, "{options:?}");
    Shared::new(size)
}

pub(crate) fn open(memory: &Shared, options: &EkUpstreamOptions) -> Result<(*mut EkUpstream, bool), EkCode> {
    let (mut upstream, mut was_made) = (ptr::null_mut(), 77);
    // SAFETY: the memory is mapped, the structure filled in.
    let code =
        unsafe { ek_upstream_open(memory.begin().cast(), memory.len(), options, &raw mut upstream, &raw mut was_made) };
    if code == EkCode::Ok { Ok((upstream, was_made == 1)) } else { Err(code) }
}

/// An upstream in shared memory with all hosts registered.
pub(crate) fn shared_upstream() -> (Shared, *mut EkUpstream) {
    let wanted = options(HOSTS, PROCESSES, EkIfOther::Refuse);
    let memory = memory_for(&wanted);
    let (upstream, was_made) = open(&memory, &wanted).expect("blank memory");
    assert!(was_made);
    for key in 1..=u64::from(HOSTS) {
        let mut host = 0;
        // SAFETY: an upstream, and a place for the index.
        assert_eq!(unsafe { ek_host_register(upstream, key, 1.0, SECOND_US, &raw mut host) }, EkCode::Ok);
    }
    (memory, upstream)
}

pub(crate) fn join(upstream: *mut EkUpstream, process: u32) -> Result<u32, EkCode> {
    let mut taken_back = 0;
    // SAFETY: an upstream, and a place for the number.
    let code = unsafe { ek_upstream_join(upstream, process, &raw mut taken_back) };
    if code == EkCode::Ok { Ok(taken_back) } else { Err(code) }
}

/// A prompt of a hundred tokens of which nothing else is known.
pub(crate) const FACTS: EkFacts = EkFacts {
    struct_size: size_of::<EkFacts>() as u32,
    prompt_tokens: 100,
    output_tokens_max: 0,
    text_bytes: 0,
    prefix_keys: [0; EK_PREFIX_KEYS],
    session_key: 0,
    class_key: 0,
};

pub(crate) fn begin(upstream: *mut EkUpstream, process: u32, host: u32) -> Result<EkTicket, EkCode> {
    let mut ticket = std::mem::MaybeUninit::uninit();
    // SAFETY: an upstream, and a place for the ticket.
    let code =
        unsafe { ek_upstream_begin(upstream, process, ptr::null(), &FACTS, host, SECOND_US, ticket.as_mut_ptr()) };
    // SAFETY: written, as the code says.
    if code == EkCode::Ok { Ok(unsafe { ticket.assume_init() }) } else { Err(code) }
}

pub(crate) fn finish(upstream: *mut EkUpstream, ticket: &mut EkTicket) -> EkCode {
    let struct_size = size_of::<EkOutcome>() as u32;
    let outcome = EkOutcome { struct_size, status: 0, output_tokens: 5, cached_tokens: EK_UNKNOWN_TOKENS };
    // SAFETY: an upstream, a ticket, facts and an outcome.
    unsafe { ek_upstream_finish(upstream, ptr::null(), ticket, &FACTS, &raw const outcome, 2 * SECOND_US) }
}

pub(crate) fn stats(upstream: *const EkUpstream, host: u32) -> EkStats {
    // SAFETY: all zeros are a valid structure of numbers.
    let mut stats: EkStats = unsafe { std::mem::zeroed() };
    stats.struct_size = size_of::<EkStats>() as u32;
    // SAFETY: an upstream, and a structure of the size it says.
    assert_eq!(unsafe { ek_host_stats(upstream, host, SECOND_US, &raw mut stats) }, EkCode::Ok);
    stats
}

/// In-flight requests of each host; checks that they are those sent and not done.
fn in_flight(upstream: *const EkUpstream) -> [u32; HOSTS as usize] {
    std::array::from_fn(|host| {
        let stats = stats(upstream, host as u32);
        assert_eq!(stats.sent_total - stats.done_total, u64::from(stats.in_flight), "host {host}");
        assert_eq!(stats.in_flight_prompt_tokens, 100 * stats.in_flight, "host {host}");
        stats.in_flight
    })
}

#[test]
fn what_is_left_under_way_is_taken_back() {
    let (_memory, upstream) = shared_upstream();
    assert_eq!(begin(upstream, 0, 0).err(), Some(EkCode::ProcessUnknown), "it has not joined");
    assert_eq!(join(upstream, PROCESSES).err(), Some(EkCode::ProcessUnknown), "beyond the last");
    assert_eq!(begin(upstream, EK_NO_PROCESS, 0).err(), Some(EkCode::ProcessUnknown), "processes share it");
    assert_eq!((join(upstream, 0), join(upstream, 1)), (Ok(0), Ok(0)));
    let mut lost: Vec<_> = (0..5).map(|i| begin(upstream, 0, i % 2).expect("host")).collect();
    let mut kept = begin(upstream, 1, 1).expect("host");
    assert_eq!(in_flight(upstream), [3, 3, 0]);
    assert_eq!(join(upstream, 0), Ok(5));
    assert_eq!(in_flight(upstream), [0, 1, 0]);
    // Too late: taken back already.
    assert_eq!(finish(upstream, &mut lost[0]), EkCode::Ticket);
    let mut own = begin(upstream, 0, 1).expect("host");
    assert_eq!(finish(upstream, &mut lost[1]), EkCode::Ticket, "of a former generation");
    assert_eq!((finish(upstream, &mut own), finish(upstream, &mut own)), (EkCode::Ok, EkCode::Ticket));
    assert_eq!(finish(upstream, &mut kept), EkCode::Ok);
    assert_eq!(in_flight(upstream), [0, 0, 0]);
    // SAFETY: all zeros are a valid structure of numbers.
    let mut counters: EkCounters = unsafe { std::mem::zeroed() };
    counters.struct_size = size_of::<EkCounters>() as u32;
    // SAFETY: an upstream, and a structure of the size it says.
    assert_eq!(unsafe { ek_upstream_counters(upstream, &raw mut counters) }, EkCode::Ok);
    assert_eq!(counters.taken_back, 5);
}

#[test]
fn other_layouts_are_refused_or_made_anew_as_asked() {
    let (mut memory, upstream) = shared_upstream();
    let refuse = options(HOSTS, PROCESSES, EkIfOther::Refuse);
    assert_eq!(open(&memory, &refuse), Ok((upstream, false)), "found again");
    let fewer = options(HOSTS - 1, PROCESSES, EkIfOther::Refuse);
    assert_eq!(open(&memory, &fewer), Err(EkCode::UpstreamLayout));
    for (at, code) in [(0, EkCode::UpstreamForeign), (8, EkCode::UpstreamLayout), (16, EkCode::UpstreamLayout)] {
        memory.bytes()[at] ^= 0x40;
        assert_eq!(open(&memory, &refuse), Err(code), "byte {at}");
        memory.bytes()[at] ^= 0x40;
    }
    assert_eq!(stats(upstream, 1).key, 2, "refusing leaves it alone");
    memory.bytes()[8] ^= 0x40;
    assert_eq!(open(&memory, &options(HOSTS, PROCESSES, EkIfOther::Initialise)), Ok((upstream, true)));
    let mut found = ptr::null_mut();
    // SAFETY: the memory is mapped.
    assert_eq!(unsafe { ek_upstream_attach(memory.begin().cast(), memory.len(), &raw mut found) }, EkCode::Ok);
    memory.bytes().fill(0xa5);
    assert_eq!(open(&memory, &refuse), Err(EkCode::UpstreamForeign));
    assert_eq!(open(&memory, &options(HOSTS, 0, EkIfOther::Initialise)), Ok((upstream, true)));
    let unknown = EkUpstreamOptions { if_other: 2, ..refuse };
    assert_eq!(open(&memory, &unknown), Err(EkCode::Enumeration));
    assert_eq!(open(&memory, &options(0, 1, EkIfOther::Refuse)), Err(EkCode::MaxHosts));
    assert_eq!(open(&memory, &options(1, 1025, EkIfOther::Refuse)), Err(EkCode::MaxHosts));
}

/// A child that works until it is killed: begins and finishes requests, up to eight at once.
fn work(upstream: *mut EkUpstream, process: u32, seed: u64) -> ! {
    let mut numbers = Numbers::new(seed);
    let mut open = [const { None }; 8];
    loop {
        let place = &mut open[numbers.below(8)];
        match place.take() {
            Some(mut ticket) => {
                finish(upstream, &mut ticket);
            }
            None => *place = begin(upstream, process, numbers.below(HOSTS as usize) as u32).ok(),
        }
    }
}

pub(crate) fn fork(child: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child calls nothing that another thread of ours could hold a lock of: no
    // allocation, no output.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "the system forks");
    if pid == 0 {
        // SAFETY: asks the system to end the child when its parent ends, whatever ends it.
        #[cfg(target_os = "linux")]
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
        };
        child();
        // SAFETY: ends the child without anything that the parent set up.
        unsafe { libc::_exit(0) };
    }
    pid
}

pub(crate) fn kill(pid: libc::pid_t) {
    // SAFETY: our own child, which has not been waited for.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    // SAFETY: as above.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
}

/// Joins, again and again while others are in the way; those of them that are dead are
/// joined too.
fn join_at_last(upstream: *mut EkUpstream, process: u32, dead: &[u32]) -> u32 {
    let mut taken_back = 0;
    for _ in 0..100_000 {
        match join(upstream, process) {
            Ok(requests) => return taken_back + requests,
            Err(code) => assert_eq!(code, EkCode::Busy),
        }
        taken_back += dead.iter().filter_map(|other| join(upstream, *other).ok()).sum::<u32>();
        std::thread::yield_now();
    }
    panic!("process {process} cannot join");
}

#[test]
fn ten_thousand_processes_killed_at_random_moments_leave_nothing() {
    const KILLS: u64 = 10_000;
    /// On a busy machine, children are killed before they begin rather than waited for.
    const WAITING_MAX: Duration = Duration::from_secs(10);
    let start = Instant::now();
    let (_memory, upstream) = shared_upstream();
    let mut numbers = Numbers::new(11);
    // One lives on and works all the time; its places are the last.
    join(upstream, PROCESSES - 1).expect("free");
    let survivor = fork(|| work(upstream, PROCESSES - 1, 99));
    let page = Shared::new(4096);
    // SAFETY: mapped, aligned, zero, and changed through this alone.
    let started = unsafe { AtomicU64::from_ptr(page.begin().cast()) };
    let mut taken_back = 0u64;
    for round in 0..KILLS {
        let process = (round % 3) as u32;
        taken_back += u64::from(join_at_last(upstream, process, &[0, 1, 2]));
        let child = fork(|| {
            started.store(round + 1, Relaxed);
            work(upstream, process, round + 1);
        });
        // Mostly at work, for up to some thousands of requests; sometimes not even begun.
        let begins = numbers.below(10) != 0;
        while begins && started.load(Relaxed) != round + 1 && start.elapsed() < WAITING_MAX {
            std::thread::yield_now();
        }
        for _ in 0..numbers.below(2_000) {
            std::hint::spin_loop();
        }
        kill(child);
    }
    kill(survivor);
    for process in 0..PROCESSES {
        taken_back += u64::from(join_at_last(upstream, process, &[0, 1, 2, 3]));
    }
    assert_eq!(in_flight(upstream), [0, 0, 0]);
    let sent: u64 = (0..HOSTS).map(|host| stats(upstream, host).sent_total).sum();
    println!("{KILLS} processes killed amid {sent} requests, {taken_back} taken back");
    assert!(taken_back > KILLS / 50, "the children did work: {taken_back}");
}

/// Runs a child one instruction at a time, and looks at the shared memory after each, as
/// long as `look` says so; then lets it run to its end. `None` where the system does not
/// let us.
#[cfg(target_os = "linux")]
pub(crate) fn step_through(child: impl FnOnce(), mut look: impl FnMut() -> bool) -> Option<u64> {
    let pid = fork(|| {
        // SAFETY: asks to be traced by the parent, and stops.
        if unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } == 0 {
            // SAFETY: as above.
            unsafe { libc::raise(libc::SIGSTOP) };
            child();
        }
    });
    let (mut steps, mut goes_on) = (0, true);
    loop {
        let mut status = 0;
        // SAFETY: our own child.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the child ends as it should");
            return (steps > 0).then_some(steps);
        }
        goes_on = goes_on && look();
        let request = if goes_on { libc::PTRACE_SINGLESTEP } else { libc::PTRACE_CONT };
        // SAFETY: our own child, which is stopped.
        if unsafe { libc::ptrace(request, pid, 0, 0) } != 0 {
            kill(pid);
            return None;
        }
        steps += 1;
    }
}

/// Every state of a memory while a child works on it, and the number of instructions.
#[cfg(target_os = "linux")]
fn states_of(memory: &Shared, child: impl FnOnce()) -> Option<(Vec<Vec<u8>>, u64)> {
    let mut states: Vec<Vec<u8>> = Vec::new();
    let steps = step_through(child, || {
        let now = contents(memory);
        if states.last().is_none_or(|last| last != now) {
            states.push(now.to_vec());
        }
        true
    });
    steps.map(|steps| (states, steps))
}

/// The bytes of shared memory while all who write to it are stopped.
#[cfg(target_os = "linux")]
pub(crate) fn contents(memory: &Shared) -> &[u8] {
    // SAFETY: mapped as long as it is borrowed; the callers have stopped the writers.
    unsafe { std::slice::from_raw_parts(memory.begin(), memory.len()) }
}

#[cfg(target_os = "linux")]
#[test]
fn a_kill_at_any_instruction_is_repaired() {
    let (mut memory, upstream) = shared_upstream();
    for process in 0..PROCESSES {
        join(upstream, process).expect("free");
    }
    // Requests of others, which must stay.
    let mut others = [begin(upstream, 1, 0).expect("host"), begin(upstream, 2, 1).expect("host")];
    let mut own = begin(upstream, 0, 0).expect("host");
    let base = contents(&memory).to_vec();
    let updates: [(&str, &mut dyn FnMut()); 3] = [
        ("begin", &mut || assert!(begin(upstream, 0, 0).is_ok())),
        ("finish", &mut || assert_eq!(finish(upstream, &mut own), EkCode::Ok)),
        ("join", &mut || assert_eq!(join(upstream, 0), Ok(1))),
    ];
    for (name, update) in updates {
        memory.bytes().copy_from_slice(&base);
        let Some((states, steps)) = states_of(&memory, update) else { return println!("{CANNOT_STEP}") };
        println!("{name}: {steps} instructions, {} states of memory", states.len());
        assert!(states.len() >= 5, "{name} changes memory step by step");
        let mut after_kill = Shared::new(memory.len());
        for left in states {
            after_kill.bytes().copy_from_slice(&left);
            repaired(&after_kill);
        }
    }
    memory.bytes().copy_from_slice(&base);
    for ticket in &mut others {
        assert_eq!(finish(upstream, ticket), EkCode::Ok);
    }
}

#[cfg(target_os = "linux")]
pub(crate) const CANNOT_STEP: &str = "skipped: this system does not let a process step through another";

/// All interleavings of a repair with an update by a living process, up to one switch from
/// the one to the other and back, for every moment at which the dead one may have died.
#[cfg(target_os = "linux")]
#[test]
fn a_repair_at_any_instruction_of_another_process_loses_nothing() {
    let (mut memory, upstream) = shared_upstream();
    for process in 0..PROCESSES {
        join(upstream, process).expect("free");
    }
    let mut living = begin(upstream, 0, 0).expect("host");
    let base = contents(&memory).to_vec();
    let dying = || assert!(begin(upstream, 1, 0).is_ok());
    let Some((deaths, _)) = states_of(&memory, dying) else { return println!("{CANNOT_STEP}") };
    let (mut tried, mut busy) = (0, 0);
    for left in &deaths {
        for (is_begin, expected) in [(true, 2), (false, 0)] {
            for pause in 1.. {
                memory.bytes().copy_from_slice(left);
                let (mut last, mut changes, mut was_busy) = (left.clone(), 0, None);
                let update = || {
                    let code = if is_begin { begin(upstream, 0, 0).err() } else { Some(finish(upstream, &mut living)) };
                    assert!(matches!(code, None | Some(EkCode::Ok)));
                };
                step_through(update, || {
                    if contents(&memory) != last {
                        last = contents(&memory).to_vec();
                        changes += 1;
                    }
                    if changes == pause {
                        was_busy = Some(join(upstream, 1).is_err());
                    }
                    changes < pause
                });
                let Some(was_busy) = was_busy else { break };
                if was_busy {
                    join(upstream, 1).expect("the other one is done");
                }
                assert_eq!(in_flight(upstream), [expected, 0, 0], "paused after change {pause}");
                tried += 1;
                busy += u32::from(was_busy);
            }
        }
    }
    println!("{tried} interleavings, {busy} of them told to come back");
    assert!(tried >= 100 && busy > 0 && busy < tried);
    memory.bytes().copy_from_slice(&base);
}

/// Attaches to what a killed process 0 left and repairs it; the others' requests remain.
#[cfg(target_os = "linux")]
fn repaired(memory: &Shared) {
    let (upstream, was_made) = open(memory, &options(HOSTS, PROCESSES, EkIfOther::Refuse)).expect("an upstream");
    assert!(!was_made);
    join(upstream, 0).expect("nobody else is in the way");
    assert_eq!(in_flight(upstream), [1, 1, 0]);
    // And it works on.
    let mut ticket = begin(upstream, 0, 0).expect("host");
    assert_eq!(in_flight(upstream), [2, 1, 0]);
    assert_eq!(finish(upstream, &mut ticket), EkCode::Ok);
    assert_eq!(in_flight(upstream), [1, 1, 0]);
}
