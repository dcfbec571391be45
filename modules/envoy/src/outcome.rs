//! How an attempt ended, from what the access log tells of it.
//!
//! Envoy says of an attempt that it broke off, or exceeded a limit of its own. Where it gave
//! one up for the request as a whole, because the route's timeout is over or because the
//! client has left, it says so of the request alone, which the log of the attempt does not
//! see. What tells the two apart is the host's count of timeouts: it is raised just before
//! the attempt is logged, on the same thread.

use evenkeel_runtime::Status;

use crate::envoy::LogEntry;
use crate::prompt;
use crate::worker::Worker;

/// Request header in which the router tells hosts how long it is going to wait.
const TIMEOUT_HEADER: &[u8] = b"x-envoy-expected-rq-timeout-ms";

/// Status of hosts that have too much to do.
const TOO_MANY_REQUESTS: u64 = 429;

/// One attempt at a host, as far as it got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'h> {
    pub(crate) entry: LogEntry<'h>,
    pub(crate) address: &'h [u8],
    /// Place of the host in the region.
    pub(crate) slot: u32,
    /// From its start to its end.
    pub(crate) elapsed_us: u64,
    /// Whether any of it went out to the host.
    pub(crate) was_sent: bool,
    /// Whether the whole response has come.
    pub(crate) is_complete: bool,
}

impl Attempt<'_> {
    /// A host that refuses work is quick at it: that is no success. A client that leaves is
    /// neither success nor failure.
    pub(crate) fn status(self, worker: &Worker) -> Status {
        let flags = self.entry.flags();
        if flags.is_not_the_hosts() {
            return Status::ClientAbort;
        }
        if flags.is_timeout() {
            // What Envoy has counted for it is not the next one's.
            let _ = self.claim_timeout(worker);
            return Status::Timeout;
        }
        match self.entry.status() {
            _ if flags.is_failure() => Status::Failure,
            Some(status) if status >= 500 || status == TOO_MANY_REQUESTS => Status::Failure,
            Some(_) if self.is_complete => Status::Success,
            _ if self.timed_out(worker) => Status::Timeout,
            _ => Status::ClientAbort,
        }
    }

    /// Whether Envoy gave the attempt up because it took too long.
    ///
    /// It cannot be told by the time alone: Envoy measures timeouts from when its thread woke
    /// up, which is before the attempt began, and on a busy machine long before.
    fn timed_out(self, worker: &Worker) -> bool {
        let timeout_us = u64::from(self.entry.request_header(TIMEOUT_HEADER).map_or(0, prompt::number)) * 1_000;
        match self.claim_timeout(worker) {
            // An eighth, so that a client which leaves at once is not given a timeout that
            // was counted but never logged.
            Some(is_counted) if self.was_sent => is_counted && self.elapsed_us >= timeout_us / 8,
            // Nobody counts it: the router has no host before there is a connection, or the
            // host is gone.
            _ => timeout_us > 0 && self.elapsed_us >= timeout_us / 2,
        }
    }

    /// Whether the host has a timeout that nobody has claimed yet; `None` if it has no counts.
    fn claim_timeout(self, worker: &Worker) -> Option<bool> {
        let total = worker.timeouts(self.slot, self.address)?;
        Some(worker.region.timeouts.claim(self.slot, total))
    }
}
