//! Several threads that decide, send and answer on the same state: throughput and tail.
//!
//! `cargo bench --profile release -p evenkeel-runtime --bench contention`

use std::sync::Barrier;
use std::time::Instant;

use evenkeel_dev::policy;
use evenkeel_runtime::{Eligible, HostSlot, Model, Outcome, Request, State, StateHeader, Status, Telemetry, decide};

/// Threads, as workers of a proxy would be.
const THREADS: [usize; 4] = [1, 2, 4, 8];
/// Requests of each thread.
const REQUESTS: u64 = 100_000;
/// Hosts.
const HOSTS: usize = 16;

fn main() {
    let file = policy::artifact();
    let model = Model::parse(&file).expect("valid");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{HOSTS} hosts, {REQUESTS} requests a thread, each decided, sent, answered and reported; {cores} cores");
    println!("{:>8} {:>14} {:>12} {:>12} {:>12}", "threads", "requests/s", "median ns", "p99 ns", "lost counts");
    for threads in THREADS {
        measure(&model, threads);
    }
}

fn measure(model: &Model<'_>, threads: usize) {
    let (header, slots) = (StateHeader::new(1), (0..HOSTS).map(|_| HostSlot::default()).collect::<Vec<_>>());
    let state = State::new(&header, &slots);
    for key in 1..=HOSTS as u64 {
        state.register(key, 1.0, 0).expect("room");
    }
    let barrier = Barrier::new(threads);
    let begin = Instant::now();
    let mut times: Vec<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(model, &state, &barrier))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    let elapsed_s = begin.elapsed().as_secs_f64();
    times.sort_unstable();
    let total = threads as u64 * REQUESTS;
    let sent: u64 = slots.iter().map(HostSlot::sent_total).sum();
    let done: u64 = slots.iter().map(HostSlot::done_total).sum();
    let in_flight: u32 = slots.iter().map(HostSlot::in_flight).sum();
    let lost = total.abs_diff(sent) + total.abs_diff(done) + u64::from(in_flight);
    println!(
        "{threads:>8} {:>14.0} {:>12} {:>12} {lost:>12}",
        total as f64 / elapsed_s,
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
}

/// A worker's requests; how long each took, from the decision to the report, in
/// nanoseconds.
fn work(model: &Model<'_>, state: &State<'_>, barrier: &Barrier) -> Vec<u64> {
    let mut scratch = vec![0.0; model.policy().map_or(0, |policy| policy.scratch_len(HOSTS))];
    let success = Outcome { status: Status::Success, output_tokens: 100, cached_tokens: None };
    barrier.wait();
    (0..REQUESTS)
        .map(|request| {
            let now_us = 1_000_000 + request * 100;
            let begin = Instant::now();
            let asked = Request { prompt_tokens: (request * 7919 % 4000) as u32, ..Request::default() };
            let host = decide(Some(model), state, &asked, Eligible::All, now_us, &mut scratch).host.unwrap_or(0);
            if let Some(ticket) = state.begin(host, asked.prompt_tokens, now_us) {
                state.finish(&ticket, &success, Some(model.service()), now_us + 50_000);
            }
            let report = Telemetry { running: (request % 9) as f32, waiting: 0.0, ..Telemetry::UNKNOWN };
            state.report(host, &report, now_us, now_us);
            begin.elapsed().as_nanos() as u64
        })
        .collect()
}
