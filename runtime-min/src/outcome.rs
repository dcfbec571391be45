//! The life of one request at a host: under way, and over.

use crate::affinity::Guess;

/// End of a request, in kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The host answered with work done.
    Success,
    /// The host answered an error, reset the connection, broke off, or could not be reached.
    Failure,
    /// The host did not answer in time.
    Timeout,
    /// The client went away, which says of the host only that it was not faster.
    ClientAbort,
    /// The host answered without working: a redirect, a refusal of the request (4xx but 429), a
    /// gRPC error, an answer to `HEAD`, a protocol switch. Neither praise nor blame.
    NoWork,
}

/// The end of a request, as the balancer saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Kind of end.
    pub status: Status,
    /// Tokens that were generated, 0 where unknown.
    pub output_tokens: u32,
    /// Tokens of the prompt that the engine says it had cached.
    pub cached_tokens: Option<u32>,
}

/// A request under way, which the balancer keeps until it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ticket {
    /// Host it was sent to.
    pub host: u32,
    /// Prompt tokens that were booked at the host.
    pub prompt_tokens: u32,
    /// Time when it was sent, in microseconds of the caller's monotonic clock.
    pub sent_us: u64,
    /// Time when its first token came back; 0 before.
    pub first_token_us: u64,
    /// Requests of this balancer at the host when it was sent, itself included.
    pub in_flight_at_send: u32,
    /// Part of its prompt that the host had been sent before.
    pub cached: Guess,
    /// The process that sent it, as the ledger has it; 0 where there is none.
    pub owner: u32,
}
