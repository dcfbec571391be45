//! The most that recomputing only what changed could give.
//!
//! Each slot is read for whether its host changed; the features of the sixteen hosts are made anew
//! among which one did; the network runs for all. That is too little to be right: 13 of the 24
//! features, the estimate first, depend on the request or on the time and stay here as they were. Any
//! way to do it right takes longer.

use std::hint::black_box;

use evenkeel_runtime::features::{self, HOST_FEATURES};
use evenkeel_runtime::{Eligible, LANES, Model, Request, State};

/// What is kept from decision to decision.
pub(crate) struct Kept {
    sent: Vec<u32>,
    block: Vec<f32>,
    scratch: Vec<f32>,
}

impl Kept {
    pub(crate) fn new(model: &Model<'_>, hosts: usize) -> Self {
        let policy = model.policy().expect("a policy");
        Self {
            sent: vec![0; hosts],
            block: vec![0.0; HOST_FEATURES * LANES],
            scratch: vec![0.0; policy.scratch_len(hosts)],
        }
    }

    /// The row of the lowest score.
    pub(crate) fn decide(&mut self, model: &Model<'_>, state: &State<'_>, request: &Request<'_>, now_us: u64) -> usize {
        let mut changed = 0;
        for ((host, slot), before) in state.hosts().zip(&mut self.sent) {
            let now = slot.sent_since_telemetry();
            if *before != now {
                changed = host as usize / LANES;
            }
            *before = now;
        }
        let mut mask = [0u64; 4];
        mask[changed * LANES / 64] = 0xFFFF << (changed * LANES % 64);
        let rows = LANES.min(self.sent.len());
        features::write(model.service(), state, request, Eligible::Mask(&mask), rows, now_us, &mut self.block);
        black_box(&mut self.block);
        let hosts = self.sent.len();
        let scores = model.policy().and_then(|policy| policy.run(hosts, &mut self.scratch)).expect("scores");
        let scores = scores.iter().take(hosts).enumerate();
        scores.min_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(row, _)| row)
    }
}
