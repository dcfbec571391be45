//! The requests of one worker that are under way, by host, oldest first.
//!
//! Each host has a queue in the order of sending. A request that ends leaves a hole, so that
//! the others keep their places and are found by bisection; holes go when they reach an end of
//! the queue, or when they outnumber the requests. Queues grow with the requests under way and
//! keep their memory: an Envoy that can hold the requests can hold their tickets.

use std::collections::VecDeque;

use evenkeel_runtime::body::ResponseBody;
use evenkeel_runtime::state::HOSTS_MAX;
use evenkeel_runtime::upstream::{Facts, Upstream};
use evenkeel_runtime::{Model, Outcome, Status, Ticket};

/// A choice is followed by its request on the same thread, with nothing in between but
/// what keeps the thread from running.
const EARLIER_US: u64 = 1_000_000;

/// Time that may pass between the end of an attempt and its log, from which its start is reckoned.
const LATER_US: u64 = 500;

/// Holes of a queue that are left alone.
const HOLES_MIN: usize = 32;

/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Open {
    pub(crate) ticket: Ticket,
    pub(crate) facts: Facts,
    /// The response's body, once the filter has seen its end: its log is the next to come.
    pub(crate) response: Option<ResponseBody>,
    /// Set if an upstream filter reports its first token.
    pub(crate) claimed: bool,
    /// Set if a load report in the response's head has been taken.
    pub(crate) reported: bool,
}

impl Open {
    pub(crate) fn new(ticket: Ticket, facts: Facts) -> Self {
        Self { ticket, facts, response: None, claimed: false, reported: false }
    }

    /// Counts the request out, and learns from its end.
    pub(crate) fn end(&self, upstream: &Upstream<'_>, model: &Model<'_>, outcome: &Outcome, now_us: u64) {
        let ended_us = now_us.max(self.ticket.sent_us);
        // Without a ledger nothing can be refused.
        let _ = upstream.finish(Some(model.service()), &self.ticket, &self.facts, outcome, ended_us);
    }

    /// Counts the request out, whose time is not known: an end at its start adds nothing to
    /// averages.
    pub(crate) fn end_unseen(&self, upstream: &Upstream<'_>, status: Status) {
        let outcome = Outcome { status, output_tokens: 0, cached_tokens: None };
        let _ = upstream.finish(None, &self.ticket, &self.facts, &outcome, self.ticket.sent_us);
    }
}

/// A place in a queue; a hole if its request has ended.
#[derive(Clone, Copy, Debug)]
struct Place {
    sent_us: u64,
    open: Option<Open>,
}

/// A host's requests. The first and the last place are no holes.
#[derive(Clone, Debug, Default)]
struct Queue {
    places: VecDeque<Place>,
    holes: usize,
}

impl Queue {
    fn push(&mut self, open: Open) {
        self.places.push_back(Place { sent_us: open.ticket.sent_us, open: Some(open) });
    }

    fn take(&mut self, index: usize) -> Option<Open> {
        let open = self.places.get_mut(index)?.open.take()?;
        self.holes += 1;
        while self.places.front().is_some_and(|place| place.open.is_none()) {
            self.places.pop_front();
            self.holes -= 1;
        }
        while self.places.back().is_some_and(|place| place.open.is_none()) {
            self.places.pop_back();
            self.holes -= 1;
        }
        if self.holes > HOLES_MIN && self.holes > self.places.len() / 2 {
            self.places.retain(|place| place.open.is_some());
            self.holes = 0;
        }
        Some(open)
    }

    /// Number of places with requests sent at a moment or before.
    fn sent_until(&self, moment_us: u64) -> usize {
        self.places.partition_point(|place| place.sent_us <= moment_us)
    }

    /// Index of the request that was sent nearest to a moment, at most [`EARLIER_US`] before and
    /// [`LATER_US`] after it. One whose response has ended goes before one that has none.
    fn nearest(&self, moment_us: u64) -> Option<usize> {
        let from_us = moment_us.saturating_sub(EARLIER_US);
        let until = self.sent_until(moment_us.saturating_add(LATER_US));
        let mut nearest = None;
        for (index, place) in self.places.range(..until).enumerate().rev() {
            if place.sent_us < from_us {
                break;
            }
            let Some(open) = &place.open else { continue };
            let rank = (open.response.is_none(), place.sent_us.abs_diff(moment_us));
            if nearest.is_none_or(|(best, _)| rank < best) {
                nearest = Some((rank, index));
            }
        }
        nearest.map(|(_, index)| index)
    }
}

/// Open tickets of one worker.
#[derive(Debug)]
pub(crate) struct Tickets {
    /// By the host's slot in the region.
    queues: Box<[Queue]>,
}

impl Tickets {
    pub(crate) fn new() -> Self {
        Self { queues: vec![Queue::default(); HOSTS_MAX].into() }
    }

    /// Keeps a request.
    pub(crate) fn push(&mut self, open: Open) {
        if let Some(queue) = self.queue(open.ticket.host) {
            queue.push(open);
        }
    }

    /// Send time of the oldest request to a host.
    pub(crate) fn oldest_us(&self, slot: u32) -> Option<u64> {
        self.queues.get(slot as usize)?.places.front().map(|place| place.sent_us)
    }

    /// Takes the oldest request to a host.
    pub(crate) fn take_oldest(&mut self, slot: u32) -> Option<Open> {
        self.queue(slot)?.take(0)
    }

    /// Takes the request to a host whose attempt started at a moment.
    pub(crate) fn take(&mut self, slot: u32, started_us: u64) -> Option<Open> {
        let queue = self.queue(slot)?;
        let index = queue.nearest(started_us)?;
        queue.take(index)
    }

    /// Claims the oldest request to a host that was sent after all claimed ones: its connection
    /// is up, and connections take requests in order. Returns its send time, which names it.
    pub(crate) fn claim_oldest(&mut self, slot: u32) -> Option<u64> {
        let requests = self.queue(slot)?.places.iter_mut().rev().filter_map(|place| place.open.as_mut());
        let oldest = requests.take_while(|open| !open.claimed).last()?;
        oldest.claimed = true;
        Some(oldest.ticket.sent_us)
    }

    /// The claimed request to a host that was sent at this moment.
    pub(crate) fn claimed(&mut self, slot: u32, sent_us: u64) -> Option<&mut Open> {
        self.sent_at(slot, sent_us).find(|open| open.claimed)
    }

    fn sent_at(&mut self, slot: u32, sent_us: u64) -> impl Iterator<Item = &mut Open> {
        let places = self.queue(slot).map(|queue| {
            let range = queue.sent_until(sent_us.saturating_sub(1))..queue.sent_until(sent_us);
            queue.places.range_mut(range)
        });
        places.into_iter().flatten().filter_map(|place| place.open.as_mut())
    }

    /// Slots of the hosts with requests under way.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.queues).filter(|(_, queue)| !queue.places.is_empty()).map(|(slot, _)| slot)
    }

    /// Takes all requests.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Open> {
        self.queues.iter_mut().flat_map(|queue| std::mem::take(queue).places).filter_map(|place| place.open)
    }

    fn queue(&mut self, slot: u32) -> Option<&mut Queue> {
        self.queues.get_mut(slot as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(host: u32, sent_us: u64) -> Open {
        let ticket = Ticket { host, prompt_tokens: 1, sent_us, in_flight_at_send: 1, ..Ticket::default() };
        Open::new(ticket, Facts::default())
    }

    fn sent(open: Option<Open>) -> Option<u64> {
        open.map(|open| open.ticket.sent_us)
    }

    #[test]
    fn requests_are_claimed_in_order() {
        let mut tickets = Tickets::new();
        for sent_us in [1_000, 2_000, 2_000, 3_000] {
            tickets.push(open(5, sent_us));
        }
        assert_eq!([1, 2, 3].map(|_| tickets.claim_oldest(5)), [Some(1_000), Some(2_000), Some(2_000)]);
        assert_eq!(tickets.claimed(5, 2_000).map(|open| open.ticket.sent_us), Some(2_000));
        assert_eq!(tickets.claimed(5, 3_000), None);
        assert!(tickets.take(5, 2_000).is_some_and(|open| open.claimed));
        assert_eq!([1, 2].map(|_| tickets.claim_oldest(5)), [Some(3_000), None]);
        assert_eq!(tickets.claim_oldest(6), None);
    }

    #[test]
    fn the_nearest_to_the_start_is_taken() {
        let mut tickets = Tickets::new();
        for sent_us in [10_000, 20_000, 30_000] {
            tickets.push(open(1, sent_us));
        }
        tickets.push(open(2, 21_000));
        assert_eq!(sent(tickets.take(1, 22_000)), Some(20_000));
        assert_eq!(sent(tickets.take(1, 9_000)), None, "none was sent before");
        assert_eq!(sent(tickets.take(1, 29_900)), Some(30_000), "clocks differ");
        assert_eq!(sent(tickets.take(1, 2_000_000)), None, "the others were sent too long before");
        for sent_us in [60_000, 60_100, 60_300] {
            tickets.push(open(3, sent_us));
        }
        tickets.queues[3].places[2].open.as_mut().expect("it is open").response = Some(ResponseBody::default());
        assert_eq!(sent(tickets.take(3, 60_110)), Some(60_300), "its response has ended");
        assert_eq!(sent(tickets.take(3, 60_110)), Some(60_100));
        assert_eq!(sent(tickets.take(3, 60_110)), Some(60_000));
        tickets.push(open(1, 50_000));
        assert_eq!(tickets.oldest_us(1), Some(10_000));
        assert_eq!(tickets.slots().collect::<Vec<_>>(), [1, 2]);
        assert_eq!([sent(tickets.take_oldest(1)), sent(tickets.take_oldest(1))], [Some(10_000), Some(50_000)]);
        assert_eq!(sent(tickets.take_oldest(1)), None);
        assert_eq!(sent(tickets.take_oldest(2)), Some(21_000));
        assert_eq!(tickets.slots().count(), 0);
    }

    #[test]
    fn any_number_is_under_way_and_leaves_no_holes() {
        const REQUESTS: u64 = 100_000;
        let mut tickets = Tickets::new();
        for n in 0..REQUESTS {
            tickets.push(open((n % 3) as u32, n * 1_000));
        }
        // The first of each host stays while all others end, in an order that leaves holes.
        for n in (3..REQUESTS).filter(|n| n % 2 == 0).chain((3..REQUESTS).filter(|n| n % 2 == 1)) {
            assert_eq!(sent(tickets.take((n % 3) as u32, n * 1_000)), Some(n * 1_000));
        }
        for queue in &tickets.queues[..3] {
            assert_eq!((queue.places.len(), queue.holes), (1, 0));
        }
        assert_eq!(tickets.drain().map(|open| open.ticket.sent_us).collect::<Vec<_>>(), [0, 1_000, 2_000]);
        assert_eq!(tickets.drain().count(), 0);
    }

    #[test]
    fn holes_never_outnumber_the_requests_for_long() {
        let mut queue = Queue::default();
        for n in 0..10_000 {
            queue.push(open(0, n * 1_000));
            // One in a hundred lasts; the others end two later.
            if n >= 2 && (n - 2) % 100 != 0 {
                let index = queue.nearest((n - 2) * 1_000).expect("it is under way");
                assert_eq!(sent(queue.take(index)), Some((n - 2) * 1_000));
            }
            let requests = queue.places.len() - queue.holes;
            assert!(queue.holes <= requests.max(HOLES_MIN), "{} holes, {requests} requests", queue.holes);
        }
    }
}
