//! Which process has which requests under way, so that those of a killed one are taken back.
//!
//! A slot's counts are sums over all processes; when one of them is killed, nobody would
//! ever finish its requests. Hence each process also keeps, in the same shared memory, its
//! own count for each host: the ledger. Whoever takes the place of the dead
//! ([`Ledger::join`]) takes that count off the slot.
//!
//! A process may be killed between changing the one and the other. It therefore announces
//! each update (an odd `epoch`, and the host), as the writer of a sequence lock does:
//!
//! ```text
//! begin:   epoch odd │ own entry + 1 │ slot's counts + 1 │ epoch even
//! finish:  epoch odd │ slot's counts − 1 │ own entry − 1 │ epoch even
//! ```
//!
//! Where the epoch is even, entry and slot agree: `join` subtracts the entry. Where it is
//! odd, one host is in doubt. Its slot must show the sum of the other processes' entries;
//! what it shows more than that is the dead one's. Both are read while no other process is
//! inside an update of that host, which their epochs tell (read before and after, as the
//! reader of a sequence lock does), and the surplus is subtracted, so that updates in the
//! meantime are not lost. `join` announces its own steps in the same way: if it is killed
//! too, the next one goes on.
//!
//! Costs a process two plain stores and a fence per update, on a cache line of its own.

use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    fence,
};

use crate::outcome::{Outcome, Ticket};
use crate::service::ServiceModel;
use crate::slot::HostSlot;
use crate::state::State;

/// Most processes that share a state.
pub const PROCESSES_MAX: usize = 1024;

/// A ticket's owner: the process's number plus one in the low bits, and above them how many times
/// its place was taken, as far as there is room.
const OWNER_MASK: u32 = (1 << OWNER_BITS) - 1;
const OWNER_BITS: u32 = 11;

const _: () = assert!(PROCESSES_MAX < OWNER_MASK as usize);

/// Looks at a host in doubt before the caller is told to come back. An
/// update takes tens of nanoseconds, so that only a process which was suspended inside of
/// one is waited for in vain.
const LOOKS_MAX: u32 = 1000;

/// Announcements of a process. All zeros: never joined.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Process {
    /// Odd inside an update.
    epoch: AtomicU64,
    /// The host of the update.
    host: AtomicU32,
    /// Host in doubt plus one, which a former `join` could not settle; 0 for none.
    in_doubt: AtomicU32,
    /// Number of times that a process has taken this place; requests of former ones are not this
    /// one's to finish.
    generation: AtomicU32,
    /// 1 once `join` has succeeded.
    is_joined: AtomicU32,
}

/// Reason that a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerError {
    /// There is no such process, or it has not joined.
    Process,
    /// Another process is joining, or suspended inside an update: call again.
    Busy,
    /// There is no such host.
    Host,
    /// The request was taken back.
    Gone,
}

/// The processes of a state. Of each process, one thread at a time may call.
#[derive(Clone, Copy, Debug)]
pub struct Ledger<'m> {
    lock: &'m AtomicU32,
    processes: &'m [Process],
    /// For each process a row of [`row_len`] entries: requests (low half) and prompt
    /// tokens (high half) under way at each host.
    entries: &'m [AtomicU64],
    row_len: usize,
    slots: &'m [HostSlot],
}

/// Entries of a process: those of its hosts, in whole pairs of cache lines.
pub const fn row_len(hosts_max: usize) -> usize {
    hosts_max.next_multiple_of(16)
}

impl<'m> Ledger<'m> {
    /// A view of the caller's memory: `slots` are those of the state, and `entries` has
    /// [`row_len`]`(slots.len())` elements for each process.
    pub fn new(lock: &'m AtomicU32, processes: &'m [Process], entries: &'m [AtomicU64], slots: &'m [HostSlot]) -> Self {
        Self { lock, processes, entries, row_len: row_len(slots.len()), slots }
    }

    /// A process takes its place, and takes back what the former holder of the place left
    /// under way: returns the number of those requests. The former holder must be dead, or
    /// never finish a request again.
    ///
    /// # Errors
    /// [`LedgerError::Busy`]: nothing is lost, but the process has not joined; call again.
    pub fn join(&self, process: u32) -> Result<u32, LedgerError> {
        let own = self.process(process)?;
        let ticket = process + 1;
        // Our own mark in the lock was left by a former holder of our place.
        if let Err(holder) = self.lock.compare_exchange(0, ticket, Acquire, Relaxed)
            && holder != ticket
        {
            return Err(LedgerError::Busy);
        }
        own.is_joined.store(0, Relaxed);
        let taken_back = self.take_back(process, own);
        if taken_back.is_ok() {
            own.generation.fetch_add(1, Relaxed);
            own.is_joined.store(1, Release);
        }
        self.lock.store(0, Release);
        taken_back
    }

    /// Requests that a process has under way at a host, removed hosts included.
    pub fn in_flight(&self, process: u32, host: u32) -> Option<u32> {
        Some(self.entry(process, host)?.load(Relaxed) as u32)
    }

    /// [`State::begin`], by a process.
    pub fn begin(
        &self,
        process: u32,
        state: &State<'_>,
        host: u32,
        prompt_tokens: u32,
        now_us: u64,
    ) -> Result<Ticket, LedgerError> {
        let own = self.joined(process)?;
        let entry = state.host(host).and_then(|_| self.entry(process, host)).ok_or(LedgerError::Host)?;
        own.enter(host);
        let before = entry.load(Relaxed);
        entry.store(plus(before, prompt_tokens), Relaxed);
        let ticket = state.begin(host, prompt_tokens, now_us);
        if ticket.is_none() {
            // The host was removed in between.
            entry.store(before, Relaxed);
        }
        own.leave();
        let owner = owner(process, own.generation.load(Relaxed));
        ticket.map(|ticket| Ticket { owner, ..ticket }).ok_or(LedgerError::Host)
    }

    /// [`State::finish`], by the process that began the request.
    pub fn finish(
        &self,
        state: &State<'_>,
        ticket: &Ticket,
        outcome: &Outcome,
        service: Option<&ServiceModel>,
        now_us: u64,
    ) -> Result<(), LedgerError> {
        let process = (ticket.owner & OWNER_MASK).checked_sub(1).ok_or(LedgerError::Gone)?;
        let own = self.joined(process)?;
        let entry = self.entry(process, ticket.host).ok_or(LedgerError::Host)?;
        let before = entry.load(Relaxed);
        if owner(process, own.generation.load(Relaxed)) != ticket.owner || requests(before) == 0 {
            return Err(LedgerError::Gone);
        }
        own.enter(ticket.host);
        state.finish(ticket, outcome, service, now_us);
        entry.store(minus(before, ticket.prompt_tokens), Relaxed);
        own.leave();
        Ok(())
    }

    fn take_back(&self, process: u32, own: &Process) -> Result<u32, LedgerError> {
        let mut taken_back = 0u32;
        if !own.epoch.load(Acquire).is_multiple_of(2) {
            // In this order, so that the doubt outlives us.
            own.in_doubt.store(own.host.load(Relaxed).saturating_add(1), Relaxed);
            own.leave();
        }
        if let Some(host) = own.in_doubt.load(Relaxed).checked_sub(1)
            && let Some(entry) = self.entry(process, host)
        {
            taken_back += requests(entry.swap(0, AcqRel));
            if let Some(slot) = self.slots.get(host as usize)
                && !self.settle(process, slot, host)
            {
                return Err(LedgerError::Busy);
            }
        }
        own.in_doubt.store(0, Release);
        for host in 0..self.row_len as u32 {
            let Some(entry) = self.entry(process, host) else { continue };
            let left = entry.load(Relaxed);
            if left == 0 {
                continue;
            }
            own.enter(host);
            if let Some(slot) = self.slots.get(host as usize) {
                slot.take_off(requests(left), prompt_tokens(left), u64::from(requests(left)));
            }
            entry.store(0, Relaxed);
            own.leave();
            taken_back = taken_back.saturating_add(requests(left));
        }
        Ok(taken_back)
    }

    /// Sets a slot to what the other processes' entries say. `false` if one of them was
    /// inside an update whenever we looked.
    fn settle(&self, process: u32, slot: &HostSlot, host: u32) -> bool {
        for _ in 0..LOOKS_MAX {
            if let Some(epochs) = self.epochs(process, host) {
                let found = slot.counts();
                let (mut requests_owed, mut tokens_owed) = (0u32, 0u32);
                for other in (0..self.processes.len() as u32).filter(|other| *other != process) {
                    let entry = self.entry(other, host).map_or(0, |entry| entry.load(Relaxed));
                    requests_owed = requests_owed.wrapping_add(requests(entry));
                    tokens_owed = tokens_owed.wrapping_add(prompt_tokens(entry));
                }
                fence(Acquire);
                if self.epochs(process, host) == Some(epochs) {
                    let open = found.sent.saturating_sub(found.done);
                    slot.take_off(
                        found.in_flight.saturating_sub(requests_owed),
                        found.in_flight_prompt_tokens.saturating_sub(tokens_owed),
                        open.saturating_sub(u64::from(requests_owed)),
                    );
                    return true;
                }
            }
            core::hint::spin_loop();
        }
        false
    }

    /// The sum of the other processes' epochs, which grows with every update; `None` while
    /// one of them updates this host.
    fn epochs(&self, process: u32, host: u32) -> Option<u64> {
        let others = (0u32..).zip(self.processes).filter(|(number, _)| *number != process);
        let mut sum = 0u64;
        for (_, other) in others {
            let epoch = other.epoch.load(Acquire);
            if !epoch.is_multiple_of(2) && other.host.load(Relaxed) == host {
                return None;
            }
            sum = sum.wrapping_add(epoch);
        }
        Some(sum)
    }

    fn process(&self, process: u32) -> Result<&'m Process, LedgerError> {
        self.processes.get(process as usize).ok_or(LedgerError::Process)
    }

    fn joined(&self, process: u32) -> Result<&'m Process, LedgerError> {
        self.process(process).ok().filter(|own| own.is_joined.load(Relaxed) == 1).ok_or(LedgerError::Process)
    }

    fn entry(&self, process: u32, host: u32) -> Option<&'m AtomicU64> {
        let row = self.entries.get(process as usize * self.row_len..)?.get(..self.row_len)?;
        row.get(host as usize)
    }
}

impl Process {
    /// Announces an update.
    fn enter(&self, host: u32) {
        self.host.store(host, Relaxed);
        self.epoch.store(self.epoch.load(Relaxed).wrapping_add(1), Release);
        // Nothing of the update is seen by anybody before the odd epoch.
        fence(Release);
    }

    fn leave(&self) {
        self.epoch.store(self.epoch.load(Relaxed).wrapping_add(1), Release);
    }
}

const fn owner(process: u32, generation: u32) -> u32 {
    (process + 1) | generation << OWNER_BITS
}

const fn requests(entry: u64) -> u32 {
    entry as u32
}

const fn prompt_tokens(entry: u64) -> u32 {
    (entry >> 32) as u32
}

/// An entry with one request more. Tokens wrap as the slot's do.
const fn plus(entry: u64, tokens: u32) -> u64 {
    (requests(entry).wrapping_add(1) as u64) | (prompt_tokens(entry).wrapping_add(tokens) as u64) << 32
}

/// An entry with one request less. Tokens saturate as the slot's do.
const fn minus(entry: u64, tokens: u32) -> u64 {
    (requests(entry).wrapping_sub(1) as u64) | (prompt_tokens(entry).saturating_sub(tokens) as u64) << 32
}
