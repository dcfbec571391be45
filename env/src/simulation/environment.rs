//! What happens to hosts: antagonists come and go, hosts crash and come back.

use std::sync::Arc;

use rand_pcg::Pcg64Mcg;

use super::{Event, Simulation};
use crate::policy::Policy;
use crate::random::{Purpose, between, exponential, stream, uniform};
use crate::scenario::Scenario;

/// The random streams of each host's fate.
#[derive(Debug)]
pub(super) struct Weather {
    antagonists: Vec<Pcg64Mcg>,
    crashes: Vec<Pcg64Mcg>,
    restarts: Vec<u32>,
}

impl Weather {
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let streams = |purpose| (0..scenario.fleet.hosts() as u64).map(|host| stream(seed, purpose, host)).collect();
        Self {
            antagonists: streams(Purpose::Antagonist),
            crashes: streams(Purpose::Crash),
            restarts: vec![0; scenario.fleet.hosts()],
        }
    }
}

impl Simulation {
    pub(super) fn begin_weather(&mut self) {
        let antagonists = self.scenario.antagonists;
        for host in 0..self.hosts.len() as u32 {
            if antagonists.share > 0.0 {
                let slow = uniform(&mut self.weather.antagonists[host as usize]) < antagonists.share;
                self.change_slowness(host, slow);
            }
            // One that joins later begins to be in danger then.
            if self.hosts[host as usize].is_up() {
                self.schedule_crash(host);
            }
        }
        for crash in &Arc::clone(&self.scenario).crashes.scheduled {
            self.schedule(crash.at_s, Event::Crash { host: crash.host as u32 });
        }
    }

    /// Slows a host, or lets it go, and schedules the next change.
    pub(super) fn change_slowness(&mut self, host: u32, slow: bool) {
        let antagonists = self.scenario.antagonists;
        let rng = &mut self.weather.antagonists[host as usize];
        let (slowness, mean_s) = if slow {
            (between(rng, antagonists.slowness_min, antagonists.slowness_max), antagonists.slow_mean_s)
        } else {
            (1.0, antagonists.quiet_mean_s())
        };
        let lasts_s = exponential(rng, mean_s);
        self.hosts[host as usize].set_slowness(self.now_s, slowness);
        self.reschedule(host);
        self.schedule(lasts_s, Event::Slowness { host, slow: !slow });
    }

    fn schedule_crash(&mut self, host: u32) {
        let up_mean_s = self.scenario.crashes.up_mean_s;
        if up_mean_s.is_finite() {
            let up_s = exponential(&mut self.weather.crashes[host as usize], up_mean_s);
            self.schedule(up_s, Event::Crash { host });
        }
    }

    pub(super) fn crash(&mut self, host: u32, policy: &mut dyn Policy) {
        if !self.hosts[host as usize].is_up() {
            return;
        }
        self.lose_requests(host, policy);
        self.schedule(self.scenario.crashes.down_s, Event::Restart { host });
    }

    pub(super) fn restart(&mut self, host: u32) {
        let (warm_up_s, slowness) = (self.scenario.crashes.warm_up_s, self.scenario.crashes.warm_up_slowness);
        self.hosts[host as usize].restart(self.now_s, slowness);
        self.reschedule(host);
        self.weather.restarts[host as usize] += 1;
        let restarts = self.weather.restarts[host as usize];
        self.schedule(warm_up_s, Event::Warm { host, restarts });
        self.schedule_crash(host);
        if self.scenario.life.restarts_announced {
            self.announce(host);
        }
    }

    pub(super) fn warm(&mut self, host: u32, restarts: u32) {
        if self.weather.restarts[host as usize] == restarts && self.hosts[host as usize].is_up() {
            self.hosts[host as usize].set_warm(self.now_s);
            self.reschedule(host);
        }
    }
}
