//! Join-idle-queue (Lu, Xie, Kliot, Geller, Larus and Greenberg, "Join-Idle-Queue: a novel
//! load balancing algorithm for dynamically scalable web services", Performance Evaluation
//! 68, 2011).
//!
//! Hosts that become idle say so to one balancer, which keeps them in a queue of idle
//! hosts; a request goes to the first of them, or to a random host if there is none. Nothing
//! is asked while a request waits. A host joins the shortest of a few queues at random
//! (JIQ-Random with one, JIQ-SQ(d) with d), and is in one queue at most until it is used.
//!
//! A host notices that it is idle when it reports to a balancer: with a response, a probe or
//! a poll, whichever there are. Hosts that serve many requests at once are seldom without
//! any; `idle_requests` lets those count as idle that have no more than so many.

use std::collections::VecDeque;

use rand_pcg::Pcg64Mcg;

use super::Parameter;
use crate::policy::{Decision, Policy, Setting, TelemetryEvent};
use crate::random::{Purpose, below, stream};

/// Parameters of join-idle-queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JoinIdleQueueOptions {
    /// A host with at most this many requests is idle.
    pub idle_requests: f64,
    /// Queues that an idle host looks at, to join the shortest.
    pub queue_choices: usize,
    /// Hosts that are looked at where none is idle; the one with the fewest requests of the
    /// balancer is taken. 1 in the paper.
    pub fallback_choices: usize,
}

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "idle_requests", default: 0.0, min: 0.0, max: 32.0 },
    Parameter { name: "queue_choices", default: 1.0, min: 1.0, max: 4.0 },
    Parameter { name: "fallback_choices", default: 1.0, min: 1.0, max: 16.0 },
];

impl JoinIdleQueueOptions {
    /// From numbers in the order of the registry's parameters.
    pub(super) fn from_parameters(p: &[f64]) -> Self {
        Self { idle_requests: libm::floor(p[0]), queue_choices: p[1] as usize, fallback_choices: p[2] as usize }
    }
}

/// Join-idle-queue.
#[derive(Clone, Debug)]
pub struct JoinIdleQueue {
    options: JoinIdleQueueOptions,
    queues: Queues,
    /// The hosts' own random choices.
    rng: Pcg64Mcg,
}

/// The balancers' queues of idle hosts.
#[derive(Clone, Debug, Default)]
struct Queues {
    of_balancers: Vec<VecDeque<usize>>,
    /// Of each host, known to itself: whether it is in a queue.
    has_joined: Vec<bool>,
}

impl Queues {
    fn new(balancers: usize, hosts: usize) -> Self {
        Self { of_balancers: vec![VecDeque::new(); balancers], has_joined: vec![false; hosts] }
    }

    /// A host that is idle joins the shortest of `choices` queues, unless it is in one.
    fn join(&mut self, host: usize, choices: usize, rng: &mut Pcg64Mcg) {
        if self.has_joined[host] {
            return;
        }
        let drawn = (0..choices).map(|_| below(rng, self.of_balancers.len()));
        let shortest = drawn.min_by_key(|balancer| self.of_balancers[*balancer].len());
        if let Some(balancer) = shortest {
            self.of_balancers[balancer].push_back(host);
            self.has_joined[host] = true;
        }
    }

    /// The first idle host of a balancer that may be chosen. Those that may not leave: they
    /// will report again.
    fn take(&mut self, balancer: usize, eligible: &[u32]) -> Option<usize> {
        while let Some(host) = self.of_balancers[balancer].pop_front() {
            self.has_joined[host] = false;
            if eligible.binary_search(&(host as u32)).is_ok() {
                return Some(host);
            }
        }
        None
    }
}

impl JoinIdleQueue {
    /// With these parameters.
    pub fn new(options: JoinIdleQueueOptions) -> Self {
        Self { options, queues: Queues::default(), rng: stream(0, Purpose::Policy, 1) }
    }
}

impl Policy for JoinIdleQueue {
    fn name(&self) -> &'static str {
        "join_idle_queue"
    }

    fn reset(&mut self, setting: &Setting) {
        self.queues = Queues::new(setting.balancers, setting.hosts);
        self.rng = stream(0, Purpose::Policy, 1);
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        if let Some(host) = self.queues.take(decision.balancer, decision.eligible) {
            return host;
        }
        let state = decision.state;
        decision.choose_lowest_of(self.options.fallback_choices, |host| {
            state.host(host).map_or(f64::NAN, |slot| f64::from(slot.in_flight()))
        })
    }

    fn on_telemetry(&mut self, event: &TelemetryEvent) {
        if f64::from(event.telemetry.running + event.telemetry.waiting) <= self.options.idle_requests {
            self.queues.join(event.host, self.options.queue_choices, &mut self.rng);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Queues;
    use crate::random::{Purpose, stream};

    #[test]
    fn idle_hosts_are_taken_in_the_order_in_which_they_joined() {
        let mut rng = stream(1, Purpose::Policy, 0);
        let mut queues = Queues::new(1, 4);
        for host in [2, 0, 2, 3] {
            queues.join(host, 1, &mut rng);
        }
        let eligible = [0, 1, 2];
        assert_eq!(queues.take(0, &eligible), Some(2), "joined first, and once only");
        assert_eq!(queues.take(0, &eligible), Some(0));
        assert_eq!(queues.take(0, &eligible), None, "host 3 may not be chosen, and leaves");
        queues.join(2, 1, &mut rng);
        assert_eq!(queues.take(0, &eligible), Some(2), "used once, it may join again");
    }

    #[test]
    fn with_two_choices_queues_are_more_even() {
        let longest = |choices: usize| {
            let mut rng = stream(2, Purpose::Policy, 0);
            let mut queues = Queues::new(10, 200);
            (0..200).for_each(|host| queues.join(host, choices, &mut rng));
            queues.of_balancers.iter().map(std::collections::VecDeque::len).max()
        };
        assert!(longest(2) < longest(1), "{:?} and {:?}", longest(2), longest(1));
    }
}
