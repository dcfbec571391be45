//! An upstream to decide for.

use evenkeel_runtime::{HostSlot, Model, Outcome, State, StateHeader, Status, Telemetry};

/// An upstream whose hosts have all been measured and have reported.
pub struct Upstream {
    header: StateHeader,
    slots: Vec<HostSlot>,
}

impl Upstream {
    /// An upstream of so many hosts.
    pub fn new(hosts: usize) -> Self {
        Self { header: StateHeader::new(1), slots: (0..hosts).map(|_| HostSlot::default()).collect() }
    }

    /// Its state, every host registered, reported and measured.
    pub fn state(&self, model: &Model<'_>) -> State<'_> {
        let state = State::new(&self.header, &self.slots);
        for key in 1..=self.slots.len() as u64 {
            let host = state.register(key, 1.0, 0).expect("room");
            let report = Telemetry { running: (key % 17) as f32, waiting: 0.0, kv_use: 0.3, ..Telemetry::UNKNOWN };
            state.report(host, &report, 1000, 1000);
            serve(&state, model, host, 700, 2000 + key);
        }
        state
    }
}

/// A request that is sent and answered.
pub fn serve(state: &State<'_>, model: &Model<'_>, host: u32, prompt_tokens: u32, now_us: u64) {
    if let Some(ticket) = state.begin(host, prompt_tokens, now_us) {
        let success = Outcome { status: Status::Success, output_tokens: 100, cached_tokens: None };
        state.finish(&ticket, &success, Some(model.service()), now_us + 90_000);
    }
}
