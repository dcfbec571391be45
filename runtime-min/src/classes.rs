//! How many tokens a request will probably generate: a table of fixed size from the class
//! of a request to the running mean of what requests of this class generated.
//!
//! A class is whatever tells requests apart before they are answered: a model's name, a
//! `LoRA` adapter, a route, a priority, or several of them. The mean goes into
//! [`Request::output_tokens`](crate::Request::output_tokens); where a class is not known,
//! the service's mean stands.
//!
//! An entry of its own says of a class how many bytes of its prompts' text make a token.

use core::sync::atomic::Ordering::Relaxed;

use crate::clock::elapsed_s;
use crate::slot::update_number;
use crate::table::{Entry, Table};

pub use crate::table::Set;

/// Before so many responses, a class's mean says less than the service's.
pub const NOTES_MIN: u32 = 8;

/// A mean is over about this many responses: it follows a class that changes.
const MEMORY: u32 = 256;

/// Places of an entry's values. An entry's last use is a count of those in its set.
const MEAN: usize = 0;
const NOTES: usize = 1;

/// The same in the entry of a class's texts: a logarithm, and seconds of the caller's clock.
const TEXT_ERROR: usize = 0;
const TEXT_TOLD_S: usize = 1;

/// Makes the key of the class's other entry.
const TEXT_KEY: u64 = 0xD6E8_FEB8_6659_FD93;

/// A view of a table in the caller's memory.
#[derive(Clone, Copy, Debug)]
pub struct Classes<'m> {
    table: Table<'m>,
}

impl<'m> Classes<'m> {
    /// A table over this memory; zeroed memory is an empty table.
    pub fn new(sets: &'m [Set]) -> Self {
        Self { table: Table::new(sets) }
    }

    /// Tokens that a request of this class generates in the mean, at least 1; `None` for a
    /// class with fewer than [`NOTES_MIN`] responses, and for class 0.
    pub fn expected_output_tokens(&self, class: u64) -> Option<u32> {
        let entry = self.table.entries(class).iter().find(|entry| entry.holds(class))?;
        let mean = f32::from_bits(entry.values[MEAN].load(Relaxed));
        (entry.values[NOTES].load(Relaxed) >= NOTES_MIN).then_some(((mean + 0.5) as u32).max(1))
    }

    /// Notes a response of this class. One without tokens says nothing. The class that was
    /// noted longest ago makes room for a new one.
    pub fn note(&self, class: u64, output_tokens: u32) {
        if output_tokens == 0 {
            return;
        }
        let Some(entry) = self.table.place(class, |_| true) else { return };
        let [mean, notes] = &entry.values;
        if !entry.holds(class) {
            notes.store(0, Relaxed);
        }
        let before = notes.load(Relaxed);
        // The first sample is the mean; later ones weigh less and less, down to a limit.
        let weight = 1.0 / before.saturating_add(1).min(MEMORY) as f32;
        let tokens = output_tokens as f32;
        update_number(mean, |old| if before == 0 { tokens } else { old + (tokens - old) * weight });
        notes.store(before.saturating_add(1).min(MEMORY), Relaxed);
        self.take(entry, class);
    }

    /// The number that was noted of a class's texts, and its age in seconds.
    pub(crate) fn text(&self, class: u64, now_us: u64) -> Option<(f32, f32)> {
        let key = text_key(class);
        let entry = self.table.entries(key).iter().find(|entry| entry.holds(key))?;
        let error = f32::from_bits(entry.values[TEXT_ERROR].load(Relaxed));
        let told_us = u64::from(entry.values[TEXT_TOLD_S].load(Relaxed)) * 1_000_000;
        Some((error, elapsed_s(told_us, now_us)))
    }

    /// Notes a number of a class's texts in place of the former one.
    pub(crate) fn note_text(&self, class: u64, error: f32, now_us: u64) {
        let key = text_key(class);
        let Some(entry) = self.table.place(key, |_| true) else { return };
        entry.values[TEXT_ERROR].store(error.to_bits(), Relaxed);
        entry.values[TEXT_TOLD_S].store((now_us / 1_000_000) as u32, Relaxed);
        self.take(entry, key);
    }

    /// Gives an entry to a key, as the one of its set that was used last.
    fn take(&self, entry: &Entry, key: u64) {
        let last_use = self.table.entries(key).iter().map(Entry::used).max().unwrap_or(0);
        entry.take(key, last_use.wrapping_add(1));
    }
}

/// Key of a class's texts; none for class 0.
fn text_key(class: u64) -> u64 {
    if class == 0 { 0 } else { class ^ TEXT_KEY }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::WAYS;
    use std::vec::Vec;

    fn sets(count: usize) -> Vec<Set> {
        (0..count).map(|_| Set::default()).collect()
    }

    #[test]
    fn a_class_is_known_after_some_responses() {
        let sets = sets(4);
        let classes = Classes::new(&sets);
        for note in 0..NOTES_MIN {
            assert_eq!(classes.expected_output_tokens(7), None, "after {note}");
            classes.note(7, 90 + 20 * (note % 2));
            // Neither another class nor a response without tokens is any of its business.
            classes.note(8, 5000);
            classes.note(7, 0);
        }
        assert_eq!(classes.expected_output_tokens(7), Some(100));
        assert_eq!(classes.expected_output_tokens(8), Some(5000));
        assert_eq!(classes.expected_output_tokens(9), None);
    }

    #[test]
    fn a_class_that_changes_is_followed() {
        let sets = sets(1);
        let classes = Classes::new(&sets);
        for _ in 0..10_000 {
            classes.note(1, 10);
        }
        assert_eq!(classes.expected_output_tokens(1), Some(10));
        for _ in 0..2000 {
            classes.note(1, 1000);
        }
        assert!(classes.expected_output_tokens(1).is_some_and(|tokens| tokens > 990));
    }

    #[test]
    fn the_class_noted_longest_ago_makes_room() {
        let sets = sets(1);
        let classes = Classes::new(&sets);
        let note = |class: u64| (0..NOTES_MIN).for_each(|_| classes.note(class, 100 + class as u32));
        for class in 1..=WAYS as u64 {
            note(class);
        }
        // Class 1 is used again; class 2 is the oldest now.
        note(1);
        note(99);
        assert_eq!(classes.expected_output_tokens(2), None);
        assert_eq!(classes.expected_output_tokens(1), Some(101));
        assert_eq!(classes.expected_output_tokens(99), Some(199));
    }

    #[test]
    fn no_class_and_no_room_are_no_knowledge() {
        let sets = sets(1);
        let classes = Classes::new(&sets);
        (0..20).for_each(|_| classes.note(0, 100));
        assert_eq!(classes.expected_output_tokens(0), None);
        (0..20).for_each(|_| classes.note(3, u32::MAX));
        assert!(classes.expected_output_tokens(3).is_some_and(|tokens| tokens > u32::MAX - 1000));
        let nowhere = Classes::new(&[]);
        nowhere.note(1, 1);
        assert_eq!(nowhere.expected_output_tokens(1), None);
    }
}
