//! Decisions recorded to a ring in the caller's memory, which `evenkeel audit` reads.

use core::ffi::c_void;
use core::sync::atomic::AtomicU64;

use super::choose::{read_attempt, read_facts};
use super::code::{EkCode, run};
use super::memory;
use super::model::{self, EkModel};
use super::requests::{read_outcome, read_ticket};
use super::types::{EK_NO_HOST, EkChoice, EkEligible, EkFacts, EkOutcome, EkRingCounts, EkTicket};
use super::upstream::{self, EkUpstream};
use crate::decide::Decision;
use crate::reason::Reason;
use crate::record::{self, Actual, Ring, RingError};
use crate::state::{HOST_WORDS, HOSTS_MAX};

/// Alignment in bytes of the memory of a ring.
pub const EK_RING_ALIGNMENT: usize = 64;

/// The last decisions, recorded: a ring in memory of the caller, which several threads and
/// processes may share, at different addresses. Written to a file as it is, it can be read
/// by `evenkeel audit`; `docs/runtime.md` describes its layout.
#[derive(Debug)]
pub struct EkRing(#[expect(dead_code, reason = "read through pointers alone")] Place);

#[derive(Debug)]
#[repr(C, align(64))]
struct Place(AtomicU64);

const _: () = assert!(align_of::<Place>() == EK_RING_ALIGNMENT);

/// Size in bytes of the memory of a ring of `records` records of up to `hosts_max` eligible
/// hosts each; 0 if a number is 0 or too large (2^24 records, `EK_HOSTS_MAX`).
#[unsafe(no_mangle)]
pub extern "C" fn ek_record_size(records: u32, hosts_max: u32) -> usize {
    record::ring_bytes(records, hosts_max).unwrap_or(0)
}

/// Makes an empty ring, whatever the memory held before.
///
/// `memory`: `ek_record_size(records, hosts_max)` bytes or more, aligned to
/// `EK_RING_ALIGNMENT`.
/// `ring`: gets the ring, which is the memory itself.
///
/// # Safety
/// - `memory` points to `memory_size` bytes which are the ring's as long as it is used, and
///   which nobody uses during the call.
/// - `ring` points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_record_init(
    memory: *mut c_void,
    memory_size: usize,
    records: u32,
    hosts_max: u32,
    ring: *mut *mut EkRing,
) -> EkCode {
    run(|| {
        memory::check(memory.cast::<Place>())?;
        memory::check(ring)?;
        let size = ek_record_size(records, hosts_max);
        if size == 0 || memory_size < size {
            return Err(EkCode::MemorySize);
        }
        // SAFETY: `size` bytes are ours; initialised, so that they can be looked at.
        unsafe { memory.cast::<u8>().write_bytes(0, size) };
        // SAFETY: forwarded to the caller.
        Ring::init(unsafe { words(memory, size) }?, records, hosts_max)?;
        // SAFETY: checked above.
        unsafe { ring.write(memory.cast()) };
        Ok(())
    })
}

/// Finds the ring in memory that somebody else initialised.
///
/// `ring`: gets the ring, which is the memory itself.
///
/// # Safety
/// - `memory` points to `memory_size` initialised bytes which are the ring's as long as it
///   is used.
/// - `ring` points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_record_attach(memory: *mut c_void, memory_size: usize, ring: *mut *mut EkRing) -> EkCode {
    run(|| {
        memory::check(memory.cast::<Place>())?;
        memory::check(ring)?;
        // SAFETY: forwarded to the caller.
        Ring::attach(unsafe { words(memory, memory_size) }?)?;
        // SAFETY: checked above.
        unsafe { ring.write(memory.cast()) };
        Ok(())
    })
}

/// Records a decision: what the policy saw of every eligible host, what it made of it, and
/// where the request goes. To be called between `ek_upstream_choose` and `ek_upstream_begin`,
/// with the same arguments; costs about as much as the choice itself.
///
/// `actual_host`: where the request goes. `choice->host` if the choice is followed;
/// any other one makes the record a shadow's, and so does `shadow`.
/// `shadow`: 1 if another rule chose `actual_host` whatever the choice was, else 0.
/// `sequence`: gets the record's number, for `ek_record_outcome`; may be NULL.
///
/// Returns `EK_CODE_CAPACITY` if more hosts are eligible than a record holds.
///
/// # Safety
/// - `ring` comes from `ek_record_init` or `ek_record_attach`, its memory still in place.
/// - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
/// - `upstream` comes from `ek_upstream_open` or `ek_upstream_attach`, its memory still in place.
/// - `facts`, `eligible` and `choice` are those of `ek_upstream_choose`.
/// - `scratch` points to `scratch_size` bytes that nobody else uses during the call.
/// - `sequence` is NULL or points to a `uint64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_record_decision(
    ring: *mut EkRing,
    upstream: *const EkUpstream,
    model: *const EkModel,
    facts: *const EkFacts,
    eligible: *const EkEligible,
    now_us: u64,
    scratch: *mut c_void,
    scratch_size: usize,
    choice: *const EkChoice,
    actual_host: u32,
    shadow: u32,
    sequence: *mut u64,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let ring = unsafe { view(ring) }?;
        // SAFETY: forwarded to the caller.
        let model = unsafe { model::optional(model) }?;
        // SAFETY: forwarded to the caller.
        let upstream = unsafe { upstream::view(upstream) }?;
        // SAFETY: forwarded to the caller.
        let facts = unsafe { read_facts(facts) }?;
        // SAFETY: forwarded to the caller.
        let attempt = unsafe { read_attempt(eligible) }?;
        // SAFETY: forwarded to the caller.
        let scratch = unsafe { memory::slice_mut(scratch.cast::<f32>(), scratch_size / size_of::<f32>()) }?;
        // SAFETY: forwarded to the caller.
        let choice = unsafe { memory::input(choice) }?;
        if !sequence.is_null() {
            memory::check(sequence)?;
        }
        if shadow > 1 {
            return Err(EkCode::Enumeration);
        }
        let reason = *Reason::ALL.get(choice.reason as usize).ok_or(EkCode::Enumeration)?;
        let host = Some(choice.host).filter(|host| *host != EK_NO_HOST && reason != Reason::NoHost);
        let made = Decision { host, score: choice.score, reason };
        let followed = shadow == 0 && host == Some(actual_host);
        let actual = if followed { Actual::AsDecided } else { Actual::Host(actual_host) };
        let mut cached = [0; HOSTS_MAX];
        let request = upstream.resolve(model.map(crate::Model::service), &facts, now_us, &mut cached);
        let mut words = [0; HOST_WORDS];
        let untried = attempt.untried(&mut words);
        let number = ring.record(model, upstream.state(), &request, untried, now_us, scratch, &made, actual)?;
        if !sequence.is_null() {
            // SAFETY: checked above.
            unsafe { sequence.write(number) };
        }
        Ok(())
    })
}

/// Adds to a record how its request ended. To be called before `ek_upstream_finish`.
///
/// `sequence`: the record's number. Returns `EK_CODE_RECORD_GONE` once the ring has come
/// round.
///
/// # Safety
/// - `ring` comes from `ek_record_init` or `ek_record_attach`, its memory still in place.
/// - `ticket` points to an initialised `ek_ticket`.
/// - `outcome` points to `outcome->struct_size` initialised bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_record_outcome(
    ring: *mut EkRing,
    sequence: u64,
    ticket: *const EkTicket,
    outcome: *const EkOutcome,
    now_us: u64,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let ring = unsafe { view(ring) }?;
        // SAFETY: forwarded to the caller.
        let ticket = unsafe { read_ticket(ticket) }?;
        // SAFETY: forwarded to the caller.
        let outcome = unsafe { read_outcome(outcome) }?;
        Ok(ring.record_outcome(sequence, &ticket.to_runtime(), &outcome, now_us)?)
    })
}

/// Reads what a ring has seen.
///
/// `counts`: filled in; its `struct_size` must be set.
///
/// # Safety
/// - `ring` comes from `ek_record_init` or `ek_record_attach`, its memory still in place.
/// - `counts` points to `counts->struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_record_counts(ring: *const EkRing, counts: *mut EkRingCounts) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let ring = unsafe { view(ring) }?;
        // SAFETY: forwarded to the caller.
        let struct_size = unsafe { memory::struct_size(counts) }? as u32;
        let seen = ring.counts();
        let read = EkRingCounts {
            struct_size,
            reserved: 0,
            begun: seen.begun,
            too_many_hosts: seen.too_many_hosts,
            place_taken: seen.place_taken,
        };
        // SAFETY: checked above.
        unsafe { counts.write(read) };
        Ok(())
    })
}

/// The runtime's view of a ring.
///
/// # Safety
/// - If neither NULL nor misaligned, `ring` points to as many initialised bytes as the
///   header of a ring has, and comes from [`ek_record_init`] or [`ek_record_attach`] if it
///   carries the mark.
unsafe fn view<'a>(ring: *const EkRing) -> Result<Ring<'a>, EkCode> {
    memory::check(ring)?;
    // SAFETY: forwarded to the caller.
    let header = unsafe { words(ring.cast(), record::HEADER_BYTES) }?;
    let size = Ring::size(header)?;
    // SAFETY: it carries the mark, so that it is as long as it says.
    Ok(Ring::attach(unsafe { words(ring.cast(), size) }?)?)
}

/// Memory as the words of a ring.
///
/// # Safety
/// - `memory` is aligned and points to `size` initialised bytes, changed through atomics
///   alone during `'a`.
unsafe fn words<'a>(memory: *const c_void, size: usize) -> Result<&'a [AtomicU64], EkCode> {
    // SAFETY: forwarded to the caller.
    unsafe { memory::slice(memory.cast::<AtomicU64>(), size / size_of::<AtomicU64>()) }
}

impl From<RingError> for EkCode {
    fn from(error: RingError) -> Self {
        match error {
            RingError::Numbers | RingError::Memory => Self::MemorySize,
            RingError::Foreign => Self::RingForeign,
            RingError::Layout => Self::RingLayout,
            RingError::Hosts => Self::Capacity,
            RingError::Taken => Self::RingTaken,
            RingError::Gone => Self::RecordGone,
        }
    }
}
