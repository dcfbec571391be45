//! The forecaster through its public interface.

use evenkeel_runtime::ArtifactError;
use evenkeel_runtime::forecast::{
    Calibration, FORECAST_FEATURES, Forecaster, HORIZONS, History, Kind, Past, QUANTILE_COUNT, Quantiles, features,
};
use evenkeel_runtime::program::{Instruction, Op};
use proptest::prelude::*;

use evenkeel_dev::builder::{instruction, program, rows};

const STEP_S: f32 = 600.0;
const DAY: usize = 144;

/// A network whose output is its bias, whatever it sees.
fn constant_network(bias: [f32; QUANTILE_COUNT]) -> Vec<u8> {
    let mut weights = vec![0.0; FORECAST_FEATURES * QUANTILE_COUNT];
    let begin = weights.len() as u32;
    weights.extend(bias);
    let linear = Instruction { weights: 0, bias: begin, ..instruction(Op::Linear, 1, 0, 0) };
    program(&[rows(FORECAST_FEATURES as u16), rows(QUANTILE_COUNT as u16)], &[linear], &weights, 1)
}

fn spread() -> [f32; QUANTILE_COUNT] {
    std::array::from_fn(|quantile| 0.1 * (quantile as f32 - 4.0))
}

/// A daily wave around 100 with its trough at midnight.
fn daily(index: usize) -> f32 {
    let turn = (index % DAY) as f32 / DAY as f32;
    100.0 - 60.0 * (turn * std::f32::consts::TAU).cos()
}

fn predict(calibration: &Calibration, past: &Past<'_>, bias: [f32; QUANTILE_COUNT]) -> Option<Quantiles> {
    let (network, section) = (constant_network(bias), calibration.encode());
    let forecaster = Forecaster::parse(&network, &section).unwrap();
    let mut scratch = vec![0.0; forecaster.scratch_len()];
    let mut out = [[f32::NAN; QUANTILE_COUNT]; HORIZONS];
    forecaster.predict(past, 0.0, &mut scratch, &mut out).map(|_| out)
}

#[test]
fn a_daily_wave_is_foreseen() {
    let values: Vec<f32> = (0..9 * DAY).map(daily).collect();
    for kind in [Kind::Network, Kind::SeasonalNaive, Kind::LevelShape] {
        let calibration = Calibration { kind, ..Calibration::new(STEP_S) };
        let out = predict(&calibration, &Past::new(&values), [0.0; QUANTILE_COUNT]).unwrap();
        for (row, horizon) in out.iter().zip(calibration.horizons) {
            let truth = daily(values.len() - 1 + horizon as usize);
            assert!((row[4] - truth).abs() < 0.5, "{kind:?} at {horizon}: {} for {truth}", row[4]);
        }
    }
}

#[test]
fn a_service_at_twice_its_level_is_foreseen_higher_at_near_horizons() {
    let mut values: Vec<f32> = (0..9 * DAY).map(daily).collect();
    for value in values.iter_mut().rev().take(6) {
        *value *= 2.0;
    }
    let calibration = Calibration::new(STEP_S);
    let out = predict(&calibration, &Past::new(&values), [0.0; QUANTILE_COUNT]).unwrap();
    let ratio = |index: usize| {
        let truth = daily(values.len() - 1 + calibration.horizons[index] as usize);
        out[index][4] / truth
    };
    assert!(ratio(0) > 1.8, "{}", ratio(0));
    // At the last horizon the doubled values are themselves those of a day before.
    assert!(ratio(HORIZONS - 2) < 1.3, "{}", ratio(HORIZONS - 2));
}

#[test]
fn offsets_and_order_of_quantiles() {
    let values = vec![10.0; 8 * DAY];
    let mut calibration = Calibration::new(STEP_S);
    calibration.offsets[0][8] = 0.5;
    let mut backwards = spread();
    backwards.reverse();
    let out = predict(&calibration, &Past::new(&values), backwards).unwrap();
    let expected = [6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 19.0];
    for (found, expected) in out[0].iter().zip(expected) {
        assert!((found - expected).abs() < 1e-4, "{found} for {expected}");
    }
    // A rule's own table takes the network's place.
    calibration.kind = Kind::LastValue;
    calibration.residuals = [spread(); HORIZONS];
    let out = predict(&calibration, &Past::new(&values), [9.0; QUANTILE_COUNT]).unwrap();
    assert!((out[7][0] - 6.0).abs() < 1e-4 && (out[7][8] - 14.0).abs() < 1e-4);
}

#[test]
fn the_ring_gives_the_forecast_of_the_whole_past() {
    let values: Vec<f32> = (0..20 * DAY).map(|index| daily(index) + (index % 13) as f32).collect();
    let mut memory = vec![0.0; features::history_len(STEP_S)];
    let mut ring = History::new(&mut memory);
    for value in &values {
        ring.push(*value);
    }
    let calibration = Calibration::new(STEP_S);
    let from_ring = predict(&calibration, &ring.past(), spread()).unwrap();
    let pushed = ring.pushed();
    assert_eq!(predict(&calibration, &Past::new(&values), spread()), Some(from_ring));
    assert_eq!(predict(&calibration, &History::attach(&mut memory, pushed).past(), spread()), Some(from_ring));
}

#[test]
fn a_cold_start_says_how_little_it_knows() {
    let network = constant_network(spread());
    let section = Calibration::new(STEP_S).encode();
    let forecaster = Forecaster::parse(&network, &section).unwrap();
    let mut scratch = vec![0.0; forecaster.scratch_len()];
    let mut out = [[0.0; QUANTILE_COUNT]; HORIZONS];
    let evidence = forecaster.predict(&Past::new(&[5.0, 6.0, 7.0]), 0.0, &mut scratch, &mut out).unwrap();
    assert!(evidence.history_days < 0.03 && evidence.missing_share > 0.9, "{evidence:?}");
    assert!((out[0][4] - 6.0).abs() < 0.1, "{out:?}");
    let values: Vec<f32> = (0..15 * DAY).map(daily).collect();
    let evidence = forecaster.predict(&Past::new(&values), 0.0, &mut scratch, &mut out).unwrap();
    assert!(evidence.history_days == 15.0 && evidence.missing_share < 0.01, "{evidence:?}");
}

#[test]
fn without_a_value_or_room_there_is_no_forecast() {
    let calibration = Calibration::new(STEP_S);
    assert_eq!(predict(&calibration, &Past::default(), spread()), None);
    assert_eq!(predict(&calibration, &Past::new(&[f32::NAN; 300]), spread()), None);
    let (network, section) = (constant_network(spread()), calibration.encode());
    let forecaster = Forecaster::parse(&network, &section).unwrap();
    let mut scratch = vec![0.0; forecaster.scratch_len() - 1];
    let mut out = [[3.0; QUANTILE_COUNT]; HORIZONS];
    assert_eq!(forecaster.predict(&Past::new(&[1.0]), 0.0, &mut scratch, &mut out), None);
    assert_eq!(out, [[3.0; QUANTILE_COUNT]; HORIZONS]);
}

#[test]
fn programs_of_other_widths_are_refused() {
    let narrow = program(&[rows(FORECAST_FEATURES as u16), rows(1)], &[instruction(Op::Slice, 1, 0, 0)], &[], 1);
    let section = Calibration::new(STEP_S).encode();
    assert_eq!(Forecaster::parse(&narrow, &section).unwrap_err(), ArtifactError::ProgramInterface);
    let network = constant_network(spread());
    assert_eq!(Forecaster::parse(&network, &section[..9]).unwrap_err(), ArtifactError::Calibration);
}

#[test]
fn names_are_distinct() {
    let mut names = features::NAMES.to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), FORECAST_FEATURES);
}

fn any_value() -> impl Strategy<Value = f32> {
    prop_oneof![4 => 0.0f32..1e3, 1 => Just(f32::NAN), 1 => Just(0.0), 1 => any::<f32>()]
}

proptest! {
    /// Whatever the history and the clock: finite features, finite, sorted quantiles ≥ 0.
    #[test]
    fn any_history_gives_a_forecast_in_order(
        values in proptest::collection::vec(any_value(), 0..400),
        capacity in 0usize..300,
        epoch_s in any::<f64>(),
        step_s in prop_oneof![Just(600.0f32), Just(3600.0), Just(21_600.0), 1.0f32..1e5],
    ) {
        let mut memory = vec![0.0; capacity];
        let mut ring = History::new(&mut memory);
        for value in &values {
            ring.push(*value);
        }
        let calibration = Calibration::new(step_s);
        let mut input = [f32::NAN; FORECAST_FEATURES * HORIZONS];
        if features::fill(&ring.past(), step_s, &calibration.horizons, epoch_s, &mut input).is_some() {
            prop_assert!(input.iter().all(|value| value.is_finite()), "{:?}", input);
        }
        for kind in Kind::ALL {
            if let Some(out) = predict(&Calibration { kind, ..calibration }, &ring.past(), spread()) {
                for row in out {
                    prop_assert!(row.iter().all(|value| value.is_finite() && *value >= 0.0), "{:?}", row);
                    prop_assert!(row.is_sorted(), "{:?}", row);
                }
            }
        }
    }

    /// Damaged sections are refused or read, never worse.
    #[test]
    fn any_section_parses_or_is_refused(mut section in Just(Calibration::new(600.0).encode().to_vec()),
        at in 0usize..1280, byte in any::<u8>(), cut in 0usize..1300) {
        section[at] = byte;
        section.truncate(cut.max(at));
        if let Ok(calibration) = Calibration::decode(&section) {
            prop_assert!(calibration.is_valid());
        }
    }
}
