//! The telemetry file: what an agent scrapes from the hosts, for any number of proxies that
//! map it read-only.
//!
//! It is an array of 64-bit words in the machine's own byte order (of the other order, the
//! magic does not match):
//!
//! ```text
//! word      header
//! 0         magic "EVKTELEM"
//! 1         version (low half), slots (high half)
//! 2         heartbeat: when the agent last went round, in µs
//! 3         raised by one whenever an agent takes the file over
//! 4 to 15   zero
//!
//! word      slot, of 8 words each
//! 0         sequence: odd while the slot is being written
//! 1         key of the host, 0 for a slot that was never used
//! 2         when the host was measured, in µs; 0 for not yet, or not any more
//! 3         requests running (low half), waiting (high half), as f32
//! 4         prompt tokens to prefill (low half), share of the KV cache in use (high half)
//! 5         time per output token in seconds (low half), zero (high half)
//! 6         check: what [`check`] makes of words 1 to 5
//! 7         zero
//! ```
//!
//! Times are the system's monotonic clock, which all processes of a machine share. A host's
//! key is [`host_key`] of its address; its slot is the first that has the key, from `key`
//! modulo the number of slots on, up to the first that was never used.
//!
//! There is one writer. Readers never wait for it: a slot that changes while it is read, or
//! that a killed writer left half-written, is skipped, and what it held grows old.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU64, fence};

use evenkeel_numbers::fnv;
use evenkeel_numbers::random::GOLDEN;

use crate::state::State;
use crate::telemetry::Telemetry;

/// First word of a file.
pub const MAGIC: u64 = u64::from_ne_bytes(*b"EVKTELEM");
/// Version of the layout.
pub const VERSION: u32 = 1;
/// Words of the header.
pub const HEADER_WORDS: usize = 16;
/// Words of a slot.
pub const SLOT_WORDS: usize = 8;
/// Most slots.
pub const SLOTS_MAX: u32 = 4096;

/// How often a slot that is being written is looked at before it is skipped.
const TRIES: u32 = 8;

/// Words of a file with so many slots.
pub const fn words(slots: u32) -> usize {
    HEADER_WORDS + slots as usize * SLOT_WORDS
}

/// The key of a host: FNV-1a of its address as NGINX writes it, `10.0.0.1:8000` or
/// `[::1]:8000`. Never 0.
pub fn host_key(address: &[u8]) -> u64 {
    fnv::hash(address).max(1)
}

/// Why memory is not taken for a telemetry file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    /// It is shorter than its header, or than its header says.
    Truncated,
    /// It does not begin as a telemetry file does.
    Magic,
    /// It is of a version that this runtime does not read.
    Version,
    /// It has no slots, or too many.
    Slots,
}

/// What the file says of a host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The host.
    pub key: u64,
    /// When it was measured, in microseconds of the system's monotonic clock.
    pub measured_us: u64,
    /// What was measured; NaN for what the host does not tell.
    pub telemetry: Telemetry,
}

/// A file that was checked.
#[derive(Clone, Copy, Debug)]
pub struct TelemetryFile<'m> {
    header: &'m [AtomicU64],
    slots: &'m [[AtomicU64; SLOT_WORDS]],
}

impl<'m> TelemetryFile<'m> {
    /// Checks the header. Memory beyond the slots is ignored.
    pub fn parse(words: &'m [AtomicU64]) -> Result<Self, FileError> {
        let (header, rest) = words.split_at_checked(HEADER_WORDS).ok_or(FileError::Truncated)?;
        let word = |index: usize| header.get(index).map_or(0, |word| word.load(Acquire));
        if word(0) != MAGIC {
            return Err(FileError::Magic);
        }
        if word(1) as u32 != VERSION {
            return Err(FileError::Version);
        }
        let slots = (word(1) >> 32) as u32;
        if slots == 0 || slots > SLOTS_MAX {
            return Err(FileError::Slots);
        }
        let slots = rest.as_chunks().0.get(..slots as usize).ok_or(FileError::Truncated)?;
        Ok(Self { header, slots })
    }

    /// Makes an empty file of `words` and returns it; how often it was taken over goes on.
    pub fn create(words: &'m [AtomicU64], slots: u32) -> Result<Self, FileError> {
        if slots == 0 || slots > SLOTS_MAX {
            return Err(FileError::Slots);
        }
        let (header, rest) = words.split_at_checked(HEADER_WORDS).ok_or(FileError::Truncated)?;
        let slots_there = rest.as_chunks().0.get(..slots as usize).ok_or(FileError::Truncated)?;
        let file = Self { header, slots: slots_there };
        file.set(0, 0);
        for slot in file.slots {
            write_slot(slot, 0, 0, &Telemetry::UNKNOWN);
        }
        file.set(1, u64::from(VERSION) | u64::from(slots) << 32);
        file.set(2, 0);
        file.set(3, file.word(3).wrapping_add(1));
        file.set(0, MAGIC);
        Ok(file)
    }

    /// Number of slots.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// When the agent last went round, in microseconds of the system's monotonic clock.
    pub fn heartbeat_us(&self) -> u64 {
        self.word(2)
    }

    /// How often the file was taken over by an agent.
    pub fn generation(&self) -> u64 {
        self.word(3)
    }

    /// What is known of a host; `None` if nothing.
    pub fn find(&self, key: u64) -> Option<Reading> {
        let slot = self.slots.get(self.place(key)?)?;
        read_slot(slot).filter(|reading| reading.key == key && reading.measured_us > 0)
    }

    /// What one slot holds; `None` for nothing.
    pub fn read(&self, slot: usize) -> Option<Reading> {
        read_slot(self.slots.get(slot)?).filter(|reading| reading.key != 0 && reading.measured_us > 0)
    }

    /// Hands every host of the state its latest reading. Returns how many were news.
    pub fn apply(&self, state: &State<'_>, now_us: u64) -> u32 {
        let mut taken = 0;
        for (host, slot) in state.hosts() {
            let Some(reading) = self.find(slot.key()) else { continue };
            // The same reading again would wipe out what has been sent since the first time.
            let is_news = slot.telemetry_age_s(reading.measured_us).is_none_or(|age_s| age_s > 0.0);
            if is_news {
                taken += u32::from(state.report(host, &reading.telemetry, reading.measured_us, now_us));
            }
        }
        taken
    }

    /// Writes a host's reading: into its own slot, or the first that is free, where
    /// `is_free` says of keys whether their hosts are gone. `false` if there is no room.
    pub fn write(&self, key: u64, telemetry: &Telemetry, measured_us: u64, is_free: impl Fn(u64) -> bool) -> bool {
        let place = self.place(key).or_else(|| {
            self.probe(key).find(|place| {
                let known = self.key(*place);
                known == 0 || is_free(known)
            })
        });
        let Some(slot) = place.and_then(|place| self.slots.get(place)) else { return false };
        write_slot(slot, key, measured_us, telemetry);
        true
    }

    /// Takes what is known of a host back.
    pub fn forget(&self, key: u64) {
        if let Some(slot) = self.place(key).and_then(|place| self.slots.get(place)) {
            write_slot(slot, key, 0, &Telemetry::UNKNOWN);
        }
    }

    /// Notes that the agent lives.
    pub fn beat(&self, now_us: u64) {
        self.set(2, now_us);
    }

    /// The slot that has a key.
    fn place(&self, key: u64) -> Option<usize> {
        if key == 0 {
            return None;
        }
        let mut probe = self.probe(key).take_while(|place| self.key(*place) != 0);
        probe.find(|place| self.key(*place) == key)
    }

    /// All slots, in the order in which those of a key are looked at.
    fn probe(&self, key: u64) -> impl Iterator<Item = usize> + use<> {
        let slots = self.slots.len();
        let first = (key % slots.max(1) as u64) as usize;
        (first..slots).chain(0..first)
    }

    fn key(&self, slot: usize) -> u64 {
        self.slots.get(slot).and_then(|slot| slot.get(1)).map_or(0, |key| key.load(Acquire))
    }

    fn word(&self, index: usize) -> u64 {
        self.header.get(index).map_or(0, |word| word.load(Acquire))
    }

    fn set(&self, index: usize, value: u64) {
        if let Some(word) = self.header.get(index) {
            word.store(value, Release);
        }
    }
}

/// What word 6 of a slot must be, given words 1 to 5: a slot that was damaged, or is of
/// another layout, is not believed.
pub fn check(words: [u64; 5]) -> u64 {
    words.iter().fold(MAGIC, |hash, word| (hash ^ word).wrapping_mul(GOLDEN).rotate_left(31))
}

fn read_slot(slot: &[AtomicU64; SLOT_WORDS]) -> Option<Reading> {
    let [sequence, key, measured, load, memory, step, checked, _] = slot;
    for _ in 0..TRIES {
        let before = sequence.load(Acquire);
        if before & 1 == 0 {
            let words = [key, measured, load, memory, step].map(|word| word.load(Relaxed));
            let found = checked.load(Relaxed);
            fence(Acquire);
            if sequence.load(Relaxed) == before {
                return (found == check(words)).then(|| reading(words));
            }
        }
        core::hint::spin_loop();
    }
    None
}

fn reading([key, measured_us, load, memory, step]: [u64; 5]) -> Reading {
    let low = |word: u64| f32::from_bits(word as u32);
    let high = |word: u64| f32::from_bits((word >> 32) as u32);
    let telemetry = Telemetry {
        running: low(load),
        waiting: high(load),
        pending_prefill_tokens: low(memory),
        kv_use: high(memory),
        step_s: low(step),
    };
    Reading { key, measured_us, telemetry }
}

fn write_slot(slot: &[AtomicU64; SLOT_WORDS], new_key: u64, measured_us: u64, telemetry: &Telemetry) {
    let [sequence, key, measured, load, memory, step, checked, _] = slot;
    let pair = |low: f32, high: f32| u64::from(low.to_bits()) | u64::from(high.to_bits()) << 32;
    let words = [
        new_key,
        measured_us,
        pair(telemetry.running, telemetry.waiting),
        pair(telemetry.pending_prefill_tokens, telemetry.kv_use),
        u64::from(telemetry.step_s.to_bits()),
    ];
    // A writer that was killed half-way leaves an odd number behind; the next one goes on
    // from there.
    let odd = sequence.load(Relaxed) | 1;
    sequence.store(odd, Relaxed);
    fence(Release);
    for (word, value) in [key, measured, load, memory, step].into_iter().zip(words) {
        word.store(value, Relaxed);
    }
    checked.store(check(words), Relaxed);
    sequence.store(odd.wrapping_add(1), Release);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::HostSlot;
    use crate::state::StateHeader;
    use std::vec::Vec;

    fn memory(words: usize) -> Vec<AtomicU64> {
        (0..words).map(|_| AtomicU64::new(0)).collect()
    }

    fn telemetry(running: f32) -> Telemetry {
        Telemetry { running, waiting: 2.0, pending_prefill_tokens: f32::NAN, kv_use: 0.25, step_s: 0.03 }
    }

    #[test]
    fn keys_are_those_of_the_modules() {
        // FNV-1a of "a" and of nothing, from its authors' test vectors.
        assert_eq!(host_key(b"a"), 0xAF63_DC4C_8601_EC8C);
        assert_eq!(host_key(b""), 0xCBF2_9CE4_8422_2325);
    }

    #[test]
    fn what_is_written_is_read_and_what_is_forgotten_is_not() {
        let memory = memory(words(4));
        let file = TelemetryFile::create(&memory, 4).unwrap();
        // All of them want the same slot.
        for key in [4, 8, 12] {
            assert!(file.write(key, &telemetry(key as f32), key + 100, |_| false));
        }
        let reader = TelemetryFile::parse(&memory).unwrap();
        assert_eq!(reader.find(8).map(|reading| (reading.measured_us, reading.telemetry.running)), Some((108, 8.0)));
        assert!(reader.find(12).unwrap().telemetry.pending_prefill_tokens.is_nan());
        file.forget(8);
        assert_eq!(reader.find(8), None);
        assert!(reader.find(12).is_some(), "a forgotten host must not hide those behind it");
        assert!(file.write(16, &telemetry(1.0), 1, |_| false));
        assert!(!file.write(20, &telemetry(1.0), 1, |_| false), "four hosts fill four slots");
        assert!(file.write(20, &telemetry(1.0), 1, |key| key == 8));
        assert!(reader.find(20).is_some());
        assert_eq!((0..4).filter_map(|slot| reader.read(slot)).count(), 4);
    }

    #[test]
    fn foreign_and_damaged_files_are_refused() {
        let memory = memory(words(2));
        assert_eq!(TelemetryFile::parse(&memory).err(), Some(FileError::Magic));
        let file = TelemetryFile::create(&memory, 2).unwrap();
        file.write(3, &telemetry(1.0), 7, |_| false);
        assert_eq!(TelemetryFile::parse(&memory[..HEADER_WORDS + 9]).err(), Some(FileError::Truncated));
        assert_eq!(TelemetryFile::parse(&memory[..3]).err(), Some(FileError::Truncated));
        memory[HEADER_WORDS + SLOT_WORDS + 3].fetch_xor(1 << 40, Relaxed);
        assert_eq!(file.find(3), None, "the check does not match");
        memory[1].store(u64::from(VERSION + 1) | 2 << 32, Relaxed);
        assert_eq!(TelemetryFile::parse(&memory).err(), Some(FileError::Version));
        memory[1].store(u64::from(VERSION), Relaxed);
        assert_eq!(TelemetryFile::parse(&memory).err(), Some(FileError::Slots));
    }

    #[test]
    fn a_writer_killed_half_way_hides_its_slot_until_the_next_one() {
        let memory = memory(words(2));
        let file = TelemetryFile::create(&memory, 2).unwrap();
        file.write(2, &telemetry(1.0), 7, |_| false);
        memory[HEADER_WORDS].fetch_add(1, Relaxed);
        assert_eq!(file.find(2), None);
        file.write(2, &telemetry(2.0), 8, |_| false);
        assert_eq!(file.find(2).map(|reading| reading.measured_us), Some(8));
        let generation = file.generation();
        assert_eq!(TelemetryFile::create(&memory, 2).unwrap().generation(), generation + 1);
    }

    #[test]
    fn a_state_takes_what_is_news_of_its_hosts() {
        let memory = memory(words(8));
        let file = TelemetryFile::create(&memory, 8).unwrap();
        let header = StateHeader::new(1);
        let slots: Vec<HostSlot> = (0..2).map(|_| HostSlot::default()).collect();
        let state = State::new(&header, &slots);
        let host = state.register(host_key(b"10.0.0.1:8000"), 1.0, 0).unwrap();
        file.write(host_key(b"10.0.0.1:8000"), &telemetry(5.0), 1_000_000, |_| false);
        file.write(host_key(b"10.0.0.2:8000"), &telemetry(6.0), 1_000_000, |_| false);
        assert_eq!((file.apply(&state, 1 << 40), file.apply(&state, 1 << 40)), (1, 0));
        let slot = state.host(host).unwrap();
        assert_eq!(slot.telemetry().running, 5.0);
        // The agent dies: ages grow.
        assert_eq!(slot.telemetry_age_s(4_000_000), Some(3.0));
        assert_eq!(file.apply(&state, 1 << 40), 0);
    }

    #[test]
    fn readers_never_see_halves() {
        let memory = memory(words(1));
        let file = TelemetryFile::create(&memory, 1).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..20_000_u64 {
                    let running = round as f32;
                    let telemetry = Telemetry { running, waiting: running, step_s: running, ..Telemetry::UNKNOWN };
                    file.write(9, &telemetry, round, |_| false);
                }
            });
            for _ in 0..20_000 {
                if let Some(Reading { measured_us, telemetry, .. }) = file.find(9) {
                    let expected = measured_us as f32;
                    assert_eq!([telemetry.running, telemetry.waiting, telemetry.step_s], [expected; 3]);
                }
            }
        });
    }
}
