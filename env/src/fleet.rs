//! The hosts of a scenario: their speeds, and what happens to them.

pub mod file;

pub use file::FleetError;

use crate::random::{Purpose, between, exponential, stream, uniform};

/// Relative speeds of the hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Name for tables.
    pub name: String,
    /// Speed of each host; 1 is the host that the service's options describe.
    pub speeds: Vec<f64>,
}

/// Speeds of three generations of hardware in one fleet.
const HETEROGENEOUS: [f64; 3] = [1.0, 1.6, 2.5];

impl Fleet {
    /// Speeds 1, 1.6 and 2.5 in turn.
    pub fn het(hosts: usize) -> Self {
        Self::cycle("het", &HETEROGENEOUS, hosts)
    }

    /// All of speed 1.
    pub fn hom(hosts: usize) -> Self {
        Self::cycle("hom", &[1.0], hosts)
    }

    /// Speeds 1 and 2 in turn.
    pub fn two_class(hosts: usize) -> Self {
        Self::cycle("two-class", &[1.0, 2.0], hosts)
    }

    /// The given speeds in turn.
    ///
    /// # Panics
    /// Without hosts or speeds, or if a speed is not positive.
    pub fn cycle(name: &str, speeds: &[f64], hosts: usize) -> Self {
        assert!(hosts > 0, "a fleet needs a host");
        assert!(!speeds.is_empty() && speeds.iter().all(|speed| *speed > 0.0), "speeds must be positive");
        Self { name: name.to_owned(), speeds: speeds.iter().copied().cycle().take(hosts).collect() }
    }

    /// Number of hosts.
    pub fn hosts(&self) -> usize {
        self.speeds.len()
    }

    /// Index of the fastest host, of several the last; 0 without hosts.
    pub fn fastest(&self) -> usize {
        (0..self.speeds.len()).max_by(|a, b| self.speeds[*a].total_cmp(&self.speeds[*b])).unwrap_or(0)
    }

    /// Sum of the speeds.
    pub fn speed_total(&self) -> f64 {
        self.speeds.iter().sum()
    }
}

/// Neighbours on the same machine that slow a host down from time to time, each host on
/// its own. Lengths of quiet and slow periods are exponential.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Antagonists {
    /// Share of the time that a host is slowed, below 1; 0 for no antagonists.
    pub share: f64,
    /// Mean length of a slow period, in seconds.
    pub slow_mean_s: f64,
    /// Least slowness of a slow period, drawn uniformly.
    pub slowness_min: f64,
    /// Greatest slowness of a slow period.
    pub slowness_max: f64,
}

impl Antagonists {
    /// None.
    pub const NONE: Self = Self { share: 0.0, slow_mean_s: 1.0, slowness_min: 1.0, slowness_max: 1.0 };

    /// Slow 2 to 4 times for 20 % of the time, for `slow_mean_s` at a stretch.
    pub fn standard(slow_mean_s: f64) -> Self {
        Self { share: 0.2, slow_mean_s, slowness_min: 2.0, slowness_max: 4.0 }
    }

    /// Share of a host's speed that is left on average: E\[1 / slowness\].
    pub fn speed_left(&self) -> f64 {
        let (low, high) = (self.slowness_min, self.slowness_max);
        let slow = if high > low { libm::log(high / low) / (high - low) } else { 1.0 / low };
        1.0 - self.share + self.share * slow
    }

    /// When a host's slowness changes under a seed, in seconds from the start, and to what:
    /// what the simulator lets the host go through, for those who emulate it. Endless.
    pub fn changes(&self, seed: u64, host: usize) -> impl Iterator<Item = (f64, f64)> + use<> {
        let antagonists = *self;
        let mut rng = stream(seed, Purpose::Antagonist, host as u64);
        let mut slow = uniform(&mut rng) < antagonists.share;
        let mut at_s = 0.0;
        std::iter::from_fn(move || {
            if antagonists.share == 0.0 {
                return None;
            }
            let (slowness, mean_s) = if slow {
                (between(&mut rng, antagonists.slowness_min, antagonists.slowness_max), antagonists.slow_mean_s)
            } else {
                (1.0, antagonists.quiet_mean_s())
            };
            let change = (at_s, slowness);
            at_s += exponential(&mut rng, mean_s);
            slow = !slow;
            Some(change)
        })
    }

    /// Mean length of a quiet period, in seconds.
    pub fn quiet_mean_s(&self) -> f64 {
        self.slow_mean_s * (1.0 - self.share) / self.share
    }
}

/// A crash that is certain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crash {
    /// Index of the host.
    pub host: usize,
    /// When, in seconds from the start.
    pub at_s: f64,
}

/// Hosts crash, are down for a while, and come back with cold caches.
#[derive(Clone, Debug, PartialEq)]
pub struct Crashes {
    /// Crashes at known times.
    pub scheduled: Vec<Crash>,
    /// Mean time of a host between a restart and its next crash, exponential; infinite for
    /// no random crashes.
    pub up_mean_s: f64,
    /// How long a host is down, in seconds.
    pub down_s: f64,
    /// How long it is slower after a restart, in seconds.
    pub warm_up_s: f64,
    /// How much slower.
    pub warm_up_slowness: f64,
}

impl Crashes {
    /// None.
    pub const NONE: Self =
        Self { scheduled: Vec::new(), up_mean_s: f64::INFINITY, down_s: 30.0, warm_up_s: 30.0, warm_up_slowness: 2.0 };

    /// One host crashes once, and comes back `down_s` later.
    pub fn once(host: usize, at_s: f64, down_s: f64) -> Self {
        Self { scheduled: vec![Crash { host, at_s }], down_s, ..Self::NONE }
    }
}

#[cfg(test)]
mod tests {
    use super::{Antagonists, Fleet};

    #[test]
    fn fleets_cycle_through_their_speeds() {
        assert_eq!(Fleet::het(4).speeds, [1.0, 1.6, 2.5, 1.0]);
        assert_eq!(Fleet::two_class(4).speed_total(), 6.0);
    }

    #[test]
    fn changes_of_slowness_take_up_their_share_of_the_time() {
        let antagonists = Antagonists::standard(20.0);
        let changes: Vec<(f64, f64)> = antagonists.changes(7, 3).take(4001).collect();
        let slow_s: f64 = changes.windows(2).filter(|pair| pair[0].1 > 1.0).map(|pair| pair[1].0 - pair[0].0).sum();
        let share = slow_s / changes[4000].0;
        assert!((share - 0.2).abs() < 0.02, "{share}");
        assert!(changes.windows(2).all(|pair| (pair[0].1 > 1.0) != (pair[1].1 > 1.0)));
        assert_eq!(Antagonists::NONE.changes(7, 3).count(), 0);
    }

    #[test]
    fn antagonists_leave_part_of_the_speed() {
        assert_eq!(Antagonists::NONE.speed_left(), 1.0);
        let left = Antagonists::standard(20.0).speed_left();
        assert!((left - (0.8 + 0.2 * 0.5 * std::f64::consts::LN_2)).abs() < 1e-12);
        assert_eq!(Antagonists::standard(20.0).quiet_mean_s(), 80.0);
    }
}
