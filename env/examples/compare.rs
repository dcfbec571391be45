//! Compares policies: `compare [llm|fifo] [load] [hosts] [seeds] [trace]`, on the last 30 %
//! of the trace or on a synthetic one.

use evenkeel_datasets::{LoadOptions, Request, Split, Trace, load_trace, random};
use evenkeel_env::fleet::Fleet;
use evenkeel_env::metrics::{Metrics, MetricsOptions, estimate};
use evenkeel_env::policies::REGISTRY;
use evenkeel_env::{Scenario, Workload, simulate};

fn trace(seed: u64) -> Trace {
    let mut rng = random::generator(seed, 0);
    let mut arrival_s = 0.0;
    let requests = (0..20_000).map(|_| {
        arrival_s += random::exponential(&mut rng, 1.0);
        let prompt = random::log_normal(&mut rng, 6.6, 1.0) as u32;
        let output = random::log_normal(&mut rng, 5.2, 0.8) as u32;
        Request::new(arrival_s, prompt, output)
    });
    Trace { requests: requests.collect(), ..Trace::default() }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |index: usize, default: f64| arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default);
    let fleet = Fleet::het(number(2, 16.0) as usize);
    let base = match arguments.first().map(String::as_str) {
        Some("fifo") => Scenario::fifo(fleet),
        _ => Scenario::llm(fleet),
    };
    let scenario = Scenario { load: number(1, 0.7), ..base };
    let [training, test] = match arguments.get(4) {
        Some(path) => {
            let trace = load_trace(path, None, &LoadOptions::default()).unwrap_or_else(|error| panic!("{error}"));
            let [training, _, test] = trace.split(&Split { train: 0.6, validation: 0.1 });
            [training, test]
        }
        None => [trace(1), trace(2)],
    };
    let workload = Workload::new(test, &training);
    println!("{:24} {:>9} {:>9} {:>9} {:>9} {:>9}", "policy", "mean s", "p50 s", "p99 s", "TTFT s", "p99 s");
    for entry in REGISTRY {
        let metrics: Vec<_> = (0..number(3, 3.0) as u64)
            .map(|seed| {
                let outcome = simulate(&scenario, &workload, entry.build_default().as_mut(), seed);
                Metrics::of(&outcome, &MetricsOptions::default())
            })
            .collect();
        let mean = |field: fn(&Metrics) -> f64| estimate(&metrics.iter().map(field).collect::<Vec<_>>()).value;
        println!(
            "{:24} {:9.4} {:9.4} {:9.4} {:9.4} {:9.4}",
            entry.name,
            mean(|m| m.latency_mean_s),
            mean(|m| m.latency_p50_s),
            mean(|m| m.latency_p99_s),
            mean(|m| m.ttft_mean_s),
            mean(|m| m.ttft_p99_s)
        );
    }
}
