//! Which hosts probably have a request's prefix in their KV cache: a table of fixed size
//! from keys of the prompt's prefixes, at growing lengths, to the hosts that were sent them.
//!
//! The longest prefix that a host is known to have is what it has cached. A key is noted with
//! its own length, the longest key of a prompt with the whole prompt: a conversation that goes on
//! finds all of it, and prompts that share no more than a system text find that much.
//!
//! A host's cache is its own affair; this is a guess from what was sent where. It becomes
//! the feature `cached_share`, and the policy weighs it against load: no host is ever
//! stuck to.

use core::sync::atomic::Ordering::Relaxed;

use crate::slot::elapsed_s;
use crate::table::Table;

pub use crate::table::Set;

/// Lengths of the prefixes that have keys, in tokens.
pub const PREFIX_TOKENS: [u32; 5] = [64, 256, 1024, 4096, 16384];

/// Keys of a prompt's prefixes at [`PREFIX_TOKENS`]; 0 where it is shorter or unknown.
pub type PrefixKeys = [u64; PREFIX_TOKENS.len()];

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

    /// Writes, for each host by its index, how many of a prompt's tokens it probably has
    /// cached. `session` is a key of everything that the prompt goes on from, 0 for none. Hosts
    /// that nothing is known of are left as they are; so is a host for which `since_us`, the time
    /// when its cache was last empty, is later than what was noted.
    pub fn cached_tokens(
        &self,
        keys: &PrefixKeys,
        session: u64,
        prompt_tokens: u32,
        now_us: u64,
        since_us: impl Fn(u32) -> u64,
        out: &mut [u32],
    ) {
        for key in keys.iter().copied().chain([session]).filter(|key| *key != 0) {
            for entry in self.table.entries(key) {
                if !entry.holds(key) || elapsed_s(entry.used(), now_us) > KEPT_S {
                    continue;
                }
                let host = entry.values[HOST].load(Relaxed);
                if let Some(place) = out.get_mut(host as usize)
                    && entry.used() >= since_us(host)
                {
                    *place = (*place).max(entry.values[TOKENS].load(Relaxed).min(prompt_tokens));
                }
            }
        }
    }

    /// Notes that a host was sent a prompt, or has processed it and its answer: `tokens` in all.
    pub fn note(&self, keys: &PrefixKeys, session: u64, host: u32, tokens: u32, now_us: u64) {
        let longest = keys.iter().rposition(|key| *key != 0);
        for (index, (key, length)) in keys.iter().zip(PREFIX_TOKENS).enumerate() {
            let shared = if Some(index) == longest { tokens.max(length) } else { length };
            self.note_key(*key, host, shared, now_us);
        }
        self.note_key(session, host, tokens, now_us);
    }

    /// Takes back what was noted of a prompt when it was sent, at `noted_us`, since the host did
    /// not process it.
    pub fn forget(&self, keys: &PrefixKeys, session: u64, host: u32, noted_us: u64) {
        for key in keys.iter().copied().chain([session]).filter(|key| *key != 0) {
            for entry in self.table.entries(key) {
                let is_it = entry.holds(key) && entry.values[HOST].load(Relaxed) == host;
                if is_it && entry.used() == noted_us.max(1) {
                    entry.take(0, 0);
                }
            }
        }
    }

    /// What was used longest ago makes room.
    fn note_key(&self, key: u64, host: u32, tokens: u32, now_us: u64) {
        if let Some(entry) = self.table.place(key, |entry| entry.values[HOST].load(Relaxed) == host) {
            let is_same = entry.holds(key) && entry.values[HOST].load(Relaxed) == host;
            let is_fresh = is_same && elapsed_s(entry.used(), now_us) <= KEPT_S;
            // A prompt that ended here may have been longer than the one that passes now.
            let before = if is_fresh { entry.values[TOKENS].load(Relaxed) } else { 0 };
            entry.values[HOST].store(host, Relaxed);
            entry.values[TOKENS].store(tokens.max(before), Relaxed);
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

    fn cached(table: &Affinity<'_>, keys: &PrefixKeys, session: u64, prompt_tokens: u32, now_us: u64) -> [u32; 4] {
        let mut out = [0; 4];
        table.cached_tokens(keys, session, prompt_tokens, now_us, |_| 0, &mut out);
        out
    }

    /// Keys of a prompt whose first prefixes are those of `shared`, and whose others are its own.
    fn keys(own: u64, shared: usize, known: usize) -> PrefixKeys {
        let mut keys = [0; PREFIX_TOKENS.len()];
        for (index, key) in keys.iter_mut().enumerate().take(known) {
            *key = if index < shared { 100 + index as u64 } else { own * 1000 + index as u64 };
        }
        keys
    }

    #[test]
    fn a_conversation_finds_all_of_it_and_a_shared_system_text_no_more_than_that() {
        let sets = sets(64);
        let table = Affinity::new(&sets);
        // 3000 tokens, of which the first 256 are the system text of everybody.
        table.note(&keys(1, 2, 3), 0, 2, 3000, 10);
        assert_eq!(cached(&table, &keys(1, 2, 3), 0, 3500, 20), [0, 0, 3000, 0], "it goes on");
        assert_eq!(cached(&table, &keys(2, 2, 3), 0, 3500, 20), [0, 0, 256, 0], "another one");
        assert_eq!(cached(&table, &keys(3, 0, 3), 0, 3500, 20), [0; 4], "a stranger");
        // A prompt of its own that ends before the next key does not shorten what is known.
        table.note(&keys(4, 2, 2), 0, 2, 700, 30);
        assert_eq!(cached(&table, &keys(5, 2, 3), 0, 5000, 40), [0, 0, 700, 0]);
        table.note(&keys(2, 2, 3), 0, 2, 2000, 50);
        assert_eq!(cached(&table, &keys(5, 2, 3), 0, 5000, 60), [0, 0, 700, 0]);
    }

    #[test]
    fn sessions_are_known_without_the_prompt() {
        let sets = sets(16);
        let table = Affinity::new(&sets);
        let none = PrefixKeys::default();
        table.note(&none, 7, 2, 500, 10);
        table.note(&none, 7, 0, 900, 20);
        table.note(&none, 8, 1, 100, 30);
        assert_eq!(cached(&table, &none, 7, 600, 40), [600, 0, 500, 0]);
        assert_eq!(cached(&table, &none, 8, 600, 40), [0, 100, 0, 0]);
        assert_eq!(cached(&table, &none, 9, 600, 40), [0; 4]);
    }

    #[test]
    fn what_was_not_processed_is_taken_back_and_what_others_used_since_stays() {
        let sets = sets(64);
        let table = Affinity::new(&sets);
        table.note(&keys(1, 1, 3), 7, 1, 3000, 10);
        table.note(&keys(2, 1, 2), 0, 1, 300, 20);
        table.forget(&keys(1, 1, 3), 7, 1, 10);
        assert_eq!(cached(&table, &keys(1, 1, 3), 7, 3000, 30), [0, 64, 0, 0]);
        assert_eq!(cached(&table, &keys(2, 1, 2), 0, 3000, 30), [0, 300, 0, 0]);
    }

    #[test]
    fn a_host_that_came_up_again_has_nothing() {
        let sets = sets(4);
        let table = Affinity::new(&sets);
        table.note(&keys(1, 0, 2), 0, 1, 300, 10);
        let mut out = [0; 4];
        table.cached_tokens(&keys(1, 0, 2), 0, 300, 40, |host| if host == 1 { 30 } else { 0 }, &mut out);
        assert_eq!(out, [0; 4]);
        table.note(&keys(1, 0, 2), 0, 1, 300, 35);
        table.cached_tokens(&keys(1, 0, 2), 0, 300, 40, |_| 30, &mut out);
        assert_eq!(out, [0, 300, 0, 0]);
    }

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let sets = sets(1);
        let table = Affinity::new(&sets);
        let none = PrefixKeys::default();
        for session in 1..=WAYS as u64 + 1 {
            table.note(&none, session, 0, 100, session);
        }
        assert_eq!(cached(&table, &none, 1, 100, 20), [0; 4]);
        assert_eq!(cached(&table, &none, 2, 100, 20), [100, 0, 0, 0]);
    }

    #[test]
    fn prefixes_are_forgotten_and_no_key_is_none() {
        let sets = sets(4);
        let table = Affinity::new(&sets);
        let none = PrefixKeys::default();
        table.note(&none, 5, 1, 100, 1_000_000);
        assert_eq!(cached(&table, &none, 5, 100, 602_000_000), [0; 4]);
        table.note(&none, 0, 1, 100, 1);
        assert_eq!(cached(&table, &none, 0, 100, 2), [0; 4]);
        // A host beyond the caller's array, and a table without room.
        table.note(&none, 6, 77, 100, 1);
        assert_eq!(cached(&table, &none, 6, 100, 2), [0; 4]);
        Affinity::new(&[]).note(&none, 1, 1, 1, 1);
    }
}
