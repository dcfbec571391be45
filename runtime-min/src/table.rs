//! A table of fixed size from 64-bit keys to guesses, in the caller's memory: what
//! [`crate::affinity`] and [`crate::classes`] are made of.
//!
//! Zeroed memory is an empty table. A key may stand in any of the few entries of one set;
//! what was used longest ago makes room. Entries are a few relaxed atomics each: two
//! workers that write one at the same moment may leave one's key with the other's values,
//! a guess a little worse, and never out of bounds.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use evenkeel_numbers::random::GOLDEN;

/// Entries that a key may be in.
pub(crate) const WAYS: usize = 8;

/// One key and what is known of it. All zeros is a free one.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Entry {
    key: AtomicU64,
    /// Grows with each use; the unit is the table's.
    used: AtomicU64,
    pub(crate) values: [AtomicU32; 2],
}

/// Entries that share a place in the table: three cache lines.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Set([Entry; WAYS]);

/// A view of a table in the caller's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'m> {
    sets: &'m [Set],
}

impl Entry {
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    pub(crate) fn holds(&self, key: u64) -> bool {
        self.key.load(Relaxed) == key
    }

    /// Gives the entry to a key. To be called once its values are there.
    pub(crate) fn take(&self, key: u64, used: u64) {
        self.used.store(used, Relaxed);
        self.key.store(key, Relaxed);
    }
}

impl<'m> Table<'m> {
    pub(crate) fn new(sets: &'m [Set]) -> Self {
        Self { sets }
    }

    /// The entries that a key may be in; none for key 0, which marks free ones.
    pub(crate) fn entries(&self, key: u64) -> &'m [Entry] {
        // Fibonacci hashing: keys may be counters.
        let hash = u128::from(key.wrapping_mul(GOLDEN));
        let set = (hash * self.sets.len() as u128) >> 64;
        self.sets.get(set as usize).filter(|_| key != 0).map_or(&[], |set| &set.0)
    }

    /// The entry of a key for which `is_same` holds, or else the one that makes room.
    pub(crate) fn place(&self, key: u64, is_same: impl Fn(&Entry) -> bool) -> Option<&'m Entry> {
        let entries = self.entries(key);
        let same = entries.iter().find(|entry| entry.holds(key) && is_same(entry));
        same.or_else(|| entries.iter().min_by_key(|entry| entry.used()))
    }
}
