//! Where a request stands.

use evenkeel_runtime::Ticket;

use crate::outcome::{Record, Status};

/// A request under way, or over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) ticket: Ticket,
    pub(super) record: Record,
    pub(super) sent_s: f64,
    /// Prompt tokens that the balancer is told of; 0 where it is told nothing.
    pub(super) claimed_tokens: u32,
    /// Requests at the host when it was sent.
    pub(super) requests_ahead: u16,
    /// Tokens of its prompt that the host had cached, as engines say in their answers; `None` where
    /// they have no cache.
    pub(super) cached_tokens: Option<u32>,
    pub(super) is_sent: bool,
    pub(super) is_over: bool,
    /// It is no work, but an exchange that stays open.
    pub(super) is_exchange: bool,
}

impl Progress {
    /// Before the arrival.
    pub(super) fn unborn() -> Self {
        Self {
            ticket: Ticket::default(),
            record: Record {
                arrival_s: f64::NAN,
                latency_s: f64::NAN,
                ttft_s: f64::NAN,
                host: u16::MAX,
                balancer: 0,
                attempts: 0,
                status: Status::Failed,
            },
            sent_s: 0.0,
            claimed_tokens: 0,
            requests_ahead: 0,
            cached_tokens: None,
            is_sent: false,
            is_over: false,
            is_exchange: false,
        }
    }
}
