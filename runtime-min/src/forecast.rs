//! The demand forecaster: from the rates of the last two weeks to nine quantiles at sixteen
//! horizons.
//!
//! ```text
//! History ─► features ─► Program::run ─► + level × shape ─► sorted ─► + offsets ─► quantiles
//!  (ring)    (scaled)     (residuals)                                (conformal)   (≥ 0)
//! ```
//!
//! The network is one program whose rows are the horizons: the same weights serve each
//! horizon, and features say which it is. Where the trainer found on validation data that
//! a simple rule serves a service better, [`Calibration::kind`] names the rule, and its
//! own table of residual quantiles takes the network's place.

pub mod calibration;
mod cycle;
mod day;
pub mod features;
mod frame;
mod recent;
mod ring;
pub mod rolling;
mod scaled;
mod targets;

pub use calibration::{CALIBRATION_BYTES, Calibration, Kind};
pub use day::steps_per_day;
pub use features::FORECAST_FEATURES;
pub use frame::{Bases, Frame};
pub use ring::{History, Past};
pub use rolling::Rolling;

use crate::artifact::error::ArtifactError;
use crate::program::Program;
use crate::simd::Level;

/// Number of horizons of a forecast, which are the rows of the network.
pub const HORIZONS: usize = 16;

/// Probabilities of the quantiles of a forecast, in the order of the network's outputs.
pub const QUANTILES: [f32; QUANTILE_COUNT] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// Number of quantiles at each horizon.
pub const QUANTILE_COUNT: usize = 9;

/// A value for each horizon.
type Lanes = [f32; HORIZONS];

/// Quantiles of the demand: a row for each horizon, in the unit of the history.
pub type Quantiles = [[f32; QUANTILE_COUNT]; HORIZONS];

/// A validated forecaster, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Forecaster<'a> {
    program: Program<'a>,
    calibration: Calibration,
}

/// How much of the past a forecast rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Days of history, missing values included. Under 1, no seasonal value was known and
    /// the forecast is a guess from the present level; from 15 on, all of them were.
    pub history_days: f32,
    /// Share of the values which the features ask for that were missing, 0 to 1.
    pub missing_share: f32,
}

impl<'a> Forecaster<'a> {
    /// Validates the FORECAST and CALIBRATION sections.
    ///
    /// # Errors
    /// What [`Program::parse`] and [`Calibration::decode`] refuse, and a program that does
    /// not turn [`FORECAST_FEATURES`] columns into [`QUANTILE_COUNT`].
    pub fn parse(program: &'a [u8], calibration: &'a [u8]) -> Result<Self, ArtifactError> {
        let program = Program::parse(program)?;
        let calibration = Calibration::decode(calibration)?;
        let fits = program.input_width() == FORECAST_FEATURES
            && program.output_width() == QUANTILE_COUNT
            && !program.output_is_uniform();
        if fits { Ok(Self { program, calibration }) } else { Err(ArtifactError::ProgramInterface) }
    }

    /// The same forecaster on narrower vectors; the results are the same bits.
    #[must_use]
    pub fn with_level(self, level: Level) -> Self {
        Self { program: self.program.with_level(level), ..self }
    }

    /// The network.
    pub fn program(&self) -> &Program<'a> {
        &self.program
    }

    /// Step, horizons and corrections.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// The same network with another service's calibration.
    #[must_use]
    pub fn with_calibration(self, calibration: Calibration) -> Self {
        Self { calibration, ..self }
    }

    /// Length of the scratch memory that [`predict`](Self::predict) needs, in `f32`s.
    pub fn scratch_len(&self) -> usize {
        self.program.scratch_len(HORIZONS)
    }

    /// Forecasts the demand at each of the calibration's horizons.
    ///
    /// `past` holds one value for each [`Calibration::step_s`]; `epoch_s` is the Unix time
    /// of its newest. Quantiles come out non-negative and sorted. Returns `None`, with
    /// `out` untouched, if the last day has no value at all, or `scratch` is shorter than
    /// [`scratch_len`](Self::scratch_len).
    pub fn predict(&self, past: &Past<'_>, epoch_s: f64, scratch: &mut [f32], out: &mut Quantiles) -> Option<Evidence> {
        self.calibrated(past, epoch_s, scratch, out).map(|frame| frame.evidence)
    }

    /// Forecasts from a history like [`predict`](Self::predict) from its past. Where the
    /// history has a rolling calibration, the forecast is corrected by what became of
    /// earlier ones and kept until its own values come: one for each value pushed.
    pub fn forecast(
        &self,
        history: &mut History<'_>,
        epoch_s: f64,
        scratch: &mut [f32],
        out: &mut Quantiles,
    ) -> Option<Evidence> {
        let (past, pushed, rolling) = history.parts();
        let frame = self.calibrated(&past, epoch_s, scratch, out)?;
        if let Some(rolling) = rolling {
            rolling.serve(pushed, &self.calibration, &frame, out);
        }
        Some(frame.evidence)
    }

    fn calibrated(&self, past: &Past<'_>, epoch_s: f64, scratch: &mut [f32], out: &mut Quantiles) -> Option<Frame> {
        let Calibration { step_s, horizons, .. } = self.calibration;
        let input = scratch.get_mut(..FORECAST_FEATURES * HORIZONS)?;
        let frame = features::fill(past, step_s, &horizons, epoch_s, input)?;
        let mut network = [[0.0; QUANTILE_COUNT]; HORIZONS];
        if self.calibration.kind == Kind::Network {
            // Column after column: the program stores a quantile's horizons side by side.
            for (quantile, column) in self.program.run(HORIZONS, scratch)?.chunks_exact(HORIZONS).enumerate() {
                for (row, value) in network.iter_mut().zip(column) {
                    if let Some(place) = row.get_mut(quantile) {
                        *place = *value;
                    }
                }
            }
        }
        self.calibration.apply(&frame, &network, out);
        Some(frame)
    }
}
