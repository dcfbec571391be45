//! What was measured of a request.

use evenkeel_env::Status;

/// One request. Times in seconds of service time; latencies count from when it was due.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Its place in the plan.
    pub index: usize,
    /// When it was due, from the start of the replay.
    pub due_s: f64,
    /// How late it was sent.
    pub lag_s: f64,
    /// To the response's head; NaN if none came.
    pub head_s: f64,
    /// To the first token of a stream, to the first byte of anything else; NaN if none came.
    pub first_token_s: f64,
    /// To the end, whatever that was.
    pub latency_s: f64,
    /// Longest time between two events of a stream; NaN where there are not two.
    pub gap_max_s: f64,
    /// Tokens generated, where the response tells.
    pub output_tokens: u32,
    /// How it ended.
    pub status: Status,
    /// The response's status; 0 if none came.
    pub code: u16,
    /// The host that answered, where the response names it.
    pub host: Option<String>,
    /// What went wrong, if something did.
    pub error: Option<String>,
}

impl Observation {
    /// Mean time from token to token, in seconds; NaN where there are not two.
    pub fn between_tokens_s(&self) -> f64 {
        if self.status == Status::Answered && self.output_tokens > 1 {
            (self.latency_s - self.first_token_s) / f64::from(self.output_tokens - 1)
        } else {
            f64::NAN
        }
    }
}
