//! A replay measures what the model predicts.

use std::sync::Arc;

use evenkeel_datasets::{LoadOptions, Request, Trace, load_trace};
use evenkeel_env::Status;
use evenkeel_env::host::fifo::FifoOptions;
use evenkeel_env::host::{Host, Job, Notice, ServiceOptions};
use evenkeel_testbed::clock::Clock;
use evenkeel_testbed::emulator::EmulatorOptions;
use evenkeel_testbed::emulator::faults::Fault;
use evenkeel_testbed::replay::client::ClientOptions;
use evenkeel_testbed::replay::observation::Observation;
use evenkeel_testbed::replay::plan::Plan;
use evenkeel_testbed::replay::{self, log, summary::Summary};

use crate::support::{host, quick_options, quick_service, run};

fn client(authority: String) -> ClientOptions {
    ClientOptions {
        authority,
        path: None,
        model: "m".to_owned(),
        stream: true,
        deadline_s: f64::INFINITY,
        headers: Vec::new(),
    }
}

async fn replayed(plan: &Arc<Plan>, options: ClientOptions, time_scale: f64) -> Vec<Observation> {
    let mut receiver = replay::start(Arc::clone(plan), options, Clock::start(time_scale)).unwrap();
    let mut observations = Vec::new();
    while let Some(observation) = receiver.recv().await {
        observations.push(observation);
    }
    observations.sort_by_key(|observation| observation.index);
    observations
}

/// Requests in bursts, so that they queue: every 100 ms four at once, of different sizes.
fn bursts() -> Trace {
    let requests = (0..60_u32).map(|i| Request::new(f64::from(i / 4) * 0.1, 50 + 700 * (i % 4), 10 + 17 * (i % 5)));
    Trace { requests: requests.collect(), ..Trace::default() }
}

/// First token and end of each request according to the model alone.
fn predicted(plan: &Plan, service: &ServiceOptions) -> Vec<(f64, f64)> {
    let mut host = Host::new(service, 1.0, 16);
    let mut times = vec![(f64::NAN, f64::NAN); plan.requests.len()];
    let mut notices = Vec::new();
    let mut advance = |host: &mut Host, until_s: f64| {
        while host.next_event_s() <= until_s {
            let at_s = host.next_event_s();
            host.advance(at_s, &mut notices);
            for notice in notices.drain(..) {
                match notice {
                    Notice::FirstToken(i) => times[i as usize].0 = at_s - plan.requests[i as usize].due_s,
                    Notice::Done(i) => times[i as usize].1 = at_s - plan.requests[i as usize].due_s,
                }
            }
            if !host.next_event_s().is_finite() {
                break;
            }
        }
    };
    for (request, due) in (0..).zip(&plan.requests) {
        advance(&mut host, due.due_s);
        let (prompt_tokens, output_tokens) = (due.request.prompt_tokens, due.request.output_tokens);
        let service_s = f64::from(due.request.service_s);
        let job = Job { request, prompt_tokens, output_tokens, service_s, prefix: &[], prefix_block_tokens: 0 };
        host.offer(due.due_s, &job);
    }
    advance(&mut host, 1e9);
    times
}

fn assert_close(what: &str, measured: &[f64], predicted: &[f64]) {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (measured, predicted) = (mean(measured), mean(predicted));
    // Sockets and wake-ups cost a millisecond or so, on a busy machine several.
    let excess = measured - predicted;
    assert!((-0.002..0.02 + 0.1 * predicted).contains(&excess), "{what}: {measured} s against {predicted} s predicted");
}

#[test]
fn language_models_take_as_long_as_the_model_says() {
    run(async {
        for stream in [true, false] {
            let host = host(quick_options()).await;
            let plan = Arc::new(Plan::new(bursts(), 1.0, usize::MAX, 1));
            let options = ClientOptions { stream, ..client(host.address().to_string()) };
            let observations = replayed(&plan, options, 1.0).await;
            assert_eq!(observations.len(), 60);
            for observation in &observations {
                assert_eq!(observation.status, Status::Answered, "{observation:?}");
                let request = &plan.requests[observation.index].request;
                assert_eq!(observation.output_tokens, request.output_tokens);
                assert_eq!(observation.host.as_deref(), Some(host.address().to_string().as_str()));
            }
            let predicted = predicted(&plan, &quick_service());
            let latencies: Vec<f64> = observations.iter().map(|observation| observation.latency_s).collect();
            assert_close("latency", &latencies, &predicted.iter().map(|times| times.1).collect::<Vec<_>>());
            if stream {
                let firsts: Vec<f64> = observations.iter().map(|observation| observation.first_token_s).collect();
                assert_close("first token", &firsts, &predicted.iter().map(|times| times.0).collect::<Vec<_>>());
            }
        }
    });
}

#[test]
fn fifo_services_take_as_long_as_the_trace_says() {
    run(async {
        let service = ServiceOptions::Fifo(FifoOptions::default());
        let host = host(EmulatorOptions { service, time_scale: 2.0, ..quick_options() }).await;
        let requests =
            (0..40).map(|i: i16| Request { service_s: 0.05, ..Request::new(f64::from(i / 4) * 0.12, 0, 0) }).collect();
        let plan = Arc::new(Plan::new(Trace { requests, ..Trace::default() }, 1.0, usize::MAX, 1));
        let observations = replayed(&plan, client(host.address().to_string()), 2.0).await;
        let latencies: Vec<f64> = observations.iter().map(|observation| observation.latency_s).collect();
        assert!(observations.iter().all(|observation| observation.status == Status::Answered));
        assert_close(
            "latency",
            &latencies,
            &predicted(&plan, &service).iter().map(|times| times.1).collect::<Vec<_>>(),
        );
    });
}

#[test]
fn the_log_is_a_trace_again() {
    run(async {
        let host = host(quick_options()).await;
        let plan = Arc::new(Plan::new(bursts(), 2.0, 20, 1));
        let observations = replayed(&plan, client(host.address().to_string()), 1.0).await;
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut out = std::fs::File::create(file.path()).unwrap();
        for observation in &observations {
            log::write(&mut out, &plan, observation, 1_700_000_000.0).unwrap();
        }
        let trace = load_trace(file.path(), None, &LoadOptions::default()).unwrap();
        assert_eq!(trace.requests.len(), 20);
        assert_eq!(trace.upstreams, [host.address().to_string()]);
        for (request, due) in trace.requests.iter().zip(&plan.requests) {
            assert!((request.arrival_s - due.due_s).abs() < 0.003);
            assert_eq!(request.output_tokens, due.request.output_tokens);
            assert!(request.first_byte_s <= request.service_s);
        }
        let summary = Summary::new(&observations, 0.1);
        assert_eq!((summary.measured, summary.answered_by_host.values().sum::<u64>()), (18, 18));
        assert!(summary.table().contains("18 requests measured, 0.00 % failed"), "{}", summary.table());
    });
}

#[test]
fn what_is_never_answered_is_given_up_and_counted() {
    run(async {
        let host = host(quick_options()).await;
        let plan = Arc::new(Plan::new(bursts(), 10.0, 8, 1));
        host.command(Fault::Hang);
        let options = ClientOptions { deadline_s: 0.2, ..client(host.address().to_string()) };
        let observations = replayed(&plan, options, 1.0).await;
        assert!(observations.iter().all(|observation| observation.status == Status::TimedOut));
        assert!(observations.iter().all(|observation| (0.19..0.4).contains(&observation.latency_s)));
        host.command(Fault::Crash);
        let observations = replayed(&plan, client(host.address().to_string()), 1.0).await;
        let summary = Summary::new(&observations, 0.0);
        assert_eq!(summary.metrics.failed_share, 1.0);
        assert!(summary.metrics.latency_mean_s >= 60.0, "failing fast must not look fast");
        assert!(summary.errors.keys().all(|error| error.contains("cannot connect")), "{:?}", summary.errors);
    });
}
