//! What a balancing policy is.
//!
//! Three things are kept apart: a *score* is a pure function of what is known of a host, a
//! *selection* turns scores into a choice, and *bookkeeping* happens in the hooks. What a
//! balancer knows is in the runtime's [`State`], which the simulator keeps up to date for
//! every policy alike.

use evenkeel_runtime::{Eligible, Outcome, Request, ServiceModel, State, Telemetry};
use rand_pcg::Pcg64Mcg;

use crate::oracle::Truth;
use crate::telemetry::Source;

/// Chooses a host for each request.
pub trait Policy {
    /// Name for tables: lower case with underscores.
    fn name(&self) -> &str;

    /// A simulation begins: forget the last one. Called before anything else.
    fn reset(&mut self, setting: &Setting) {
        let _ = setting;
    }

    /// Chooses one of [`Decision::eligible`], which is never empty.
    fn choose(&mut self, decision: &mut Decision<'_>) -> usize;

    /// Whether probes are to bring the host's latency estimate, which takes time to compute.
    fn wants_probed_latency(&self) -> bool {
        false
    }

    /// Most probes that the policy wants after a request, on average: it gets the scenario's
    /// [`probes_per_request`](crate::telemetry::TelemetryOptions::probes_per_request) or
    /// this, whichever is less.
    fn probes_wanted(&self) -> f64 {
        f64::INFINITY
    }

    /// A request was sent to a host.
    fn on_sent(&mut self, event: &RequestEvent) {
        let _ = event;
    }

    /// The first token of a response came back.
    fn on_first_token(&mut self, event: &RequestEvent) {
        let _ = event;
    }

    /// A request ended at a host, well or badly.
    fn on_done(&mut self, event: &RequestEvent, outcome: &Outcome) {
        let _ = (event, outcome);
    }

    /// A report reached a balancer.
    fn on_telemetry(&mut self, event: &TelemetryEvent) {
        let _ = event;
    }
}

/// What stays the same during a simulation.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Number of hosts; hosts are numbered from 0, in every balancer alike.
    pub hosts: usize,
    /// Number of balancers, each of which decides alone.
    pub balancers: usize,
    /// What balancers know of the service.
    pub service: ServiceModel,
}

/// One request to be placed, and what is known.
#[derive(Debug)]
pub struct Decision<'a> {
    /// Time since the start, in seconds.
    pub now_s: f64,
    /// The same on the clock that the balancer's state is kept in.
    pub now_us: u64,
    /// The request, as the balancer sees it.
    pub request: &'a Request<'a>,
    /// The balancer that decides.
    pub balancer: usize,
    /// What it knows of the hosts.
    pub state: State<'a>,
    /// What it knows of the service.
    pub service: &'a ServiceModel,
    /// Hosts that may be chosen, ascending.
    pub eligible: &'a [u32],
    /// The same as a bit mask.
    pub eligible_mask: &'a [u64],
    /// What only an oracle may look at.
    pub truth: &'a Truth<'a>,
    /// For random choices.
    pub rng: &'a mut Pcg64Mcg,
}

impl Decision<'_> {
    /// The eligible hosts in the runtime's terms.
    pub fn eligible_set(&self) -> Eligible<'_> {
        Eligible::Mask(self.eligible_mask)
    }

    /// The eligible host with the lowest score; ties break at random. Scores that are not
    /// a number count as the highest.
    pub fn choose_lowest(&mut self, mut score: impl FnMut(u32) -> f64) -> usize {
        let mut best = f64::INFINITY;
        let mut chosen = self.eligible[0];
        let mut ties = 0;
        for &host in self.eligible {
            let value = score(host);
            if value < best {
                (best, chosen, ties) = (value, host, 1);
            } else if value == best {
                // Each of n equals ends up chosen with probability 1/n.
                ties += 1;
                if crate::random::below(self.rng, ties) == 0 {
                    chosen = host;
                }
            }
        }
        chosen as usize
    }

    /// The same among so many different eligible hosts at random; among all of them if there
    /// are no more.
    pub fn choose_lowest_of(&mut self, choices: usize, mut score: impl FnMut(u32) -> f64) -> usize {
        let hosts = self.eligible.len();
        if choices >= hosts {
            return self.choose_lowest(score);
        }
        if choices == 2 {
            let (a, b) = self.draw_two();
            return if score(b) < score(a) { b as usize } else { a as usize };
        }
        let (mut best, mut chosen, mut wanted) = (f64::INFINITY, self.eligible[0], choices);
        for (index, &host) in self.eligible.iter().enumerate() {
            // Each subset of this size is equally likely (Knuth's algorithm S).
            if crate::random::below(self.rng, hosts - index) < wanted {
                wanted -= 1;
                let value = score(host);
                if value < best || wanted + 1 == choices {
                    (best, chosen) = (value, host);
                }
            }
        }
        chosen as usize
    }

    /// Two different eligible hosts at random; twice the same if there is only one.
    pub fn draw_two(&mut self) -> (u32, u32) {
        let hosts = self.eligible.len();
        let first = crate::random::below(self.rng, hosts);
        if hosts == 1 {
            return (self.eligible[0], self.eligible[0]);
        }
        let second = (first + 1 + crate::random::below(self.rng, hosts - 1)) % hosts;
        (self.eligible[first], self.eligible[second])
    }
}

/// Something happened to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RequestEvent {
    /// Time since the start, in seconds.
    pub now_s: f64,
    /// The request's number: its place among the [records](crate::Outcome::records).
    pub request: u32,
    /// The balancer that placed it.
    pub balancer: usize,
    /// The host it was sent to.
    pub host: usize,
    /// Time since it was sent to that host, in seconds.
    pub elapsed_s: f64,
}

/// A report reached a balancer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TelemetryEvent {
    /// Time since the start, in seconds.
    pub now_s: f64,
    /// When it was measured.
    pub measured_s: f64,
    /// The balancer that it reached.
    pub balancer: usize,
    /// The host that it speaks of.
    pub host: usize,
    /// How it came.
    pub source: Source,
    /// What it says.
    pub telemetry: Telemetry,
    /// The host's own estimate of the latency of a request that arrives in its present
    /// state, in seconds: the median of its latest latencies at about as many requests.
    /// NaN where there is none, or the policy does not
    /// [want](Policy::wants_probed_latency) it.
    pub latency_s: f64,
}
