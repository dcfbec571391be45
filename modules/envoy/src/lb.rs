//! The choice of a host for a request.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use evenkeel_runtime::decide::scratch_len;
use evenkeel_runtime::upstream::{self, Facts};
use evenkeel_runtime::{Eligible, Model, Reason};

use crate::abi::HOST_STAT_REQUESTS_ACTIVE;
use crate::clock;
use crate::config::Mode;
use crate::envoy::{ContextView, HostStatistics, LoadBalancerView};
use crate::facts;
use crate::least_request;
use crate::random::Random;
use crate::reconcile;
use crate::rotation::Rotation;
use crate::settings::Settings;
use crate::table::{Healthy, Table};
use crate::tickets::Open;
use crate::tried::Tried;
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
    scratch: Scratch,
    tried: Tried,
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
        worker.region.take_over(settings.used());
        worker.region.warm(settings.options.slow_start, clock::now_us());
        let mut lb = Self {
            table: Table::new(worker.region.clone()),
            rotation: Rotation::default(),
            random: Random::new(clock::now_ns()),
            scratch: Scratch::default(),
            tried: Tried::default(),
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
            self.worker.region.upstream().restarted(place, now_us);
        }
        self.worker.update_places(places);
        self.statistics.update(self.table.indices());
        self.worker.panic_mode.borrow_mut().update(view);
        self.reserve();
    }

    /// Memory for a decision among all hosts.
    fn reserve(&mut self) {
        let hosts = self.table.priorities.iter().map(|priority| priority.healthy.len()).max().unwrap_or(0);
        self.scratch.reserve(self.settings.artifact.current().model(), hosts);
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
        reconcile::reconcile(&self.worker, &self.table, view, &mut self.reconciled_us, now_us);
        let facts = context.map_or(Facts::default(), |context| facts::of(context, &self.settings.options));
        let choice = self.decide(view, context, priority, &facts, now_us);
        let upstream = self.worker.region.upstream();
        if context.is_some_and(|context| !context.is_retry()) {
            upstream.arrived();
        }
        let elapsed_ns = clock::now_ns() - started_ns;
        upstream.choice_time().record(elapsed_ns);
        self.times_ns.push(elapsed_ns);
        if self.times_ns.len() == TIMES_MAX {
            self.flush_times();
        }
        if now_us.saturating_sub(self.second_us) >= SECOND_US {
            self.second_us = now_us;
            reconcile::forget_old(&self.worker, now_us);
            self.worker.region.warm(self.settings.options.slow_start, now_us);
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
        facts: &Facts,
        now_us: u64,
    ) -> Option<Choice> {
        let hosts = self.table.priorities.get(priority as usize)?;
        let is_tried =
            |host: &Healthy| context.is_some_and(|context| view.wants_another(context, priority, host.all_index));
        let region = &self.worker.region;
        let upstream = region.upstream();
        let artifact = self.settings.artifact.current();
        let model = artifact.model();
        let scored = if hosts.is_scored {
            let is_retry = context.is_some_and(ContextView::is_retry);
            let tried = if is_retry { self.tried.among(hosts, is_tried) } else { &[] };
            let attempt = upstream::Attempt { eligible: Eligible::Mask(&hosts.mask), tried };
            // More than before only where an artifact with a larger network has come.
            let scratch = self.scratch.reserve(model, hosts.healthy.len());
            let choice = upstream.choose(Some(model), facts, &attempt, now_us, scratch);
            self.settings.count(choice.reason);
            Some(hosts.healthy_index(choice.host?)?)
        } else {
            region.unscored.fetch_add(1, Relaxed);
            self.settings.count(Reason::NoScore);
            None
        };
        let served = match self.settings.options.mode {
            Mode::Active => scored,
            Mode::Shadow => {
                let served = self.rotation.next(&hosts.healthy);
                self.settings.count_shadow(region, scored == served);
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
        if self.worker.silence_since_us.get() == 0 {
            self.worker.silence_since_us.set(now_us);
        }
        let slot = hosts.healthy[index].slot;
        // Connections that are made ahead of requests are not logged.
        if context.is_some()
            && let Ok(ticket) = upstream.begin(None, Some(model.service()), facts, slot, now_us)
        {
            self.worker.tickets.borrow_mut().push(Open::new(ticket, *facts));
        }
        Some(Choice { priority, healthy_index: index as u32 })
    }
}

/// Memory that decisions use again.
#[derive(Debug, Default)]
struct Scratch(Vec<f32>);

impl Scratch {
    /// Makes room for a decision among so many hosts.
    fn reserve(&mut self, model: &Model<'_>, hosts: usize) -> &mut [f32] {
        let needed = scratch_len(model, hosts) + SCRATCH_ALIGNMENT / size_of::<f32>();
        if self.0.len() < needed {
            self.0.resize(needed, 0.0);
        }
        let begin = self.0.as_ptr().align_offset(SCRATCH_ALIGNMENT).min(SCRATCH_ALIGNMENT / size_of::<f32>());
        self.0.get_mut(begin..).unwrap_or_default()
    }
}

impl Drop for LoadBalancer {
    fn drop(&mut self) {
        self.flush_times();
    }
}
