//! Hashes of text that streams by: one that can be read at several lengths, and one of
//! short names.
//!
//! The chain takes eight bytes at a time and folds a product of 128 bits, as wyhash does
//! (Wang Yi, 2019). It depends on the bytes alone, never on how they were cut. It is the same
//! in all processes and on all machines, and stands no attack: whoever makes two prompts
//! collide misleads the guess of what is cached, no more.

/// Lengths of text at which the prefix is read, in bytes: 64, 256, 1024, 4096 and 16384
/// tokens of four bytes.
pub const PREFIX_BYTES: [u64; PREFIX_TOKENS.len()] = [256, 1024, 4096, 16384, 65536];

const _: () = assert!(PREFIX_BYTES[0] == 4 * PREFIX_TOKENS[0] as u64 && PREFIX_BYTES[4] == 4 * PREFIX_TOKENS[4] as u64);

use evenkeel_numbers::fnv::Fnv1a;
use evenkeel_numbers::random::GOLDEN;

use crate::affinity::PREFIX_TOKENS;

const SEED: u64 = GOLDEN;
const FACTOR: u64 = 0xD6E8_FEB8_6659_FD93;

/// Multiplies to 128 bits and folds the halves.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    (product >> 64) as u64 ^ product as u64
}

/// Up to seven bytes as a number, the first one lowest, by loads that overlap.
#[inline]
fn short(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << (((len - 4) * 8) & 63);
    }
    match *bytes {
        [first] => u64::from(first),
        [first, second] => u64::from(first) | u64::from(second) << 8,
        [first, second, third] => u64::from(first) | u64::from(second) << 8 | u64::from(third) << 16,
        _ => 0,
    }
}

/// A hash of all bytes so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    state: u64,
    /// Bytes that do not make a word yet, the first one lowest.
    word: u64,
    len: u64,
}

impl Chain {
    pub(super) const fn new() -> Self {
        Self { state: SEED, word: 0, len: 0 }
    }

    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let shift = (self.len % 8 * 8) as u32;
        self.len = self.len.wrapping_add(bytes.len() as u64);
        let (words, last) = bytes.as_chunks::<8>();
        let (mut state, mut word) = (self.state, self.word);
        if shift == 0 {
            for next in words {
                state = fold(state ^ u64::from_le_bytes(*next), FACTOR);
            }
        } else {
            for next in words {
                let next = u64::from_le_bytes(*next);
                state = fold(state ^ (word | next << shift), FACTOR);
                word = next >> (64 - shift);
            }
        }
        let (end, bits) = (short(last), last.len() as u32 * 8);
        word |= end << shift;
        if shift + bits >= 64 {
            state = fold(state ^ word, FACTOR);
            // A shift of 0 does not come here: there are at most 56 bits.
            word = end >> (64 - shift);
        }
        (self.state, self.word) = (state, word);
    }

    /// The hash, which is not 0.
    pub(super) fn key(&self) -> u64 {
        fold(self.state ^ self.word ^ self.len.rotate_left(32), SEED).max(1)
    }
}

/// The chain over a prompt's text, read at [`PREFIX_BYTES`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix {
    chain: Chain,
    keys: [u64; PREFIX_BYTES.len()],
    /// How many keys are known.
    known: usize,
}

impl Prefix {
    pub(super) const fn new() -> Self {
        Self { chain: Chain::new(), keys: [0; PREFIX_BYTES.len()], known: 0 }
    }

    /// Takes the next bytes of text. What lies beyond the longest prefix is not looked at.
    #[inline]
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while let Some(end) = PREFIX_BYTES.get(self.known) {
            let room = end.saturating_sub(self.chain.len);
            if (bytes.len() as u64) < room {
                self.chain.push(bytes);
                return;
            }
            let (before, rest) = bytes.split_at_checked(room as usize).unwrap_or((bytes, &[]));
            self.chain.push(before);
            if let Some(key) = self.keys.get_mut(self.known) {
                *key = self.chain.key();
            }
            self.known += 1;
            bytes = rest;
        }
    }

    /// Makes all later keys depend on something that is no text, and where it stood.
    pub(super) fn mix(&mut self, digest: u64) {
        self.chain.state = fold(self.chain.state ^ digest, FACTOR ^ self.chain.len);
    }

    pub(super) fn keys(&self) -> [u64; PREFIX_BYTES.len()] {
        self.keys
    }
}

/// Most bytes of a name that its hash regards.
pub(super) const NAME_BYTES_MAX: usize = 256;

/// FNV-1a of a name's first [`NAME_BYTES_MAX`] bytes: up to this length the number that
/// `telemetry_file::host_key` gives.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameHash {
    hash: Fnv1a,
    len: usize,
}

impl NameHash {
    pub(super) const fn new() -> Self {
        Self { hash: Fnv1a::new(), len: 0 }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = NAME_BYTES_MAX.saturating_sub(self.len);
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.hash = self.hash.bytes(taken);
        self.len += taken.len();
    }

    /// The hash; 0 for no name.
    pub(super) fn key(&self) -> u64 {
        if self.len == 0 { 0 } else { self.hash.finish().max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_chain_does_not_depend_on_the_cut() {
        let bytes: Vec<u8> = (0..100u8).map(|byte| byte.wrapping_mul(37)).collect();
        let mut whole = Chain::new();
        whole.push(&bytes);
        for first in 0..bytes.len() {
            for second in first..bytes.len() {
                let mut cut = Chain::new();
                cut.push(&bytes[..first]);
                cut.push(&bytes[first..second]);
                cut.push(&bytes[second..]);
                assert_eq!(cut.key(), whole.key(), "{first} {second}");
            }
        }
    }

    #[test]
    fn keys_are_equal_as_far_as_the_text_is() {
        let text: Vec<u8> = (0..70_000u32).map(|at| (at * 7 % 251) as u8).collect();
        let keys = |text: &[u8]| {
            let mut prefix = Prefix::new();
            text.chunks(300).for_each(|piece| prefix.push(piece));
            prefix.keys()
        };
        let whole = keys(&text);
        assert!(whole.iter().all(|key| *key != 0));
        for differs_at in [0, 255, 256, 1023, 1024, 16_383, 16_384, 65_535, 65_536] {
            let mut other = text.clone();
            other[differs_at] ^= 1;
            for ((key, other), end) in whole.iter().zip(keys(&other)).zip(PREFIX_BYTES) {
                assert_eq!(*key == other, differs_at as u64 >= end, "{differs_at} {end}");
            }
        }
        assert_eq!(keys(&text[..255]), [0; 5]);
        assert_eq!(keys(&text[..1024])[..], [whole[0], whole[1], 0, 0, 0]);
    }

    #[test]
    fn names_have_the_keys_of_hosts() {
        let mut hash = NameHash::new();
        hash.push(b"org/");
        hash.push(b"model-8b");
        assert_eq!(hash.key(), crate::telemetry_file::host_key(b"org/model-8b"));
        assert_eq!(NameHash::new().key(), 0);
    }
}
