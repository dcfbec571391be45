//! The networks as burn runs them and as the runtime does, fresh inputs each call, one thread; the
//! forecaster in 8-bit integers too.
//!
//! `cargo xtask bench runtime` runs it pinned to a core, behind the comparison with other runtimes.
//! burn's CPU backend is compiled as it is for training: `opt-level` 1, its matrix products 3.

use std::cell::RefCell;
use std::hint::black_box;

use anyhow::{Context, Result};
use burn::prelude::Device;
use evenkeel_datasets::random::generator;
use evenkeel_dev::measured::{Measured, Random, measure};
use evenkeel_export::{Forecast, compile, with_int8_forecaster};
use evenkeel_runtime::forecast::features::history_len;
use evenkeel_runtime::forecast::{
    Calibration, FORECAST_FEATURES, Forecaster, HORIZONS, History, QUANTILE_COUNT, Rolling,
};
use evenkeel_runtime::simd::Level;
use evenkeel_runtime::{HOST_FEATURES, Model, Program, stride};
use evenkeel_train::export::generic_service;
use evenkeel_train::forecast::{self, network::ForecastNetwork};
use evenkeel_train::policy::{self, network::PolicyNetwork};

/// Numbers of hosts.
const ROWS: [usize; 4] = [8, 16, 64, 256];

fn main() -> Result<()> {
    let (device, mut rng) = (Device::flex(), generator(1, 0));
    let balancing = PolicyNetwork::new(&mut rng, &device);
    let foreseeing = ForecastNetwork::new(&mut rng, &device);
    let folder = tempfile::tempdir()?;
    let [policy, forecast] = ["policy.onnx", "forecast.onnx"].map(|name| folder.path().join(name));
    policy::export::onnx(&balancing.weights(), &[])?.write(&policy)?;
    forecast::export::onnx(&foreseeing.weights(), &[])?.write(&forecast)?;
    let files = Forecast { onnx: &forecast, calibration: &Calibration::new(300.0).encode() };
    let artifact = compile(Some(&policy), Some(files), &generic_service(), "{}")?;
    let rounded = with_int8_forecaster(&artifact)?;
    let (model, rounded) = (Model::parse(&artifact)?, Model::parse(&rounded)?);

    println!("nanoseconds of single calls, warm caches: median and 99th percentile");
    println!("{:<44} {:>9} {:>9} {:>9}", "", "median", "p99", "/runtime");
    let widest = Level::detect().name();
    let program = model.policy().context("no policy")?.program();
    for rows in ROWS {
        let ours = runtime(program, HOST_FEATURES, rows);
        line(&format!("policy, {rows} hosts, runtime on {widest}"), ours, ours);
        line(
            &format!("policy, {rows} hosts, burn (flex)"),
            burn(HOST_FEATURES, rows, |input| balancing.score_rows(input, rows)),
            ours,
        );
    }
    let exact = model.forecaster().context("no forecaster")?.program();
    let ours = runtime(exact, FORECAST_FEATURES, HORIZONS);
    let weights = exact.weight_count();
    line(&format!("forecast, {weights} weights, runtime on {widest}"), ours, ours);
    let integers = rounded.forecaster().context("no forecaster")?.program();
    line(
        &format!("forecast in 8-bit integers, runtime on {widest}"),
        runtime(integers, FORECAST_FEATURES, HORIZONS),
        ours,
    );
    line(
        "forecast, burn (flex)",
        burn(FORECAST_FEATURES, HORIZONS, |input| foreseeing.predict_rows(input, HORIZONS)),
        ours,
    );
    for (name, model) in [("", &model), (" in 8-bit integers", &rounded)] {
        let forecaster = model.forecaster().context("no forecaster")?;
        line(&format!("whole step of the forecaster{name}"), step(forecaster), ours);
    }
    println!("forecasts: {HORIZONS} horizons, a row each; a whole step: a value comes, features, network, calibration");
    Ok(())
}

/// A value comes and the demand is foreseen, with the history of two weeks and a rolling calibration.
fn step(forecaster: &Forecaster<'_>) -> Measured {
    let step_s = forecaster.calibration().step_s;
    let mut memory = vec![0.0; history_len(step_s)];
    let mut rolling = Rolling::new();
    let mut history = History::new(&mut memory).with_rolling(&mut rolling);
    let steps = history_len(step_s) as u32;
    let rate = |step: u32| 50.0 + 20.0 * (step as f32 / 46.0).sin() + (step * 7919 % 13) as f32;
    (0..steps).for_each(|step| history.push(rate(step)));
    let mut scratch = vec![0.0; forecaster.scratch_len()];
    let mut quantiles = [[0.0; QUANTILE_COUNT]; HORIZONS];
    let mut now = steps;
    measure(
        || (),
        || {
            now += 1;
            history.push(rate(now));
            let epoch_s = f64::from(now) * f64::from(step_s);
            black_box(forecaster.forecast(&mut history, epoch_s, &mut scratch, &mut quantiles));
        },
    )
}

fn line(name: &str, Measured { warm: (median, p99), .. }: Measured, ours: Measured) {
    println!("{name:<44} {median:>9.0} {p99:>9.0} {:>9.2}", median / ours.warm.0);
}

fn runtime(program: &Program<'_>, width: usize, rows: usize) -> Measured {
    let scratch = RefCell::new(vec![0.0; program.scratch_len(rows)]);
    let mut random = Random::default();
    measure(
        || random.fill(scratch.borrow_mut().get_mut(..width * stride(rows)).unwrap_or_default()),
        || {
            black_box(program.run(rows, black_box(&mut scratch.borrow_mut())));
        },
    )
}

fn burn(width: usize, rows: usize, run: impl Fn(&[f32]) -> Vec<f32>) -> Measured {
    let input = RefCell::new(vec![0.0; width * rows]);
    let mut random = Random::default();
    measure(
        || random.fill(&mut input.borrow_mut()),
        || {
            black_box(run(&input.borrow()));
        },
    )
}
