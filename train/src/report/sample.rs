//! Made-up metrics with plausible numbers, for the tests of the tables and of the report.

use crate::metrics::{
    Curve, CurvePoint, Estimate, ForecastPlot, ForecastResult, Metrics, ParityResult, PolicyResult, Run, StageTime,
};

/// Policies with a factor on the tail, a factor on the middle, and a balance efficiency.
const POLICIES: [(&str, f64, f64, f64); 7] = [
    ("round_robin", 1.9, 1.25, 0.64),
    ("p2c", 1.45, 1.08, 0.81),
    ("least_request", 1.3, 1.02, 0.86),
    ("peak_ewma", 1.22, 1.05, 0.83),
    ("ext", 1.05, 0.97, 0.9),
    ("evenkeel", 0.78, 0.94, 0.88),
    ("oracle_true_cost", 0.66, 0.9, 0.95),
];

fn estimate(value: f64, spread: f64) -> Estimate {
    Estimate { value, ci95: [value * (1.0 - spread), value * (1.0 + spread)] }
}

fn policy(trace: &str, load: f64, entry: (&str, f64, f64, f64)) -> PolicyResult {
    let (policy, tail, middle, efficiency) = entry;
    let queueing = 1.0 / (1.0 - load);
    let p50_s = 3.1 * middle * (1.0 + 0.05 * queueing);
    let p99_s = p50_s * (1.0 + 0.9 * tail * queueing);
    let quantile = |q: f64| {
        let z = (q / (1.0 - q * 0.9999)).ln() / 4.595;
        p50_s * ((p99_s / p50_s).ln() * z).exp()
    };
    PolicyResult {
        trace: trace.to_owned(),
        policy: policy.to_owned(),
        load,
        latency_mean_s: estimate(p50_s * 1.3 * tail.powf(0.4), 0.02),
        latency_p50_s: estimate(p50_s, 0.012),
        latency_p99_s: estimate(p99_s, 0.05),
        ttft_mean_s: estimate(0.11 * tail * queueing, 0.04),
        ttft_p99_s: estimate(0.61 * tail * tail * queueing, 0.09),
        failed_share: estimate(if load > 0.8 { 0.0021 * tail } else { 0.0 }, 0.3),
        balance_efficiency: estimate(efficiency, 0.01),
        latency_quantiles_s: (0..=200).map(|index| quantile((f64::from(index) / 200.0).max(0.0005))).collect(),
    }
}

fn forecast(series: &str, served_by: &str, ratio: f64) -> ForecastResult {
    let points = 336;
    let time_s: Vec<f64> = (0..points).map(|index| 1.4201e9 + f64::from(index) * 1800.0).collect();
    let level = |index: i32| {
        let day = f64::from(index) / 48.0 * std::f64::consts::TAU;
        15_000.0 + 7_000.0 * (day - 2.2).sin() + 2_500.0 * (2.0 * day).cos()
    };
    let noise = |index: i32| (f64::from(index * index % 997) * 1.7).sin();
    ForecastResult {
        series: series.to_owned(),
        step_s: 1800.0,
        served_by: served_by.to_owned(),
        wql: 0.094 * ratio,
        wql_over_seasonal_naive: ratio,
        mase: 1.4 * ratio,
        coverage: [0.08, 0.19, 0.27, 0.38, 0.49, 0.61, 0.72, 0.83, 0.92],
        plot: ForecastPlot {
            horizon_s: 3600.0,
            time_s,
            actual: (0..points)
                .map(|index| (!(150..160).contains(&index)).then(|| level(index) + 1_300.0 * noise(index)))
                .collect(),
            q10: (0..points).map(|index| level(index) * 0.9 - 700.0).collect(),
            q50: (0..points).map(|index| level(index - 1)).collect(),
            q90: (0..points).map(|index| level(index) * 1.1 + 700.0).collect(),
        },
    }
}

fn curve(network: &str, start: f64, end: f64, steps: usize) -> Curve {
    Curve {
        network: network.to_owned(),
        points: (0..steps)
            .map(|step| {
                let share = step as f64 / steps as f64;
                let loss = end + (start - end) * (-6.0 * share).exp();
                let noise = ((step * step % 1009) as f64).sin();
                CurvePoint {
                    step,
                    train: loss * (1.0 + 0.08 * noise),
                    validation: (step % 50 == 0).then_some(loss * 1.05),
                }
            })
            .collect(),
    }
}

/// Metrics of one small run: one trace at three loads, two series.
pub(crate) fn metrics() -> Metrics {
    Metrics {
        run: Run {
            version: "0.1.0".to_owned(),
            seed: 1,
            device: "cpu (no GPU answered)".to_owned(),
            quick: false,
            traces: vec!["synthetic".to_owned()],
            series: vec!["synthetic".to_owned(), "nyc_taxi".to_owned()],
            split: [0.6, 0.15, 0.25],
            scenario: "12 hosts of 3 kinds with continuous batching, 4 balancers with local \
                       knowledge, telemetry every 1 s with 5 % loss, 2 antagonists"
                .to_owned(),
            evaluation_seeds: 5,
            no_forecaster: None,
        },
        policies: [0.5, 0.7, 0.9]
            .into_iter()
            .flat_map(|load| POLICIES.map(|entry| policy("synthetic", load, entry)))
            .collect(),
        forecasts: vec![forecast("synthetic", "network", 0.57), forecast("nyc_taxi", "seasonal naive", 1.0)],
        policy_stages: Vec::new(),
        fine_tuning: Vec::new(),
        curves: vec![curve("policy", 2.3, 0.31, 1500), curve("forecast", 0.42, 0.115, 900)],
        parity: vec![
            ParityResult {
                network: "policy".to_owned(),
                tract_runtime: 3.1e-7,
                burn_runtime: 4.4e-7,
                burn_tract: 2.2e-7,
            },
            ParityResult {
                network: "forecast".to_owned(),
                tract_runtime: 8.9e-7,
                burn_runtime: 1.1e-6,
                burn_tract: 6.0e-7,
            },
        ],
        stages: [
            ("load traces", 0.8),
            ("train forecast", 48.2),
            ("train policy", 121.9),
            ("export and verify", 1.7),
            ("evaluate", 63.4),
        ]
        .map(|(stage, wall_s)| StageTime { stage: stage.to_owned(), wall_s })
        .into(),
    }
}

/// Metrics of a run far larger than usual.
pub(crate) fn large_metrics() -> Metrics {
    let mut metrics = metrics();
    let traces: Vec<String> = (0..6).map(|index| format!("trace {index}")).collect();
    metrics.policies = traces
        .iter()
        .flat_map(|trace| {
            [0.3, 0.5, 0.6, 0.7, 0.8, 0.9]
                .into_iter()
                .flat_map(move |load| POLICIES.map(|entry| policy(trace, load, entry)))
        })
        .collect();
    for result in &mut metrics.policies {
        let coarse = std::mem::take(&mut result.latency_quantiles_s);
        result.latency_quantiles_s = (0..2000).map(|index| coarse[index / 10]).collect();
    }
    metrics.forecasts = (0..80)
        .map(|index| {
            let mut result = forecast(&format!("series {index}"), "network", 0.7);
            for _ in 0..3 {
                let plot = &mut result.plot;
                plot.actual.extend_from_within(..);
                plot.q10.extend_from_within(..);
                plot.q50.extend_from_within(..);
                plot.q90.extend_from_within(..);
            }
            let count = result.plot.actual.len();
            result.plot.time_s = (0..count).map(|index| 1.4201e9 + index as f64 * 1800.0).collect();
            result
        })
        .collect();
    metrics.curves = vec![curve("policy", 2.3, 0.31, 200_000)];
    metrics.run.traces = traces;
    metrics
}
