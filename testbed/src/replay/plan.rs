//! Which requests are due when.

use evenkeel_datasets::{Request, Trace};
use evenkeel_env::Scenario;
use evenkeel_env::workload::TokenMeans;

/// A request that will be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Due {
    /// When, in seconds of service time from the start of the replay.
    pub due_s: f64,
    /// What the trace tells of it.
    pub request: Request,
}

/// A replay's requests, in the order in which they are due.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The trace that they are from.
    pub trace: Trace,
    /// The requests.
    pub requests: Vec<Due>,
    /// Seed of the prompts' text where the trace has no prefixes.
    pub seed: u64,
    /// Mixed into the text of every prompt: replays of different salts have no prefix in common,
    /// also where hosts keep their caches between them.
    pub salt: u64,
    /// Blocks that all prompts begin with: instructions to the model, say.
    common_blocks: usize,
}

impl Plan {
    /// The first `requests_max` requests, `rate_scale` times as fast as in the trace.
    ///
    /// # Panics
    /// If the scale is not positive and finite.
    pub fn new(trace: Trace, rate_scale: f64, requests_max: usize, seed: u64) -> Self {
        assert!(rate_scale > 0.0 && rate_scale.is_finite(), "a rate scale must be positive, not {rate_scale}");
        let first_s = trace.requests.first().map_or(0.0, |first| first.arrival_s);
        let due = |request: &Request| Due { due_s: (request.arrival_s - first_s) / rate_scale, request: *request };
        let requests = trace.requests.iter().take(requests_max).map(due).collect();
        let common_blocks = common_blocks(&trace);
        Self { trace, requests, seed, salt: 0, common_blocks }
    }

    /// What a client would name its session by: the first block of the prompt that is not every
    /// prompt's. `None` where the trace tells of no such block.
    pub fn session(&self, index: usize) -> Option<u64> {
        self.trace.prefix(&self.requests[index].request).get(self.common_blocks).copied()
    }

    /// At such a rate that the requests offer the scenario's load, as in the simulator.
    pub fn at_load(mut trace: Trace, scenario: &Scenario, seed: u64) -> Self {
        trace.requests.truncate(scenario.requests_max);
        let capacity_per_s = scenario.capacity_per_s(&TokenMeans::of(&trace.requests));
        Self::at_rate(trace, scenario.load * capacity_per_s, seed)
    }

    /// All of the requests, so many a second on average.
    pub fn at_rate(trace: Trace, rate_per_s: f64, seed: u64) -> Self {
        let requests = &trace.requests;
        let span_s = requests.last().map_or(0.0, |last| last.arrival_s - requests[0].arrival_s);
        let rate_scale = if span_s > 0.0 { rate_per_s * span_s / (requests.len() - 1) as f64 } else { 1.0 };
        Self::new(trace, rate_scale, usize::MAX, seed)
    }

    /// When the last request is due, in seconds of service time.
    pub fn duration_s(&self) -> f64 {
        self.requests.last().map_or(0.0, |last| last.due_s)
    }

    /// Whether the requests have prompts, or a service time alone.
    pub fn has_tokens(&self) -> bool {
        self.trace.has_tokens()
    }
}

/// How many blocks all of the trace's prompts begin with.
fn common_blocks(trace: &Trace) -> usize {
    let mut prefixes = trace.requests.iter().map(|request| trace.prefix(request));
    let Some(first) = prefixes.next() else { return 0 };
    let in_common = |other: &[u64]| first.iter().zip(other).take_while(|(own, their)| own == their).count();
    prefixes.map(in_common).fold(first.len(), usize::min)
}

#[cfg(test)]
mod tests {
    use super::Plan;
    use evenkeel_datasets::{Request, Trace};
    use evenkeel_env::Scenario;
    use evenkeel_env::fleet::Fleet;
    use evenkeel_env::workload::TokenMeans;

    fn trace() -> Trace {
        let requests = (0..100).map(|i| Request::new(5.0 + f64::from(i), 100, 10)).collect();
        Trace { requests, ..Trace::default() }
    }

    #[test]
    fn requests_are_due_from_zero_on_at_the_rate_asked_for() {
        let plan = Plan::new(trace(), 4.0, 9, 0);
        assert_eq!(plan.requests.len(), 9);
        assert_eq!((plan.requests[0].due_s, plan.duration_s()), (0.0, 2.0));
    }

    #[test]
    fn a_load_is_offered_exactly() {
        let scenario = Scenario { load: 0.5, ..Scenario::llm(Fleet::het(3)) };
        let plan = Plan::at_load(trace(), &scenario, 0);
        let capacity_per_s = scenario.capacity_per_s(&TokenMeans::of(&trace().requests));
        let offered_per_s = 99.0 / plan.duration_s();
        assert!((offered_per_s / capacity_per_s - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_rate_is_offered_exactly() {
        let plan = Plan::at_rate(trace(), 4.0, 0);
        assert!((99.0 / plan.duration_s() - 4.0).abs() < 1e-9);
        let one = Trace { requests: vec![Request::new(5.0, 1, 1)], ..Trace::default() };
        assert_eq!(Plan::at_rate(one, 4.0, 0).duration_s(), 0.0);
    }

    #[test]
    fn sessions_are_told_apart_behind_what_all_prompts_share() {
        let prefix = |begin: u32, len: u16| Request { prefix_begin: begin, prefix_len: len, ..Request::new(0.0, 9, 1) };
        let requests = vec![prefix(0, 3), prefix(3, 2), prefix(0, 2), prefix(5, 1)];
        let mut trace = Trace { prefix_blocks: vec![7, 1, 2, 7, 4, 7], requests, ..Trace::default() };
        let sessions = |plan: &Plan| (0..plan.requests.len()).map(|index| plan.session(index)).collect::<Vec<_>>();
        assert_eq!(sessions(&Plan::new(trace.clone(), 1.0, 9, 0)), [Some(1), Some(4), Some(1), None]);
        trace.requests.push(Request::new(0.0, 9, 1));
        assert_eq!(sessions(&Plan::new(trace, 1.0, 9, 0)), [Some(7), Some(7), Some(7), Some(7), None]);
    }
}
