//! The state of one upstream: a header and one slot per host, in the caller's memory.

use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use evenkeel_numbers::random;

use crate::clock::elapsed_s;
use crate::math;
use crate::outcome::{Outcome, Status, Ticket};
use crate::reason::Reason;
use crate::service::{Engine, ServiceModel};
use crate::slot::{AVERAGING_TIME_S, Ageing, AtomicF32, FleetMeans, HostSlot, StepSample};
use crate::telemetry::{TELEMETRY_STALE_S, Telemetry};

/// Most hosts of an upstream.
pub const HOSTS_MAX: usize = 1024;

/// Words that hold a bit for each host.
pub const HOST_WORDS: usize = HOSTS_MAX / 64;

/// Time between two ageings of the hosts.
const AGEING_INTERVAL_US: u64 = 1_000_000;

/// Of so many requests, at most one goes to a host because it was not tried for too long: of one
/// more than there are hosts, within these bounds.
const RETRY_INTERVAL_REQUESTS_MIN: u64 = 5;
const RETRY_INTERVAL_REQUESTS_MAX: u64 = 20;

/// Time for which an answer without work holds its place before any latency was measured.
const LATENCY_HELD_S: f32 = 1.0;

/// Most that a measurement moves a mean over all hosts by, as a factor.
const MEAN_FACTOR_MAX: f32 = 8.0;

/// Hosts that have at least this part of the largest share of a slow start came up together with the
/// one that has it.
const STARTED_TOGETHER_SHARE: f32 = 0.9;

/// Part of a state that the hosts share.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct StateHeader {
    /// Slots in use or once used: scans end here.
    pub(crate) host_end: AtomicU32,
    arrivals_per_s: AtomicF32,
    /// Mean step over all measurements of all hosts; 0 before the first.
    step_mean_s: AtomicF32,
    /// The same of latencies and of times to first byte.
    latency_mean_s: AtomicF32,
    ttft_mean_s: AtomicF32,
    last_arrival_us: AtomicU64,
    /// Requests sent so far, to whatever host.
    begun: AtomicU64,
    /// Time when the hosts last aged, and requests sent by then.
    aged_us: AtomicU64,
    aged_begun: AtomicU64,
    /// Index of the host that has not been tried for too long, plus one; 0 for none.
    untried: AtomicU32,
    /// Requests sent when a host was last tried for that reason.
    retried_begun: AtomicU64,
    /// Time that hosts which come up take to get their full share; 0 for no time.
    slow_start_us: AtomicU64,
    /// Not 0 while a host may be starting slowly.
    is_starting: AtomicU32,
    /// Sum of the hosts' weights, each times its share of its full share of the requests.
    fleet_weight: AtomicF32,
    random: AtomicU64,
    /// Bit `i % 64` of word `i / 64`: host `i` is registered.
    registered: [AtomicU64; HOST_WORDS],
    decisions: [AtomicU64; Reason::COUNT],
}

impl StateHeader {
    /// A header whose random choices follow from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self {
            host_end: AtomicU32::new(0),
            arrivals_per_s: AtomicF32::new(0.0),
            step_mean_s: AtomicF32::new(0.0),
            latency_mean_s: AtomicF32::new(0.0),
            ttft_mean_s: AtomicF32::new(0.0),
            last_arrival_us: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            aged_us: AtomicU64::new(0),
            aged_begun: AtomicU64::new(0),
            untried: AtomicU32::new(0),
            retried_begun: AtomicU64::new(0),
            slow_start_us: AtomicU64::new(0),
            is_starting: AtomicU32::new(0),
            fleet_weight: AtomicF32::new(0.0),
            random: AtomicU64::new(seed),
            registered: [const { AtomicU64::new(0) }; HOST_WORDS],
            decisions: [const { AtomicU64::new(0) }; Reason::COUNT],
        }
    }
}

/// Reason that a host could not be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterError {
    /// Key 0 marks free slots.
    KeyZero,
    /// Every slot is taken.
    Full,
}

/// A view of header and slots. Cheap to copy; all methods take `&self`, since everything
/// underneath is atomic.
#[derive(Clone, Copy, Debug)]
pub struct State<'m> {
    header: &'m StateHeader,
    slots: &'m [HostSlot],
}

impl<'m> State<'m> {
    /// A view of the caller's memory. At most [`HOSTS_MAX`] slots are used.
    pub fn new(header: &'m StateHeader, slots: &'m [HostSlot]) -> Self {
        Self { header, slots: &slots[..slots.len().min(HOSTS_MAX)] }
    }

    /// Registers a host under a key that is not 0 (a hash of its address, say), and
    /// returns its index. A key that is already there keeps its slot and what was learned,
    /// and takes the new weight.
    ///
    /// To be called by one thread at a time.
    pub fn register(&self, key: u64, weight: f32, now_us: u64) -> Result<u32, RegisterError> {
        if key == 0 {
            return Err(RegisterError::KeyZero);
        }
        if let Some(index) = self.find(key) {
            if let Some(slot) = self.host(index) {
                slot.set_weight(weight);
            }
            self.set_registered(index as usize, true);
            return Ok(index);
        }
        // A slot whose requests have not all ended would mix up two hosts' counts.
        let free =
            self.slots.iter().position(|slot| slot.key() == 0 && slot.in_flight() == 0).ok_or(RegisterError::Full)?;
        self.slots[free].occupy(key, weight, now_us);
        self.header.host_end.fetch_max(free as u32 + 1, Release);
        self.set_registered(free, true);
        Ok(free as u32)
    }

    /// Removes a host. `false` if there is none of this key.
    pub fn remove(&self, key: u64) -> bool {
        let found = self.find(key).and_then(|index| Some((index as usize, self.host(index)?)));
        if let Some((index, slot)) = found {
            self.set_registered(index, false);
            slot.vacate();
        }
        found.is_some()
    }

    /// Gives a host another weight. `false` if there is no such host.
    pub fn set_weight(&self, host: u32, weight: f32) -> bool {
        self.host(host).inspect(|slot| slot.set_weight(weight)).is_some()
    }

    /// Forgets what was learned and reported of a host that came up, or came back, and begins
    /// its slow start, if there is one (see [`warm`](Self::warm)). `false` if there is no such
    /// host.
    pub fn restarted(&self, host: u32, now_us: u64) -> bool {
        let slow_start_us = self.header.slow_start_us.load(Relaxed);
        let Some(slot) = self.host(host) else { return false };
        if slot.restarted(slow_start_us, self.header.begun.load(Relaxed), now_us) {
            self.header.is_starting.store(1, Relaxed);
            self.weigh();
        }
        true
    }

    /// Brings slow starts up to date. A host that came up `t` ago gets `max(0.1, t / slow_start)`
    /// of its full share of the requests: Envoy's slow start with its default aggression and
    /// least weight. 0 ends all slow starts.
    ///
    /// Decisions read the result ([`spare`](Self::spare)); this is for a timer, and once a second
    /// is often enough.
    pub fn warm(&self, slow_start_us: u64, now_us: u64) {
        self.header.slow_start_us.store(slow_start_us, Relaxed);
        let starting = self.hosts().filter(|(_, slot)| slot.warm(slow_start_us, now_us)).count();
        self.header.is_starting.store(starting as u32, Relaxed);
        self.weigh();
    }

    /// Notes the sum of what the hosts weigh, each by its share of its full share.
    fn weigh(&self) {
        let sum = self.hosts().fold(0.0, |sum, (_, slot)| sum + slot.weight() * slot.full_share());
        self.header.fleet_weight.store(sum);
    }

    /// Says whether a host may be starting slowly.
    #[inline]
    pub(crate) fn is_starting(&self) -> bool {
        self.header.is_starting.load(Relaxed) != 0
    }

    /// Lets hosts that are starting slowly sit out until their next request is due, unless none
    /// would be left. `words` are the hosts that may be chosen, a bit each. Hosts that are about as
    /// far as the farthest of these need not be spared: where all have come up together, as when a
    /// proxy starts, the policy chooses.
    ///
    /// It is the share of requests that is limited, not the load that is raised: where requests
    /// are short, a host mostly has none under way, and would win however much each counts. Nor
    /// is it left to chance: an empty host among many that are busy wins whenever it may.
    pub fn spare(&self, words: &mut [u64]) {
        let begun = self.header.begun.load(Relaxed);
        let (mut is_one_left, mut next) = (false, None);
        let is_in = |host: u32| words.get(host as usize / 64).is_some_and(|word| word & 1 << (host % 64) != 0);
        let shares = self.hosts().filter(|(host, _)| is_in(*host)).map(|(_, slot)| slot.full_share());
        let spared_below = shares.fold(0.0, f32::max) * STARTED_TOGETHER_SHARE;
        for (host, slot) in self.hosts() {
            let Some(word) = words.get_mut(host as usize / 64) else { break };
            let bit = 1 << (host % 64);
            let wait = if slot.full_share() < spared_below { slot.wait(begun) } else { 0 };
            if *word & bit == 0 {
                continue;
            }
            if wait == 0 {
                is_one_left = true;
                continue;
            }
            *word &= !bit;
            if next.is_none_or(|(_, shortest)| wait < shortest) {
                next = Some((host, wait));
            }
        }
        // Where all have just come up, none waits for the others.
        if !is_one_left
            && let Some((host, _)) = next
            && let Some(word) = words.get_mut(host as usize / 64)
        {
            *word |= 1 << (host % 64);
        }
    }

    /// Lets the hosts age, if a second has passed since they last did: what was learned loses
    /// its weight, and one that was not tried for too long is noted. Costs a comparison
    /// otherwise, so that every decision may call it, as [`decide`](crate::decide()) does.
    #[inline]
    pub fn age(&self, now_us: u64) {
        let aged_us = self.header.aged_us.load(Relaxed);
        // A clock that was set back is noticed too.
        if now_us.wrapping_sub(aged_us) >= AGEING_INTERVAL_US {
            self.age_from(aged_us, now_us);
        }
    }

    #[cold]
    #[inline(never)]
    fn age_from(&self, aged_us: u64, now_us: u64) {
        let taken = self.header.aged_us.compare_exchange(aged_us, now_us, Relaxed, Relaxed);
        if taken.is_err() || aged_us == 0 {
            return;
        }
        let begun = self.header.begun.load(Relaxed);
        let requests = begun.saturating_sub(self.header.aged_begun.swap(begun, Relaxed));
        let ageing = Ageing::new(elapsed_s(aged_us, now_us), requests, self.hosts().count(), now_us, begun);
        let known_or_nan = |mean: Option<f32>| mean.unwrap_or(f32::NAN);
        let fleet = FleetMeans {
            step: known_or_nan(self.step_mean_s()),
            latency: known_or_nan(self.latency_mean_s()),
            ttft: known_or_nan(self.ttft_mean_s()),
        };
        let mut untried: Option<(f32, u32)> = None;
        for (host, slot) in self.hosts() {
            slot.age(&fleet, &ageing);
            if let Some(untried_s) = slot.untried_s(TELEMETRY_STALE_S, &ageing)
                && untried.is_none_or(|(longest_s, _)| untried_s > longest_s)
            {
                untried = Some((untried_s, host));
            }
        }
        self.header.untried.store(untried.map_or(0, |(_, host)| host + 1), Relaxed);
    }

    /// The host that has not been tried for too long, if there is one and it is this
    /// decision's turn.
    #[inline]
    pub(crate) fn take_untried(&self, is_eligible: impl FnOnce(u32) -> bool) -> Option<u32> {
        let host = self.header.untried.load(Relaxed).checked_sub(1)?;
        let begun = self.header.begun.load(Relaxed);
        let interval = (self.host_end() as u64 + 1).clamp(RETRY_INTERVAL_REQUESTS_MIN, RETRY_INTERVAL_REQUESTS_MAX);
        let is_turn = begun.saturating_sub(self.header.retried_begun.load(Relaxed)) >= interval;
        let slot = self.host(host).filter(|_| is_turn)?;
        if !is_eligible(host) {
            // One that may not be chosen now must not keep the others waiting.
            slot.passed_over(self.header.aged_us.load(Relaxed));
            self.header.untried.store(0, Relaxed);
            return None;
        }
        // One of the threads that find it takes it.
        self.header.untried.compare_exchange(host + 1, 0, Relaxed, Relaxed).ok()?;
        self.header.retried_begun.store(begun, Relaxed);
        Some(host)
    }

    fn set_registered(&self, host: usize, is_registered: bool) {
        if let Some(word) = self.header.registered.get(host / 64) {
            let bit = 1 << (host % 64);
            if is_registered {
                // Whoever finds the bit finds the slot filled in.
                word.fetch_or(bit, Release);
            } else {
                word.fetch_and(!bit, Release);
            }
        }
    }

    /// Index of the host registered under `key`.
    pub fn find(&self, key: u64) -> Option<u32> {
        self.hosts().find_map(|(index, slot)| (slot.key() == key).then_some(index))
    }

    /// A registered host's slot.
    pub fn host(&self, index: u32) -> Option<&'m HostSlot> {
        self.slots.get(index as usize).filter(|slot| slot.key() != 0)
    }

    /// The registered hosts and their indices.
    pub fn hosts(&self) -> impl Iterator<Item = (u32, &'m HostSlot)> + use<'m> {
        let end = self.header.host_end.load(Acquire) as usize;
        let slots = self.slots;
        (0u32..).zip(slots.iter().take(end)).filter(|(_, slot)| slot.key() != 0)
    }

    /// The slots, free ones included, and which of them are registered: bit `i % 64` of
    /// word `i / 64`.
    pub(crate) fn slots(&self) -> (&'m [HostSlot], impl Iterator<Item = u64> + use<'m>) {
        let slots = self.slots.get(..self.host_end()).unwrap_or(self.slots);
        (slots, self.header.registered.iter().take(slots.len().div_ceil(64)).map(|word| word.load(Acquire)))
    }

    /// Upper bound of the indices in use.
    pub fn host_end(&self) -> usize {
        (self.header.host_end.load(Acquire) as usize).min(self.slots.len())
    }

    /// A request goes to a host. `None` if there is no such host.
    pub fn begin(&self, host: u32, prompt_tokens: u32, now_us: u64) -> Option<Ticket> {
        let slot = self.host(host)?;
        let quiet_s = elapsed_s(self.header.last_arrival_us.fetch_max(now_us, Relaxed), now_us);
        let keep = math::decay(quiet_s / AVERAGING_TIME_S);
        self.header.arrivals_per_s.update(|old| old * keep + 1.0 / AVERAGING_TIME_S);
        let begun = self.header.begun.fetch_add(1, Relaxed).wrapping_add(1);
        if self.is_starting() {
            slot.pace(self.header.fleet_weight.load(), begun);
        }
        Some(slot.begin(host, prompt_tokens, begun, now_us))
    }

    /// Notes the first token of a response with work. Calls after the first change nothing.
    pub fn first_token(&self, ticket: &mut Ticket, now_us: u64) {
        if let Some(slot) = self.slots.get(ticket.host as usize) {
            if ticket.first_token_us == 0 {
                measured(&self.header.ttft_mean_s, elapsed_s(ticket.sent_us, now_us));
            }
            slot.first_token(ticket, self.latency_held_s(), now_us);
        }
    }

    /// Counts a request out. To be called once per [`begin`](Self::begin). Without a service
    /// model a response is taken for one of a host that answers one request after the other.
    pub fn finish(&self, ticket: &Ticket, outcome: &Outcome, service: Option<&ServiceModel>, now_us: u64) {
        let sample = match service {
            Some(ServiceModel { engine: Engine::Llm(_), output_tokens_mean, .. }) => {
                StepSample::PerToken { tokens_mean: *output_tokens_mean }
            }
            Some(ServiceModel { engine: Engine::Fifo(fifo), .. }) => StepSample::PerRound { servers: fifo.servers },
            None => StepSample::PerRound { servers: 1.0 },
        };
        if let Some(slot) = self.slots.get(ticket.host as usize) {
            if outcome.status == Status::Success {
                measured(&self.header.latency_mean_s, elapsed_s(ticket.sent_us, now_us));
            }
            if let Some(step_s) = slot.finish(ticket, outcome, &sample, self.latency_held_s(), now_us) {
                measured(&self.header.step_mean_s, step_s);
            }
        }
    }

    /// Takes over a host's report, measured at `measured_us`. `false` if that is older than
    /// what is known or lies in the future, or there is no such host.
    pub fn report(&self, host: u32, telemetry: &Telemetry, measured_us: u64, now_us: u64) -> bool {
        let fleet_step_s = self.step_mean_s().unwrap_or(f32::NAN);
        let news_s = self.host(host).and_then(|slot| slot.report(telemetry, fleet_step_s, measured_us, now_us));
        if let Some(step_s) = news_s {
            measured(&self.header.step_mean_s, step_s);
        }
        news_s.is_some()
    }

    /// Time for which an answer without work holds its place, in seconds.
    pub(crate) fn latency_held_s(&self) -> f32 {
        self.latency_mean_s().unwrap_or(LATENCY_HELD_S)
    }

    /// Mean time per output token (LLM) or service time (FIFO) over the hosts measured so
    /// far, in seconds; `None` before the first measurement.
    pub fn step_mean_s(&self) -> Option<f32> {
        known(&self.header.step_mean_s)
    }

    /// Mean latency over the hosts measured so far, in seconds; `None` before the first
    /// success.
    pub fn latency_mean_s(&self) -> Option<f32> {
        known(&self.header.latency_mean_s)
    }

    /// Mean time to first token (or byte) over the hosts measured so far, in seconds;
    /// `None` before the first.
    pub fn ttft_mean_s(&self) -> Option<f32> {
        known(&self.header.ttft_mean_s)
    }

    /// Requests a second that this balancer sends, averaged.
    pub fn arrivals_per_s(&self) -> f32 {
        self.header.arrivals_per_s.load()
    }

    /// Decisions made so far for a reason.
    pub fn decisions(&self, reason: Reason) -> u64 {
        self.header.decisions[reason as usize].load(Relaxed)
    }

    pub(crate) fn count(&self, reason: Reason) {
        self.header.decisions[reason as usize].fetch_add(1, Relaxed);
    }

    /// A random number; all who share the state draw from one sequence.
    pub(crate) fn random(&self) -> u64 {
        random::mix(self.header.random.fetch_add(random::GOLDEN, Relaxed))
    }

    /// A random number from 0 up to, not including, 1.
    pub(crate) fn random_unit(&self) -> f32 {
        random::unit_f32(self.random())
    }

    /// A random number below `end` (0 if `end` is 0).
    pub(crate) fn random_below(&self, end: usize) -> usize {
        random::below(self.random(), end as u64) as usize
    }
}

/// Takes a measurement into a mean over all hosts; one that is not positive says nothing.
fn measured(mean_s: &AtomicF32, sample_s: f32) {
    /// Weight of a measurement against those before it.
    const WEIGHT: f32 = 1.0 / 16.0;
    if sample_s > 0.0 {
        let bounded = |old: f32| sample_s.max(old / MEAN_FACTOR_MAX).min(old * MEAN_FACTOR_MAX);
        mean_s.update(|old| if old > 0.0 { old + (bounded(old) - old) * WEIGHT } else { sample_s });
    }
}

/// A mean, once something was measured.
fn known(mean_s: &AtomicF32) -> Option<f32> {
    Some(mean_s.load()).filter(|mean_s| *mean_s > 0.0)
}
