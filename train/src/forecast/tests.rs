//! From a series to a served forecast.

use std::f64::consts::TAU;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use burn::prelude::Device;
use evenkeel_datasets::random::{generator, normal};
use evenkeel_datasets::{Series, Split};
use evenkeel_export::{Forecast, ROW_COUNTS, compile, verify};
use evenkeel_runtime::Model;

use super::dataset::{Parts, Windows};
use super::fit::{Data, FitOptions, Fitted, fit};
use super::{Options, TrainedForecaster, evaluate, train};
use crate::export::{PARITY_LIMIT, generic_service};
use crate::output::RunFolder;
use crate::progress::Stages;
use crate::stop::{StopFlag, Stopped};

/// A daily wave with relative noise, a few values missing.
fn noisy_wave(days: usize) -> Series {
    const DAY: usize = 48;
    let mut rng = generator(3, 0);
    let value = |index: usize| {
        let wave = 100.0 + 70.0 * (TAU * index as f64 / DAY as f64).sin();
        if index % 97 == 96 { f32::NAN } else { (wave * (1.0 + 0.1 * normal(&mut rng, 0.0, 1.0))) as f32 }
    };
    Series {
        name: "wave".to_owned(),
        step_s: 1800.0,
        values: (0..days * DAY).map(value).collect(),
        ..Series::default()
    }
}

fn trained(folder: &RunFolder, series: &Series) -> Result<TrainedForecaster> {
    let mut stages = Stages::default();
    let stage = stages.begin("forecast", 0);
    let series = std::slice::from_ref(series);
    train(folder, series, &Split::default(), &Options::QUICK, 1, &Device::flex(), &StopFlag::default(), &stage)
}

#[test]
fn the_artifact_beats_seasonal_naive_and_keeps_its_promises() -> Result<()> {
    let series = noisy_wave(60);
    let scratch = tempfile::tempdir()?;
    let forecaster = trained(&RunFolder::create(Some(scratch.path()))?, &series)?;
    assert!(forecaster.weights.count() < 50_000);

    let path = scratch.path().join("forecast.onnx");
    forecaster.onnx()?.write(&path)?;
    let section = forecaster.calibration.encode();
    let files = Forecast { onnx: &path, calibration: &section };
    let artifact = compile(None, Some(files), &generic_service(), "{}")?;
    let model = Model::parse(&artifact)?;
    let program = model.forecaster().expect("it was put there").program();
    let burn = |features: &[f32], rows: usize| forecaster.predict_rows(features, rows);
    let parity = verify(&path, program, &ROW_COUNTS, 4, 1, Some(&burn))?;
    assert!(parity.largest() <= PARITY_LIMIT, "{parity:?}");

    let results = evaluate(&artifact, &[series], &Split::default())?;
    let [result] = results.as_slice() else { panic!("one series, one result") };
    // The wave itself is all that can be known: √2 less error than a noisy value of the
    // day before, and quantiles instead of a point: 0.52 would be perfect.
    assert!(result.wql_over_seasonal_naive < 0.62, "{result:?}");
    assert!(result.mase < 0.8, "{result:?}");
    for (index, coverage) in result.coverage.iter().enumerate() {
        let promised = 0.1 * (index + 1) as f64;
        assert!((coverage - promised).abs() < 0.08, "{coverage} of {promised}");
    }
    assert!(result.plot.time_s.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(result.plot.actual.len(), result.plot.q50.len());
    Ok(())
}

#[test]
fn a_finished_stage_is_taken_up_again() -> Result<()> {
    let series = noisy_wave(20);
    let scratch = tempfile::tempdir()?;
    let folder = RunFolder::create(Some(scratch.path()))?;
    let (first, again) = (trained(&folder, &series)?, trained(&folder, &series)?);
    assert_eq!(first.weights, again.weights);
    assert_eq!(first.calibration, again.calibration);
    Ok(())
}

#[test]
fn too_short_a_series_is_refused_with_a_reason() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let mut series = noisy_wave(1);
    series.values.truncate(3);
    let error = trained(&RunFolder::create(Some(scratch.path()))?, &series).unwrap_err().to_string();
    assert!(error.contains("the longest has 3"), "{error}");
    Ok(())
}

fn short_fit(stop: bool) -> Result<Fitted, Stopped> {
    let series = noisy_wave(20);
    let parts = Parts::new(&series, &Split::default());
    let (mut training, mut validation) = (Data::default(), Data::default());
    training.append(&Windows::sample(&series, parts.training(), 100, &mut generator(1, 1)));
    validation.append(&Windows::spaced(&series, parts.validation(), 50));
    let options = FitOptions { steps: 12, batch: 64, learning_rate: 2e-3, checks: 2, patience: 2 };
    let stop = AtomicBool::new(stop);
    fit(&training, &validation, &options, &mut generator(1, 2), &Device::flex(), &stop, &mut |_| {})
}

#[test]
fn equal_seeds_give_equal_weights() {
    let (first, second) = (short_fit(false).expect("not stopped"), short_fit(false).expect("not stopped"));
    assert_eq!(first.weights, second.weights);
    assert_eq!(first.curve, second.curve);
}

#[test]
fn a_fit_stops_when_asked() {
    assert_eq!(short_fit(true).err(), Some(Stopped));
}

#[test]
fn targets_stay_within_their_part() {
    let series = noisy_wave(30);
    let parts = Parts::new(&series, &Split::default());
    let [training, validation, test] = series.split(&Split::default());
    assert_eq!(parts.training().end, training.len());
    assert_eq!(parts.validation(), training.len()..training.len() + validation.len());
    assert_eq!(parts.test(), series.len() - test.len()..series.len());
    let windows = Windows::spaced(&series, parts.validation(), usize::MAX);
    let known = windows.actual.iter().flatten().filter(|value| !value.is_nan()).count();
    assert!(known > 0 && windows.origins.iter().all(|origin| parts.validation().contains(&(origin + 1))));
}
