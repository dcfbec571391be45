//! The ring as its writers see it.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use super::{
    CHECK_SEED, HAS_FEATURES, HAS_SCORES, HEADER_BYTES, HEADER_WORDS, HOST_WORDS, LAYOUT_VERSION, MAGIC, MOVED,
    NO_HOST, RECORD_HEADER_WORDS, SHADOW, complete, fold, pair, record_words, ring_bytes, unpair, word,
};
use crate::artifact::Model;
use crate::candidates::Eligible;
use crate::decide::Decision;
use crate::features::{self, HOST_FEATURES, View};
use crate::outcome::{self, Status, Ticket};
use crate::program::stride;
use crate::request::Request;
use crate::state::State;

/// Reason that memory is not a ring, or a decision was not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// The numbers of records or hosts are 0 or too large.
    Numbers,
    /// The memory is smaller than the ring.
    Memory,
    /// The memory holds no ring.
    Foreign,
    /// The ring has another layout, or other features, than this version writes.
    Layout,
    /// More hosts are eligible than a record holds.
    Hosts,
    /// Another writer is at the same place: the ring is too short for its writers.
    Taken,
    /// The record is no longer there: the ring has come round.
    Gone,
}

/// Who chose the host that the request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actual {
    /// The decision was followed.
    AsDecided,
    /// Another rule chose this host: the decision is a shadow's.
    Host(u32),
}

/// Counts of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingCounts {
    /// Decisions that were to be recorded, except for those with too many hosts.
    pub begun: u64,
    /// Left out: more hosts were eligible than a record holds.
    pub too_many_hosts: u64,
    /// Left out: the place was being written.
    pub place_taken: u64,
}

/// A ring in the caller's memory. Cheap to copy; writers need no exclusive access.
#[derive(Clone, Copy, Debug)]
pub struct Ring<'m> {
    header: &'m [AtomicU64],
    places: &'m [AtomicU64],
    place_words: usize,
    hosts_max: u32,
}

impl<'m> Ring<'m> {
    /// Makes an empty ring of the memory, whatever it held before. Nobody else may use
    /// the memory meanwhile.
    pub fn init(words: &'m [AtomicU64], records: u32, hosts_max: u32) -> Result<Self, RingError> {
        let bytes = ring_bytes(records, hosts_max).ok_or(RingError::Numbers)?;
        let words = words.get(..bytes / 8).ok_or(RingError::Memory)?;
        for word in words {
            store(word, 0);
        }
        let place_bytes = record_words(hosts_max) as u32 * 8;
        let numbers = [
            pair(LAYOUT_VERSION, HEADER_BYTES as u32),
            bytes as u64,
            pair(place_bytes, records),
            pair(hosts_max, HOST_FEATURES as u32),
            features::SCHEMA_HASH,
        ];
        for (word, number) in words.iter().skip(1).zip(numbers) {
            store(word, number);
        }
        if let Some(magic) = words.first() {
            // Whoever sees the mark sees the rest.
            magic.store(u64::from_le_bytes(MAGIC).to_le(), Release);
        }
        Self::attach(words)
    }

    /// Bytes of the ring whose header this is.
    pub fn size(header: &[AtomicU64]) -> Result<usize, RingError> {
        let header = header.get(..HEADER_WORDS).ok_or(RingError::Memory)?;
        let at = |index: usize| header.get(index).map_or(0, |word| u64::from_le(word.load(Acquire)));
        if at(0) != u64::from_le_bytes(MAGIC) {
            return Err(RingError::Foreign);
        }
        let (place_bytes, records) = unpair(at(3));
        let (hosts_max, host_features) = unpair(at(4));
        let bytes = ring_bytes(records, hosts_max).ok_or(RingError::Layout)?;
        let known = at(1) == pair(LAYOUT_VERSION, HEADER_BYTES as u32)
            && at(2) == bytes as u64
            && place_bytes as usize == record_words(hosts_max) * 8
            && host_features as usize == HOST_FEATURES
            && at(5) == features::SCHEMA_HASH;
        if known { Ok(bytes) } else { Err(RingError::Layout) }
    }

    /// Finds the ring that somebody made of the memory.
    pub fn attach(words: &'m [AtomicU64]) -> Result<Self, RingError> {
        let bytes = Self::size(words)?;
        let (header, places) = words.get(..bytes / 8).ok_or(RingError::Memory)?.split_at(HEADER_WORDS);
        let hosts_max = header.get(4).map_or(0, |word| unpair(u64::from_le(word.load(Relaxed))).0);
        Ok(Self { header, places, place_words: record_words(hosts_max), hosts_max })
    }

    /// Reads the counts.
    pub fn counts(&self) -> RingCounts {
        let at = |index: usize| self.header.get(index).map_or(0, |word| u64::from_le(word.load(Relaxed)));
        RingCounts {
            begun: at(word::RECORDS_BEGUN),
            too_many_hosts: at(word::TOO_MANY_HOSTS),
            place_taken: at(word::PLACE_TAKEN),
        }
    }

    /// Records a decision, and returns the record's number. To be called after
    /// [`decide`](crate::decide::decide), with the same arguments, and before the request
    /// is counted in: features and scores are computed a second time, since a decision
    /// keeps none. Where another thread has changed the state in between, the record says
    /// so ([`MOVED`]).
    #[expect(clippy::too_many_arguments, reason = "the inputs of a decision, its result, and who made use of it")]
    pub fn record(
        &self,
        model: Option<&Model<'_>>,
        state: &State<'_>,
        request: &Request<'_>,
        eligible: Eligible<'_>,
        now_us: u64,
        scratch: &mut [f32],
        decision: &Decision,
        actual: Actual,
    ) -> Result<u64, RingError> {
        let rows = eligible.hosts(state).count();
        if rows > self.hosts_max as usize {
            self.count(word::TOO_MANY_HOSTS);
            return Err(RingError::Hosts);
        }
        let (place, sequence) = self.take()?;
        let hosts = place.get(RECORD_HEADER_WORDS..).unwrap_or(&[]);
        let mut flags = write_hosts(hosts, model, state, request, eligible, rows, now_us, scratch);
        let written = hosts.chunks_exact(HOST_WORDS).take(rows);
        let decided = decision.host.unwrap_or(NO_HOST);
        // Nobody knows any more which of the hosts that start slowly sat out.
        let moved = flags & HAS_SCORES != 0
            && !decision.score.is_nan()
            && (state.is_starting() || !written.clone().any(|host| is_scored(host, decided, decision.score)));
        flags |= if moved { MOVED } else { 0 };
        let actual = match actual {
            Actual::AsDecided => decided,
            Actual::Host(host) => {
                flags |= SHADOW;
                host
            }
        };
        let numbers = [
            (word::NOW, now_us),
            (word::HOSTS_PROMPT, pair(rows as u32, request.prompt_tokens)),
            (word::DECIDED_ACTUAL, pair(decided, actual)),
            (word::REASON_FLAGS, pair(decision.reason as u32, flags)),
            (word::SCORE_MODEL, pair(decision.score.to_bits(), model.map_or(0, Model::checksum))),
        ];
        let mut check = fold(CHECK_SEED, complete(sequence));
        for (index, number) in numbers {
            put(place, index, number);
            check = fold(check, number);
        }
        check = written.flatten().fold(check, |check, word| fold(check, u64::from_le(word.load(Relaxed))));
        put(place, word::CHECK, check);
        // Only if nobody took the place over in the meantime; their record stands then.
        let own = complete(sequence) - 1;
        let done = place.first().is_some_and(|stamp| {
            stamp.compare_exchange(own.to_le(), complete(sequence).to_le(), Release, Relaxed).is_ok()
        });
        if done {
            return Ok(sequence);
        }
        self.count(word::PLACE_TAKEN);
        Err(RingError::Taken)
    }

    /// Adds to record number `sequence` how its request ended.
    pub fn record_outcome(
        &self,
        sequence: u64,
        ticket: &Ticket,
        outcome: &outcome::Outcome,
        now_us: u64,
    ) -> Result<(), RingError> {
        let place = self.place(sequence).ok_or(RingError::Gone)?;
        let stamp = complete(sequence);
        if place.first().is_none_or(|found| u64::from_le(found.load(Acquire)) != stamp) {
            return Err(RingError::Gone);
        }
        let first_token_us =
            if ticket.first_token_us == 0 { 0 } else { ticket.first_token_us.saturating_sub(ticket.sent_us) };
        let status = match outcome.status {
            Status::Success => 1,
            Status::Failure => 2,
            Status::Timeout => 3,
            Status::ClientAbort => 4,
            Status::NoWork => 5,
        };
        let numbers = [
            (word::LATENCY, now_us.saturating_sub(ticket.sent_us)),
            (word::FIRST_BYTE, first_token_us),
            (word::STATUS_TOKENS, pair(status, outcome.output_tokens)),
        ];
        let mut check = fold(CHECK_SEED, stamp);
        for (index, number) in numbers {
            put(place, index, number);
            check = fold(check, number);
        }
        put(place, word::OUTCOME_CHECK, check);
        if let Some(word) = place.get(word::OUTCOME_STAMP) {
            word.store(stamp.to_le(), Release);
        }
        Ok(())
    }

    /// The next number and its place, marked as being written.
    fn take(&self) -> Result<(&'m [AtomicU64], u64), RingError> {
        let sequence = u64::from_le(self.count(word::RECORDS_BEGUN));
        let places = (self.places.len() / self.place_words.max(1)) as u64;
        let taken = self.place(sequence).and_then(|place| {
            let stamp = place.first()?;
            let found = u64::from_le(stamp.load(Acquire));
            // An odd stamp is a writer's, unless it is from a round before the last; and a
            // later record stays.
            let is_left_over = found.saturating_add(4 * places) <= complete(sequence);
            let is_free = (found.is_multiple_of(2) && found < complete(sequence)) || is_left_over;
            let own = complete(sequence) - 1;
            let is_ours = is_free && stamp.compare_exchange(found.to_le(), own.to_le(), AcqRel, Relaxed).is_ok();
            is_ours.then_some(place)
        });
        let Some(place) = taken else {
            self.count(word::PLACE_TAKEN);
            return Err(RingError::Taken);
        };
        // The outcome is that of the record before.
        put(place, word::OUTCOME_STAMP, 0);
        Ok((place, sequence))
    }

    fn place(&self, sequence: u64) -> Option<&'m [AtomicU64]> {
        let places = (self.places.len() / self.place_words.max(1)) as u64;
        let index = sequence.checked_rem(places)? as usize;
        self.places.get(index * self.place_words..)?.get(..self.place_words)
    }

    /// Adds one to a counter of the header; returns what it was, as it stands in memory.
    fn count(&self, index: usize) -> u64 {
        let add = |value: u64| Some(u64::from_le(value).wrapping_add(1).to_le());
        self.header.get(index).map_or(0, |word| word.fetch_update(Relaxed, Relaxed, add).unwrap_or(0))
    }
}

/// Writes the hosts of a record; returns the flags that say what they have.
#[expect(clippy::too_many_arguments, reason = "the inputs of a decision, each on its own")]
fn write_hosts(
    hosts: &[AtomicU64],
    model: Option<&Model<'_>>,
    state: &State<'_>,
    request: &Request<'_>,
    eligible: Eligible<'_>,
    rows: usize,
    now_us: u64,
    scratch: &mut [f32],
) -> u32 {
    let places = || hosts.chunks_exact(HOST_WORDS).take(rows);
    let mut seen = eligible.hosts(state);
    for place in places() {
        // A host that was removed since they were counted leaves its place empty.
        let (host, in_flight, estimate_s) = match (seen.next(), model) {
            (Some((host, slot)), Some(model)) => {
                let view = View::new(model.service(), state, host, slot, request, now_us);
                (host, slot.in_flight(), view.estimate_s(model.service()))
            }
            (Some((host, slot)), None) => (host, slot.in_flight(), f32::NAN),
            (None, _) => (NO_HOST, 0, f32::NAN),
        };
        put(place, 0, pair(host, in_flight));
        put(place, 1, pair(estimate_s.to_bits(), f32::NAN.to_bits()));
        for word in place.iter().skip(2) {
            store(word, 0);
        }
    }
    let Some(model) = model.filter(|_| rows > 0 && scratch.len() >= HOST_FEATURES * stride(rows)) else { return 0 };
    features::write(model.service(), state, request, eligible, rows, now_us, scratch);
    for (row, place) in places().enumerate() {
        let feature = |column: usize| scratch.get(column * stride(rows) + row).map_or(0, |feature| feature.to_bits());
        for column in (0..HOST_FEATURES).step_by(2) {
            put(place, 2 + column / 2, pair(feature(column), feature(column + 1)));
        }
    }
    let Some(scores) = model.policy().and_then(|policy| policy.run(rows, scratch)) else { return HAS_FEATURES };
    for (place, score) in places().zip(scores) {
        let estimate = place.get(1).map_or(0, |word| unpair(u64::from_le(word.load(Relaxed))).0);
        put(place, 1, pair(estimate, score.to_bits()));
    }
    HAS_FEATURES | HAS_SCORES
}

/// Says whether a recorded host is this one, with this score.
fn is_scored(place: &[AtomicU64], host: u32, score: f32) -> bool {
    let at = |index: usize| place.get(index).map_or((0, 0), |word| unpair(u64::from_le(word.load(Relaxed))));
    at(0).0 == host && at(1).1 == score.to_bits()
}

fn put(place: &[AtomicU64], index: usize, number: u64) {
    if let Some(word) = place.get(index) {
        store(word, number);
    }
}

fn store(word: &AtomicU64, number: u64) {
    word.store(number.to_le(), Relaxed);
}
