//! The SCALE section: what demand is measured in and how far ahead it is looked for.
//!
//! ```text
//! 0    u32 version   f32 replica_requests_per_s   f32 lead_s   f32 quantile
//! 16   f32 headroom  f32 trend   (zero to 32)
//! ```
//!
//! All little-endian. An artifact without the section publishes rates and no replicas.

use super::Trend;
use crate::artifact::error::ArtifactError;

/// Length of the section.
pub const SCALE_BYTES: usize = 32;

const VERSION: u32 = 1;

/// What one replica carries, and how a forecast becomes a demand for replicas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleModel {
    /// Requests a second that one warm replica of weight 1 carries at the objective.
    pub replica_requests_per_s: f32,
    /// Seconds from asking for a replica until it serves at full speed: the cold start, as
    /// measured.
    pub lead_s: f32,
    /// Quantile of the forecast that replicas are kept ready for, 0.1 to 0.9.
    pub quantile: f32,
    /// Factor on the demand, at least 1: room for what happens between two decisions.
    pub headroom: f32,
    /// Share of the present slope, 0 to 2, by which a rise is taken to go on until the lead time.
    pub trend: f32,
}

impl ScaleModel {
    /// Figures in the place of those that neither configuration nor artifact gives: a lead of two
    /// minutes, and what `evenkeel train` defaults to. What a replica carries is not known.
    pub const DEFAULT: Self =
        Self { replica_requests_per_s: f32::NAN, lead_s: 120.0, quantile: 0.9, headroom: 1.1, trend: 0.5 };

    /// Each figure as configured (NaN where it is not), else the artifact's, else the default.
    #[must_use]
    pub fn merged(configured: &Self, artifact: Option<&Self>) -> Self {
        let otherwise = artifact.unwrap_or(&Self::DEFAULT);
        let pick = |own: f32, other: f32| if own.is_nan() { other } else { own };
        Self {
            replica_requests_per_s: pick(configured.replica_requests_per_s, otherwise.replica_requests_per_s),
            lead_s: pick(configured.lead_s, otherwise.lead_s),
            quantile: pick(configured.quantile, otherwise.quantile),
            headroom: pick(configured.headroom, otherwise.headroom),
            trend: pick(configured.trend, otherwise.trend),
        }
    }

    /// Checks that every figure that is configured is within its range (see
    /// [`is_valid`](Self::is_valid)); NaN stands for one that is not.
    pub fn is_valid_configuration(&self) -> bool {
        let complete = Self { replica_requests_per_s: 1.0, ..Self::DEFAULT };
        Self::merged(self, Some(&complete)).is_valid()
    }

    /// Reads the section.
    ///
    /// # Errors
    /// [`ArtifactError::Scale`] if it is short, of another version, or has a value out of
    /// its range.
    pub fn decode(section: &[u8]) -> Result<Self, ArtifactError> {
        let section: &[u8; SCALE_BYTES] = section.first_chunk().ok_or(ArtifactError::Scale)?;
        let [version, capacity, lead, quantile, headroom, trend, zeros @ ..] =
            *section.as_chunks::<4>().0.first_chunk::<8>().ok_or(ArtifactError::Scale)?;
        let model = Self {
            replica_requests_per_s: f32::from_le_bytes(capacity),
            lead_s: f32::from_le_bytes(lead),
            quantile: f32::from_le_bytes(quantile),
            headroom: f32::from_le_bytes(headroom),
            trend: f32::from_le_bytes(trend),
        };
        let is_valid = u32::from_le_bytes(version) == VERSION && zeros == [[0; 4]; 2] && model.is_valid();
        if is_valid { Ok(model) } else { Err(ArtifactError::Scale) }
    }

    /// The section of this model.
    pub fn encode(&self) -> [u8; SCALE_BYTES] {
        let mut section = [0; SCALE_BYTES];
        let fields = [self.replica_requests_per_s, self.lead_s, self.quantile, self.headroom, self.trend];
        let (version, rest) = section.split_at_mut(4);
        version.copy_from_slice(&VERSION.to_le_bytes());
        for (word, field) in rest.as_chunks_mut::<4>().0.iter_mut().zip(fields) {
            *word = field.to_le_bytes();
        }
        section
    }

    /// Whether every value is within its range: a capacity and a lead that are positive and
    /// sane, a quantile that is forecast, a headroom from 1 to 10, a trend from 0 to 2.
    pub fn is_valid(&self) -> bool {
        (1e-6..=1e9).contains(&self.replica_requests_per_s)
            && (0.0..=1e6).contains(&self.lead_s)
            && (0.1..=0.9).contains(&self.quantile)
            && (1.0..=10.0).contains(&self.headroom)
            && (0.0..=2.0).contains(&self.trend)
    }

    /// The demand to be ready for, in replica-equivalents: the most of the present one beyond chance,
    /// of where its rise leads, and of what is foreseen (NaN where nothing is), with headroom, over
    /// what a replica carries.
    pub fn replicas(&self, present_per_s: f32, trend: &Trend, forecast_per_s: f32) -> f32 {
        let level_per_s = trend.sure_level_per_s(present_per_s);
        let rising_per_s = level_per_s + self.trend * trend.sure_slope_per_s2() * self.lead_s;
        // `max` takes the other where one is NaN.
        rising_per_s.max(forecast_per_s) * self.headroom / self.replica_requests_per_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: ScaleModel =
        ScaleModel { replica_requests_per_s: 2.5, lead_s: 85.0, quantile: 0.9, headroom: 1.1, trend: 0.5 };

    #[test]
    fn a_section_is_read_as_it_was_written() {
        assert_eq!(ScaleModel::decode(&MODEL.encode()), Ok(MODEL));
    }

    #[test]
    fn each_figure_is_the_configured_one_or_else_the_artifacts() {
        const NONE: ScaleModel = ScaleModel {
            replica_requests_per_s: f32::NAN,
            lead_s: f32::NAN,
            quantile: f32::NAN,
            headroom: f32::NAN,
            trend: f32::NAN,
        };
        let configured = ScaleModel { replica_requests_per_s: 20.0, ..NONE };
        assert_eq!(ScaleModel::merged(&configured, Some(&MODEL)), ScaleModel { replica_requests_per_s: 20.0, ..MODEL });
        let expected = ScaleModel { replica_requests_per_s: 20.0, ..ScaleModel::DEFAULT };
        assert_eq!(ScaleModel::merged(&configured, None), expected);
        assert!(ScaleModel::merged(&NONE, None).replica_requests_per_s.is_nan());
        assert!(NONE.is_valid_configuration() && configured.is_valid_configuration());
        assert!(!ScaleModel { headroom: 0.5, ..NONE }.is_valid_configuration());
    }

    #[test]
    fn nonsense_is_refused() {
        for at in [0, 4, 8, 12, 16, 20, 24, 31] {
            let mut section = MODEL.encode();
            section[at..(at + 4).min(SCALE_BYTES)].fill(0xFF);
            assert_eq!(ScaleModel::decode(&section), Err(ArtifactError::Scale), "byte {at}");
        }
        assert_eq!(ScaleModel::decode(&MODEL.encode()[..31]), Err(ArtifactError::Scale));
    }
}
