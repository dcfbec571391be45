//! What happens next: a total order of events by time, then by sequence number.
//!
//! Two events at the same time happen in the order in which they were scheduled, on every
//! machine. Hosts are kept apart from the other events: each has exactly one next event,
//! which is rescheduled all the time.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// Time and sequence number as one integer that sorts by time first.
///
/// The bits of positive floats sort as the floats do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u128);

impl Moment {
    /// After everything.
    pub const NEVER: Self = Self(u128::MAX);

    /// A moment. `at_s` must not be negative.
    #[inline]
    pub fn new(at_s: f64, sequence: u64) -> Self {
        debug_assert!(at_s >= 0.0, "time {at_s} is before the start");
        Self(u128::from(at_s.to_bits()) << 64 | u128::from(sequence))
    }

    /// Its time, in seconds.
    #[inline]
    pub fn at_s(self) -> f64 {
        f64::from_bits((self.0 >> 64) as u64)
    }
}

#[derive(Debug)]
struct Scheduled<E> {
    moment: Moment,
    event: E,
}

// A max-heap must yield the earliest.
impl<E> Ord for Scheduled<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.moment.cmp(&self.moment)
    }
}

impl<E> PartialOrd for Scheduled<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Scheduled<E> {
    fn eq(&self, other: &Self) -> bool {
        self.moment == other.moment
    }
}

impl<E> Eq for Scheduled<E> {}

/// Events to come, earliest first.
///
/// Most events happen a constant time after they were scheduled. Those of one delay come in
/// order by themselves: a lane keeps them in a plain queue, which is several times as fast
/// as a heap.
#[derive(Debug)]
pub struct EventQueue<E> {
    heap: BinaryHeap<Scheduled<E>>,
    lanes: [VecDeque<Scheduled<E>>; LANES],
}

/// Number of lanes of an [`EventQueue`].
pub const LANES: usize = 2;

impl<E> EventQueue<E> {
    /// No events.
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), lanes: [const { VecDeque::new() }; LANES] }
    }

    /// When the next event happens; [`Moment::NEVER`] if there is none.
    #[inline]
    pub fn next(&self) -> Moment {
        let first = |scheduled: Option<&Scheduled<E>>| scheduled.map_or(Moment::NEVER, |scheduled| scheduled.moment);
        self.lanes.iter().map(|lane| first(lane.front())).fold(first(self.heap.peek()), Moment::min)
    }

    /// Schedules an event.
    #[inline]
    pub fn push(&mut self, moment: Moment, event: E) {
        self.heap.push(Scheduled { moment, event });
    }

    /// Schedules an event in a lane, after all others there.
    ///
    /// # Panics
    /// In debug builds, if the lane has a later event; always, if there is no such lane.
    #[inline]
    pub fn push_lane(&mut self, lane: usize, moment: Moment, event: E) {
        let lane = &mut self.lanes[lane];
        debug_assert!(lane.back().is_none_or(|last| last.moment < moment), "a lane keeps its order by itself");
        lane.push_back(Scheduled { moment, event });
    }

    /// Takes out the next event.
    #[inline]
    pub fn pop(&mut self) -> Option<E> {
        let next = self.next();
        let due = |scheduled: &Scheduled<E>| scheduled.moment == next;
        let lane = self.lanes.iter_mut().find(|lane| lane.front().is_some_and(due));
        let popped = lane.map_or_else(|| self.heap.pop(), VecDeque::pop_front);
        popped.map(|scheduled| scheduled.event)
    }
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self::new()
    }
}

/// The next event of each host, and which host comes first: a winner tree, so that
/// rescheduling a host costs one comparison for each doubling of the fleet.
#[derive(Debug)]
pub struct HostClock {
    /// Node 1 is the root, nodes `leaves..` are the hosts; each holds the earlier of its
    /// children.
    tree: Vec<(Moment, u32)>,
    leaves: usize,
}

impl HostClock {
    /// A clock for `hosts` idle hosts.
    pub fn new(hosts: usize) -> Self {
        let leaves = hosts.next_power_of_two();
        let mut tree = vec![(Moment::NEVER, 0); 2 * leaves];
        for host in 0..leaves {
            tree[leaves + host].1 = host as u32;
        }
        Self { tree, leaves }
    }

    /// The earliest event and its host.
    #[inline]
    pub fn next(&self) -> (Moment, u32) {
        self.tree[1]
    }

    /// Reschedules a host's next event.
    #[inline]
    pub fn set(&mut self, host: u32, moment: Moment) {
        let mut node = self.leaves + host as usize;
        self.tree[node].0 = moment;
        while node > 1 {
            let sibling = self.tree[node ^ 1];
            let winner = if sibling.0 < self.tree[node].0 { sibling } else { self.tree[node] };
            node /= 2;
            self.tree[node] = winner;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EventQueue, HostClock, Moment};

    #[test]
    fn equal_times_keep_the_order_of_scheduling() {
        let mut queue = EventQueue::new();
        for (at_s, sequence) in [(2.0, 1), (1.0, 2), (1.0, 3), (0.0, 4), (1.0, 5)] {
            queue.push(Moment::new(at_s, sequence), sequence);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [4, 2, 3, 5, 1]);
    }

    #[test]
    fn lanes_and_heap_are_one_queue() {
        let mut queue = EventQueue::new();
        queue.push_lane(0, Moment::new(1.0, 1), 1);
        queue.push(Moment::new(1.0, 2), 2);
        queue.push_lane(1, Moment::new(0.5, 3), 3);
        queue.push_lane(0, Moment::new(1.0, 4), 4);
        queue.push(Moment::new(0.7, 5), 5);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [3, 5, 1, 2, 4]);
        assert_eq!(queue.next(), Moment::NEVER);
    }

    #[test]
    fn the_clock_finds_the_earliest_host() {
        let mut clock = HostClock::new(5);
        assert_eq!(clock.next().0, Moment::NEVER);
        clock.set(3, Moment::new(4.0, 1));
        clock.set(4, Moment::new(4.0, 2));
        clock.set(0, Moment::new(9.0, 3));
        assert_eq!(clock.next().1, 3);
        clock.set(3, Moment::new(5.0, 4));
        assert_eq!(clock.next().1, 4);
        clock.set(4, Moment::NEVER);
        assert_eq!(clock.next(), (Moment::new(5.0, 4), 3));
    }
}
