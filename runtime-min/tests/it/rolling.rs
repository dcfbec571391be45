//! The rolling calibration through its public interface.

use evenkeel_runtime::forecast::{
    Bases, Calibration, Evidence, Frame, HORIZONS, QUANTILE_COUNT, QUANTILES, Quantiles, Rolling,
};
use proptest::prelude::*;

const STEP_S: f32 = 600.0;
const DAY: usize = 144;

/// Uniform numbers from 0 to 1.
fn uniform(state: &mut u64) -> f32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 40) as f32 / (1u64 << 24) as f32
}

fn frame(naive: f32) -> Frame {
    let bases = Bases { seasonal_naive: naive / 100.0, ..Bases::default() };
    let evidence = Evidence { history_days: 20.0, missing_share: 0.0 };
    Frame { scale: 100.0, bases: [bases; HORIZONS], evidence }
}

/// Serves the same forecast again and again while the service does `actual`; what was
/// served from `begin` on is scored.
fn live(
    steps: usize,
    begin: usize,
    forecast: [f32; QUANTILE_COUNT],
    naive: impl Fn(usize) -> f32,
    mut actual: impl FnMut(usize) -> f32,
) -> ([f64; QUANTILE_COUNT], Vec<Quantiles>) {
    let calibration = Calibration::new(STEP_S);
    let mut rolling = Rolling::new();
    let values: Vec<f32> = (0..steps).map(&mut actual).collect();
    let mut served = Vec::new();
    for (index, value) in values.iter().enumerate() {
        rolling.settle(index as u64 + 1, *value);
        let mut quantiles = [forecast; HORIZONS];
        rolling.serve(index as u64 + 1, &calibration, &frame(naive(index)), &mut quantiles);
        served.push(quantiles);
    }
    let (mut covered, mut count) = ([0.0; QUANTILE_COUNT], 0.0);
    for (index, quantiles) in served.iter().enumerate().skip(begin) {
        for (row, horizon) in quantiles.iter().zip(calibration.horizons) {
            let Some(value) = values.get(index + horizon as usize) else { continue };
            count += 1.0;
            for (covered, quantile) in covered.iter_mut().zip(row) {
                *covered += f64::from(u8::from(value <= quantile));
            }
        }
    }
    (covered.map(|covered| covered / count), served)
}

/// Quantiles of numbers that lie evenly within 30 of a centre.
fn even(centre: f32) -> [f32; QUANTILE_COUNT] {
    QUANTILES.map(|probability| centre + 60.0 * (probability - 0.5))
}

#[test]
fn coverage_holds_while_the_service_drifts_away() {
    let mut state = 1;
    // Forecasts stay at 100 ± 30; the service climbs from 100 to 180 and doubles its spread.
    let steps = 30 * DAY;
    let drift = |index: usize| index as f32 / steps as f32;
    let mut noise = move || uniform(&mut state) - 0.5;
    let actual = |index: usize| 100.0 + 80.0 * drift(index) + 60.0 * (1.0 + drift(index)) * noise();
    let (covered, _) = live(steps, 7 * DAY, even(100.0), |_| 100.0, actual);
    for (index, (covered, promised)) in covered.into_iter().zip(QUANTILES).enumerate() {
        // The outer quantiles are promises, the inner ones only describe.
        let tolerance = if index == 0 || index == 8 { 0.02 } else { 0.05 };
        assert!((covered - f64::from(promised)).abs() < tolerance, "{covered:.3} for {promised}");
    }
    // Left alone, those forecasts would have covered little in the end.
    assert!(even(100.0)[8] < 100.0 + 80.0);
}

#[test]
fn a_forecast_that_holds_is_left_about_as_it_is() {
    let mut state = 5;
    let (covered, served) = live(30 * DAY, 7 * DAY, even(200.0), |_| 185.0, |_| 170.0 + 60.0 * uniform(&mut state));
    assert!((covered[8] - 0.9).abs() < 0.015 && (covered[0] - 0.1).abs() < 0.015, "{covered:?}");
    for (found, expected) in served[29 * DAY].iter().flatten().zip(even(200.0).iter().cycle()) {
        assert!((found - expected).abs() < 12.0, "{found} for {expected}");
    }
}

#[test]
fn a_day_that_repeats_itself_is_followed_where_the_forecast_is_lost() {
    // A square wave that the forecast knows nothing of, and yesterday everything.
    let wave = |index: usize| if index % DAY < DAY / 2 { 50.0 } else { 150.0 };
    let calibration = Calibration::new(STEP_S);
    let mut rolling = Rolling::new();
    for index in 0..6 * DAY {
        rolling.settle(index as u64 + 1, wave(index));
        let mut frame = frame(0.0);
        for (bases, horizon) in frame.bases.iter_mut().zip(calibration.horizons) {
            bases.seasonal_naive = wave(index + horizon as usize) / frame.scale;
        }
        let mut quantiles = [even(100.0); HORIZONS];
        rolling.serve(index as u64 + 1, &calibration, &frame, &mut quantiles);
        if index > 4 * DAY {
            for (row, horizon) in quantiles.iter().zip(calibration.horizons) {
                let truth = wave(index + horizon as usize);
                assert!((row[4] - truth).abs() < 8.0, "{} for {truth} at {horizon}", row[4]);
            }
        }
    }
}

#[test]
fn nothing_settled_changes_nothing() {
    let mut rolling = Rolling::new();
    let calibration = Calibration::new(STEP_S);
    let mut quantiles = [even(100.0); HORIZONS];
    rolling.settle(1, 5.0);
    rolling.serve(1, &calibration, &frame(3.0), &mut quantiles);
    for (found, expected) in quantiles.iter().flatten().zip(even(100.0).iter().cycle()) {
        assert!((found - expected).abs() < 1e-3, "{found} for {expected}");
    }
    assert_eq!(rolling.excess_coverage(), [0.0; QUANTILE_COUNT].map(|zero: f32| -zero));
}

proptest! {
    /// Whatever comes, forecasts are finite, in order and not negative.
    #[test]
    fn any_life_gives_forecasts_in_order(
        values in proptest::collection::vec(prop_oneof![3 => 0.0f32..1e3, 1 => any::<f32>()], 1..400),
        quantile in any::<f32>(),
        skip in 1u64..5,
        step_s in prop_oneof![Just(600.0f32), Just(21_600.0), 1.0f32..1e5],
    ) {
        let calibration = Calibration::new(step_s);
        let mut rolling = Rolling::new();
        for (index, value) in values.iter().enumerate() {
            let pushed = index as u64 * skip;
            rolling.settle(pushed, *value);
            let mut quantiles = [[quantile.abs().min(f32::MAX); QUANTILE_COUNT]; HORIZONS];
            rolling.serve(pushed, &calibration, &frame(*value), &mut quantiles);
            for row in quantiles {
                prop_assert!(row.is_sorted() && row.iter().all(|value| value.is_finite() && *value >= 0.0), "{:?}", row);
            }
        }
    }
}
