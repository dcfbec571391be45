//! Least request of two, by counts that need no memory of the module's own: for hosts that it
//! cannot score, and for whatever its decision cannot be used for.

use crate::random::Random;

/// Index of the host with fewer requests, for its weight, of two drawn at random among those
/// accepted (Mitzenmacher's power of two choices); `None` if none is accepted.
pub(crate) fn of_two(
    hosts: usize,
    random: &mut Random,
    accepts: impl Fn(usize) -> bool,
    requests_for_weight: impl Fn(usize) -> f32,
) -> Option<usize> {
    let first = draw(hosts, random, &accepts)?;
    let is_other = |index| index != first && accepts(index);
    match draw(hosts, random, is_other) {
        Some(second) if requests_for_weight(second) < requests_for_weight(first) => Some(second),
        _ => Some(first),
    }
}

/// An accepted index at random: the next one after a random place, which is fair as long as few
/// are not accepted.
fn draw(hosts: usize, random: &mut Random, accepts: impl Fn(usize) -> bool) -> Option<usize> {
    let start = random.below(hosts);
    (start..hosts).chain(0..start).find(|index| accepts(*index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_spread_and_refused_hosts_get_none() {
        let mut random = Random::new(3);
        let mut requests = [0_u32; 100];
        for _ in 0..10_000 {
            let accepts = |index| index != 17;
            let index = of_two(requests.len(), &mut random, accepts, |index| requests[index] as f32);
            requests[index.expect("a host is accepted")] += 1;
        }
        assert_eq!(requests[17], 0);
        let others = requests.iter().enumerate().filter(|(index, _)| *index != 17).map(|(_, count)| *count);
        assert!(others.clone().min() >= Some(95) && others.max() <= Some(106), "{requests:?}");
    }

    #[test]
    fn one_host_is_enough_and_none_is_none() {
        let mut random = Random::new(3);
        assert_eq!(of_two(1, &mut random, |_| true, |_| 1.0), Some(0));
        assert_eq!(of_two(5, &mut random, |index| index == 4, |_| 1.0), Some(4));
        assert_eq!(of_two(5, &mut random, |_| false, |_| 1.0), None);
        assert_eq!(of_two(0, &mut random, |_| true, |_| 1.0), None);
    }
}
