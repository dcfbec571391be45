//! A trained model, run by the runtime exactly as inside a proxy.

use evenkeel_runtime::{Model, decide};

use crate::policy::{Decision, Policy, Setting};

/// Runs an artifact's policy.
#[derive(Clone, Debug)]
pub struct Learned<'m> {
    model: Model<'m>,
    scratch: Vec<f32>,
}

impl<'m> Learned<'m> {
    /// Runs this model.
    pub fn new(model: Model<'m>) -> Self {
        Self { model, scratch: Vec::new() }
    }
}

impl Policy for Learned<'_> {
    fn name(&self) -> &'static str {
        "evenkeel"
    }

    fn reset(&mut self, setting: &Setting) {
        self.scratch = vec![0.0; decide::scratch_len(&self.model, setting.hosts)];
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let eligible = decision.eligible_set();
        let made = decide::decide(
            Some(&self.model),
            &decision.state,
            decision.request,
            eligible,
            decision.now_us,
            &mut self.scratch,
        );
        made.host.unwrap_or(decision.eligible[0]) as usize
    }
}
