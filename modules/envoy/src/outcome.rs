//! The outcome of an exchange with a host, from what the access log and the filter know of it.

use evenkeel_runtime::Status;

use crate::decimal;
use crate::envoy::ResponseFlags;

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
    /// Set if the engine reports an error inside of the body.
    pub(crate) is_error: bool,
    /// Set if the whole response has come.
    pub(crate) is_complete: bool,
}

impl End {
    /// Checks if what came of the response is work done, as far as HTTP says.
    pub(crate) fn has_work(&self) -> bool {
        self.body_bytes > 0 && self.is_success() && self.grpc_outcome().is_none()
    }

    fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// Outcome that a gRPC status says of a response which HTTP takes for a success; `None` for a
    /// success, and without such a status.
    ///
    /// Codes and the statuses of HTTP that they stand for are those of google/rpc/code.proto.
    fn grpc_outcome(&self) -> Option<Status> {
        match self.grpc_status.filter(|_| self.is_success())? {
            0 => None,
            // Deadline exceeded: 504.
            4 => Some(Status::Timeout),
            // Unknown: 500. Resource exhausted: 429. Internal: 500. Unavailable: 503. Data loss: 500.
            2 | 8 | 13 | 14 | 15 => Some(Status::Failure),
            // Of the client's making: 4xx. Unimplemented. No code at all.
            _ => Some(Status::NoWork),
        }
    }
}

/// Reads a gRPC status. Whatever is no code becomes one that does not exist.
pub(crate) fn grpc_status(value: &[u8]) -> u32 {
    match (value, decimal::parse(value)) {
        (b"0", _) => 0,
        (_, 0) => u32::MAX,
        (_, code) => code,
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
    match end.status {
        _ if end.flags.is_failure() => Status::Failure,
        Some(status) if status >= 500 || status == TOO_MANY_REQUESTS => Status::Failure,
        // What follows is a conversation of any length, ended by either side.
        Some(SWITCHING_PROTOCOLS) => Status::NoWork,
        Some(_) if end.is_complete => complete(end),
        _ if timed_out() => Status::Timeout,
        _ => Status::ClientAbort,
    }
}

/// Classifies a whole response that HTTP does not take for a failure.
fn complete(end: &End) -> Status {
    match end.grpc_outcome() {
        Some(outcome) => outcome,
        None if !end.has_work() => Status::NoWork,
        // The head was out before the engine failed.
        None if end.is_error => Status::Failure,
        None => Status::Success,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: End = End {
        flags: ResponseFlags(0),
        status: Some(200),
        grpc_status: None,
        body_bytes: 9,
        is_error: false,
        is_complete: true,
    };

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
    fn an_error_inside_of_a_body_is_a_failure() {
        let failed = End { is_error: true, ..DONE };
        assert_eq!(classified(failed), Status::Failure);
        assert_eq!(classified(End { status: Some(404), ..failed }), Status::NoWork, "it is the client's");
        assert_eq!(classified(End { is_complete: false, ..failed }), Status::ClientAbort, "it did not end");
    }

    #[test]
    fn grpc_calls_are_told_by_their_own_status() {
        for (grpc_status, outcome) in [
            (0, Status::Success),
            (1, Status::NoWork),
            (2, Status::Failure),
            (3, Status::NoWork),
            (4, Status::Timeout),
            (5, Status::NoWork),
            (7, Status::NoWork),
            (8, Status::Failure),
            (12, Status::NoWork),
            (13, Status::Failure),
            (14, Status::Failure),
            (15, Status::Failure),
            (16, Status::NoWork),
            (99, Status::NoWork),
        ] {
            for body_bytes in [0, 9] {
                let end = End { grpc_status: Some(grpc_status), body_bytes, ..DONE };
                let expected = if grpc_status == 0 && body_bytes == 0 { Status::NoWork } else { outcome };
                assert_eq!(classified(end), expected, "{end:?}");
                assert_eq!(end.has_work(), expected == Status::Success, "{end:?}");
            }
        }
        let read = ["0", "8", "", "x", "-1"].map(|value| grpc_status(value.as_bytes()));
        assert_eq!(read, [0, 8, u32::MAX, u32::MAX, u32::MAX]);
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
