//! What a decision costs, in nanoseconds, on one core and with fresh inputs each call.
//!
//! `cargo bench --profile release -p evenkeel-runtime --bench decide [-- LEVEL…]`

mod changed;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use evenkeel_dev::timing::{Flood, Times};
use evenkeel_dev::upstream::{Upstream, serve};
use evenkeel_dev::{policy, timing};
use evenkeel_runtime::simd::Level;
use evenkeel_runtime::{Decision, Eligible, LANES, Model, Request, State, decide, features, stride};

/// Numbers of hosts.
const HOSTS: [usize; 4] = [8, 16, 64, 256];

fn main() {
    let file = policy::artifact();
    let model = Model::parse(&file).expect("valid");
    let clock_ghz = timing::clock_ghz();
    println!("clock {clock_ghz:.2} GHz; nanoseconds a call");
    println!(
        "{:>9} {:>6} {:>14} {:>14} {:>14} {:>7} {:>13} {:>13} {:>7} {:>14}",
        "level", "hosts", "decide", "features", "network", "floor", "p50/p99", "with writer", "cold", "changed/cold"
    );
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for level in Level::available().filter(|level| asked.is_empty() || asked.iter().any(|name| name == level.name())) {
        let model = model.with_level(level);
        let multiply_adds_per_ns = timing::multiply_adds_per_ns(level, clock_ghz);
        println!("{:>9} at best {multiply_adds_per_ns:.0} multiply-adds a nanosecond", level.name());
        for hosts in HOSTS {
            measure(&model, level, hosts, multiply_adds_per_ns);
        }
    }
    println!("decide, features, network: least and median of batches; p50/p99: of single calls, without");
    println!("and with a thread that sends and answers requests; cold: median after 8 MiB of other memory;");
    println!("changed: the least that recomputing what changed alone would take, see changed.rs");
}

fn measure(model: &Model<'_>, level: Level, hosts: usize, multiply_adds_per_ns: f64) {
    let upstream = Upstream::new(hosts);
    let state = upstream.state(model);
    let policy = model.policy().expect("a policy");
    let mut scratch = vec![0.0; policy.scratch_len(hosts)];
    let mut call = 0u64;
    let mut fresh = || {
        call += 1;
        (Request { prompt_tokens: (call * 7919 % 4000) as u32, ..Request::default() }, 1_000_000 + call * 700)
    };
    let mut make = |(request, now_us): (Request<'_>, u64)| -> Decision {
        decide(Some(model), &state, &request, Eligible::All, now_us, &mut scratch)
    };

    // Each decision is acted upon, so that the next one sees another state.
    let acted = timing::batches(|| {
        let (request, now_us) = fresh();
        let made = make((request, now_us));
        serve(&state, model, made.host.unwrap_or(0), request.prompt_tokens, now_us);
    });
    let acting = timing::batches(|| {
        let (request, now_us) = fresh();
        serve(&state, model, (now_us % hosts as u64) as u32, request.prompt_tokens, now_us);
    });
    let mut prepare = || {
        let (request, now_us) = fresh();
        serve(&state, model, (now_us / 700 % hosts as u64) as u32, request.prompt_tokens, now_us);
        (request, now_us)
    };
    let alone = timing::singles(&mut prepare, |input| {
        black_box(make(input));
    });
    let is_over = AtomicBool::new(false);
    let with_writer = std::thread::scope(|threads| {
        threads.spawn(|| write(&state, model, hosts, &is_over));
        let times = timing::singles(&mut prepare, |input| {
            black_box(make(input));
        });
        is_over.store(true, Relaxed);
        times
    });
    let mut flood = Flood::default();
    let cold = timing::singles_of(
        200,
        &mut || {
            let input = prepare();
            flood.evict();
            input
        },
        &mut |input| {
            black_box(make(input));
        },
    );

    let (changed, changed_cold) = changed(model, &state, hosts, &mut fresh);
    let mut columns = vec![0.0; policy.scratch_len(hosts)];
    let features = timing::batches(|| {
        let (request, now_us) = fresh();
        features::write(model.service(), &state, &request, Eligible::All, hosts, now_us, &mut columns);
    });
    let network = timing::batches(|| {
        black_box(policy.run(hosts, black_box(&mut columns)));
    });
    println!(
        "{:>9} {:>6} {:>14} {:>14} {:>14} {:>7.0} {:>13} {:>13} {:>7.0} {:>14}",
        level.name(),
        hosts,
        pair(acted.least - acting.least, acted.median - acting.median),
        if level == Level::detect() { of(features) } else { String::from("-") },
        of(network),
        floor_ns(level, hosts, multiply_adds_per_ns),
        pair(alone.0, alone.1),
        pair(with_writer.0, with_writer.1),
        cold.0,
        if level == Level::detect() { pair(changed - acting.least, changed_cold) } else { String::from("-") },
    );
}

/// [`changed::Kept`] in batches, each decision acted upon, and in single calls with cold caches.
fn changed<'r>(
    model: &Model<'_>,
    state: &State<'_>,
    hosts: usize,
    fresh: &mut impl FnMut() -> (Request<'r>, u64),
) -> (f64, f64) {
    let mut kept = changed::Kept::new(model, hosts);
    let acted = timing::batches(|| {
        let (request, now_us) = fresh();
        let row = kept.decide(model, state, &request, now_us);
        serve(state, model, row as u32, request.prompt_tokens, now_us);
    });
    let mut flood = Flood::default();
    let prepare = &mut || {
        let (request, now_us) = fresh();
        serve(state, model, (now_us / 700 % hosts as u64) as u32, request.prompt_tokens, now_us);
        flood.evict();
        (request, now_us)
    };
    let cold = timing::singles_of(200, prepare, &mut |(request, now_us)| {
        black_box(kept.decide(model, state, &request, now_us));
    });
    (acted.least, cold.0)
}

fn of(times: Times) -> String {
    pair(times.least, times.median)
}

fn pair(first: f64, second: f64) -> String {
    format!("{first:.0}/{second:.0}")
}

/// What the multiply-adds alone must take.
fn floor_ns(level: Level, hosts: usize, multiply_adds_per_ns: f64) -> f64 {
    let lanes = match level.name() {
        "avx512" => 16,
        "avx2" => 8,
        _ => 4,
    };
    let padded = if lanes < LANES { hosts.next_multiple_of(lanes) } else { stride(hosts) };
    (policy::MULTIPLY_ADDS * padded) as f64 / multiply_adds_per_ns
}

/// Another thread's requests, to all hosts in turn.
fn write(state: &State<'_>, model: &Model<'_>, hosts: usize, is_over: &AtomicBool) {
    let mut host = 0;
    while !is_over.load(Relaxed) {
        host = (host + 1) % hosts as u32;
        serve(state, model, host, 300, 2_000_000);
    }
}
