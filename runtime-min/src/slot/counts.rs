//! The counts of a slot that belong together, for whoever sets them right after a process
//! has died between changing one and the next.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use super::HostSlot;

/// Requests sent and not ended, counted in three ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) in_flight: u32,
    pub(crate) in_flight_prompt_tokens: u32,
    pub(crate) sent: u64,
    pub(crate) done: u64,
}

impl HostSlot {
    /// The counts, read one by one: consistent only while nobody changes them.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            in_flight: self.in_flight.load(Acquire),
            in_flight_prompt_tokens: self.in_flight_prompt_tokens.load(Acquire),
            sent: self.sent.load(Acquire),
            done: self.done.load(Acquire),
        }
    }

    /// Takes off requests that nobody will finish, while others go on counting.
    pub(crate) fn take_off(&self, requests: u32, prompt_tokens: u32, done: u64) {
        let _ = self.in_flight.fetch_update(Relaxed, Relaxed, |n| Some(n.saturating_sub(requests)));
        let _ = self.in_flight_prompt_tokens.fetch_update(Relaxed, Relaxed, |n| Some(n.saturating_sub(prompt_tokens)));
        self.done.fetch_add(done, Relaxed);
    }
}
