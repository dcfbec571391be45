//! The part of a trace that a simulation replays, its times stretched to the wanted rate.

use std::sync::Arc;

use evenkeel_datasets::Trace;
use rand_pcg::Pcg64Mcg;

use crate::life::Nights;
use crate::random::below;
use crate::scenario::Scenario;
use crate::workload::{TokenMeans, Workload};

/// The part of a trace that a simulation replays.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    trace: Arc<Trace>,
    begin: usize,
    len: usize,
    stretch: f64,
    /// Requests before which a night is, ascending.
    nights: Vec<u32>,
    night_s: f64,
}

impl Window {
    /// `requests_max` requests from a random place on, stretched so that they offer `load`
    /// of the capacity for their own mean sizes.
    pub(crate) fn new(workload: &Workload, scenario: &Scenario, rng: &mut Pcg64Mcg) -> Self {
        let all = &workload.trace.requests;
        let len = all.len().min(scenario.requests_max);
        let begin = below(rng, all.len() - len + 1);
        let mut window =
            Self { trace: Arc::clone(&workload.trace), begin, len, stretch: 0.0, nights: Vec::new(), night_s: 0.0 };
        let requests = window.requests();
        let span_s = requests[len - 1].arrival_s - requests[0].arrival_s;
        let wanted_per_s = scenario.load * scenario.capacity_per_s(&TokenMeans::of(requests));
        if span_s > 0.0 {
            window.stretch = (len - 1) as f64 / wanted_per_s / span_s;
        }
        window
    }

    /// The requests, by number.
    pub(crate) fn requests(&self) -> &[evenkeel_datasets::Request] {
        &self.trace.requests[self.begin..self.begin + self.len]
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// When a request arrives, in seconds from the start of the simulation.
    pub(crate) fn arrival_s(&self, request: u32) -> f64 {
        let requests = self.requests();
        let at_s = (requests[request as usize].arrival_s - requests[0].arrival_s) * self.stretch;
        if self.nights.is_empty() { at_s } else { at_s + self.slept_s(request) }
    }

    /// What a time of the trace is stretched by.
    pub(crate) fn stretch(&self) -> f64 {
        self.stretch
    }

    /// Lets nights come at random places, but not before the first request.
    pub(crate) fn with_nights(mut self, nights: &Nights, rng: &mut Pcg64Mcg) -> Self {
        if self.len > 1 {
            self.nights = (0..nights.count).map(|_| 1 + below(rng, self.len - 1) as u32).collect();
            self.nights.sort_unstable();
        }
        self.night_s = nights.lasts_s;
        self
    }

    fn slept_s(&self, request: u32) -> f64 {
        self.nights.partition_point(|before| *before <= request) as f64 * self.night_s
    }
}
