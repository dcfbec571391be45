//! The choice of a host for a request.

use std::rc::Rc;
use std::sync::Arc;

use evenkeel_runtime::decide::scratch_len;
use evenkeel_runtime::state::HOSTS_MAX;
use evenkeel_runtime::{Eligible, Reason, Request, decide};

use crate::clock;
use crate::config::Mode;
use crate::envoy::{ContextView, HostStatistics, LoadBalancerView};
use crate::feedback;
use crate::prompt::RequestFacts;
use crate::random::Random;
use crate::rotation::Rotation;
use crate::settings::Settings;
use crate::table::{Priority, Table};
use crate::tickets::Open;
use crate::worker::{Statistics, Worker};

/// How often is done what need not be done at each decision.
const SECOND_US: u64 = 1_000_000;

/// Decision times that Envoy is told together: what its histogram works with has left the
/// caches by the next decision.
const TIMES_MAX: usize = 64;

/// Scratch memory is fastest on multiples of this.
const SCRATCH_ALIGNMENT: usize = 64;

/// The load balancer of one worker for one cluster.
pub(crate) struct LoadBalancer {
    settings: Arc<Settings>,
    worker: Rc<Worker>,
    statistics: Rc<Statistics>,
    table: Table,
    rotation: Rotation,
    random: Random,
    scratch: Vec<f32>,
    /// Hosts that this request may go to, where they are not simply the healthy ones.
    eligible: Vec<u64>,
    /// By place in the region: what each host probably has cached of the prompt.
    cached_tokens: Vec<u32>,
    /// How long decisions took, until Envoy is told.
    times_ns: Vec<u64>,
    reconciled_us: u64,
    second_us: u64,
}

/// A host as Envoy wants it named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) priority: u32,
    pub(crate) healthy_index: u32,
}

impl LoadBalancer {
    pub(crate) fn new(settings: Arc<Settings>, view: LoadBalancerView<'_>, statistics: HostStatistics) -> Self {
        let worker = Worker::of_cluster(&String::from_utf8_lossy(view.cluster()), &settings);
        worker.region.use_settings(&settings);
        let mut lb = Self {
            table: Table::new(worker.region.clone()),
            rotation: Rotation::default(),
            random: Random::new(clock::now_ns()),
            scratch: Vec::new(),
            eligible: Vec::new(),
            cached_tokens: vec![0; HOSTS_MAX],
            times_ns: Vec::with_capacity(TIMES_MAX),
            reconciled_us: 0,
            second_us: 0,
            statistics: worker.add_statistics(statistics),
            settings,
            worker,
        };
        lb.update(view);
        lb
    }

    /// Hosts came, went, or changed their health or weight.
    pub(crate) fn update(&mut self, view: LoadBalancerView<'_>) {
        let now_us = clock::now_us();
        let places = self.table.rebuild(view, now_us);
        for place in self.table.came_up(now_us) {
            self.worker.region.state().restarted(place, now_us);
        }
        self.worker.update_places(places);
        self.statistics.update(self.table.indices());
        self.worker.panic_mode.borrow_mut().update(view);
        self.reserve();
    }

    /// Memory for a decision among all hosts.
    fn reserve(&mut self) {
        let hosts = self.table.priorities.iter().map(|priority| priority.healthy.len()).max().unwrap_or(0);
        let artifact = self.settings.artifact.current();
        let needed = scratch_len(artifact.model(), hosts) + SCRATCH_ALIGNMENT / size_of::<f32>();
        if self.scratch.len() < needed {
            self.scratch.resize(needed, 0.0);
        }
    }

    /// Chooses a host; `None` if none is healthy.
    pub(crate) fn choose(&mut self, view: LoadBalancerView<'_>, context: Option<ContextView<'_>>) -> Option<Choice> {
        let started_ns = clock::now_ns();
        let now_us = started_ns / 1_000;
        let mut priority = self.draw_priority();
        if !self.table.is_current(view, priority) {
            // Envoy tells of every change; this is for one that it might not.
            self.update(view);
            priority = self.draw_priority();
        }
        let priority = priority?;
        feedback::reconcile(&self.worker, &self.table, view, &mut self.reconciled_us, now_us);
        let facts =
            context.map_or(RequestFacts::default(), |context| RequestFacts::of(context, &self.settings.options));
        let choice = self.decide(view, context, priority, facts, now_us);
        self.worker.region.forecast.arrived();
        let elapsed_ns = clock::now_ns() - started_ns;
        self.worker.region.decision_time.record(elapsed_ns);
        self.times_ns.push(elapsed_ns);
        if self.times_ns.len() == TIMES_MAX {
            self.tell_times();
        }
        if now_us.saturating_sub(self.second_us) >= SECOND_US {
            self.second_us = now_us;
            feedback::forget_old(&self.worker, now_us);
            self.tell_times();
        }
        choice
    }

    fn tell_times(&mut self) {
        for elapsed_ns in self.times_ns.drain(..) {
            self.settings.metrics.record(self.settings.decision_ns, elapsed_ns);
        }
    }

    fn draw_priority(&mut self) -> Option<u32> {
        match self.table.loads.as_slice() {
            [first, ..] if *first == 100 => Some(0),
            loads => self.random.weighted(loads.iter().copied()).map(|index| index as u32),
        }
    }

    fn decide(
        &mut self,
        view: LoadBalancerView<'_>,
        context: Option<ContextView<'_>>,
        priority: u32,
        facts: RequestFacts,
        now_us: u64,
    ) -> Option<Choice> {
        let hosts = self.table.priorities.get(priority as usize)?;
        let artifact = self.settings.artifact.current();
        let needed = scratch_len(artifact.model(), hosts.healthy.len()) + SCRATCH_ALIGNMENT / size_of::<f32>();
        if self.scratch.len() < needed {
            // An artifact with a larger network has come: once for each such swap.
            self.scratch.resize(needed, 0.0);
        }
        let begin = self.scratch.as_ptr().align_offset(SCRATCH_ALIGNMENT).min(SCRATCH_ALIGNMENT / size_of::<f32>());
        let scratch = &mut self.scratch[begin..];
        let state = self.worker.region.state();
        let cached_tokens = if facts.key == 0 {
            &[]
        } else {
            let cached = &mut self.cached_tokens[..state.host_end()];
            cached.fill(0);
            self.worker.region.affinity().cached_tokens(facts.key, facts.prompt_tokens, now_us, cached);
            &*cached
        };
        let class_mean =
            (facts.class != 0).then(|| self.worker.region.classes().expected_output_tokens(facts.class)).flatten();
        let output_tokens = facts.expected_output_tokens(class_mean, artifact.model().service().output_tokens_mean);
        let request = Request { prompt_tokens: facts.prompt_tokens, cached_tokens, output_tokens };
        let slow_start_us = self.settings.options.slow_start.as_micros() as u64;
        let warming =
            slow_start_us > 0 && without_cold(&mut self.eligible, hosts, slow_start_us, now_us, &mut self.random);
        let mask = if warming { &self.eligible } else { &hosts.mask };
        let decision = decide(Some(artifact.model()), &state, &request, Eligible::Mask(mask), now_us, scratch);
        count(&self.settings, decision.reason);
        let mut slot = decision.host?;
        if self.settings.options.mode == Mode::Shadow {
            slot = self.rotation.next(&hosts.healthy).unwrap_or(slot);
        }
        if let Some(context) = context {
            let is_tried = |slot| {
                let index = hosts.healthy_index(slot).and_then(|index| hosts.healthy.get(index as usize));
                index.is_some_and(|host| view.wants_another(context, priority, host.all_index))
            };
            if is_tried(slot) {
                // A retry: among those that Envoy accepts, or else as it was.
                without(&mut self.eligible, &hosts.mask, is_tried);
                let eligible = Eligible::Mask(&self.eligible);
                let again = decide(Some(artifact.model()), &state, &request, eligible, now_us, scratch);
                slot = again.host.unwrap_or(slot);
            }
        }
        if facts.key != 0 {
            self.worker.region.affinity().note(facts.key, slot, facts.prompt_tokens, now_us);
        }
        let healthy_index = hosts.healthy_index(slot)?;
        if self.worker.silence_since_us.get() == 0 {
            self.worker.silence_since_us.set(now_us);
        }
        // Connections that are made ahead of requests are not logged.
        if context.is_some()
            && let Some(ticket) = state.begin(slot, facts.prompt_tokens, now_us)
        {
            self.worker.tickets.borrow_mut().push(Open::new(ticket, facts.key, facts.class));
        }
        Some(Choice { priority, healthy_index })
    }
}

impl Drop for LoadBalancer {
    fn drop(&mut self) {
        self.tell_times();
    }
}

fn count(settings: &Settings, reason: Reason) {
    settings.metrics.add(settings.decisions, [], 1);
    if matches!(reason, Reason::NoPolicy | Reason::NoScore) {
        settings.metrics.add(settings.fallbacks, [], 1);
    }
}

/// Of the healthy hosts, those that are not warming up, and those that are with a
/// probability that grows from a tenth to one. `false` if that would be none, or all.
///
/// It is the share of requests that is limited, not the load that is raised: where requests
/// are short, a host mostly has none under way, and would win however much each counts.
fn without_cold(
    eligible: &mut Vec<u64>,
    hosts: &Priority,
    slow_start_us: u64,
    now_us: u64,
    random: &mut Random,
) -> bool {
    /// As in Envoy's own slow start: less would leave a new host without any measurement.
    const LEAST: f64 = 0.1;

    eligible.clear();
    for host in &hosts.healthy {
        let Some(age_us) = host.since_us.map(|since_us| now_us.saturating_sub(since_us)) else { continue };
        let share = (age_us as f64 / slow_start_us as f64).max(LEAST);
        if random.happens(share) {
            continue;
        }
        if eligible.is_empty() {
            eligible.extend_from_slice(&hosts.mask);
        }
        if let Some(word) = eligible.get_mut(host.slot as usize / 64) {
            *word &= !(1 << (host.slot % 64));
        }
    }
    eligible.iter().any(|word| *word != 0)
}

/// A mask without some hosts.
fn without(eligible: &mut Vec<u64>, mask: &[u64], excluded: impl Fn(u32) -> bool) {
    eligible.clear();
    for (word, bits) in (0..).zip(mask) {
        let mut kept = *bits;
        let mut rest = *bits;
        while rest != 0 {
            let bit = rest.trailing_zeros();
            rest &= rest - 1;
            if excluded(word * 64 + bit) {
                kept &= !(1 << bit);
            }
        }
        eligible.push(kept);
    }
}
