//! Which hosts probably have a request's prefix in their KV cache: a table of fixed size
//! from session or prefix key to the hosts that served it last.
//!
//! A host's cache is its own affair; this is a guess from what was sent where. It becomes
//! the feature `cached_share`, and the policy weighs it against load: no host is ever
//! stuck to.

use core::sync::atomic::Ordering::Relaxed;

use crate::slot::elapsed_s;
use crate::table::Table;

pub use crate::table::Set;

/// A prefix that was not used for this long has probably been evicted.
const KEPT_S: f32 = 600.0;

/// Which value of an entry is which. An entry was last used at a time in microseconds.
const HOST: usize = 0;
const TOKENS: usize = 1;

/// A view of a table in the caller's memory.
#[derive(Clone, Copy, Debug)]
pub struct Affinity<'m> {
    table: Table<'m>,
}

impl<'m> Affinity<'m> {
    /// A table over this memory; zeroed memory is an empty table.
    pub fn new(sets: &'m [Set]) -> Self {
        Self { table: Table::new(sets) }
    }

    /// Writes, for each host by its index, how many of the prompt's tokens it probably has
    /// cached. Hosts that nothing is known of are left as they are.
    pub fn cached_tokens(&self, key: u64, prompt_tokens: u32, now_us: u64, out: &mut [u32]) {
        for entry in self.table.entries(key) {
            if !entry.holds(key) || elapsed_s(entry.used(), now_us) > KEPT_S {
                continue;
            }
            if let Some(place) = out.get_mut(entry.values[HOST].load(Relaxed) as usize) {
                *place = (*place).max(entry.values[TOKENS].load(Relaxed).min(prompt_tokens));
            }
        }
    }

    /// Notes that a host has processed `tokens` of this key (prompt and, once it is there,
    /// output). What was used longest ago makes room.
    pub fn note(&self, key: u64, host: u32, tokens: u32, now_us: u64) {
        if let Some(entry) = self.table.place(key, |entry| entry.values[HOST].load(Relaxed) == host) {
            entry.values[HOST].store(host, Relaxed);
            entry.values[TOKENS].store(tokens, Relaxed);
            entry.take(key, now_us.max(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::WAYS;
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
