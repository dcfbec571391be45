//! The choice of a host for a request.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use evenkeel_runtime::decide::scratch_len;
use evenkeel_runtime::state::HOSTS_MAX;
use evenkeel_runtime::{Eligible, Model, Reason, Request, decide};

use crate::abi::HOST_STAT_REQUESTS_ACTIVE;
use crate::clock;
use crate::config::Mode;
use crate::eligible::{self, SlowStart};
use crate::envoy::{ContextView, HostStatistics, LoadBalancerView};
use crate::feedback;
use crate::least_request;
use crate::prompt::RequestFacts;
use crate::random::Random;
use crate::rotation::Rotation;
use crate::settings::Settings;
use crate::table::{Healthy, NO_SLOT, Table};
use crate::tickets::Open;
use crate::worker::{Statistics, Worker};

/// Interval of what need not be done at each decision.
const SECOND_US: u64 = 1_000_000;

/// Decision times that are flushed to Envoy together: its histogram's memory has left the
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
    memory: Memory,
    /// Hosts that this request may go to, where they are not simply the healthy ones.
    eligible: eligible::Eligible,
    /// Decision times not yet flushed to Envoy.
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
            memory: Memory::new(),
            eligible: eligible::Eligible::default(),
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
        self.memory.reserve(self.settings.artifact.current().model(), hosts);
    }

    /// Chooses a host; `None` if none is healthy.
    pub(crate) fn choose(&mut self, view: LoadBalancerView<'_>, context: Option<ContextView<'_>>) -> Option<Choice> {
        let started_ns = clock::now_ns();
        let now_us = started_ns / 1_000;
        let mut priority = self.draw_priority();
        if !self.table.is_current(view, priority) {
            // Envoy reports every change; this is for one that it might not.
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
            self.flush_times();
        }
        if now_us.saturating_sub(self.second_us) >= SECOND_US {
            self.second_us = now_us;
            feedback::forget_old(&self.worker, now_us);
            self.flush_times();
            if self.table.may_score_more() {
                self.update(view);
            }
        }
        choice
    }

    fn flush_times(&mut self) {
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
        let is_tried =
            |host: &Healthy| context.is_some_and(|context| view.wants_another(context, priority, host.all_index));
        let is_retry = context.is_some_and(ContextView::is_retry);
        let slow_start_us = self.settings.options.slow_start.as_micros() as u64;
        let slow_start = SlowStart::of(hosts, slow_start_us, now_us);
        let mask = if is_retry || slow_start.is_some() {
            self.eligible.reset(hosts);
            if is_retry {
                self.eligible.remove(hosts, is_tried);
            }
            if let Some(slow_start) = slow_start {
                let random = &mut self.random;
                self.eligible.remove(hosts, |host| slow_start.sits_out(host, random));
            }
            self.eligible.mask()
        } else {
            &hosts.mask
        };
        let scored = if hosts.is_scored {
            let slot = score(&self.worker, &self.settings, &facts, mask, &mut self.memory, now_us)?;
            Some(hosts.healthy_index(slot)?)
        } else {
            self.worker.region.unscored.fetch_add(1, Relaxed);
            self.settings.count(Reason::NoScore);
            None
        };
        let served = match self.settings.options.mode {
            Mode::Active => scored,
            Mode::Shadow => {
                let served = self.rotation.next(&hosts.healthy);
                self.settings.count_shadow(&self.worker.region, scored == served);
                served
            }
        };
        // What Envoy wants to go elsewhere, though it did not say before that it is a retry.
        let index = served.filter(|index| !is_tried(&hosts.healthy[*index])).or_else(|| {
            let requests_for_weight = |index: usize| {
                let host = &hosts.healthy[index];
                let active = view.host_stat(priority, host.all_index, HOST_STAT_REQUESTS_ACTIVE);
                (active as f32 + 1.0) / host.weight as f32
            };
            let count = hosts.healthy.len();
            let is_untried = |index: usize| !is_tried(&hosts.healthy[index]);
            least_request::of_two(count, &mut self.random, is_untried, requests_for_weight)
                .or(served)
                .or_else(|| least_request::of_two(count, &mut self.random, |_| true, requests_for_weight))
        })?;
        let slot = hosts.healthy[index].slot;
        if facts.key != 0 && slot != NO_SLOT {
            self.worker.region.affinity().note(facts.key, slot, facts.prompt_tokens, now_us);
        }
        if self.worker.silence_since_us.get() == 0 {
            self.worker.silence_since_us.set(now_us);
        }
        let artifact = self.settings.artifact.current();
        let booked_tokens = artifact.model().service().booked_prompt_tokens(facts.prompt_tokens);
        // Connections that are made ahead of requests are not logged.
        if context.is_some()
            && let Some(ticket) = self.worker.region.state().begin(slot, booked_tokens, now_us)
        {
            self.worker.tickets.borrow_mut().push(Open::new(ticket, facts.key, facts.class));
        }
        Some(Choice { priority, healthy_index: index as u32 })
    }
}

/// Memory that decisions use again.
#[derive(Debug)]
struct Memory {
    scratch: Vec<f32>,
    /// By slot in the region: tokens of the prompt that each host probably has cached.
    cached_tokens: Vec<u32>,
}

impl Memory {
    fn new() -> Self {
        Self { scratch: Vec::new(), cached_tokens: vec![0; HOSTS_MAX] }
    }

    /// Makes room for a decision among so many hosts.
    fn reserve(&mut self, model: &Model<'_>, hosts: usize) {
        let needed = scratch_len(model, hosts) + SCRATCH_ALIGNMENT / size_of::<f32>();
        if self.scratch.len() < needed {
            self.scratch.resize(needed, 0.0);
        }
    }
}

/// Slot of the host with the best score of those in the mask; `None` if there is none.
fn score(
    worker: &Worker,
    settings: &Settings,
    facts: &RequestFacts,
    mask: &[u64],
    memory: &mut Memory,
    now_us: u64,
) -> Option<u32> {
    let artifact = settings.artifact.current();
    let model = artifact.model();
    let state = worker.region.state();
    // More than before only where hosts have come, or an artifact with a larger network.
    memory.reserve(model, mask.iter().map(|word| word.count_ones() as usize).sum());
    let Memory { scratch, cached_tokens } = memory;
    let begin = scratch.as_ptr().align_offset(SCRATCH_ALIGNMENT).min(SCRATCH_ALIGNMENT / size_of::<f32>());
    let cached_tokens = if facts.key == 0 {
        &[]
    } else {
        let cached = &mut cached_tokens[..state.host_end()];
        cached.fill(0);
        worker.region.affinity().cached_tokens(facts.key, facts.prompt_tokens, now_us, cached);
        &*cached
    };
    let class_mean = (facts.class != 0).then(|| worker.region.classes().expected_output_tokens(facts.class)).flatten();
    let output_tokens = facts.expected_output_tokens(class_mean, model.service().output_tokens_mean);
    let request = Request { prompt_tokens: facts.prompt_tokens, cached_tokens, output_tokens };
    let decision = decide(Some(model), &state, &request, Eligible::Mask(mask), now_us, &mut scratch[begin..]);
    settings.count(decision.reason);
    decision.host
}

impl Drop for LoadBalancer {
    fn drop(&mut self) {
        self.flush_times();
    }
}
