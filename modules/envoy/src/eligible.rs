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

/// Whether a host that is starting slowly sits a request out. Its share of the requests grows
/// from a tenth to all.
///
/// It is the share of requests that is limited, not the load that is raised: where requests are
/// short, a host mostly has none under way, and would win however much each counts.
pub(crate) fn sits_out(host: &Healthy, slow_start_us: u64, now_us: u64, random: &mut Random) -> bool {
    let Some(since_us) = host.since_us else { return false };
    let share = now_us.saturating_sub(since_us) as f64 / slow_start_us as f64;
    !random.happens(share.max(LEAST_SHARE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(slots: &[u32]) -> Priority {
        let mut hosts = Priority::default();
        hosts.mask.resize(2, 0);
        for slot in slots {
            hosts.mask[*slot as usize / 64] |= 1 << (slot % 64);
            hosts.healthy.push(Healthy { slot: *slot, all_index: 0, weight: 1, since_us: None });
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

    #[test]
    fn a_share_grows_from_a_tenth_to_all() {
        let mut random = Random::new(7);
        let mut served = |since_us, now_us| {
            let host = Healthy { slot: 0, all_index: 0, weight: 1, since_us };
            (0..10_000).filter(|_| !sits_out(&host, 1_000, now_us, &mut random)).count()
        };
        assert!((900..1_100).contains(&served(Some(0), 0)));
        assert!((4_800..5_200).contains(&served(Some(0), 500)));
        assert_eq!([served(Some(0), 1_000), served(None, 0)], [10_000, 10_000]);
    }
}
