//! Envoy's counts, one by one: each of what it has counted is somebody's, once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use evenkeel_runtime::state::HOSTS_MAX;

/// Number of Envoy's count that is known already, by the host's slot in the region.
#[derive(Debug)]
pub(crate) struct Claims(Box<[AtomicU64]>);

impl Default for Claims {
    fn default() -> Self {
        Self((0..HOSTS_MAX).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Claims {
    /// Claims one that nobody has claimed yet; `false` if there is none. `total` is Envoy's
    /// count. It counts from 0 again when a host comes back.
    pub(crate) fn claim(&self, slot: u32, total: u64) -> bool {
        let Some(claimed) = self.0.get(slot as usize) else { return false };
        let next = |claimed| {
            let claimed = if claimed > total { 0 } else { claimed };
            (claimed < total).then_some(claimed + 1)
        };
        claimed.fetch_update(Relaxed, Relaxed, next).is_ok()
    }

    /// Leaves those so far to somebody else.
    pub(crate) fn skip(&self, slot: u32, total: u64) {
        if let Some(claimed) = self.0.get(slot as usize) {
            claimed.store(total, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_claimed_once() {
        let claims = Claims::default();
        assert!(!claims.claim(3, 0));
        assert_eq!([2, 2, 2].map(|total| claims.claim(3, total)), [true, true, false]);
        assert!(claims.claim(4, 2), "another host's");
        assert_eq!([1, 1].map(|total| claims.claim(3, total)), [true, false], "the host came back");
        claims.skip(3, 7);
        assert_eq!([7, 8].map(|total| claims.claim(3, total)), [false, true]);
        assert!(!claims.claim(u32::MAX, 9));
    }
}
