//! Feedback from the hosts: the end of each request, and the reports in its headers.
//!
//! The load balancer opens a ticket for each choice, and the access log in the router's
//! `upstream_log` closes it: on the same thread, and known by the host and by the time it
//! was sent, which differs by the microseconds between choice and request. What is never
//! logged (other filters' requests, TCP) is found out by comparing with Envoy's own count
//! of the requests under way.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use evenkeel_runtime::{Outcome, State, Status, Ticket, orca};

use crate::abi::{HOST_STAT_REQUEST_ERRORS, HOST_STAT_REQUESTS_ACTIVE};
use crate::clock;
use crate::envoy::{LoadBalancerView, LogEntry};
use crate::outcome::{Attempt, End, GRPC_STATUS_HEADER};
use crate::prompt;
use crate::table::Table;
use crate::tickets::Open;
use crate::worker::Worker;

/// Access logs that are configured, for whatever clusters.
static LOGS: AtomicUsize = AtomicUsize::new(0);

/// A log without entries for this long, though requests were sent, is another cluster's.
const LOG_SILENCE_US: u64 = 30_000_000;

/// With the log: how often counts are compared with Envoy's, and how old a request must be.
const LOGGED_INTERVAL_US: u64 = 1_000_000;
const LOGGED_AGE_US: u64 = 15_000_000;

/// Without the log: the same. A request must be so old that its connection is up.
const UNLOGGED_INTERVAL_US: u64 = 1_000;
const UNLOGGED_AGE_US: u64 = 10_000;

/// A request whose host is gone, and of which nothing was heard for this long, is over.
const GONE_AGE_US: u64 = 600_000_000;

/// A request of this age is over, whatever Envoy's count says: requests that are never logged may
/// hide behind others that this module does not count.
const AGE_MAX_US: u64 = 3_600_000_000;

/// Response header of ORCA load reports.
pub(crate) const ORCA_HEADER: &[u8] = b"endpoint-load-metrics";

/// An access log is configured.
pub(crate) fn log_begins() {
    LOGS.fetch_add(1, Relaxed);
}

/// An access log is not configured any more.
pub(crate) fn log_ends() {
    LOGS.fetch_sub(1, Relaxed);
}

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
        claim.worker.region.state().report(claim.slot, &telemetry, now_us, now_us);
        claim.with_open(|open| open.reported = true);
    }
}

/// Takes the time of the first token. Returns how long it took.
pub(crate) fn first_token(claim: &Claim) -> Duration {
    let now_us = clock::now_us();
    claim.with_open(|open| claim.worker.region.state().first_token(&mut open.ticket, now_us));
    Duration::from_micros(now_us.saturating_sub(claim.sent_us))
}

/// Takes the end of a response, with the output tokens parsed from its body; 0 if unknown.
pub(crate) fn response_ended(claim: &Claim, output_tokens: u32) {
    claim.with_open(|open| {
        open.output_tokens = output_tokens;
        open.ended = true;
    });
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
    let state = worker.region.state();
    let after_start_us = |ns: i64| (ns >= 0).then(|| sent_us + ns as u64 / 1_000).map(|us| us.min(now_us));
    let head_us = after_start_us(timing.first_upstream_rx_byte_received_ns);
    if let Some(head_us) = head_us
        && !open.reported
        && let Some(telemetry) = entry.response_header(ORCA_HEADER).and_then(orca::parse)
    {
        state.report(slot, &telemetry, head_us, now_us);
    }
    let end = End {
        flags: entry.flags(),
        status: entry.status(),
        grpc_status: head_us.and_then(|_| entry.response_header(GRPC_STATUS_HEADER)).map(prompt::number),
        body_bytes: entry.body_bytes(),
        is_complete: timing.last_upstream_rx_byte_received_ns >= 0,
    };
    let was_sent = timing.first_upstream_tx_byte_sent_ns >= 0;
    let status = Attempt { entry, address, slot, elapsed_us: now_us - sent_us, was_sent, end }.status(&worker);
    // Without the response filter the head stands for the first token; with it, the first token
    // has been seen, or there was none.
    if let Some(head_us) = head_us
        && end.has_work()
        && !open.claimed
    {
        state.first_token(&mut open.ticket, head_us);
    }
    let settings = worker.settings.borrow();
    let output_tokens = if status == Status::Success {
        let said = settings.options.output_tokens.as_ref().and_then(|name| entry.response_header(name.as_bytes()));
        said.map(prompt::number).filter(|tokens| *tokens > 0).unwrap_or(open.output_tokens)
    } else {
        0
    };
    if open.key != 0 && output_tokens > 0 {
        let tokens = open.ticket.prompt_tokens.saturating_add(output_tokens);
        worker.region.affinity().note(open.key, slot, tokens, now_us);
    }
    if open.class != 0 {
        worker.region.classes().note(open.class, output_tokens);
    }
    // The last byte: what Envoy does afterwards is not the host's time.
    let ended_us = match status {
        Status::Success => after_start_us(timing.last_upstream_rx_byte_received_ns).unwrap_or(now_us),
        _ => now_us,
    };
    let outcome = Outcome { status, output_tokens, cached_tokens: None };
    let model = settings.artifact.current();
    let service = Some(model.model().service());
    state.finish(&open.ticket, &outcome, service, ended_us.max(open.ticket.sent_us));
}

/// Counts a request out without learning from it.
pub(crate) fn forget(state: &State<'_>, ticket: &Ticket) {
    end(state, ticket, Status::ClientAbort);
}

/// Ends a request whose time is not known: an end at its start adds nothing to averages.
fn end(state: &State<'_>, ticket: &Ticket, status: Status) {
    state.finish(ticket, &Outcome { status, output_tokens: 0, cached_tokens: None }, None, ticket.sent_us);
}

/// Ends the requests that Envoy no longer has under way.
///
/// With the log that is a safety net, now and then, for old requests. Without it, it is how
/// the counts are kept at all, and failures are read off Envoy's count.
pub(crate) fn reconcile(worker: &Worker, table: &Table, view: LoadBalancerView<'_>, last_us: &mut u64, now_us: u64) {
    let silence_since_us = worker.silence_since_us.get();
    let is_silent = silence_since_us != 0 && now_us.saturating_sub(silence_since_us) >= LOG_SILENCE_US;
    let logged = LOGS.load(Relaxed) > 0 && !is_silent;
    let (interval_us, least_age_us) =
        if logged { (LOGGED_INTERVAL_US, LOGGED_AGE_US) } else { (UNLOGGED_INTERVAL_US, UNLOGGED_AGE_US) };
    if now_us.saturating_sub(*last_us) < interval_us {
        return;
    }
    *last_us = now_us;
    let tickets = &mut *worker.tickets.borrow_mut();
    let state = worker.region.state();
    for (priority, hosts) in (0..).zip(&table.priorities) {
        for &(slot, index) in &hosts.all {
            let is_due = |oldest_us: Option<u64>| {
                oldest_us.is_some_and(|sent_us| now_us.saturating_sub(sent_us) >= least_age_us)
            };
            if !is_due(tickets.oldest_us(slot)) {
                continue;
            }
            let Some(host) = state.host(slot) else { continue };
            let active = view.host_stat(priority, index, HOST_STAT_REQUESTS_ACTIVE);
            let errors = view.host_stat(priority, index, HOST_STAT_REQUEST_ERRORS);
            if logged {
                worker.region.errors.skip(slot, errors);
            }
            while u64::from(host.in_flight()) > active && is_due(tickets.oldest_us(slot)) {
                let Some(open) = tickets.take_oldest(slot) else { break };
                let failed = !logged && worker.region.errors.claim(slot, errors);
                end(&state, &open.ticket, if failed { Status::Failure } else { Status::ClientAbort });
            }
        }
    }
}

/// Ends requests that nothing else will end: old ones to hosts that no load balancer has any
/// more, and very old ones.
pub(crate) fn forget_old(worker: &Worker, now_us: u64) {
    let tickets = &mut *worker.tickets.borrow_mut();
    let state = worker.region.state();
    let slots: Vec<u32> = tickets.slots().collect();
    for slot in slots {
        let least_age_us = if worker.has_host(slot) { AGE_MAX_US } else { GONE_AGE_US };
        while tickets.oldest_us(slot).is_some_and(|sent_us| now_us.saturating_sub(sent_us) >= least_age_us) {
            let Some(open) = tickets.take_oldest(slot) else { break };
            forget(&state, &open.ticket);
        }
    }
}
