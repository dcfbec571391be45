//! The outcome of an exchange with a host, from what the access log knows of it.
//!
//! Envoy says of an attempt that it broke off, or exceeded a limit of its own. Where it gave
//! one up for the request as a whole, because the route's timeout is over or because the
//! client has left, it says so of the request alone, which the log of the attempt does not
//! see. What tells the two apart is the host's count of timeouts: it is raised just before
//! the attempt is logged, on the same thread.

use evenkeel_runtime::Status;

use crate::envoy::{LogEntry, ResponseFlags};
use crate::prompt;
use crate::worker::Worker;

/// Request header in which the router tells hosts how long it is going to wait.
const TIMEOUT_HEADER: &[u8] = b"x-envoy-expected-rq-timeout-ms";

/// Response header, or trailer, with the outcome of a gRPC call, whose HTTP status is 200.
pub(crate) const GRPC_STATUS_HEADER: &[u8] = b"grpc-status";

/// HTTP status of hosts that have too much to do.
const TOO_MANY_REQUESTS: u64 = 429;

/// HTTP status of connections that speak something else from then on.
const SWITCHING_PROTOCOLS: u64 = 101;

/// The end of an exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) flags: ResponseFlags,
    /// HTTP status; `None` if no response came.
    pub(crate) status: Option<u64>,
    /// gRPC status; `None` if the response has none.
    pub(crate) grpc_status: Option<u32>,
    /// Bytes of the response's body.
    pub(crate) body_bytes: u64,
    /// Set if the whole response has come.
    pub(crate) is_complete: bool,
}

impl End {
    /// HTTP status with a gRPC status in a 200 taken into it.
    fn status(&self) -> Option<u64> {
        match (self.status, self.grpc_status) {
            (Some(200), Some(grpc_status)) => Some(http_status(grpc_status)),
            (status, _) => status,
        }
    }

    /// Checks if what came of the response is work done.
    pub(crate) fn has_work(&self) -> bool {
        self.body_bytes > 0 && self.status().is_some_and(|status| (200..300).contains(&status))
    }
}

/// Classifies an exchange. `timed_out` is asked only where nothing else decides.
pub(crate) fn classify(end: &End, timed_out: impl FnOnce() -> bool) -> Status {
    if end.flags.is_not_the_hosts() {
        return Status::ClientAbort;
    }
    if end.flags.is_timeout() {
        return Status::Timeout;
    }
    match end.status() {
        _ if end.flags.is_failure() => Status::Failure,
        Some(status) if status >= 500 || status == TOO_MANY_REQUESTS => Status::Failure,
        // What follows is a conversation of any length, ended by either side.
        Some(SWITCHING_PROTOCOLS) => Status::NoWork,
        Some(_) if end.is_complete && end.has_work() => Status::Success,
        Some(_) if end.is_complete => Status::NoWork,
        _ if timed_out() => Status::Timeout,
        _ => Status::ClientAbort,
    }
}

/// HTTP status of a gRPC status: google.rpc.Code, as Envoy's outlier detection maps it, but for
/// "unimplemented", which is no failure of the host.
pub(crate) const fn http_status(grpc_status: u32) -> u64 {
    match grpc_status {
        0 => 200,
        // Cancelled, by the client.
        1 => 499,
        // Invalid argument, failed precondition, out of range.
        3 | 9 | 11 => 400,
        16 => 401,
        7 => 403,
        // Not found, and unimplemented: a method that is not there.
        5 | 12 => 404,
        // Already exists, aborted.
        6 | 10 => 409,
        // Resource exhausted.
        8 => TOO_MANY_REQUESTS,
        14 => 503,
        // Deadline exceeded, which the client has set.
        4 => 504,
        // Unknown, internal, data loss, and what is no code.
        _ => 500,
    }
}

/// One attempt at a host, as far as it got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'h> {
    pub(crate) entry: LogEntry<'h>,
    pub(crate) address: &'h [u8],
    /// Slot of the host in the region.
    pub(crate) slot: u32,
    /// From its start to its end.
    pub(crate) elapsed_us: u64,
    /// Set if any of it went out to the host.
    pub(crate) was_sent: bool,
    pub(crate) end: End,
}

impl Attempt<'_> {
    pub(crate) fn status(self, worker: &Worker) -> Status {
        let status = classify(&self.end, || self.timed_out(worker));
        if status == Status::Timeout && self.end.flags.is_timeout() {
            // What Envoy has counted for it is not the next one's.
            let _ = self.claim_timeout(worker);
        }
        status
    }

    /// Decides if Envoy gave the attempt up because it took too long.
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

    /// Claims a timeout of the host that nobody has claimed yet; `None` if it has no counts.
    fn claim_timeout(self, worker: &Worker) -> Option<bool> {
        let total = worker.timeouts(self.slot, self.address)?;
        Some(worker.region.timeouts.claim(self.slot, total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: End =
        End { flags: ResponseFlags(0), status: Some(200), grpc_status: None, body_bytes: 9, is_complete: true };

    fn classified(end: End) -> Status {
        classify(&end, || false)
    }

    #[test]
    fn answers_without_work_are_neither_success_nor_failure() {
        for status in [200, 201, 203, 206] {
            assert_eq!(classified(End { status: Some(status), ..DONE }), Status::Success, "{status}");
        }
        for status in [101, 300, 301, 304, 307, 400, 401, 403, 404, 408, 413, 422, 499] {
            assert_eq!(classified(End { status: Some(status), ..DONE }), Status::NoWork, "{status}");
        }
        for status in [429, 500, 502, 503, 504, 529] {
            assert_eq!(classified(End { status: Some(status), ..DONE }), Status::Failure, "{status}");
        }
        // HEAD, 204, 205, an empty 200.
        for status in [200, 204, 205] {
            assert_eq!(classified(End { status: Some(status), body_bytes: 0, ..DONE }), Status::NoWork, "{status}");
        }
    }

    #[test]
    fn grpc_calls_are_told_by_their_own_status() {
        for (grpc_status, outcome) in [
            (0, Status::Success),
            (1, Status::NoWork),
            (2, Status::Failure),
            (3, Status::NoWork),
            (4, Status::Failure),
            (5, Status::NoWork),
            (7, Status::NoWork),
            (8, Status::Failure),
            (12, Status::NoWork),
            (13, Status::Failure),
            (14, Status::Failure),
            (16, Status::NoWork),
            (99, Status::Failure),
        ] {
            for body_bytes in [0, 9] {
                let end = End { grpc_status: Some(grpc_status), body_bytes, ..DONE };
                let expected = if grpc_status == 0 && body_bytes == 0 { Status::NoWork } else { outcome };
                assert_eq!(classified(end), expected, "{end:?}");
            }
        }
        let not_found = End { status: Some(404), grpc_status: Some(0), ..DONE };
        assert_eq!(classified(not_found), Status::NoWork, "the HTTP status comes first");
    }

    #[test]
    fn what_breaks_off_is_told_by_who_broke_it_off() {
        let incomplete = End { is_complete: false, ..DONE };
        assert_eq!(classified(incomplete), Status::ClientAbort);
        assert_eq!(classify(&incomplete, || true), Status::Timeout);
        assert_eq!(classified(End { status: None, body_bytes: 0, ..incomplete }), Status::ClientAbort);
        assert_eq!(classify(&End { status: Some(101), ..incomplete }, || true), Status::NoWork);
        let flagged = |flag: u32| End { flags: ResponseFlags(1 << flag), ..incomplete };
        assert_eq!(classified(flagged(4)), Status::Failure, "remote reset");
        assert_eq!(classified(flagged(2)), Status::Timeout, "request timeout");
        assert_eq!(classified(flagged(7)), Status::ClientAbort, "overflow");
        let both = End { flags: ResponseFlags(1 << 4 | 1 << 14), ..incomplete };
        assert_eq!(classified(both), Status::ClientAbort, "the client left first");
    }
}
