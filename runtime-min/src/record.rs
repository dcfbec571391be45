//! Decisions recorded to a ring in the caller's memory, and read back from its bytes.
//!
//! A record holds what the policy saw (the features of every eligible host), what it made
//! of it, which host got the request and, once it has ended, how long it took: enough to
//! make the decision again, with the same model or another one. `evenkeel audit` does.
//!
//! ```text
//! ring    header, 256 bytes │ record │ record │ …        all numbers little-endian
//!
//! header    0  8 bytes "EKring01"       8  u32 layout version   12  u32 bytes of the header
//!          16  u64 bytes of the ring   24  u32 bytes of a record
//!          28  u32 records             32  u32 hosts of a record, at most
//!          36  u32 features of a host  40  u64 feature-schema hash   48  80 bytes zero
//!         128  u64 records begun      136  u64 left out: more hosts than fit
//!         144  u64 left out: the place was being written    152  104 bytes zero
//!
//! record    0  u64 stamp: 0 empty, 2s + 1 being written, 2s + 2 holds record s
//!           8  u64 now, µs             16  u32 hosts             20  u32 prompt tokens
//!          24  u32 decided host        28  u32 actual host       (2^32 − 1: none)
//!          32  u32 reason              36  u32 flags: 1 shadow, 2 the state had moved,
//!                                              4 has features, 8 has scores
//!          40  f32 score, as decided   44  u32 checksum of the model (0: none)
//!          48  u64 check over bytes 0 to 48 and 128 to the end of the hosts
//!          56  8 bytes zero
//!          64  u64 stamp of the outcome: as the record's, or 0 without one
//!          72  u64 latency, µs         80  u64 time to first token, µs (0: unknown)
//!          88  u32 status: 1 success, 2 failure, 3 timeout, 4 client gone, 5 no work
//!          92  u32 output tokens       96  u64 check over bytes 64 to 96
//!         104  24 bytes zero
//!         128  hosts × 112 bytes: u32 host   u32 in flight   f32 estimate, s   f32 score
//!                                 24 × f32 features
//! ```
//!
//! Any number of threads and processes may write at once, without waiting: a writer takes
//! the next number `s`, and the place `s mod records` with a compare-and-swap of its stamp.
//! A place that another writer has held for a whole round was left by a process that died,
//! and is taken over. Should that other one wake up after all, or the ring be copied while
//! it is written, the check shows it, and the reader counts the record as torn.

mod reader;
mod write;

pub use reader::{Host, Outcome, Record, RecordError, Records};
pub use write::{Actual, Ring, RingCounts, RingError};

use evenkeel_numbers::fnv::Fnv1a;

use crate::features::HOST_FEATURES;

/// First bytes of every ring.
pub const MAGIC: [u8; 8] = *b"EKring01";

/// Version of the layout described above.
pub const LAYOUT_VERSION: u32 = 1;

/// Bytes of the ring's header.
pub const HEADER_BYTES: usize = 256;

/// Bytes of a record before its hosts.
pub const RECORD_HEADER_BYTES: usize = 128;

/// Bytes of a host in a record.
pub const HOST_BYTES: usize = 16 + 4 * HOST_FEATURES;

/// Marks an absent host.
pub const NO_HOST: u32 = u32::MAX;

/// Most records of a ring.
pub const RECORDS_MAX: u32 = 1 << 24;

/// Flag: another rule chose the actual host, and the decision was only looked at.
pub const SHADOW: u32 = 1;
/// Flag: the features are not quite what the decision saw. The state changed between decision and
/// record, or hosts were starting slowly, some of which sat the decision out.
pub const MOVED: u32 = 2;
/// Flag: the hosts have features.
pub const HAS_FEATURES: u32 = 4;
/// Flag: the hosts have scores.
pub const HAS_SCORES: u32 = 8;

/// The 64-bit words of the layout, by what they hold.
mod word {
    /// Header.
    pub(super) const RECORDS_BEGUN: usize = 16;
    pub(super) const TOO_MANY_HOSTS: usize = 17;
    pub(super) const PLACE_TAKEN: usize = 18;
    /// Record.
    pub(super) const STAMP: usize = 0;
    pub(super) const NOW: usize = 1;
    pub(super) const HOSTS_PROMPT: usize = 2;
    pub(super) const DECIDED_ACTUAL: usize = 3;
    pub(super) const REASON_FLAGS: usize = 4;
    pub(super) const SCORE_MODEL: usize = 5;
    pub(super) const CHECK: usize = 6;
    pub(super) const OUTCOME_STAMP: usize = 8;
    pub(super) const LATENCY: usize = 9;
    pub(super) const FIRST_BYTE: usize = 10;
    pub(super) const STATUS_TOKENS: usize = 11;
    pub(super) const OUTCOME_CHECK: usize = 12;
}

const HEADER_WORDS: usize = HEADER_BYTES / 8;
const RECORD_HEADER_WORDS: usize = RECORD_HEADER_BYTES / 8;
const HOST_WORDS: usize = HOST_BYTES / 8;

/// 64-bit words of a record for so many hosts.
const fn record_words(hosts_max: u32) -> usize {
    // Whole cache lines, so that records do not share any.
    (RECORD_HEADER_WORDS + hosts_max as usize * HOST_WORDS).next_multiple_of(8)
}

/// Bytes of a ring of `records` records of up to `hosts_max` hosts each; `None` where a
/// number is 0, above [`RECORDS_MAX`] or [`crate::state::HOSTS_MAX`].
pub const fn ring_bytes(records: u32, hosts_max: u32) -> Option<usize> {
    if records == 0 || records > RECORDS_MAX || hosts_max == 0 || hosts_max as usize > crate::state::HOSTS_MAX {
        return None;
    }
    match record_words(hosts_max).checked_mul(records as usize * 8) {
        Some(bytes) => Some(HEADER_BYTES + bytes),
        None => None,
    }
}

/// Stamp of a place that holds a record.
const fn complete(sequence: u64) -> u64 {
    sequence.wrapping_mul(2).wrapping_add(2)
}

/// Two 32-bit numbers as they lie one after the other.
const fn pair(first: u32, second: u32) -> u64 {
    first as u64 | (second as u64) << 32
}

/// The two 32-bit numbers of a word.
const fn unpair(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

/// A check over words, to be folded word by word: FNV-1a's step on 64 bits at once, and
/// the upper half brought down, which multiplication alone never does.
const fn fold(check: u64, word: u64) -> u64 {
    let mixed = Fnv1a::resume(check).word(word).finish();
    mixed ^ (mixed >> 32)
}

/// Beginning of a check.
const CHECK_SEED: u64 = Fnv1a::new().finish();

const _: () = assert!(HOST_BYTES.is_multiple_of(8) && HEADER_BYTES.is_multiple_of(64));
