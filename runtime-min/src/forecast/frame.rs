//! The frame of reference of a forecast: its scale, and the simple rules' points.

use super::{Evidence, HORIZONS};

/// How a forecast's frame of reference was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Mean magnitude of the last day; what scaled units are multiples of.
    pub scale: f32,
    /// The simple rules' points at each horizon.
    pub bases: [Bases; HORIZONS],
    /// How much of the past was there.
    pub evidence: Evidence,
}

/// Point forecasts of the simple rules at one horizon, in scaled units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bases {
    /// The newest known value.
    pub last_value: f32,
    /// The value a day before the target, or the day before that where it is missing.
    pub seasonal_naive: f32,
    /// The mean of past days at the target, by how much the last day resembles each, moved
    /// towards the present level the more the nearer the target is. After FLAIR
    /// (arXiv 2605.07222): level × shape. The network's output is added to it.
    pub level_shape: f32,
}
