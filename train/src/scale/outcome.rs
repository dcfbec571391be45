//! Outcomes of a comparison of scalers on the test part of series.

use evenkeel_env::scale::Bill;

use super::Needed;

/// What a scaler did on the test part of a series.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The series' name.
    pub series: String,
    /// Mean seconds until a new replica serves.
    pub cold_start_s: f64,
    /// The scaler's name.
    pub policy: &'static str,
    /// Share of misses that it was tuned for.
    pub missed_share_max: f64,
    /// What it was tuned to.
    pub parameters: Vec<(&'static str, f64)>,
    /// One for each seed.
    pub bills: Vec<Bill>,
}

impl Outcome {
    /// Mean of a figure over seeds.
    pub fn mean(&self, figure: fn(&Bill) -> f64) -> f64 {
        self.bills.iter().map(figure).sum::<f64>() / self.bills.len() as f64
    }
}

/// What predictions would have needed on a series.
#[derive(Clone, Debug)]
pub struct NeededOn {
    /// The series' name.
    pub series: String,
    /// Steps of lead.
    pub lead_steps: usize,
    /// The best prediction of each kind.
    pub needed: Vec<Needed>,
}
