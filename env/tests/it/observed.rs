//! Known fleets and services, recovered from the logs that they leave.

use evenkeel_datasets::Trace;
use evenkeel_env::calibration::observed::{Observed, ObservedError, observe};
use evenkeel_env::fleet::{Antagonists, Fleet};
use evenkeel_env::host::ServiceOptions;
use evenkeel_env::host::fifo::FifoOptions;
use evenkeel_env::host::llm::{LlmOptions, StepModel};
use evenkeel_env::{Scenario, Workload};

use crate::common::{run, trace};

/// The log of a replay: who answered, and when.
fn log(scenario: &Scenario, trace: &Trace) -> Trace {
    let scenario = Scenario { requests_max: trace.requests.len(), ..scenario.clone() };
    let outcome = run(&scenario, &Workload::new(trace.clone(), trace), "least_request", 1);
    let requests = trace.requests.iter().zip(&outcome.records).map(|(request, record)| evenkeel_datasets::Request {
        arrival_s: record.arrival_s,
        service_s: record.latency_s as f32,
        first_byte_s: record.ttft_s as f32,
        upstream: record.host,
        ..*request
    });
    let upstreams = (0..scenario.fleet.hosts()).map(|host| format!("10.0.0.{host}:8000")).collect();
    Trace { name: "log".to_owned(), requests: requests.collect(), upstreams, ..Trace::default() }
}

fn assert_speeds(observed: &Observed, fleet: &Fleet) {
    assert_eq!(observed.hosts.len(), fleet.hosts());
    for (host, speed) in observed.hosts.iter().zip(&fleet.speeds) {
        assert!((host.speed / speed - 1.0).abs() < 0.08, "{host:?}, expected {speed}");
    }
}

#[test]
fn a_language_model_is_recovered() {
    let step = StepModel { base_s: 0.03, per_request_s: 3e-4, per_kv_token_s: 2e-7, per_prefill_token_s: 2e-4 };
    let service = LlmOptions { step, ..LlmOptions::default() };
    let fleet = Fleet::cycle("own", &[1.0, 1.5, 3.0], 6);
    for antagonists in [Antagonists::NONE, Antagonists::standard(20.0)] {
        let scenario = Scenario { service: ServiceOptions::Llm(service), antagonists, ..Scenario::llm(fleet.clone()) };
        let observed = observe(&log(&scenario, &trace(6_000, 5))).expect("the log tells all");
        assert_speeds(&observed, &fleet);
        let ServiceOptions::Llm(found) = observed.service else { panic!("another kind of service") };
        println!("{:?}, {:?}", found.step, observed.error);
        for (decoding, kv_tokens, prefill_tokens) in [(1, 1000, 0), (8, 10_000, 0), (20, 30_000, 500)] {
            let ratio = found.step.step_s(decoding, kv_tokens, prefill_tokens)
                / step.step_s(decoding, kv_tokens, prefill_tokens);
            assert!((ratio - 1.0).abs() < 0.1, "{ratio} with {decoding} decoding: {:?}", found.step);
        }
    }
}

#[test]
fn a_fifo_service_is_recovered() {
    let service = FifoOptions { servers: 3, service_mean_s: 0.04, service_variation: 0.8 };
    let fleet = Fleet::cycle("own", &[2.0, 1.0], 4);
    let scenario = Scenario {
        service: ServiceOptions::Fifo(service),
        antagonists: Antagonists::NONE,
        load: 0.5,
        ..Scenario::fifo(fleet.clone())
    };
    let arrivals = trace(20_000, 6).requests.into_iter().map(|r| evenkeel_datasets::Request::new(r.arrival_s, 0, 0));
    let observed =
        observe(&log(&scenario, &Trace { requests: arrivals.collect(), ..Trace::default() })).expect("enough");
    assert_speeds(&observed, &fleet);
    let ServiceOptions::Fifo(found) = observed.service else { panic!("another kind of service") };
    println!("{found:?}, {:?}", observed.error);
    assert_eq!(found.servers, service.servers);
    assert!((found.service_mean_s / service.service_mean_s - 1.0).abs() < 0.1, "{found:?}");
    assert!((found.service_variation / service.service_variation - 1.0).abs() < 0.15, "{found:?}");
}

#[test]
fn a_log_that_tells_too_little_is_refused() {
    let bare = trace(500, 7);
    assert!(matches!(observe(&bare), Err(ObservedError::Nothing { .. })));
    let mut log = log(&Scenario::llm(Fleet::hom(2)), &bare);
    log.requests.iter_mut().for_each(|request| request.first_byte_s = f32::NAN);
    assert!(matches!(observe(&log), Err(ObservedError::Decoding { found: 0, .. })));
    let mut rare = log.clone();
    for (index, request) in rare.requests.iter_mut().enumerate() {
        request.first_byte_s = 0.1 * request.service_s;
        request.upstream = u16::from(index < 3);
    }
    assert!(observe(&rare).is_err_and(|error| error.to_string().contains("10.0.0.1:8000")));
}
