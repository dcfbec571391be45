//! A ring's bytes, read: untrusted, since they come from a file.

use core::fmt;

use super::{
    CHECK_SEED, HAS_FEATURES, HAS_SCORES, HEADER_BYTES, HOST_BYTES, LAYOUT_VERSION, MAGIC, MOVED, NO_HOST,
    RECORD_HEADER_BYTES, RingCounts, SHADOW, fold, pair, record_words, ring_bytes, unpair, word,
};
use crate::features::{self, HOST_FEATURES};
use crate::outcome::Status;
use crate::reason::Reason;

/// Reason that bytes are not a ring that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// The first bytes are not those of a ring.
    Magic,
    /// Written by another version of the library, in another layout.
    Version,
    /// Written with other features than this version computes.
    Schema,
    /// The header contradicts itself.
    Header,
    /// The bytes end before what the header announces.
    Truncated,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Magic => {
                "not a ring of recorded decisions: expected the bytes of the memory that ek_record_init made"
            }
            Self::Version => "recorded in another layout: read it with the version of Evenkeel that recorded it",
            Self::Schema => {
                "recorded with other features than this version computes: read it with the version that recorded it"
            }
            Self::Header => "the ring's header contradicts itself: copy it again",
            Self::Truncated => "the ring ends before what its header announces: copy it again, whole",
        })
    }
}

impl core::error::Error for RecordError {}

/// A ring's bytes, their header checked.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    header: &'a [u8],
    places: &'a [u8],
    place_bytes: usize,
}

/// A recorded decision.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its number: decisions are numbered as they were recorded, from 0 on.
    pub sequence: u64,
    /// Time when it was made, on the balancer's clock.
    pub now_us: u64,
    /// Prompt length of the request in tokens, 0 where unknown.
    pub prompt_tokens: u32,
    /// The host that was decided on.
    pub decided: Option<u32>,
    /// The host that the request went to.
    pub actual: Option<u32>,
    /// Reason that that host was decided on.
    pub reason: Reason,
    /// Score of the decided host, as decided; NaN unless the reason is [`Reason::Policy`].
    pub score: f32,
    /// Checksum of the model's artifact; `None` without a model.
    pub model: Option<u32>,
    /// End of the request; `None` if that was not recorded.
    pub outcome: Option<Outcome>,
    flags: u32,
    hosts: &'a [[u8; HOST_BYTES]],
}

/// End of a recorded request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Kind of end.
    pub status: Status,
    /// From sending to the end, in microseconds.
    pub latency_us: u64,
    /// From sending to the first byte, in microseconds; `None` if none came.
    pub first_token_us: Option<u64>,
    /// Tokens that were generated, 0 where unknown.
    pub output_tokens: u32,
}

/// A host as a recorded decision saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Host {
    /// Index of the host.
    pub host: u32,
    /// Requests of the balancer under way there.
    pub in_flight: u32,
    /// Analytic estimate of the request's cost in seconds; NaN without a model.
    pub estimate_s: f32,
    /// The policy's score; NaN without one.
    pub score: f32,
    /// The features, in the order of [`features::NAMES`]; zero if
    /// [`Record::has_features`] is false.
    pub features: [f32; HOST_FEATURES],
}

impl<'a> Records<'a> {
    /// Checks the header of a ring.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let magic = bytes.get(..MAGIC.len()).ok_or(RecordError::Truncated)?;
        if magic != MAGIC {
            return Err(RecordError::Magic);
        }
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or(RecordError::Truncated)?;
        if long(header, 1) != pair(LAYOUT_VERSION, HEADER_BYTES as u32) {
            return Err(RecordError::Version);
        }
        let (place_bytes, records) = unpair(long(header, 3));
        let (hosts_max, host_features) = unpair(long(header, 4));
        if host_features as usize != HOST_FEATURES || long(header, 5) != features::SCHEMA_HASH {
            return Err(RecordError::Schema);
        }
        let bytes = ring_bytes(records, hosts_max).ok_or(RecordError::Header)?;
        if long(header, 2) != bytes as u64 || place_bytes as usize != record_words(hosts_max) * 8 {
            return Err(RecordError::Header);
        }
        let places = rest.get(..bytes - HEADER_BYTES).ok_or(RecordError::Truncated)?;
        Ok(Self { header, places, place_bytes: place_bytes as usize })
    }

    /// Counts of the ring when its bytes were copied.
    pub fn counts(&self) -> RingCounts {
        RingCounts {
            begun: long(self.header, word::RECORDS_BEGUN),
            too_many_hosts: long(self.header, word::TOO_MANY_HOSTS),
            place_taken: long(self.header, word::PLACE_TAKEN),
        }
    }

    /// The records, in the order of their places; `None` for one that is torn: it was
    /// being written when the bytes were copied, its writer died, or it is damaged. Empty
    /// places are left out.
    pub fn iter(&self) -> impl Iterator<Item = Option<Record<'a>>> + use<'a> {
        let places = self.places.chunks_exact(self.place_bytes);
        places.filter(|place| long(place, word::STAMP) != 0).map(Record::read)
    }
}

impl<'a> Record<'a> {
    /// Says whether another rule chose the actual host.
    pub fn is_shadow(&self) -> bool {
        self.flags & SHADOW != 0
    }

    /// Says whether the state had moved between decision and record.
    pub fn has_moved(&self) -> bool {
        self.flags & MOVED != 0
    }

    /// Says whether the hosts have features.
    pub fn has_features(&self) -> bool {
        self.flags & HAS_FEATURES != 0
    }

    /// Says whether the hosts have scores.
    pub fn has_scores(&self) -> bool {
        self.flags & HAS_SCORES != 0
    }

    /// The eligible hosts, in order of their indices.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = Host> + use<'a> {
        self.hosts.iter().map(Host::read)
    }

    fn read(place: &'a [u8]) -> Option<Self> {
        let stamp = long(place, word::STAMP);
        let sequence = stamp.checked_sub(2).filter(|twice| twice.is_multiple_of(2))? / 2;
        let (rows, prompt_tokens) = unpair(long(place, word::HOSTS_PROMPT));
        let (decided, actual) = unpair(long(place, word::DECIDED_ACTUAL));
        let (reason, flags) = unpair(long(place, word::REASON_FLAGS));
        let (score, model) = unpair(long(place, word::SCORE_MODEL));
        let hosts = place.get(RECORD_HEADER_BYTES..)?.as_chunks().0.get(..rows as usize)?;
        let head = [word::NOW, word::HOSTS_PROMPT, word::DECIDED_ACTUAL, word::REASON_FLAGS, word::SCORE_MODEL];
        let head = head.into_iter().map(|index| long(place, index));
        let check = head.fold(fold(CHECK_SEED, stamp), fold);
        let words = hosts.as_flattened().as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
        if words.fold(check, fold) != long(place, word::CHECK) {
            return None;
        }
        Some(Self {
            sequence,
            now_us: long(place, word::NOW),
            prompt_tokens,
            decided: Some(decided).filter(|host| *host != NO_HOST),
            actual: Some(actual).filter(|host| *host != NO_HOST),
            reason: *Reason::ALL.get(reason as usize)?,
            score: f32::from_bits(score),
            model: Some(model).filter(|checksum| *checksum != 0),
            outcome: Outcome::read(place, stamp),
            flags,
            hosts,
        })
    }
}

impl Outcome {
    fn read(place: &[u8], stamp: u64) -> Option<Self> {
        let numbers = [word::LATENCY, word::FIRST_BYTE, word::STATUS_TOKENS].map(|index| long(place, index));
        let check = numbers.into_iter().fold(fold(CHECK_SEED, stamp), fold);
        if long(place, word::OUTCOME_STAMP) != stamp || long(place, word::OUTCOME_CHECK) != check {
            return None;
        }
        let [latency_us, first_token_us, status_tokens] = numbers;
        let (status, output_tokens) = unpair(status_tokens);
        let status = match status {
            1 => Status::Success,
            2 => Status::Failure,
            3 => Status::Timeout,
            4 => Status::ClientAbort,
            5 => Status::NoWork,
            _ => return None,
        };
        Some(Self { status, latency_us, first_token_us: Some(first_token_us).filter(|us| *us != 0), output_tokens })
    }
}

impl Host {
    fn read(bytes: &[u8; HOST_BYTES]) -> Self {
        let words = bytes.as_chunks::<4>().0;
        let at = |index: usize| words.get(index).map_or(0, |word| u32::from_le_bytes(*word));
        Self {
            host: at(0),
            in_flight: at(1),
            estimate_s: f32::from_bits(at(2)),
            score: f32::from_bits(at(3)),
            features: core::array::from_fn(|feature| f32::from_bits(at(4 + feature))),
        }
    }
}

/// The little-endian 64-bit word of an index; 0 where the bytes end before it.
fn long(bytes: &[u8], index: usize) -> u64 {
    bytes.as_chunks().0.get(index).map_or(0, |word| u64::from_le_bytes(*word))
}
