//! The split of data in time order.

use serde::Serialize;

/// Shares of the time span for training and validation; what is left is the test part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Split {
    /// Share of the span to train on, from its start.
    pub train: f64,
    /// Share of the span to validate on, after the training part.
    pub validation: f64,
}

impl Default for Split {
    fn default() -> Self {
        Self { train: 0.6, validation: 0.15 }
    }
}
