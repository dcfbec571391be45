//! Shares of the requests for the priorities of a cluster, as in Envoy's own policies.
//!
//! A priority counts as fully healthy from 1/1.4 = 72 % healthy hosts on; what one cannot
//! carry goes to the next. See "Priority levels" in Envoy's documentation. Envoy's panic
//! mode, which sends requests to unhealthy hosts too, cannot be had through the interface.

/// Envoy's default overprovisioning factor, in percent.
const OVERPROVISIONING: usize = 140;

/// Percent of the requests for each priority, from its healthy and all hosts. They add up
/// to 100, or are all 0 where no host is healthy.
pub(crate) fn loads(hosts: impl Iterator<Item = (usize, usize)>) -> Vec<u32> {
    let health: Vec<u32> = hosts
        .map(|(healthy, total)| (OVERPROVISIONING * healthy).checked_div(total).unwrap_or(0).min(100) as u32)
        .collect();
    let total = health.iter().sum::<u32>().min(100);
    let mut left = 100;
    let mut loads: Vec<u32> = health
        .iter()
        .map(|health| {
            let load = (health * 100).checked_div(total).unwrap_or(0).min(left);
            left -= load;
            load
        })
        .collect();
    // What rounding leaves over goes to the first that has healthy hosts.
    if let Some(first) = loads.iter_mut().find(|load| **load > 0) {
        *first += left;
    }
    loads
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Healthy and all hosts of each priority, and its share of the load in percent.
    type Case = (&'static [(usize, usize)], &'static [u32]);

    #[test]
    fn the_examples_of_envoys_documentation_hold() {
        let cases: [Case; 8] = [
            (&[(100, 100), (100, 100)], &[100, 0]),
            (&[(72, 100), (100, 100)], &[100, 0]),
            (&[(71, 100), (71, 100)], &[99, 1]),
            (&[(50, 100), (60, 100)], &[70, 30]),
            (&[(25, 100), (25, 100)], &[50, 50]),
            (&[(0, 100), (100, 100)], &[0, 100]),
            (&[(5, 100), (5, 100), (0, 0)], &[50, 50, 0]),
            (&[(0, 3), (0, 2)], &[0, 0]),
        ];
        for (hosts, expected) in cases {
            assert_eq!(loads(hosts.iter().copied()), expected, "{hosts:?}");
        }
        assert_eq!(loads(std::iter::empty()), [0; 0]);
    }
}
