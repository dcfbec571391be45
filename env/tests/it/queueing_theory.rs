//! FIFO hosts against closed forms: Erlang's C formula.

use evenkeel_datasets::{Request, Trace, random};
use evenkeel_env::fleet::{Antagonists, Fleet};
use evenkeel_env::host::ServiceOptions;
use evenkeel_env::host::fifo::FifoOptions;
use evenkeel_env::telemetry::TelemetryOptions;
use evenkeel_env::{Scenario, Workload, policies, simulate};

/// Mean wait in an M/M/c queue over the mean service time (Erlang, 1917).
fn erlang_wait(servers: u32, load: f64) -> f64 {
    let offered = f64::from(servers) * load;
    let mut term = 1.0;
    let mut sum = 0.0;
    for k in 0..servers {
        sum += term;
        term *= offered / f64::from(k + 1);
    }
    let waiting = term / (1.0 - load);
    waiting / (sum + waiting) / (f64::from(servers) * (1.0 - load))
}

/// Poisson arrivals with exponential service times of mean 1.
fn markov(requests: usize, seed: u64) -> Trace {
    let mut rng = random::generator(seed, 0);
    let mut arrival_s = 0.0;
    let requests = (0..requests).map(|_| {
        arrival_s += random::exponential(&mut rng, 1.0);
        Request { service_s: random::exponential(&mut rng, 1.0) as f32, ..Request::new(arrival_s, 0, 0) }
    });
    Trace { requests: requests.collect(), ..Trace::default() }
}

fn simulated_wait(servers: u32, load: f64, speed: f64) -> f64 {
    const REQUESTS: usize = 400_000;
    let workload = Workload::new(markov(REQUESTS, u64::from(servers)), &markov(1_000, 99));
    let scenario = Scenario {
        service: ServiceOptions::Fifo(FifoOptions { servers, ..FifoOptions::default() }),
        antagonists: Antagonists::NONE,
        telemetry: TelemetryOptions::none(),
        balancers: 1,
        load,
        requests_max: REQUESTS,
        ..Scenario::fifo(Fleet::cycle("one", &[speed], 1))
    };
    let mut policy = policies::find("p2c").expect("p2c is in the registry").build_default();
    let outcome = simulate(&scenario, &workload, policy.as_mut(), 1);
    let latency_s: f64 =
        outcome.measured().iter().map(|record| record.latency_s).sum::<f64>() / outcome.measured().len() as f64;
    latency_s * speed - 1.0
}

#[test]
fn waits_agree_with_erlang() {
    for (servers, load, speed) in [(1, 0.5, 1.0), (1, 0.8, 2.5), (3, 0.7, 1.0), (8, 0.8, 1.6)] {
        let (theory, simulated) = (erlang_wait(servers, load), simulated_wait(servers, load, speed));
        assert!(
            (simulated / theory - 1.0).abs() < 0.08,
            "M/M/{servers} at {load}: theory {theory}, simulated {simulated}"
        );
    }
}

#[test]
fn erlang_is_right_for_one_server() {
    assert!((erlang_wait(1, 0.5) - 1.0).abs() < 1e-12);
    assert!((erlang_wait(1, 0.8) - 4.0).abs() < 1e-12);
}
