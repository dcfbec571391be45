//! What a decision costs: median and 99th percentile over fresh inputs, in nanoseconds.
//!
//! `cargo bench --profile release -p evenkeel-runtime --bench decide`

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/builder.rs"]
mod builder;

use std::hint::black_box;
use std::time::Instant;

use evenkeel_runtime::artifact::format;
use evenkeel_runtime::program::{Instruction, Op};
use evenkeel_runtime::{
    Eligible, HOST_FEATURES, HostSlot, Model, Outcome, Request, State, StateHeader, Status, Telemetry, decide, features,
};

/// Calls timed together, so that reading the clock does not count.
const CALLS: u32 = 16;
/// Batches of calls.
const BATCHES: usize = 4000;

fn main() {
    let file = policy_artifact();
    let model = Model::parse(&file).expect("valid");
    println!("{:>6} {:>12} {:>12} {:>12} {:>12} {:>12}", "hosts", "decide", "p99", "features", "network", "cold");
    for hosts in [8, 16, 64, 256] {
        measure(&model, hosts);
    }
    println!("nanoseconds a call; median of {BATCHES} batches of {CALLS}; cold: one call after 8 MB of other memory");
}

fn measure(model: &Model<'_>, hosts: usize) {
    let (header, slots) = (StateHeader::new(1), (0..hosts).map(|_| HostSlot::default()).collect::<Vec<_>>());
    let state = State::new(&header, &slots);
    for key in 1..=hosts as u64 {
        let host = state.register(key, 1.0, 0).expect("room");
        let report = Telemetry { running: (key % 17) as f32, waiting: 0.0, kv_use: 0.3, ..Telemetry::UNKNOWN };
        state.report(host, &report, 1000);
    }
    let policy = model.policy().expect("a policy");
    let mut scratch = vec![0.0; policy.scratch_len(hosts)];
    let mut call = 0u64;
    let mut request = || {
        call += 1;
        (Request { prompt_tokens: (call * 7919 % 4000) as u32, cached_tokens: &[] }, 1_000_000 + call * 700)
    };
    let whole = time(|| {
        let (request, now_us) = request();
        let made = decide(Some(model), &state, &request, Eligible::All, now_us, &mut scratch);
        serve(&state, model, made.host.unwrap_or(0), request.prompt_tokens, now_us);
    });
    let bookkeeping = time(|| {
        let (request, now_us) = request();
        serve(&state, model, (now_us % hosts as u64) as u32, request.prompt_tokens, now_us);
    });
    let features = time(|| {
        let (request, now_us) = request();
        features::write(model.service(), &state, &request, Eligible::All, hosts, now_us, &mut scratch);
    });
    let network = time(|| {
        black_box(policy.run(hosts, black_box(&mut scratch)));
    });
    let mut flood = vec![1u64; 1 << 20];
    let mut cold: Vec<f64> = (0..200)
        .map(|_| {
            for word in &mut flood {
                *word = word.wrapping_mul(3);
            }
            black_box(&mut flood);
            let (request, now_us) = request();
            let begin = Instant::now();
            black_box(decide(Some(model), &state, &request, Eligible::All, now_us, &mut scratch));
            begin.elapsed().as_nanos() as f64
        })
        .collect();
    cold.sort_by(f64::total_cmp);
    println!(
        "{hosts:>6} {:>12.0} {:>12.0} {:>12.0} {:>12.0} {:>12.0}",
        whole.0 - bookkeeping.0,
        whole.1 - bookkeeping.0,
        features.0,
        network.0,
        cold[cold.len() / 2]
    );
}

/// A request that is sent and answered, so that the next decision sees another state.
fn serve(state: &State<'_>, model: &Model<'_>, host: u32, prompt_tokens: u32, now_us: u64) {
    if let Some(ticket) = state.begin(host, prompt_tokens, now_us) {
        let success = Outcome { status: Status::Success, output_tokens: 100 };
        state.finish(&ticket, &success, model.service(), now_us + 90_000);
    }
}

/// Median and 99th percentile of a call, in nanoseconds.
fn time(mut call: impl FnMut()) -> (f64, f64) {
    let mut batches: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..CALLS {
                call();
            }
            begin.elapsed().as_nanos() as f64 / f64::from(CALLS)
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    (batches[BATCHES / 2], batches[BATCHES * 99 / 100])
}

/// The shape of the policy that the trainer makes, with arbitrary weights.
fn policy_artifact() -> Vec<u8> {
    let inputs = HOST_FEATURES as u16;
    let registers = [
        builder::rows(inputs),
        builder::uniform(inputs),
        builder::uniform(16),
        builder::rows(16),
        builder::rows(16),
        builder::rows(16),
        builder::rows(8),
        builder::rows(8),
        builder::rows(1),
        builder::rows(1),
        builder::rows(1),
        builder::rows(1),
    ];
    let plain = builder::instruction;
    let linear = |dst, a, weights, bias| Instruction { weights, bias, ..plain(Op::Linear, dst, a, 0) };
    let (first, second, third) = (24 * 16, 2 * 24 * 16 + 32, 2 * 24 * 16 + 32 + 16 * 8 + 8);
    let instructions = [
        plain(Op::MeanRows, 1, 0, 0),
        linear(2, 1, 0, 2 * first),
        linear(3, 0, first, 2 * first + 16),
        plain(Op::Add, 4, 3, 2),
        plain(Op::Tanh, 5, 4, 0),
        linear(6, 5, second, second + 16 * 8),
        plain(Op::Tanh, 7, 6, 0),
        linear(8, 7, third, third + 8),
        plain(Op::Tanh, 9, 8, 0),
        plain(Op::Slice, 10, 0, 0),
        plain(Op::Add, 11, 10, 9),
    ];
    let weights: Vec<f32> = (0..third + 9).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.004).collect();
    let sections = [
        (format::SERVICE, builder::service().encode().to_vec()),
        (format::POLICY, builder::program(&registers, &instructions, &weights, 11)),
    ];
    builder::artifact(&sections)
}
