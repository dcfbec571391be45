//! A fixed number of decisions and nothing else, to be run under callgrind, which counts
//! instructions: unlike times, they are the same on a busy machine.
//!
//! `instructions LEVEL HOSTS DECISIONS`. `cargo xtask test` compares the counts with those
//! in `expected.txt` beside this file.

use std::hint::black_box;
use std::process::ExitCode;

use evenkeel_dev::policy;
use evenkeel_runtime::simd::Level;
use evenkeel_runtime::{Eligible, HostSlot, Model, Request, State, StateHeader, Telemetry, decide};

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [level, hosts, decisions] = arguments.as_slice() else {
        println!("counts under callgrind only: instructions LEVEL HOSTS DECISIONS");
        return ExitCode::SUCCESS;
    };
    let level = Level::available().find(|available| available.name() == level);
    let (Some(level), Ok(hosts), Ok(decisions)) = (level, hosts.parse(), decisions.parse()) else {
        eprintln!("this machine does not have {arguments:?}");
        return ExitCode::FAILURE;
    };
    run(level, hosts, decisions);
    ExitCode::SUCCESS
}

fn run(level: Level, hosts: usize, decisions: u64) {
    let file = policy::artifact();
    let model = Model::parse(&file).expect("valid").with_level(level);
    let header = StateHeader::new(1);
    let slots: Vec<HostSlot> = (0..hosts).map(|_| HostSlot::default()).collect();
    let state = State::new(&header, &slots);
    for key in 1..=hosts as u64 {
        let host = state.register(key, 1.0, 0).expect("room");
        let report = Telemetry { running: (key % 17) as f32, waiting: 0.0, kv_use: 0.3, ..Telemetry::UNKNOWN };
        state.report(host, &report, 1000, 1000);
    }
    let mut scratch = vec![0.0; model.policy().map_or(0, |policy| policy.scratch_len(hosts))];
    for decision in 0..decisions {
        let request = Request { prompt_tokens: (decision * 7919 % 4000) as u32, ..Request::default() };
        black_box(decide(Some(&model), &state, &request, Eligible::All, 1_000_000 + decision * 700, &mut scratch));
    }
}
