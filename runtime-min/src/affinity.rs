//! Which hosts probably have a request's prefix in their KV cache: a fixed-size table from
//! session or prefix key to the hosts that served it last.
//!
//! A host's cache is its own affair; this is a guess from what was sent where. It becomes
//! the feature `cached_share`, and the policy weighs it against load: no host is ever
//! stuck to. Entries are a few relaxed atomics each. Two workers that note something at the
//! same moment may leave an entry that names one's host with the other's tokens: a guess a
//! little worse, never out of bounds.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::slot::elapsed_s;

/// Entries that a key may be in.
pub const WAYS: usize = 8;

/// A prefix that was not used for this long has probably been evicted.
const KEPT_S: f32 = 600.0;

/// One key at one host. All zeros is a free one.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Entry {
    key: AtomicU64,
    used_us: AtomicU64,
    host: AtomicU32,
    tokens: AtomicU32,
}

/// Entries that share a place in the table: three cache lines.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Set([Entry; WAYS]);

/// A view of a table in the caller's memory.
#[derive(Clone, Copy, Debug)]
pub struct Affinity<'m> {
    sets: &'m [Set],
}

impl<'m> Affinity<'m> {
    /// A table over this memory; zeroed memory is an empty table.
    pub fn new(sets: &'m [Set]) -> Self {
        Self { sets }
    }

    /// Writes, for each host by its index, how many of the prompt's tokens it probably has
    /// cached. Hosts that nothing is known of are left as they are.
    pub fn cached_tokens(&self, key: u64, prompt_tokens: u32, now_us: u64, out: &mut [u32]) {
        for entry in self.entries(key) {
            if entry.key.load(Relaxed) != key || elapsed_s(entry.used_us.load(Relaxed), now_us) > KEPT_S {
                continue;
            }
            if let Some(place) = out.get_mut(entry.host.load(Relaxed) as usize) {
                *place = (*place).max(entry.tokens.load(Relaxed).min(prompt_tokens));
            }
        }
    }

    /// Notes that a host has processed `tokens` of this key (prompt and, once it is there,
    /// output). What was used longest ago makes room.
    pub fn note(&self, key: u64, host: u32, tokens: u32, now_us: u64) {
        let mut place: Option<(&Entry, u64)> = None;
        for entry in self.entries(key) {
            let holds_key = entry.key.load(Relaxed) == key;
            if holds_key && entry.host.load(Relaxed) == host {
                place = Some((entry, 0));
                break;
            }
            let used_us = entry.used_us.load(Relaxed);
            if place.is_none_or(|(_, oldest_us)| used_us < oldest_us) {
                place = Some((entry, used_us));
            }
        }
        if let Some((entry, _)) = place {
            entry.host.store(host, Relaxed);
            entry.tokens.store(tokens, Relaxed);
            entry.used_us.store(now_us.max(1), Relaxed);
            entry.key.store(key, Relaxed);
        }
    }

    /// The entries that a key may be in; none for key 0, which marks free ones.
    fn entries(&self, key: u64) -> &'m [Entry] {
        // Fibonacci hashing: keys may be counters.
        let hash = u128::from(key.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let set = (hash * self.sets.len() as u128) >> 64;
        self.sets.get(set as usize).filter(|_| key != 0).map_or(&[], |set| &set.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn sets(count: usize) -> Vec<Set> {
        (0..count).map(|_| Set::default()).collect()
    }

    fn cached(table: &Affinity<'_>, key: u64, prompt_tokens: u32, now_us: u64) -> [u32; 4] {
        let mut out = [0; 4];
        table.cached_tokens(key, prompt_tokens, now_us, &mut out);
        out
    }

    #[test]
    fn hosts_that_served_a_key_are_remembered() {
        let sets = sets(16);
        let table = Affinity::new(&sets);
        table.note(7, 2, 500, 10);
        table.note(7, 0, 900, 20);
        table.note(8, 1, 100, 30);
        assert_eq!(cached(&table, 7, 600, 40), [600, 0, 500, 0]);
        assert_eq!(cached(&table, 8, 600, 40), [0, 100, 0, 0]);
        assert_eq!(cached(&table, 9, 600, 40), [0; 4]);
        table.note(7, 2, 800, 50);
        assert_eq!(cached(&table, 7, 1000, 60), [900, 0, 800, 0]);
    }

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let sets = sets(1);
        let table = Affinity::new(&sets);
        for key in 1..=WAYS as u64 + 1 {
            table.note(key, 0, 100, key);
        }
        assert_eq!(cached(&table, 1, 100, 20), [0; 4]);
        assert_eq!(cached(&table, 2, 100, 20), [100, 0, 0, 0]);
    }

    #[test]
    fn prefixes_are_forgotten_and_no_key_is_none() {
        let sets = sets(4);
        let table = Affinity::new(&sets);
        table.note(5, 1, 100, 1_000_000);
        assert_eq!(cached(&table, 5, 100, 602_000_000), [0; 4]);
        table.note(0, 1, 100, 1);
        assert_eq!(cached(&table, 0, 100, 2), [0; 4]);
        // A host beyond the caller's array, and a table without room.
        table.note(6, 77, 100, 1);
        assert_eq!(cached(&table, 6, 100, 2), [0; 4]);
        Affinity::new(&[]).note(1, 1, 1, 1);
    }
}
