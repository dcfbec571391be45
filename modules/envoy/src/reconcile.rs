//! Requests whose end nobody tells: other filters' own, TCP's, and all where the access log is
//! missing. They are found out by comparing with Envoy's count of the requests under way.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use evenkeel_runtime::Status;

use crate::abi::{HOST_STAT_REQUEST_ERRORS, HOST_STAT_REQUESTS_ACTIVE};
use crate::envoy::LoadBalancerView;
use crate::table::Table;
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

/// An access log is configured.
pub(crate) fn log_begins() {
    LOGS.fetch_add(1, Relaxed);
}

/// An access log is not configured any more.
pub(crate) fn log_ends() {
    LOGS.fetch_sub(1, Relaxed);
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
    let upstream = worker.region.upstream();
    for (priority, hosts) in (0..).zip(&table.priorities) {
        for &(slot, index) in &hosts.all {
            let is_due = |oldest_us: Option<u64>| {
                oldest_us.is_some_and(|sent_us| now_us.saturating_sub(sent_us) >= least_age_us)
            };
            if !is_due(tickets.oldest_us(slot)) {
                continue;
            }
            let Some(host) = upstream.state().host(slot) else { continue };
            let active = view.host_stat(priority, index, HOST_STAT_REQUESTS_ACTIVE);
            let errors = view.host_stat(priority, index, HOST_STAT_REQUEST_ERRORS);
            if logged {
                worker.region.errors.skip(slot, errors);
            }
            while u64::from(host.in_flight()) > active && is_due(tickets.oldest_us(slot)) {
                let Some(open) = tickets.take_oldest(slot) else { break };
                let failed = !logged && worker.region.errors.claim(slot, errors);
                open.end_unseen(&upstream, if failed { Status::Failure } else { Status::ClientAbort });
            }
        }
    }
}

/// Ends requests that nothing else will end: old ones to hosts that no load balancer has any
/// more, and very old ones.
pub(crate) fn forget_old(worker: &Worker, now_us: u64) {
    let tickets = &mut *worker.tickets.borrow_mut();
    let upstream = worker.region.upstream();
    let slots: Vec<u32> = tickets.slots().collect();
    for slot in slots {
        let least_age_us = if worker.has_host(slot) { AGE_MAX_US } else { GONE_AGE_US };
        while tickets.oldest_us(slot).is_some_and(|sent_us| now_us.saturating_sub(sent_us) >= least_age_us) {
            let Some(open) = tickets.take_oldest(slot) else { break };
            open.end_unseen(&upstream, Status::ClientAbort);
        }
    }
}
