//! Which hosts probably have a request's prefix in their KV cache: a table of fixed size
//! from keys of the prompt's prefixes, at growing lengths, to the hosts that were sent them.
//!
//! The longest prefix that a host is known to have is what it has cached. A key is noted with
//! its own length, the longest key of a prompt with the whole prompt: a conversation that goes on
//! finds all of it, and prompts that share no more than a system text find that much.
//!
//! A host's cache is its own affair; this is a guess from what was sent where. Caches throw out
//! what was used longest ago: a prefix is taken to be gone once the host has taken in as many new
//! tokens as it has room for ([`Guess::left`]). The guess becomes the feature `cached_share`, and the
//! policy weighs it against load: no host is ever stuck to.

use core::sync::atomic::Ordering::Relaxed;

use crate::body::request::PREFIX_BYTES;
use crate::clock::elapsed_s;
use crate::table::{Entry, Table};

pub use crate::table::Set;

/// Lengths of the prefixes that have keys, in tokens.
pub const PREFIX_TOKENS: [u32; 5] = [64, 256, 1024, 4096, 16384];

/// Keys of a prompt's prefixes at [`PREFIX_TOKENS`]; 0 where it is shorter or unknown.
pub type PrefixKeys = [u64; PREFIX_TOKENS.len()];

/// A prefix that was not used for this long has probably been evicted.
const KEPT_S: f32 = 600.0;

/// Places of an entry's values: host and tokens in one, and the host's count of new tokens
/// when it was noted. An entry was last used at a time in microseconds.
const HOST_AND_TOKENS: usize = 0;
const TAKEN_IN: usize = 1;

/// Bits of the tokens; longer prompts count as this long.
pub(crate) const TOKENS_BITS: u32 = 22;
const TOKENS_MAX: u32 = (1 << TOKENS_BITS) - 1;

/// Tokens of a prompt and of its prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// Those of the prefixes that have keys.
    prefixes: [u32; PREFIX_TOKENS.len()],
    /// Those of the whole prompt.
    all: u32,
}

impl Lengths {
    /// A prompt of so many tokens, whose keys are of [`PREFIX_TOKENS`].
    pub const fn of(all: u32) -> Self {
        Self { prefixes: PREFIX_TOKENS, all }
    }

    /// The same for keys of a text, which are of [`PREFIX_BYTES`].
    #[must_use]
    pub fn with_text_of(self, bytes_per_token: f32) -> Self {
        Self { prefixes: PREFIX_BYTES.map(|bytes| (bytes as f32 / bytes_per_token) as u32), ..self }
    }
}

/// Keys that a prompt is found by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Of its prefixes.
    pub prefixes: PrefixKeys,
    /// Of everything that it goes on from; 0 for none.
    pub session: u64,
}

/// History of a host's cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    /// Time when it was last known to be empty, in microseconds.
    pub since_us: u64,
    /// New tokens that were sent to it, and wrap around.
    pub taken_in: u32,
}

/// A guess of what a host has of a prompt, before anything was thrown out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guess {
    /// Tokens of the prompt that it was sent before.
    pub tokens: u32,
    /// New tokens that it took in since.
    pub age: u32,
}

impl Guess {
    /// Tokens that are left in a cache with room for so many: the end of a prompt goes first.
    pub fn left(self, room: u32) -> u32 {
        self.tokens.min(room.saturating_sub(self.age))
    }
}

/// A view of a table in the caller's memory.
#[derive(Clone, Copy, Debug)]
pub struct Affinity<'m> {
    table: Table<'m>,
}

impl Keys {
    /// Says whether there is any.
    #[inline]
    pub fn is_some(&self) -> bool {
        self.session != 0 || self.prefixes.iter().any(|key| *key != 0)
    }

    fn iter(&self) -> impl Iterator<Item = u64> {
        self.prefixes.into_iter().chain([self.session]).filter(|key| *key != 0)
    }
}

impl<'m> Affinity<'m> {
    /// A table over this memory; zeroed memory is an empty table.
    pub fn new(sets: &'m [Set]) -> Self {
        Self { table: Table::new(sets) }
    }

    /// Writes, for each host by its index, how many of a prompt's tokens it probably has
    /// cached, at most `tokens_max`. Hosts that nothing is known of are left as they are.
    pub fn cached_tokens(
        &self,
        keys: &Keys,
        tokens_max: u32,
        room: u32,
        now_us: u64,
        cache_of: impl Fn(u32) -> Option<Cache>,
        out: &mut [u32],
    ) {
        for key in keys.iter() {
            for (host, entry) in self.entries(key, now_us) {
                if let Some(place) = out.get_mut(host as usize)
                    && let Some(guess) = cache_of(host).and_then(|cache| guess(entry, cache))
                {
                    *place = (*place).max(guess.left(room).min(tokens_max));
                }
            }
        }
    }

    /// Finds how much of a prompt a host was sent, by its longest prefix.
    pub fn guess(&self, keys: &Keys, host: u32, cache: Cache, now_us: u64) -> Guess {
        let mut longest = Guess::default();
        for key in keys.iter() {
            for (_, entry) in self.entries(key, now_us).filter(|(other, _)| *other == host) {
                if let Some(guess) = guess(entry, cache).filter(|guess| guess.tokens >= longest.tokens) {
                    longest = guess;
                }
            }
        }
        longest
    }

    /// Notes that a host was sent a prompt, or has processed it and its answer, which counts in its
    /// whole length.
    pub fn note(&self, keys: &Keys, host: u32, cache: Cache, lengths: &Lengths, now_us: u64) {
        let longest = keys.prefixes.iter().rposition(|key| *key != 0);
        for (index, (key, length)) in keys.prefixes.iter().zip(lengths.prefixes).enumerate() {
            let shared = if Some(index) == longest { lengths.all.max(length) } else { length };
            self.note_key(*key, host, cache, shared, now_us);
        }
        self.note_key(keys.session, host, cache, lengths.all, now_us);
    }

    /// Takes back what was noted of a prompt when it was sent, at `noted_us`, since the host did
    /// not process it.
    pub fn forget(&self, keys: &Keys, host: u32, noted_us: u64) {
        for key in keys.iter() {
            for entry in self.table.entries(key) {
                if entry.holds(key) && host_of(entry) == host && entry.used() == noted_us.max(1) {
                    entry.take(0, 0);
                }
            }
        }
    }

    /// The entries of a key that are not too old, and their hosts.
    fn entries(&self, key: u64, now_us: u64) -> impl Iterator<Item = (u32, &'m Entry)> {
        let entries = self.table.entries(key).iter();
        entries
            .filter(move |entry| entry.holds(key) && elapsed_s(entry.used(), now_us) <= KEPT_S)
            .map(|entry| (host_of(entry), entry))
    }

    /// Notes a key; the entry that was used longest ago makes room.
    fn note_key(&self, key: u64, host: u32, cache: Cache, tokens: u32, now_us: u64) {
        let Some(entry) = self.table.place(key, |entry| host_of(entry) == host) else { return };
        let is_same = entry.holds(key) && host_of(entry) == host && elapsed_s(entry.used(), now_us) <= KEPT_S;
        // A prompt that ended here may have been longer than the one that passes now.
        let before = if is_same { guess(entry, cache).map_or(0, |guess| guess.tokens) } else { 0 };
        let tokens = tokens.max(before).min(TOKENS_MAX);
        entry.values[HOST_AND_TOKENS].store(host << TOKENS_BITS | tokens, Relaxed);
        entry.values[TAKEN_IN].store(cache.taken_in, Relaxed);
        entry.take(key, now_us.max(1));
    }
}

fn host_of(entry: &Entry) -> u32 {
    entry.values[HOST_AND_TOKENS].load(Relaxed) >> TOKENS_BITS
}

/// Reads what an entry says of its host; nothing if the cache was emptied since.
fn guess(entry: &Entry, cache: Cache) -> Option<Guess> {
    (entry.used() >= cache.since_us).then(|| Guess {
        tokens: entry.values[HOST_AND_TOKENS].load(Relaxed) & TOKENS_MAX,
        // What turned out to be no news was taken off again, perhaps since this was noted.
        age: (cache.taken_in.wrapping_sub(entry.values[TAKEN_IN].load(Relaxed)) as i32).max(0) as u32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::WAYS;
    use std::vec::Vec;

    fn sets(count: usize) -> Vec<Set> {
        (0..count).map(|_| Set::default()).collect()
    }

    const NEW: Cache = Cache { since_us: 0, taken_in: 0 };

    fn cached(table: &Affinity<'_>, keys: &Keys, prompt_tokens: u32, now_us: u64) -> [u32; 4] {
        let mut out = [0; 4];
        table.cached_tokens(keys, prompt_tokens, 1 << 20, now_us, |_| Some(NEW), &mut out);
        out
    }

    fn session(session: u64) -> Keys {
        Keys { session, ..Keys::default() }
    }

    /// Keys of a prompt whose first prefixes are those of `shared`, and whose others are its own.
    fn keys(own: u64, shared: usize, known: usize) -> Keys {
        let mut keys = Keys::default();
        for (index, key) in keys.prefixes.iter_mut().enumerate().take(known) {
            *key = if index < shared { 100 + index as u64 } else { own * 1000 + index as u64 };
        }
        keys
    }

    #[test]
    fn a_conversation_finds_all_of_it_and_a_shared_system_text_no_more_than_that() {
        let sets = sets(64);
        let table = Affinity::new(&sets);
        // 3000 tokens, of which the first 256 are the system text of everybody.
        table.note(&keys(1, 2, 3), 2, NEW, &Lengths::of(3000), 10);
        assert_eq!(cached(&table, &keys(1, 2, 3), 3500, 20), [0, 0, 3000, 0], "it goes on");
        assert_eq!(cached(&table, &keys(2, 2, 3), 3500, 20), [0, 0, 256, 0], "another one");
        assert_eq!(cached(&table, &keys(3, 0, 3), 3500, 20), [0; 4], "a stranger");
        // A prompt of its own that ends before the next key does not shorten what is known.
        table.note(&keys(4, 2, 2), 2, NEW, &Lengths::of(700), 30);
        assert_eq!(cached(&table, &keys(5, 2, 3), 5000, 40), [0, 0, 700, 0]);
        table.note(&keys(2, 2, 3), 2, NEW, &Lengths::of(2000), 50);
        assert_eq!(cached(&table, &keys(5, 2, 3), 5000, 60), [0, 0, 700, 0]);
    }

    #[test]
    fn sessions_are_known_without_the_prompt() {
        let sets = sets(16);
        let table = Affinity::new(&sets);
        table.note(&session(7), 2, NEW, &Lengths::of(500), 10);
        table.note(&session(7), 0, NEW, &Lengths::of(900), 20);
        table.note(&session(8), 1, NEW, &Lengths::of(100), 30);
        assert_eq!(cached(&table, &session(7), 600, 40), [600, 0, 500, 0]);
        assert_eq!(cached(&table, &session(8), 600, 40), [0, 100, 0, 0]);
        assert_eq!(cached(&table, &session(9), 600, 40), [0; 4]);
    }

    #[test]
    fn what_was_not_processed_is_taken_back_and_what_others_used_since_stays() {
        let sets = sets(64);
        let table = Affinity::new(&sets);
        let both = Keys { session: 7, ..keys(1, 1, 3) };
        table.note(&both, 1, NEW, &Lengths::of(3000), 10);
        table.note(&keys(2, 1, 2), 1, NEW, &Lengths::of(300), 20);
        table.forget(&both, 1, 10);
        assert_eq!(cached(&table, &both, 3000, 30), [0, 64, 0, 0]);
        assert_eq!(cached(&table, &keys(2, 1, 2), 3000, 30), [0, 300, 0, 0]);
    }

    #[test]
    fn a_host_that_came_up_again_has_nothing() {
        let sets = sets(4);
        let table = Affinity::new(&sets);
        table.note(&keys(1, 0, 2), 1, NEW, &Lengths::of(300), 10);
        let mut out = [0; 4];
        let again = Some(Cache { since_us: 30, taken_in: 0 });
        table.cached_tokens(&keys(1, 0, 2), 300, 1000, 40, |_| again, &mut out);
        assert_eq!(out, [0; 4]);
        table.note(&keys(1, 0, 2), 1, NEW, &Lengths::of(300), 35);
        table.cached_tokens(&keys(1, 0, 2), 300, 1000, 40, |_| again, &mut out);
        assert_eq!(out, [0, 300, 0, 0]);
    }

    #[test]
    fn a_full_cache_throws_out_the_end_of_what_was_used_longest_ago() {
        let sets = sets(64);
        let table = Affinity::new(&sets);
        let at = |taken_in| Cache { since_us: 0, taken_in };
        table.note(&keys(1, 0, 3), 1, at(u32::MAX), &Lengths::of(3000), 10);
        let left = |taken_in: u32| {
            let mut out = [0; 4];
            table.cached_tokens(&keys(1, 0, 3), 9000, 10_000, 20, |_| Some(at(taken_in)), &mut out);
            out[1]
        };
        assert_eq!([6999, 8999, 9999, 20_000].map(left), [3000, 1000, 0, 0]);
        assert_eq!(table.guess(&keys(1, 0, 3), 1, at(8999), 20), Guess { tokens: 3000, age: 9000 });
        assert_eq!(table.guess(&keys(1, 0, 3), 2, at(8999), 20), Guess::default());
    }

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let sets = sets(1);
        let table = Affinity::new(&sets);
        for number in 1..=WAYS as u64 + 1 {
            table.note(&session(number), 0, NEW, &Lengths::of(100), number);
        }
        assert_eq!(cached(&table, &session(1), 100, 20), [0; 4]);
        assert_eq!(cached(&table, &session(2), 100, 20), [100, 0, 0, 0]);
    }

    #[test]
    fn prefixes_are_forgotten_and_no_key_is_none() {
        let sets = sets(4);
        let table = Affinity::new(&sets);
        table.note(&session(5), 1, NEW, &Lengths::of(100), 1_000_000);
        assert_eq!(cached(&table, &session(5), 100, 602_000_000), [0; 4]);
        table.note(&session(0), 1, NEW, &Lengths::of(100), 1);
        assert_eq!(cached(&table, &session(0), 100, 2), [0; 4]);
        // A host beyond the caller's array, and a table without room.
        table.note(&session(6), 77, NEW, &Lengths::of(100), 1);
        assert_eq!(cached(&table, &session(6), 100, 2), [0; 4]);
        Affinity::new(&[]).note(&session(1), 1, NEW, &Lengths::of(1), 1);
    }
}
