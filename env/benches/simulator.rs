//! How fast the simulator is: requests simulated a second on one core.
//!
//! 16 heterogeneous hosts with antagonists behind 4 balancers, load 70 %. `--quick` runs
//! fewer requests.

#![expect(clippy::disallowed_types, reason = "a benchmark reads the clock")]

use std::time::Instant;

use evenkeel_datasets::{Request, Trace, random};
use evenkeel_env::fleet::Fleet;
use evenkeel_env::policies;
use evenkeel_env::telemetry::TelemetryOptions;
use evenkeel_env::{Scenario, Workload, simulate};

/// Lognormal tokens: prompts of 1200 and outputs of 250 on average.
fn trace(requests: usize) -> Trace {
    let mut rng = random::generator(1, 0);
    let mut arrival_s = 0.0;
    let requests = (0..requests).map(|_| {
        arrival_s += random::exponential(&mut rng, 1.0);
        let prompt = random::log_normal(&mut rng, libm::log(1200.0) - 0.5, 1.0) as u32;
        let output = random::log_normal(&mut rng, libm::log(250.0) - 0.32, 0.8) as u32;
        Request::new(arrival_s, prompt, output)
    });
    Trace { requests: requests.collect(), ..Trace::default() }
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let requests = if quick { 50_000 } else { 400_000 };
    let workload = Workload::new(trace(requests), &trace(10_000));
    let fleet = || Fleet::het(16);
    let local = TelemetryOptions::none();
    let fifo = Scenario { requests_max: requests, ..Scenario::fifo(fleet()) };
    let llm = Scenario { requests_max: requests, ..Scenario::llm(fleet()) };
    let oracle = Scenario { requests_max: requests / 100, ..llm.clone() };
    let cases = [
        ("fifo, own requests only", "p2c", Scenario { telemetry: local, ..fifo.clone() }),
        ("fifo, own requests only", "least_request", Scenario { telemetry: local, ..fifo.clone() }),
        ("fifo, telemetry", "p2c", Scenario { telemetry: TelemetryOptions::polled(0.25), ..fifo.clone() }),
        ("fifo, telemetry, piggyback, probes", "p2c", fifo),
        ("llm, own requests only", "p2c", Scenario { telemetry: local, ..llm.clone() }),
        ("llm, own requests only", "least_request", Scenario { telemetry: local, ..llm.clone() }),
        ("llm, telemetry", "p2c", Scenario { telemetry: TelemetryOptions::polled(0.25), ..llm.clone() }),
        ("llm, telemetry, piggyback, probes", "p2c", llm.clone()),
        ("llm, telemetry, piggyback, probes", "ext", llm),
        ("llm, telemetry, piggyback, probes", "oracle_no_sizes", oracle),
    ];
    for (name, policy, scenario) in cases {
        let mut policy = policies::find(policy).expect("the policy is in the registry").build_default();
        let begin = Instant::now();
        let outcome = simulate(&scenario, &workload, policy.as_mut(), 1);
        let seconds = begin.elapsed().as_secs_f64();
        let count = outcome.records.len() as f64;
        println!(
            "{name:36} {:16} {:7.3} million requests/s  ({:6.3} µs each)",
            policy.name(),
            count / seconds * 1e-6,
            seconds / count * 1e6
        );
    }
}
