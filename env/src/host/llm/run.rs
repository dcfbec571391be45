//! Many steps at once: an arithmetic series.

/// Steps of one composition of the batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    pub(super) start_s: f64,
    pub(super) end_s: f64,
    pub(super) first_step_s: f64,
    /// What each step takes longer than the one before.
    pub(super) growth_s: f64,
    pub(super) steps: u64,
    pub(super) prefill_tokens_per_step: u32,
}

impl Run {
    pub(super) const IDLE: Self = Self {
        start_s: 0.0,
        end_s: f64::INFINITY,
        first_step_s: 0.0,
        growth_s: 0.0,
        steps: 0,
        prefill_tokens_per_step: 0,
    };

    /// Time that the first `steps` steps take.
    pub(super) fn span_s(&self, steps: u64) -> f64 {
        let k = steps as f64;
        k * self.first_step_s + self.growth_s * (0.5 * k * (k - 1.0))
    }

    /// The fewest steps, at least 1, whose end is not before `now_s`.
    pub(super) fn steps_until(&self, now_s: f64) -> u64 {
        let span_s = now_s - self.start_s;
        if span_s <= self.first_step_s || self.steps <= 1 {
            return 1;
        }
        // Root of growth/2·k² + (first − growth/2)·k = span, in the form that does not cancel.
        let linear = self.first_step_s - 0.5 * self.growth_s;
        let root = 2.0 * span_s / (linear + (linear * linear + 2.0 * self.growth_s * span_s).sqrt());
        let mut steps = (root.ceil() as u64).clamp(1, self.steps);
        while steps > 1 && self.span_s(steps - 1) >= span_s {
            steps -= 1;
        }
        while steps < self.steps && self.span_s(steps) < span_s {
            steps += 1;
        }
        steps
    }
}
