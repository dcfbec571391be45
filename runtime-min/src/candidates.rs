//! Hosts of a decision: those registered that the caller allows.

use crate::slot::HostSlot;
use crate::state::{HOST_WORDS, State};

/// The hosts that may be chosen.
#[derive(Clone, Copy, Debug)]
pub enum Eligible<'a> {
    /// Every registered host.
    All,
    /// The registered hosts whose bit is set: host `i` is bit `i % 64` of word `i / 64`.
    Mask(&'a [u64]),
}

impl<'a> Eligible<'a> {
    /// The eligible hosts with their indices, in order.
    pub fn hosts<'m>(self, state: &State<'m>) -> impl Iterator<Item = (u32, &'m HostSlot)> + use<'a, 'm> {
        state.hosts().filter(move |(index, _)| self.contains(*index))
    }

    /// The hosts `64 · index ..` that may be chosen, a bit for each.
    #[inline(always)]
    pub(crate) fn word(self, index: usize) -> u64 {
        match self {
            Self::All => u64::MAX,
            Self::Mask(words) => words.get(index).copied().unwrap_or(0),
        }
    }

    /// Says whether a host may be chosen.
    pub fn contains(self, host: u32) -> bool {
        match self {
            Self::All => true,
            Self::Mask(words) => words.get(host as usize / 64).is_some_and(|word| word >> (host % 64) & 1 == 1),
        }
    }
}

/// The hosts that may be chosen, as they were when it was made: a bit for each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidates<'m> {
    slots: &'m [HostSlot],
    words: [u64; HOST_WORDS],
    /// Number of them: the rows of the network.
    pub(crate) count: usize,
}

impl<'m> Candidates<'m> {
    #[inline(always)]
    pub(crate) fn new(state: &State<'m>, eligible: Eligible<'_>) -> Self {
        let (slots, registered) = state.slots();
        let mut words = [0; HOST_WORDS];
        let mut count = 0;
        for (index, (place, registered)) in words.iter_mut().zip(registered).enumerate() {
            *place = registered & eligible.word(index);
            count += place.count_ones() as usize;
        }
        Self { slots, words, count }
    }

    /// The host of a row: rows are in order of the hosts' indices.
    #[inline(always)]
    pub(crate) fn host(&self, row: usize) -> Option<u32> {
        let mut left = row;
        for (index, word) in self.words.iter().enumerate() {
            let here = word.count_ones() as usize;
            if left < here {
                // Drop the lowest bit as many times as there are rows before.
                let rest = (0..left).fold(*word, |word, _| word & word.wrapping_sub(1));
                return Some(index as u32 * 64 + rest.trailing_zeros());
            }
            left -= here;
        }
        None
    }

    /// The slots with the hosts' indices, in order.
    #[inline(always)]
    pub(crate) fn rows(&self) -> Rows<'m> {
        let [word, ..] = self.words;
        Rows { slots: self.slots, words: self.words, at: 0, word }
    }
}

/// Goes through the rows.
#[derive(Debug)]
pub(crate) struct Rows<'m> {
    slots: &'m [HostSlot],
    words: [u64; HOST_WORDS],
    at: usize,
    word: u64,
}

impl<'m> Rows<'m> {
    /// Index and slot of the next host.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<(usize, &'m HostSlot)> {
        while self.word == 0 {
            self.at += 1;
            self.word = *self.words.get(self.at)?;
        }
        let host = self.at * 64 + self.word.trailing_zeros() as usize;
        self.word &= self.word.wrapping_sub(1);
        Some((host, self.slots.get(host)?))
    }
}
