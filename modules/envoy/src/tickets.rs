//! The requests of one worker that are under way, by host, oldest first.
//!
//! A slab of fixed capacity: nothing is allocated while requests come and go. Requests
//! beyond it are not tracked.

use evenkeel_runtime::Ticket;
use evenkeel_runtime::state::HOSTS_MAX;

/// Requests of one worker under way to one cluster that can be tracked.
const CAPACITY: usize = 16_384;

/// A choice is followed by its request on the same thread, with nothing in between but
/// what keeps the thread from running.
const EARLIER_US: u64 = 1_000_000;

/// What may pass between the end of an attempt and its log, from which its start is reckoned.
const LATER_US: u64 = 500;

const NONE: u32 = u32::MAX;

/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Open {
    pub(crate) ticket: Ticket,
    /// Key of its session or prefix; 0 for none.
    pub(crate) key: u64,
    /// Key of its class; 0 for none.
    pub(crate) class: u64,
    /// Tokens of the response, as its body tells; 0 where unknown.
    pub(crate) output_tokens: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    open: Open,
    /// Whether an upstream filter takes care of its first byte.
    claimed: bool,
    next: u32,
}

/// A host's queue.
#[derive(Clone, Copy, Debug)]
struct Queue {
    oldest: u32,
    newest: u32,
    /// When the oldest was sent: asked for often, and for every host.
    oldest_us: u64,
}

/// Open tickets of one worker.
#[derive(Debug)]
pub(crate) struct Tickets {
    entries: Vec<Entry>,
    free: u32,
    queues: Vec<Queue>,
}

impl Tickets {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::with_capacity(CAPACITY),
            free: NONE,
            queues: vec![Queue { oldest: NONE, newest: NONE, oldest_us: 0 }; HOSTS_MAX],
        }
    }

    /// Keeps a request; hands it back if there is no room.
    pub(crate) fn push(&mut self, open: Open) -> Result<(), Open> {
        let entry = Entry { open, claimed: false, next: NONE };
        let index = if let Some(free) = self.entries.get_mut(self.free as usize) {
            let index = std::mem::replace(&mut self.free, free.next);
            *free = entry;
            index
        } else if self.entries.len() < CAPACITY {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        } else {
            return Err(open);
        };
        let queue = &mut self.queues[open.ticket.host as usize];
        let newest = std::mem::replace(&mut queue.newest, index);
        if let Some(newest) = self.entries.get_mut(newest as usize) {
            newest.next = index;
        } else {
            (queue.oldest, queue.oldest_us) = (index, open.ticket.sent_us);
        }
        Ok(())
    }

    /// When the oldest request to a host was sent.
    pub(crate) fn oldest_us(&self, host: u32) -> Option<u64> {
        self.queues.get(host as usize).filter(|queue| queue.oldest != NONE).map(|queue| queue.oldest_us)
    }

    /// Takes the oldest request to a host.
    pub(crate) fn take_oldest(&mut self, host: u32) -> Option<Open> {
        let oldest = self.queues.get(host as usize)?.oldest;
        self.unlink(host, NONE, oldest)
    }

    /// Takes the request to a host that started at a moment: the newest that was sent
    /// before, or hardly after, where the clocks differ.
    pub(crate) fn take(&mut self, host: u32, started_us: u64) -> Option<Open> {
        let (previous, index) = self.newest_before(host, started_us)?;
        self.unlink(host, previous, index)
    }

    /// The oldest request to a host whose connection is not known to be up yet, which it
    /// now is: connections take requests in order. Returns when it was sent, which names it.
    pub(crate) fn claim_oldest(&mut self, host: u32) -> Option<u64> {
        let mut index = self.queues.get(host as usize)?.oldest;
        while let Some(entry) = self.entries.get_mut(index as usize) {
            if !entry.claimed {
                entry.claimed = true;
                return Some(entry.open.ticket.sent_us);
            }
            index = entry.next;
        }
        None
    }

    /// The claimed request to a host that was sent at this moment.
    pub(crate) fn claimed(&mut self, host: u32, sent_us: u64) -> Option<&mut Open> {
        let mut index = self.queues.get(host as usize)?.oldest;
        while let Some(entry) = self.entries.get(index as usize) {
            if entry.claimed && entry.open.ticket.sent_us == sent_us {
                return self.entries.get_mut(index as usize).map(|entry| &mut entry.open);
            }
            index = entry.next;
        }
        None
    }

    /// The entry before the one that fits, and that.
    fn newest_before(&self, host: u32, started_us: u64) -> Option<(u32, u32)> {
        let (from_us, to_us) = (started_us.saturating_sub(EARLIER_US), started_us.saturating_add(LATER_US));
        let mut previous = NONE;
        let mut index = self.queues.get(host as usize)?.oldest;
        let mut newest = None;
        while let Some(entry) = self.entries.get(index as usize).filter(|entry| entry.open.ticket.sent_us <= to_us) {
            if entry.open.ticket.sent_us >= from_us {
                newest = Some((previous, index));
            }
            previous = index;
            index = entry.next;
        }
        newest
    }

    fn unlink(&mut self, host: u32, previous: u32, index: u32) -> Option<Open> {
        let entry = *self.entries.get(index as usize)?;
        let queue = &mut self.queues[host as usize];
        if queue.newest == index {
            queue.newest = previous;
        }
        if let Some(previous) = self.entries.get_mut(previous as usize) {
            previous.next = entry.next;
        } else {
            queue.oldest = entry.next;
            queue.oldest_us = self.entries.get(entry.next as usize).map_or(0, |next| next.open.ticket.sent_us);
        }
        self.entries[index as usize].next = std::mem::replace(&mut self.free, index);
        Some(entry.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(host: u32, sent_us: u64) -> Open {
        let ticket = Ticket { host, prompt_tokens: 1, sent_us, first_token_us: 0, in_flight_at_send: 1 };
        Open { ticket, key: 0, class: 0, output_tokens: 0 }
    }

    fn sent(open: Option<Open>) -> Option<u64> {
        open.map(|open| open.ticket.sent_us)
    }

    #[test]
    fn requests_are_claimed_in_order() {
        let mut tickets = Tickets::new();
        for sent_us in [1_000, 2_000, 3_000] {
            tickets.push(ticket(5, sent_us)).expect("room");
        }
        assert_eq!(tickets.claim_oldest(5), Some(1_000));
        assert_eq!(tickets.claim_oldest(5), Some(2_000));
        assert_eq!(tickets.claimed(5, 2_000).map(|open| open.ticket.sent_us), Some(2_000));
        assert_eq!(tickets.claimed(5, 3_000), None);
        assert_eq!(sent(tickets.take(5, 2_000)), Some(2_000));
        assert_eq!(tickets.claim_oldest(5), Some(3_000));
        assert_eq!(tickets.claim_oldest(5), None);
    }

    #[test]
    fn the_newest_before_the_start_is_taken() {
        let mut tickets = Tickets::new();
        for sent_us in [10_000, 20_000, 30_000] {
            tickets.push(ticket(1, sent_us)).expect("room");
        }
        tickets.push(ticket(2, 21_000)).expect("room");
        assert_eq!(sent(tickets.take(1, 22_000)), Some(20_000));
        assert_eq!(sent(tickets.take(1, 9_000)), None, "none was sent before");
        assert_eq!(sent(tickets.take(1, 29_900)), Some(30_000), "clocks differ");
        assert_eq!(sent(tickets.take(1, 2_000_000)), None, "the others were sent too long before");
        tickets.push(ticket(1, 50_000)).expect("room");
        assert_eq!(tickets.oldest_us(1), Some(10_000));
        assert_eq!([sent(tickets.take_oldest(1)), sent(tickets.take_oldest(1))], [Some(10_000), Some(50_000)]);
        assert_eq!(sent(tickets.take_oldest(1)), None);
        assert_eq!(sent(tickets.take_oldest(2)), Some(21_000));
    }

    #[test]
    fn places_are_used_again() {
        let mut tickets = Tickets::new();
        for round in 0..3 {
            for n in 0..CAPACITY as u64 {
                tickets.push(ticket((n % 7) as u32, n * 1_000)).expect("room");
            }
            assert_eq!(tickets.push(ticket(1, round)), Err(ticket(1, round)));
            for n in 0..CAPACITY as u64 {
                assert_eq!(sent(tickets.take((n % 7) as u32, n * 1_000)), Some(n * 1_000));
            }
        }
        assert_eq!(tickets.entries.len(), CAPACITY);
    }
}
