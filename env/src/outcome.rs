//! What a simulation leaves behind: one record for each request, one for each host.

/// How a request ended, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was answered.
    Answered,
    /// Its host crashed or was down and no retry was left, or it answered with an error.
    Failed,
    /// No answer came in time.
    TimedOut,
    /// Its client left.
    Aborted,
    /// It was answered without work, such as by `404 Not Found`, or was an exchange that is no
    /// work, such as a WebSocket.
    NoWork,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// When it arrived, in seconds from the start.
    pub arrival_s: f64,
    /// From the arrival to its end, in seconds, retries included.
    pub latency_s: f64,
    /// From the arrival to its first token (LLM) or byte (FIFO), in seconds; NaN if none came.
    pub ttft_s: f64,
    /// The host that it was last sent to.
    pub host: u16,
    /// The balancer that placed it.
    pub balancer: u16,
    /// How often it was sent.
    pub attempts: u16,
    /// How it ended.
    pub status: Status,
}

/// One host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostUse {
    /// Speed relative to the reference.
    pub speed: f64,
    /// Time that it was busy, in seconds (share of its servers, for FIFO).
    pub busy_s: f64,
    /// Work of the requests that it answered, in seconds of a saturated host of speed 1.
    pub work_s: f64,
    /// Requests that it answered.
    pub answered: u64,
    /// Requests that were sent to it, repeated ones included.
    pub sent: u64,
}

/// Everything that came out of a simulation.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The requests, in the order of the trace: that of their arrival, unless the
    /// [loop is closed](crate::life::Life::closed_loop).
    pub records: Vec<Record>,
    /// The hosts.
    pub hosts: Vec<HostUse>,
    /// From the first arrival to the last end, in seconds.
    pub span_s: f64,
    /// Share of the requests, from the first on, that metrics leave out.
    pub warm_up_share: f64,
}

impl Outcome {
    /// The requests that metrics are about.
    pub fn measured(&self) -> &[Record] {
        &self.records[(self.records.len() as f64 * self.warm_up_share) as usize..]
    }
}
