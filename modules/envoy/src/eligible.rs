//! The hosts that an attempt may go to: the healthy ones without those that were tried already,
//! and, now and then, without those that are starting slowly.

use crate::random::Random;
use crate::table::{Healthy, Priority};

/// As in Envoy's own slow start: less would leave a new host without any measurement.
const LEAST_SHARE: f64 = 0.1;

/// Hosts, a bit each by slot in the region, in memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct Eligible {
    words: Vec<u64>,
    before: Vec<u64>,
}

impl Eligible {
    /// Starts with the healthy hosts.
    pub(crate) fn reset(&mut self, hosts: &Priority) {
        self.words.clone_from(&hosts.mask);
    }

    /// Removes hosts, unless none would be left.
    pub(crate) fn remove(&mut self, hosts: &Priority, mut is_out: impl FnMut(&Healthy) -> bool) {
        self.before.clone_from(&self.words);
        for host in &hosts.healthy {
            let bit = 1 << (host.slot % 64);
            if let Some(word) = self.words.get_mut(host.slot as usize / 64)
                && *word & bit != 0
                && is_out(host)
            {
                *word &= !bit;
            }
        }
        if self.words.iter().all(|word| *word == 0) {
            std::mem::swap(&mut self.words, &mut self.before);
        }
    }

    pub(crate) fn mask(&self) -> &[u64] {
        &self.words
    }
}

/// Slow starts of the hosts of a priority.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowStart {
    time_us: u64,
    now_us: u64,
    /// The largest share that a host has, to which the others' are held: where all have just come
    /// up, as when Envoy starts, none needs to be spared.
    largest: f64,
}

impl SlowStart {
    /// `None` if no host is to be spared.
    pub(crate) fn of(hosts: &Priority, time_us: u64, now_us: u64) -> Option<Self> {
        if time_us == 0 {
            return None;
        }
        let shares = hosts.healthy.iter().map(|host| share(host, time_us, now_us));
        let (least, largest) =
            shares.fold((1.0_f64, 0.0_f64), |(least, largest), share| (least.min(share), largest.max(share)));
        (least < largest).then_some(Self { time_us, now_us, largest })
    }

    /// Draws if a host sits a request out. Its share of the requests grows from a tenth to all.
    ///
    /// It is the share of requests that is limited, not the load that is raised: where requests
    /// are short, a host mostly has none under way, and would win however much each counts.
    pub(crate) fn sits_out(self, host: &Healthy, random: &mut Random) -> bool {
        let share = share(host, self.time_us, self.now_us);
        share < self.largest && !random.happens(share / self.largest)
    }
}

fn share(host: &Healthy, time_us: u64, now_us: u64) -> f64 {
    (now_us.saturating_sub(host.since_us) as f64 / time_us as f64).clamp(LEAST_SHARE, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(slots: &[u32]) -> Priority {
        let mut hosts = Priority::default();
        hosts.mask.resize(2, 0);
        for slot in slots {
            hosts.mask[*slot as usize / 64] |= 1 << (slot % 64);
            hosts.healthy.push(Healthy { slot: *slot, all_index: 0, weight: 1, since_us: 0 });
        }
        hosts
    }

    #[test]
    fn what_is_removed_is_gone_unless_nothing_would_be_left() {
        let hosts = hosts(&[1, 2, 70]);
        let mut eligible = Eligible::default();
        eligible.reset(&hosts);
        eligible.remove(&hosts, |host| host.slot == 70);
        assert_eq!(eligible.mask(), [0b110, 0]);
        eligible.remove(&hosts, |_| true);
        assert_eq!(eligible.mask(), [0b110, 0], "what was left before");
        eligible.remove(&hosts, |host| host.slot == 1);
        assert_eq!(eligible.mask(), [0b100, 0]);
    }

    /// Share of the requests that the second of two hosts is considered for.
    fn share_of_second(since_us: [u64; 2], now_us: u64) -> f64 {
        let mut random = Random::new(7);
        let mut hosts = hosts(&[1, 2]);
        [hosts.healthy[0].since_us, hosts.healthy[1].since_us] = since_us;
        let served = (0..10_000).filter(|_| {
            let slow_start = SlowStart::of(&hosts, 1_000, now_us);
            !slow_start.is_some_and(|slow_start| slow_start.sits_out(&hosts.healthy[1], &mut random))
        });
        served.count() as f64 / 10_000.0
    }

    #[test]
    fn a_share_grows_from_a_tenth_to_all() {
        assert!((0.09..0.11).contains(&share_of_second([0, 5_000], 5_000)));
        assert!((0.48..0.52).contains(&share_of_second([0, 5_000], 5_500)));
        assert_eq!(share_of_second([0, 5_000], 6_000), 1.0);
    }

    #[test]
    fn hosts_that_start_together_are_not_spared() {
        assert_eq!(share_of_second([5_000, 5_000], 5_000), 1.0);
        assert_eq!(share_of_second([5_000, 5_050], 5_050), 1.0);
        assert!((0.48..0.52).contains(&share_of_second([5_000, 5_200], 5_400)), "half as old");
        assert!(SlowStart::of(&hosts(&[1, 2]), 0, 0).is_none());
    }
}
