//! Requests that are dropped before they are complete.

use super::{LlmHost, Running};

impl LlmHost {
    /// Drops a request: from the queue at once, from the batch at the end of the step under
    /// way, as engines do. Nothing is told of it any more, except for what that step brings.
    /// One that is not here is ignored.
    pub fn abort(&mut self, now_s: f64, request: u32) {
        if let Some(index) = self.waiting.iter().position(|waiting| waiting.job.request == request) {
            let dropped = self.waiting.remove(index).expect("it was found there");
            self.pending_prefill_tokens -= u64::from(dropped.prefill_tokens());
            // The next in the queue may fit where this one did not.
            if index == 0 && !self.waiting.is_empty() {
                self.cut_if_admissible(now_s);
            }
        } else if self.place_of(request).is_some() {
            self.aborted.push(request);
            self.cut(now_s);
        }
    }

    /// Takes the aborted requests out of the batch, between two runs.
    pub(super) fn drop_aborted(&mut self) {
        for request in std::mem::take(&mut self.aborted) {
            // It may have been completed by the step in which it was aborted.
            if let Some(place) = self.place_of(request) {
                self.evict(place);
            }
        }
    }

    fn place_of(&self, request: u32) -> Option<u16> {
        let is_it = |running: &Option<Running>| running.as_ref().is_some_and(|r| r.job.request == request);
        self.batch.iter().position(is_it).map(|place| place as u16)
    }
}
