//! The CALIBRATION section: what turns the network's output into quantiles that hold.
//!
//! ```text
//! 0     u32 version   u32 kind   f32 step_s   u32 zero
//! 16    16 × u32      horizons, in steps
//! 80    16 × 9 × f32  offsets of the network's quantiles, in scaled units
//! 656   16 × 9 × f32  residual quantiles of the rule `kind`, in scaled units   (zero to 1280)
//! ```
//!
//! All little-endian. *Scaled units* are multiples of [`Frame::scale`]. The offsets are
//! those of conformalised quantile regression (Romano, Patterson and Candès, NeurIPS
//! 2019), one for each quantile and horizon.

use super::day::steps_per_day;
use super::frame::{Bases, Frame};
use super::{HORIZONS, QUANTILE_COUNT, Quantiles};
use crate::artifact::error::ArtifactError;
use crate::math;

/// Length of the section.
pub const CALIBRATION_BYTES: usize = 1280;

const VERSION: u32 = 1;
const HORIZONS_BEGIN: usize = 16;
const OFFSETS_BEGIN: usize = HORIZONS_BEGIN + 4 * HORIZONS;
const RESIDUALS_BEGIN: usize = OFFSETS_BEGIN + 4 * HORIZONS * QUANTILE_COUNT;

/// Bounds that keep arithmetic finite: no offset comes near, no horizon is so far.
const SCALED_MAX: f32 = 1e6;
const HORIZON_MAX: u32 = 1 << 24;
const STEP_S_MIN: f32 = 1e-3;
const STEP_S_MAX: f32 = 1e6;

/// What serves a service, chosen on validation data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Kind {
    /// The network's residuals on level × shape, with the conformal offsets.
    Network = 0,
    /// The value at the same time a day earlier.
    SeasonalNaive = 1,
    /// The newest value.
    LastValue = 2,
    /// The usual shape of the day at the present level.
    LevelShape = 3,
}

impl Kind {
    /// All kinds, in the order of their codes.
    pub const ALL: [Self; 4] = [Self::Network, Self::SeasonalNaive, Self::LastValue, Self::LevelShape];

    /// A name for tables and metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::SeasonalNaive => "seasonal_naive",
            Self::LastValue => "last_value",
            Self::LevelShape => "level_shape",
        }
    }

    /// The point, in scaled units, that this kind's quantiles are added to.
    pub fn base(self, bases: &Bases) -> f32 {
        match self {
            Self::Network | Self::LevelShape => bases.level_shape,
            Self::SeasonalNaive => bases.seasonal_naive,
            Self::LastValue => bases.last_value,
        }
    }
}

/// Step and horizons of a service's forecasts, and their corrections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// What serves the service.
    pub kind: Kind,
    /// Seconds between two values of the history.
    pub step_s: f32,
    /// How many steps after the newest value each forecast is for; strictly increasing.
    pub horizons: [u32; HORIZONS],
    /// Added to the network's sorted quantiles; scaled units.
    pub offsets: Quantiles,
    /// Quantiles of the residuals of the rule that [`kind`](Self::kind) names, which are
    /// added to its point; scaled units. Not used by [`Kind::Network`].
    pub residuals: Quantiles,
}

impl Calibration {
    /// A calibration which takes the network's output as it is.
    pub fn new(step_s: f32) -> Self {
        let zeros = [[0.0; QUANTILE_COUNT]; HORIZONS];
        Self { kind: Kind::Network, step_s, horizons: horizons(step_s), offsets: zeros, residuals: zeros }
    }

    /// Turns the network's output (one row for each horizon, scaled residuals on
    /// [`Bases::level_shape`]) into quantiles in the unit of the history.
    pub fn apply(&self, frame: &Frame, network: &Quantiles, out: &mut Quantiles) {
        let rows = network.iter().zip(&self.offsets).zip(&self.residuals);
        for ((out, bases), ((network, offsets), residuals)) in out.iter_mut().zip(&frame.bases).zip(rows) {
            let base = self.kind.base(bases);
            if self.kind == Kind::Network {
                *out = *network;
                out.sort_unstable_by(f32::total_cmp);
                for (value, offset) in out.iter_mut().zip(offsets) {
                    *value += offset;
                }
            } else {
                *out = *residuals;
            }
            for value in out.iter_mut() {
                let demand = (base + *value) * frame.scale;
                // Also takes NaN to 0.
                *value = if demand > 0.0 { demand.min(f32::MAX) } else { 0.0 };
            }
            out.sort_unstable_by(f32::total_cmp);
        }
    }

    /// Reads the section.
    ///
    /// # Errors
    /// [`ArtifactError::Calibration`] if it is short, of another version, or has a value
    /// out of its range.
    pub fn decode(section: &[u8]) -> Result<Self, ArtifactError> {
        let section: &[u8; CALIBRATION_BYTES] = section.first_chunk().ok_or(ArtifactError::Calibration)?;
        let words = section.as_chunks::<4>().0;
        let word = |index: usize| words.get(index).map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u32 == word(1)).ok_or(ArtifactError::Calibration)?;
        let mut calibration = Self::new(f32::from_bits(word(2)));
        calibration.kind = kind;
        for (index, horizon) in calibration.horizons.iter_mut().enumerate() {
            *horizon = word(HORIZONS_BEGIN / 4 + index);
        }
        let tables = [(OFFSETS_BEGIN, &mut calibration.offsets), (RESIDUALS_BEGIN, &mut calibration.residuals)];
        for (begin, table) in tables {
            for (index, value) in table.as_flattened_mut().iter_mut().enumerate() {
                *value = f32::from_bits(word(begin / 4 + index));
            }
        }
        let valid = word(0) == VERSION && word(3) == 0 && calibration.is_valid();
        if valid { Ok(calibration) } else { Err(ArtifactError::Calibration) }
    }

    /// The section of this calibration.
    pub fn encode(&self) -> [u8; CALIBRATION_BYTES] {
        let head = [VERSION, self.kind as u32, self.step_s.to_bits(), 0];
        let tables = self.offsets.as_flattened().iter().chain(self.residuals.as_flattened());
        let words = head.into_iter().chain(self.horizons).chain(tables.map(|value| value.to_bits()));
        let mut section = [0; CALIBRATION_BYTES];
        for (bytes, word) in section.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        section
    }

    /// Whether [`decode`](Self::decode) would accept the encoding.
    pub fn is_valid(&self) -> bool {
        let tables = self.offsets.as_flattened().iter().chain(self.residuals.as_flattened());
        let increasing = self.horizons.iter().zip(self.horizons.iter().skip(1)).all(|(near, far)| near < far);
        (STEP_S_MIN..=STEP_S_MAX).contains(&self.step_s)
            && increasing
            && self.horizons.iter().all(|horizon| (1..=HORIZON_MAX).contains(horizon))
            && tables.into_iter().all(|value| (-SCALED_MAX..=SCALED_MAX).contains(value))
    }
}

/// The horizons for a step, in steps: growing geometrically from 1 to a day, each at
/// least one step beyond the one before. With fewer than sixteen steps a day they are
/// 1 to 16.
pub fn horizons(step_s: f32) -> [u32; HORIZONS] {
    let ln_day = math::ln(steps_per_day(step_s) as f32);
    let mut horizons = [0; HORIZONS];
    let mut previous = 0;
    for (index, horizon) in horizons.iter_mut().enumerate() {
        let geometric = math::exp(ln_day * index as f32 / (HORIZONS - 1) as f32) + 0.5;
        *horizon = (geometric as u32).max(previous + 1);
        previous = *horizon;
    }
    horizons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn horizons_grow_from_one_step_to_a_day() {
        for (step_s, steps) in [(1.0, 86_400), (60.0, 1440), (300.0, 288), (600.0, 144), (1800.0, 48), (3600.0, 24)] {
            let horizons = horizons(step_s);
            assert_eq!(horizons[0], 1);
            assert!(horizons.windows(2).all(|pair| pair[0] < pair[1]), "{horizons:?}");
            assert!((horizons[HORIZONS - 1] as f32 / steps as f32 - 1.0).abs() < 1e-3, "{horizons:?}");
        }
        assert_eq!(horizons(21_600.0), core::array::from_fn(|index| index as u32 + 1));
    }

    #[test]
    fn sections_survive_the_round_trip() {
        let mut calibration = Calibration::new(600.0);
        calibration.kind = Kind::LastValue;
        calibration.offsets[3][4] = -0.25;
        calibration.residuals[15][8] = 1.5;
        assert_eq!(Calibration::decode(&calibration.encode()), Ok(calibration));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let refused = |change: fn(&mut Calibration)| {
            let mut calibration = Calibration::new(600.0);
            change(&mut calibration);
            assert_eq!(Calibration::decode(&calibration.encode()), Err(ArtifactError::Calibration));
        };
        refused(|c| c.step_s = 0.0);
        refused(|c| c.step_s = f32::NAN);
        refused(|c| c.horizons[0] = 0);
        refused(|c| c.horizons[1] = c.horizons[0]);
        refused(|c| c.horizons[15] = u32::MAX);
        refused(|c| c.offsets[0][0] = f32::NAN);
        refused(|c| c.residuals[15][8] = f32::INFINITY);
        let section = Calibration::new(600.0).encode();
        for word in [0, 4, 12] {
            let mut damaged = section;
            damaged[word] = 9;
            assert_eq!(Calibration::decode(&damaged), Err(ArtifactError::Calibration));
        }
        assert_eq!(Calibration::decode(&section[1..]), Err(ArtifactError::Calibration));
    }
}
