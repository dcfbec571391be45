//! The hosts that had a request before this attempt, as Envoy's retry predicates tell.

use crate::table::{Healthy, Priority};

/// Hosts, a bit each by slot in the region, in memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct Tried(Vec<u64>);

impl Tried {
    /// The healthy hosts that were tried; none if all were, since then any may be tried again.
    pub(crate) fn among(&mut self, hosts: &Priority, is_tried: impl Fn(&Healthy) -> bool) -> &[u64] {
        let words = &mut self.0;
        words.clear();
        words.resize(hosts.mask.len(), 0);
        for host in &hosts.healthy {
            if let Some(word) = words.get_mut(host.slot as usize / 64)
                && is_tried(host)
            {
                *word |= 1 << (host.slot % 64);
            }
        }
        let is_one_left = hosts.mask.iter().zip(&*words).any(|(healthy, tried)| healthy & !tried != 0);
        if is_one_left { words } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_tried_unless_none_would_be_left() {
        let healthy = [1, 2, 70].map(|slot| Healthy { slot, all_index: 0, weight: 1, since_us: 0 });
        let mut hosts = Priority::default();
        hosts.healthy = healthy.into();
        hosts.mask = vec![0b110, 1 << 6];
        let mut tried = Tried::default();
        assert_eq!(tried.among(&hosts, |host| host.slot != 2), [0b10, 1 << 6]);
        assert_eq!(tried.among(&hosts, |_| false), [0, 0]);
        assert_eq!(tried.among(&hosts, |_| true), [0; 0]);
    }
}
