//! Feedback from the hosts: the end of each request, and the reports in its headers.
//!
//! The load balancer opens a ticket for each choice, and the access log in the router's
//! `upstream_log` closes it: on the same thread, and known by the host and by the time it
//! was sent, which differs by the microseconds between choice and request.

use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime::body::ResponseBody;
use evenkeel_runtime::{Outcome, Status, orca};

use crate::clock;
use crate::decimal;
use crate::envoy::LogEntry;
use crate::outcome::{self, End, GRPC_STATUS_HEADER};
use crate::tickets::Open;
use crate::timeouts::{Attempt, TIMEOUT_HEADER};
use crate::worker::Worker;

/// Response header of ORCA load reports.
pub(crate) const ORCA_HEADER: &[u8] = b"endpoint-load-metrics";

/// Claims the attempt whose request goes out to a host, for [`report`] and [`first_token`].
pub(crate) fn sent(cluster: &[u8], address: &[u8]) -> Option<Claim> {
    let worker = Worker::find(cluster)?;
    let slot = worker.place(address)?;
    let sent_us = worker.tickets.borrow_mut().claim_oldest(slot)?;
    Some(Claim { worker, slot, sent_us })
}

/// An attempt whose response a filter reads.
#[derive(Debug)]
pub(crate) struct Claim {
    worker: Rc<Worker>,
    slot: u32,
    sent_us: u64,
}

impl Claim {
    /// Runs with the attempt, if it is still under way.
    fn with_open(&self, run: impl FnOnce(&mut Open)) {
        if let Some(open) = self.worker.tickets.borrow_mut().claimed(self.slot, self.sent_us) {
            run(open);
        }
    }
}

/// Takes the load report in the head of a response at once: a streamed response may take
/// minutes.
pub(crate) fn report(claim: &Claim, report: &[u8]) {
    if let Some(telemetry) = orca::parse(report) {
        let now_us = clock::now_us();
        claim.worker.region.upstream().report(claim.slot, &telemetry, now_us, now_us);
        claim.with_open(|open| open.reported = true);
    }
}

/// Takes the time of the first token. Returns how long it took.
pub(crate) fn first_token(claim: &Claim, at_us: u64) -> Duration {
    claim.with_open(|open| claim.worker.region.upstream().first_token(&mut open.ticket, at_us));
    Duration::from_micros(at_us.saturating_sub(claim.sent_us))
}

/// Takes the end of a response, with what its body says.
pub(crate) fn response_ended(claim: &Claim, body: ResponseBody) {
    claim.with_open(|open| open.response = Some(body));
}

/// Closes the ticket of an attempt that has ended, and learns from it.
pub(crate) fn log(entry: LogEntry<'_>) {
    let Some(worker) = entry.cluster().and_then(Worker::find) else { return };
    let Some(address) = entry.host_address() else { return };
    let Some(slot) = worker.place(address) else { return };
    let timing = entry.timing();
    let now_us = clock::now_us();
    // Envoy takes the time of the end right before it logs it.
    let Ok(elapsed_ns) = u64::try_from(timing.request_complete_duration_ns) else { return };
    let sent_us = now_us.saturating_sub(elapsed_ns / 1_000);
    worker.silence_since_us.set(0);
    let Some(mut open) = worker.tickets.borrow_mut().take(slot, sent_us) else { return };
    let upstream = worker.region.upstream();
    let after_start_us = |ns: i64| (ns >= 0).then(|| sent_us + ns as u64 / 1_000).map(|us| us.min(now_us));
    let head_us = after_start_us(timing.first_upstream_rx_byte_received_ns);
    if let Some(head_us) = head_us
        && !open.reported
        && let Some(telemetry) = entry.response_header(ORCA_HEADER).and_then(orca::parse)
    {
        upstream.report(slot, &telemetry, head_us, now_us);
    }
    let body = open.response.unwrap_or_default();
    let end = End {
        flags: entry.flags(),
        status: entry.status(),
        grpc_status: head_us.and_then(|_| entry.response_header(GRPC_STATUS_HEADER)).map(outcome::grpc_status),
        body_bytes: entry.body_bytes(),
        is_error: body.is_error,
        is_complete: timing.last_upstream_rx_byte_received_ns >= 0,
    };
    let attempt = Attempt {
        address,
        slot,
        elapsed_us: now_us - sent_us,
        was_sent: timing.first_upstream_tx_byte_sent_ns >= 0,
        timeout_ms: entry.request_header(TIMEOUT_HEADER),
    };
    let status = outcome::classify(&end, || attempt.timed_out(&worker));
    if status == Status::Timeout && end.flags.is_timeout() {
        // What Envoy has counted for it is not the next one's.
        let _ = attempt.claim_timeout(&worker);
    }
    // Without the response filter the head stands for the first token; with it, the first token
    // has been seen, or there was none.
    if let Some(head_us) = head_us
        && end.has_work()
        && !open.claimed
    {
        upstream.first_token(&mut open.ticket, head_us);
    }
    let settings = worker.settings.borrow();
    let said = settings.options.output_tokens.as_ref().and_then(|name| entry.response_header(name.as_bytes()));
    let output_tokens = said.map(decimal::parse).filter(|tokens| *tokens > 0).or(body.output_tokens).unwrap_or(0);
    // The last byte: what Envoy does afterwards is not the host's time.
    let ended_us = match status {
        Status::Success => after_start_us(timing.last_upstream_rx_byte_received_ns).unwrap_or(now_us),
        _ => now_us,
    };
    let outcome = Outcome {
        status,
        output_tokens: if status == Status::Success { output_tokens } else { 0 },
        cached_tokens: body.cached_tokens,
    };
    if let Some(counted) = body.prompt_tokens {
        upstream.counted(&open.facts, counted, ended_us);
    }
    let artifact = settings.artifact.current();
    open.end(&upstream, artifact.model(), &outcome, ended_us);
}
