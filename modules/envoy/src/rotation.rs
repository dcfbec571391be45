//! Smooth weighted round robin, for the shadow mode: each host gets its weight's share, and
//! no host twice in a row if that can be helped. The rule is NGINX's.

use crate::table::Healthy;

/// Credit of each host, by its index among the healthy ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rotation {
    owed: Vec<(u32, i64)>,
}

impl Rotation {
    /// Index of the next host; `None` if there is none.
    pub(crate) fn next(&mut self, hosts: &[Healthy]) -> Option<usize> {
        let is_same = self.owed.len() == hosts.len()
            && self.owed.iter().zip(hosts).all(|((all_index, _), host)| *all_index == host.all_index);
        if !is_same {
            self.owed = hosts.iter().map(|host| (host.all_index, 0)).collect();
        }
        let mut total = 0;
        let mut best: Option<usize> = None;
        for (index, host) in hosts.iter().enumerate() {
            self.owed[index].1 += i64::from(host.weight);
            total += i64::from(host.weight);
            if best.is_none_or(|best| self.owed[index].1 > self.owed[best].1) {
                best = Some(index);
            }
        }
        self.owed[best?].1 -= total;
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_weights_without_bursts() {
        let host = |all_index, weight| Healthy { slot: 0, all_index, weight, since_us: 0 };
        let hosts = [host(3, 5), host(4, 1), host(70, 1)];
        let mut rotation = Rotation::default();
        let order: Vec<usize> = (0..7).filter_map(|_| rotation.next(&hosts)).collect();
        assert_eq!(order, [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(rotation.next(&[]), None);
    }
}
