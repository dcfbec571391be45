//! What demand the artifact's forecaster foresees, beside what came: the runtime's own code, on steps
//! of seconds in place of minutes, with no more history than the demonstration has had.

use std::collections::VecDeque;

use evenkeel_runtime::forecast::features::history_len;
use evenkeel_runtime::forecast::{Calibration, Forecaster, HORIZONS, History, QUANTILE_COUNT, Quantiles, Rolling};
use evenkeel_runtime::{ArtifactError, Model};
use serde_json::{Value, json};

/// Steps that are drawn.
const POINTS: usize = 60;
/// About so many steps lie between a forecast and what it is for.
const AHEAD: u32 = 5;

/// A step: what came, and where eight in ten were foreseen to be.
#[derive(Clone, Copy, Debug, Default)]
struct Point {
    rate_per_s: Option<f64>,
    foreseen: Option<[f32; 2]>,
}

/// Rates step by step, and their forecasts.
#[derive(Debug)]
pub struct Foresight {
    artifact: Vec<u8>,
    calibration: Calibration,
    /// Row of the forecast that is drawn.
    row: usize,
    memory: Vec<f32>,
    pushed: u64,
    rolling: Rolling,
    scratch: Vec<f32>,
    /// Of the past, and behind it of the steps that are still to come.
    points: VecDeque<Point>,
}

impl Foresight {
    /// For steps of so many seconds; without forecasts if the artifact has no forecaster.
    ///
    /// # Errors
    /// What the runtime says of the artifact.
    pub fn new(artifact: Vec<u8>, step_s: f64) -> Result<Self, ArtifactError> {
        let calibration = Calibration::new(step_s as f32);
        let distance = |row: &usize| calibration.horizons[*row].abs_diff(AHEAD);
        let row = (0..HORIZONS).min_by_key(distance).unwrap_or(0);
        let scratch = Model::parse(&artifact)?.forecaster().map_or(0, Forecaster::scratch_len);
        Ok(Self {
            artifact,
            calibration,
            row,
            memory: vec![0.0; history_len(step_s as f32)],
            pushed: 0,
            rolling: Rolling::new(),
            scratch: vec![0.0; scratch],
            points: VecDeque::new(),
        })
    }

    /// A step is over; `now_s` is on the hosts' clock.
    pub fn step(&mut self, now_s: f64, rate_per_s: f64) {
        let ahead = self.ahead();
        if self.points.is_empty() {
            self.points.resize(ahead, Point::default());
        }
        let foreseen = self.foresee(now_s, rate_per_s);
        self.points.push_back(Point { rate_per_s: None, foreseen });
        let present = self.points.len() - 1 - ahead;
        self.points[present].rate_per_s = Some(rate_per_s);
        while self.points.len() > POINTS + ahead {
            self.points.pop_front();
        }
    }

    /// For the page: rates, then the bounds of the forecasts, `null` where there is none.
    pub fn json(&self) -> Value {
        let bound = |index: usize| -> Vec<Option<f32>> {
            self.points.iter().map(|point| point.foreseen.map(|bounds| bounds[index])).collect()
        };
        json!({
            "rates_per_s": self.points.iter().map(|point| point.rate_per_s).collect::<Vec<_>>(),
            "low_per_s": bound(0),
            "high_per_s": bound(1),
            "ahead_s": self.ahead() as f64 * f64::from(self.calibration.step_s),
        })
    }

    fn ahead(&self) -> usize {
        self.calibration.horizons[self.row] as usize
    }

    /// The outer quantiles of the drawn horizon.
    fn foresee(&mut self, now_s: f64, rate_per_s: f64) -> Option<[f32; 2]> {
        let model = Model::parse(&self.artifact).ok()?;
        let forecaster = model.forecaster()?.with_calibration(self.calibration);
        let mut history = History::attach(&mut self.memory, self.pushed).with_rolling(&mut self.rolling);
        history.push(rate_per_s as f32);
        let mut quantiles: Quantiles = [[0.0; QUANTILE_COUNT]; HORIZONS];
        let evidence = forecaster.forecast(&mut history, now_s, &mut self.scratch, &mut quantiles);
        self.pushed = history.pushed();
        let [low, .., high] = quantiles[self.row];
        evidence.map(|_| [low, high])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_without_a_forecaster_shows_what_came() {
        let artifact = include_bytes!("../../../models/general.ekm").to_vec();
        let policy_alone = Model::parse(&artifact).unwrap().forecaster().is_none();
        let mut foresight = Foresight::new(artifact, 8.0).unwrap();
        for step in 0..200 {
            foresight.step(f64::from(step) * 8.0, 30.0 + f64::from(step % 3));
        }
        let seen = foresight.json();
        let ahead = foresight.ahead();
        let rates = seen["rates_per_s"].as_array().unwrap();
        assert_eq!(rates.len(), POINTS + ahead);
        assert!(rates[..POINTS].iter().all(Value::is_number) && rates[POINTS..].iter().all(Value::is_null));
        let low = seen["low_per_s"].as_array().unwrap();
        assert!(low.iter().all(|bound| bound.is_null() == policy_alone), "{seen}");
        if !policy_alone {
            let last = |name: &str| seen[name][POINTS + ahead - 1].as_f64().unwrap();
            assert!(last("low_per_s") < 32.5 && last("high_per_s") > 29.5, "{seen}");
        }
    }

    #[test]
    fn what_is_no_artifact_is_refused() {
        assert!(Foresight::new(b"nothing".to_vec(), 8.0).is_err());
    }
}
