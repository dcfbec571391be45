//! Attempts that Envoy gave up because they took too long.
//!
//! Envoy says of an attempt that it broke off, or exceeded a limit of its own. Where it gave
//! one up for the request as a whole, because the route's timeout is over or because the
//! client has left, it says so of the request alone, which the log of the attempt does not
//! see. What tells the two apart is the host's count of timeouts: it is raised just before
//! the attempt is logged, on the same thread.

use crate::decimal;
use crate::worker::Worker;

/// Request header in which the router tells hosts how long it is going to wait.
pub(crate) const TIMEOUT_HEADER: &[u8] = b"x-envoy-expected-rq-timeout-ms";

/// One attempt at a host, as far as it got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'h> {
    pub(crate) address: &'h [u8],
    /// Slot of the host in the region.
    pub(crate) slot: u32,
    /// From its start to its end.
    pub(crate) elapsed_us: u64,
    /// Set if any of it went out to the host.
    pub(crate) was_sent: bool,
    /// Value of [`TIMEOUT_HEADER`].
    pub(crate) timeout_ms: Option<&'h [u8]>,
}

impl Attempt<'_> {
    /// Decides if Envoy gave the attempt up because it took too long.
    ///
    /// It cannot be told by the time alone: Envoy measures timeouts from when its thread woke
    /// up, which is before the attempt began, and on a busy machine long before.
    pub(crate) fn timed_out(self, worker: &Worker) -> bool {
        let timeout_us = u64::from(self.timeout_ms.map_or(0, decimal::parse)) * 1_000;
        match self.claim_timeout(worker) {
            // An eighth, so that a client which leaves at once is not given a timeout that
            // was counted but never logged.
            Some(is_counted) if self.was_sent => is_counted && self.elapsed_us >= timeout_us / 8,
            // Nobody counts it: the router has no host before there is a connection, or the
            // host is gone.
            _ => timeout_us > 0 && self.elapsed_us >= timeout_us / 2,
        }
    }

    /// Claims a timeout of the host that nobody has claimed yet; `None` if it has no counts.
    pub(crate) fn claim_timeout(self, worker: &Worker) -> Option<bool> {
        let total = worker.timeouts(self.slot, self.address)?;
        Some(worker.region.timeouts.claim(self.slot, total))
    }
}
