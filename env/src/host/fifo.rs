//! A host that serves requests first come, first served, with a fixed number of servers.
//!
//! All servers slow down together, so the host keeps a clock of work done per server: it
//! runs at speed over slowness, and a request ends when that clock has moved on by its
//! service time. A change of slowness then moves one reference point, not every request.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use super::{HostReport, Notice};

/// Parameters of a FIFO host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FifoOptions {
    /// Requests served at once.
    pub servers: u32,
    /// Mean service time at speed 1, in seconds, where the trace has none: then times are
    /// lognormal with the variation below.
    pub service_mean_s: f64,
    /// Coefficient of variation of the lognormal service times.
    pub service_variation: f64,
}

impl Default for FifoOptions {
    fn default() -> Self {
        Self { servers: 2, service_mean_s: 0.025, service_variation: 1.0 }
    }
}

/// A request as the host sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FifoJob {
    /// The caller's number for the request, returned in every [`Notice`].
    pub request: u32,
    /// Service time on a host of speed 1, in seconds.
    pub service_s: f64,
}

/// A request in service; ordered so that a max-heap yields the earliest end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Serving {
    /// When it ends, on the host's clock of work.
    pub(crate) end_work_s: f64,
    pub(crate) job: FifoJob,
}

impl Ord for Serving {
    fn cmp(&self, other: &Self) -> Ordering {
        other.end_work_s.total_cmp(&self.end_work_s).then(other.job.request.cmp(&self.job.request))
    }
}

impl PartialOrd for Serving {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Serving {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Serving {}

/// First in, first out.
#[derive(Clone, Debug)]
pub struct FifoHost {
    options: FifoOptions,
    /// Slowness over speed: seconds that a second of work takes.
    stretch: f64,
    /// A time, and what the clock of work showed then.
    reference_s: f64,
    reference_work_s: f64,
    serving: BinaryHeap<Serving>,
    waiting: VecDeque<FifoJob>,
    busy_since_s: f64,
    busy_s: f64,
}

impl FifoHost {
    /// An idle host. `stretch` is its slowness over its speed.
    ///
    /// # Panics
    /// Without servers, or if `stretch` is not positive.
    pub fn new(options: FifoOptions, stretch: f64) -> Self {
        assert!(options.servers > 0, "a host needs a server");
        assert!(stretch > 0.0, "stretch must be positive");
        Self {
            options,
            stretch,
            reference_s: 0.0,
            reference_work_s: 0.0,
            serving: BinaryHeap::with_capacity(options.servers as usize),
            waiting: VecDeque::new(),
            busy_since_s: 0.0,
            busy_s: 0.0,
        }
    }

    /// When [`advance`](Self::advance) must be called next; infinite while idle.
    pub fn next_event_s(&self) -> f64 {
        self.serving
            .peek()
            .map_or(f64::INFINITY, |first| self.reference_s + (first.end_work_s - self.reference_work_s) * self.stretch)
    }

    /// A request arrives.
    pub fn offer(&mut self, now_s: f64, job: FifoJob) {
        if self.serving.len() < self.options.servers as usize {
            self.serve(now_s, self.work_s(now_s), job);
        } else {
            self.waiting.push_back(job);
        }
    }

    /// Lets the event of `now_s`, which must be [`next_event_s`](Self::next_event_s), happen.
    pub fn advance(&mut self, now_s: f64, notices: &mut Vec<Notice>) {
        let Some(ended) = self.serving.pop() else { return };
        self.count_busy(now_s, self.serving.len() + 1);
        notices.push(Notice::FirstToken(ended.job.request));
        notices.push(Notice::Done(ended.job.request));
        if let Some(next) = self.waiting.pop_front() {
            self.serve(now_s, ended.end_work_s, next);
        }
    }

    /// Changes slowness over speed, at once.
    pub fn set_stretch(&mut self, now_s: f64, stretch: f64) {
        assert!(stretch > 0.0, "stretch must be positive");
        self.reference_work_s = self.work_s(now_s);
        self.reference_s = now_s;
        self.stretch = stretch;
    }

    /// Drops everything, and says what was dropped.
    pub fn crash(&mut self, now_s: f64, lost: &mut Vec<u32>) {
        self.count_busy(now_s, self.serving.len());
        lost.extend(self.serving.drain().map(|serving| serving.job.request));
        lost.extend(self.waiting.drain(..).map(|job| job.request));
        // A heap yields its elements in no particular order.
        lost.sort_unstable();
    }

    /// Drops a request at once. One that is not here is ignored.
    pub fn abort(&mut self, now_s: f64, request: u32) {
        if let Some(index) = self.waiting.iter().position(|job| job.request == request) {
            self.waiting.remove(index);
            return;
        }
        let serving = self.serving.len();
        self.serving.retain(|serving| serving.job.request != request);
        if self.serving.len() < serving {
            self.count_busy(now_s, serving);
            if let Some(next) = self.waiting.pop_front() {
                self.serve(now_s, self.work_s(now_s), next);
            }
        }
    }

    /// Requests in service.
    pub fn running(&self) -> usize {
        self.serving.len()
    }

    /// Requests waiting for a server.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Server-seconds busy, over the number of servers, up to the last event.
    pub fn busy_s(&self) -> f64 {
        self.busy_s / f64::from(self.options.servers)
    }

    /// Parameters of the host.
    pub fn options(&self) -> &FifoOptions {
        &self.options
    }

    /// What the host would report of itself. Its mean service time stands for the step.
    pub fn report(&self) -> HostReport {
        HostReport {
            running: self.serving.len() as u32,
            waiting: self.waiting.len() as u32,
            pending_prefill_tokens: 0,
            kv_use: 0.0,
            step_s: self.options.service_mean_s * self.stretch,
        }
    }

    /// Work done per server since the host began, in seconds at speed 1.
    pub(crate) fn work_s(&self, now_s: f64) -> f64 {
        self.reference_work_s + (now_s - self.reference_s) / self.stretch
    }

    /// Seconds that a second of work takes.
    pub(crate) fn stretch(&self) -> f64 {
        self.stretch
    }

    pub(crate) fn in_service(&self) -> impl Iterator<Item = &Serving> {
        self.serving.iter()
    }

    pub(crate) fn queue(&self) -> impl Iterator<Item = &FifoJob> {
        self.waiting.iter()
    }

    fn serve(&mut self, now_s: f64, work_s: f64, job: FifoJob) {
        self.count_busy(now_s, self.serving.len());
        self.serving.push(Serving { end_work_s: work_s + job.service_s, job });
    }

    fn count_busy(&mut self, now_s: f64, servers: usize) {
        self.busy_s += (now_s - self.busy_since_s) * servers as f64;
        self.busy_since_s = now_s;
    }
}
