//! Smooth weighted round robin, for the shadow mode: each host gets its weight's share, and
//! no host twice in a row if that can be helped. The rule is NGINX's.

use crate::table::{Healthy, NO_PLACE};

/// How much each host is owed, by its index among the healthy ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rotation {
    owed: Vec<(u32, i64)>,
}

impl Rotation {
    /// The next host's place in the region; `None` if there is none.
    pub(crate) fn next(&mut self, hosts: &[Healthy]) -> Option<u32> {
        let same =
            self.owed.len() == hosts.len() && self.owed.iter().zip(hosts).all(|(owed, host)| owed.0 == host.slot);
        if !same {
            self.owed = hosts.iter().map(|host| (host.slot, 0)).collect();
        }
        let mut total = 0;
        let mut best: Option<usize> = None;
        for (index, host) in hosts.iter().enumerate().filter(|(_, host)| host.slot != NO_PLACE) {
            self.owed[index].1 += i64::from(host.weight);
            total += i64::from(host.weight);
            if best.is_none_or(|best| self.owed[index].1 > self.owed[best].1) {
                best = Some(index);
            }
        }
        let best = best?;
        self.owed[best].1 -= total;
        Some(self.owed[best].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_weights_without_bursts() {
        let host = |slot, weight| Healthy { slot, all_index: 0, weight, since_us: None };
        let hosts = [host(3, 5), host(4, 1), host(NO_PLACE, 9), host(70, 1)];
        let mut rotation = Rotation::default();
        let order: Vec<u32> = (0..7).filter_map(|_| rotation.next(&hosts)).collect();
        assert_eq!(order, [3, 3, 4, 3, 70, 3, 3]);
    }
}
