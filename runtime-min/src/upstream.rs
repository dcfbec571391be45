//! The balancer as an object: the life of a request, from its facts to what is learned of it.
//!
//! ```text
//! Facts ─► choose ─► begin ─► first_token ─► finish          what a proxy calls for a request
//!            ▲                                 │
//!            └── ages, slow start, affinity, classes ◄── report, restarted, tick
//! ```
//!
//! Its users (the NGINX and Envoy modules, the simulator, programs in C) know what their proxy
//! knows, and hold no rule. Everything lives in the caller's memory ([`Memory`]), which several
//! processes may share, and is atomic: all methods take `&self`.

mod facts;

pub use facts::Facts;

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::affinity::{Affinity, Guess, Lengths, Set, TOKENS_BITS};
use crate::artifact::Model;
use crate::candidates::Eligible;
use crate::classes::Classes;
use crate::clock::elapsed_s;
use crate::decide::{Decision, decide};
use crate::demand::Demand;
use crate::explain::{self, Explanation, HostExplanation};
use crate::forecast::History;
use crate::histogram::Histogram;
use crate::ledger::{Ledger, LedgerError};
use crate::math;
use crate::outcome::{Outcome, Status, Ticket};
use crate::reason::Reason;
use crate::request::Request;
use crate::service::ServiceModel;
use crate::slot::{AtomicF32, HostSlot};
use crate::state::{HOST_WORDS, HOSTS_MAX, State, StateHeader};
use crate::telemetry::{TELEMETRY_STALE_S, Telemetry};
use crate::text_length::{TextLength, Texts};

/// Weight of an engine's word on what it had cached, in the estimate of its cache's room.
const ROOM_WEIGHT: f32 = 1.0 / 16.0;

/// Half-life of that estimate, in seconds without another word.
const ROOM_HALF_LIFE_S: f32 = 600.0;

/// Most room of a cache, in capacities of the service's model.
const ROOM_MAX: f32 = 4.0;

/// Room of a cache that nothing is known of, in tokens.
const ROOM_UNKNOWN: f32 = 1e6;

/// Guesses of less than this many cached tokens are not held against what engines say.
const CACHE_GUESS_MIN: u32 = 64;

/// Engines cache whole blocks of tokens: a guess is met by this share of it.
const CACHE_GUESS_MET: f32 = 0.8;

/// A host and the tokens that it has cached share a word.
const _: () = assert!(HOSTS_MAX <= 1 << (u32::BITS - TOKENS_BITS));

/// Part of an upstream that there is once, apart from its hosts.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Header {
    state: StateHeader,
    /// Decisions for a host whose telemetry was stale.
    stale_decisions: AtomicU64,
    /// Requests of killed processes that were taken back.
    taken_back: AtomicU64,
    /// Logarithm of the room that prefix caches turn out to have, over that of the service's model,
    /// and when an engine last said something of it.
    room_error: AtomicF32,
    room_told_us: AtomicU64,
    text: TextLength,
    demand: Demand,
    choice_time: Histogram,
}

impl Header {
    /// A header whose random choices follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: StateHeader::new(seed), ..Self::default() }
    }

    /// The demand of the upstream.
    pub(crate) fn demand(&self) -> &Demand {
        &self.demand
    }
}

/// The memory of an upstream. Zeroed slots and sets are empty ones.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'m> {
    /// The part that there is once.
    pub header: &'m Header,
    /// One for each host, at most [`HOSTS_MAX`].
    pub slots: &'m [HostSlot],
    /// Table of prefixes; empty for none.
    pub affinity: &'m [Set],
    /// Table of classes; empty for none.
    pub classes: &'m [Set],
    /// Ledger of the requests that each process has under way; `None` if nobody is ever killed alone.
    pub ledger: Option<Ledger<'m>>,
}

/// A view of an upstream in the caller's memory.
#[derive(Clone, Copy, Debug)]
pub struct Upstream<'m> {
    header: &'m Header,
    state: State<'m>,
    affinity: Affinity<'m>,
    classes: Classes<'m>,
    ledger: Option<Ledger<'m>>,
}

/// A host chosen for an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Index of the host; `None` only for [`Reason::NoHost`].
    pub host: Option<u32>,
    /// Its score, lower is better; NaN unless the reason is [`Reason::Policy`].
    pub score: f32,
    /// Reason of the choice.
    pub reason: Reason,
    /// Tokens of the prompt that the host probably has cached.
    pub cached_tokens: u32,
    /// Tokens that the answer is expected to have; 0 where nothing is known of its class.
    pub output_tokens: u32,
}

impl Choice {
    fn new(decision: &Decision, request: &Request<'_>) -> Self {
        let at_host = decision.host.and_then(|host| request.cached_tokens.get(host as usize));
        Self {
            host: decision.host,
            score: decision.score,
            reason: decision.reason,
            cached_tokens: at_host.copied().unwrap_or(0),
            output_tokens: request.output_tokens,
        }
    }
}

/// Counts of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Decisions for each reason, by [`Reason`].
    pub decisions: [u64; Reason::COUNT],
    /// Decisions by the policy for a host whose telemetry was stale: it had reported once.
    pub stale_decisions: u64,
    /// Requests of killed processes that were taken back.
    pub taken_back: u64,
}

/// The hosts that an attempt may go to.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Those that the proxy would take.
    pub eligible: Eligible<'a>,
    /// Those that had the request before, a bit each as in [`Eligible::Mask`]; empty for a first
    /// attempt.
    pub tried: &'a [u64],
}

impl<'a> Attempt<'a> {
    /// A first attempt.
    pub const fn first(eligible: Eligible<'a>) -> Self {
        Self { eligible, tried: &[] }
    }

    /// The hosts that did not have the request before. `words` is where the mask goes if it is
    /// another than the caller's.
    pub fn untried<'w>(&self, words: &'w mut [u64; HOST_WORDS]) -> Eligible<'w>
    where
        'a: 'w,
    {
        if self.tried.is_empty() {
            return self.eligible;
        }
        self.write_untried(words);
        Eligible::Mask(words)
    }

    fn write_untried(&self, words: &mut [u64; HOST_WORDS]) {
        for (index, word) in words.iter_mut().enumerate() {
            *word = self.eligible.word(index) & !self.tried.get(index).copied().unwrap_or(0);
        }
    }
}

impl<'m> Upstream<'m> {
    /// A view of this memory.
    pub fn new(memory: &Memory<'m>) -> Self {
        Self {
            header: memory.header,
            state: State::new(&memory.header.state, memory.slots),
            affinity: Affinity::new(memory.affinity),
            classes: Classes::new(memory.classes),
            ledger: memory.ledger,
        }
    }

    /// The hosts: they are registered, removed and read here.
    #[inline]
    pub fn state(&self) -> &State<'m> {
        &self.state
    }

    /// Counts a request of the demand; not to be called again for its retries.
    pub fn arrived(&self) {
        self.header.demand.arrived();
    }

    /// The demand, to be read.
    pub fn demand(&self) -> &'m Demand {
        &self.header.demand
    }

    /// Times of choices, as their callers measured them.
    pub fn choice_time(&self) -> &'m Histogram {
        &self.header.choice_time
    }

    /// Says whether a host may be starting slowly, so that [`admit`](Self::admit) leaves some out.
    #[inline]
    pub fn is_starting(&self) -> bool {
        self.state.is_starting()
    }

    /// The hosts that an attempt may go to: not those that were tried, nor those that start slowly
    /// and have had their share. `words` is where the mask goes if it is another than the caller's.
    #[inline]
    pub fn admit<'w>(&self, attempt: &Attempt<'w>, words: &'w mut [u64; HOST_WORDS]) -> Eligible<'w> {
        if !self.state.is_starting() {
            return attempt.untried(words);
        }
        attempt.write_untried(words);
        self.state.spare(words);
        Eligible::Mask(words)
    }

    /// Makes the question to the policy: the facts, with what is expected of requests like it and
    /// the tokens that each host probably has cached, which go to `cached`.
    pub fn resolve<'c>(
        &self,
        service: Option<&ServiceModel>,
        facts: &Facts,
        now_us: u64,
        cached: &'c mut [u32; HOSTS_MAX],
    ) -> Request<'c> {
        let mut request = self.expected(facts, now_us);
        if facts.keys.is_some() {
            request.cached_tokens = self.look_up(service, facts, request.prompt_tokens, now_us, cached);
        }
        request
    }

    /// The tokens of a prompt: those that are known, and its text at as many bytes a token as engines have
    /// counted in prompts of its class.
    pub fn prompt_tokens(&self, facts: &Facts, now_us: u64) -> u32 {
        let text = self.texts().tokens(facts.class, facts.text_bytes, now_us);
        facts.prompt_tokens.saturating_add(text)
    }

    /// Bytes of text for a token in prompts of a class, as engines have counted them; 4 where nothing is
    /// known.
    pub fn bytes_per_token(&self, class: u64, now_us: u64) -> f32 {
        self.texts().bytes_per_token(class, now_us)
    }

    /// Learns from a prompt that an engine has counted how many bytes of text make a token. One with other
    /// things than text says nothing of that.
    pub fn counted(&self, facts: &Facts, prompt_tokens: u32, now_us: u64) {
        if facts.prompt_tokens == 0 {
            self.texts().learn(facts.class, facts.text_bytes, prompt_tokens, now_us);
        }
    }

    fn texts(&self) -> Texts<'m> {
        Texts { all: &self.header.text, classes: self.classes }
    }

    /// Lengths of a prompt of so many tokens, and of its beginnings: these are so many bytes of its text.
    fn lengths(&self, facts: &Facts, tokens: u32, now_us: u64) -> Lengths {
        let all = Lengths::of(tokens);
        if facts.text_bytes == 0 { all } else { all.with_text_of(self.bytes_per_token(facts.class, now_us)) }
    }

    fn expected(&self, facts: &Facts, now_us: u64) -> Request<'static> {
        let class = self.classes.expected_output_tokens(facts.class).unwrap_or(0);
        let limit = facts.output_tokens_max;
        // A limit says nothing of answers that mostly end before.
        let output_tokens = if limit == 0 || class == 0 { class } else { class.min(limit) };
        let prompt_tokens = self.prompt_tokens(facts, now_us);
        Request { prompt_tokens, cached_tokens: &[], output_tokens, output_tokens_max: limit }
    }

    #[inline(never)]
    fn look_up<'c>(
        &self,
        service: Option<&ServiceModel>,
        facts: &Facts,
        prompt_tokens: u32,
        now_us: u64,
        cached: &'c mut [u32; HOSTS_MAX],
    ) -> &'c [u32] {
        let cached = cached.get_mut(..self.state.host_end()).unwrap_or(&mut []);
        cached.fill(0);
        let cache_of = |host| self.state.host(host).map(HostSlot::cache);
        let most = cacheable(prompt_tokens);
        let room = self.room(service, now_us) as u32;
        self.affinity.cached_tokens(&facts.keys, most, room, now_us, cache_of, cached);
        cached
    }

    /// New tokens that a host's prefix cache takes in before it throws out what it has: as many as
    /// it has room for, less those of other balancers, as engines' words have shown.
    fn room(&self, service: Option<&ServiceModel>, now_us: u64) -> f32 {
        let capacity = service.map_or(ROOM_UNKNOWN, ServiceModel::prompt_tokens_max);
        capacity * math::exp(self.room_error(now_us))
    }

    fn room_error(&self, now_us: u64) -> f32 {
        let told_us = self.header.room_told_us.load(Relaxed);
        let lives = elapsed_s(told_us, now_us) / ROOM_HALF_LIFE_S;
        self.header.room_error.load() * math::decay(core::f32::consts::LN_2 * lives)
    }

    /// Chooses a host for an attempt of a request: see [`decide`]. `scratch` is as it wants it.
    pub fn choose(
        &self,
        model: Option<&Model<'_>>,
        facts: &Facts,
        attempt: &Attempt<'_>,
        now_us: u64,
        scratch: &mut [f32],
    ) -> Choice {
        let mut words = [0; HOST_WORDS];
        let eligible = self.admit(attempt, &mut words);
        let choice = if facts.keys.is_some() {
            self.choose_cached(model, facts, eligible, now_us, scratch)
        } else {
            let request = self.expected(facts, now_us);
            Choice::new(&decide(model, &self.state, &request, eligible, now_us, scratch), &request)
        };
        if choice.reason == Reason::Policy && choice.host.is_some_and(|host| self.is_stale(host, now_us)) {
            self.header.stale_decisions.fetch_add(1, Relaxed);
        }
        choice
    }

    /// A choice with a place for the cached tokens, which others need not clear.
    #[inline(never)]
    fn choose_cached(
        &self,
        model: Option<&Model<'_>>,
        facts: &Facts,
        eligible: Eligible<'_>,
        now_us: u64,
        scratch: &mut [f32],
    ) -> Choice {
        let mut cached = [0; HOSTS_MAX];
        let request = self.resolve(model.map(Model::service), facts, now_us, &mut cached);
        Choice::new(&decide(model, &self.state, &request, eligible, now_us, scratch), &request)
    }

    /// Explains the choice that would be made now, and changes nothing: see [`explain::explain`].
    pub fn explain(
        &self,
        model: Option<&Model<'_>>,
        facts: &Facts,
        eligible: Eligible<'_>,
        now_us: u64,
        scratch: &mut [f32],
        each: impl FnMut(HostExplanation),
    ) -> Explanation {
        let mut cached = [0; HOSTS_MAX];
        let request = self.resolve(model.map(Model::service), facts, now_us, &mut cached);
        explain::explain(model, &self.state, &request, eligible, now_us, scratch, each)
    }

    /// Whether a host's reports have stopped. One that never reported is not expected to.
    fn is_stale(&self, host: u32, now_us: u64) -> bool {
        let age_s = self.state.host(host).and_then(|slot| slot.telemetry_age_s(now_us));
        age_s.is_some_and(|age_s| age_s >= TELEMETRY_STALE_S)
    }

    /// Counts a request in at a host, the chosen one or any other. `process` is the caller's
    /// number where processes share the memory.
    ///
    /// # Errors
    /// [`LedgerError::Host`] if there is no such host; [`LedgerError::Process`] if the process
    /// has not joined, or says none where processes share the memory.
    pub fn begin(
        &self,
        process: Option<u32>,
        service: Option<&ServiceModel>,
        facts: &Facts,
        host: u32,
        now_us: u64,
    ) -> Result<Ticket, LedgerError> {
        let claimed = self.prompt_tokens(facts, now_us);
        let prompt_tokens = service.map_or(claimed, |service| service.booked_prompt_tokens(claimed));
        let mut ticket = match (self.ledger, process) {
            (None, None) => self.state.begin(host, prompt_tokens, now_us).ok_or(LedgerError::Host)?,
            (Some(ledger), Some(process)) => ledger.begin(process, &self.state, host, prompt_tokens, now_us)?,
            _ => return Err(LedgerError::Process),
        };
        if facts.keys.is_some()
            && let Some(slot) = self.state.host(host)
        {
            let sent = self.affinity.guess(&facts.keys, host, slot.cache(), now_us);
            ticket.cached = Guess { tokens: sent.tokens.min(cacheable(claimed)), ..sent };
            let left = ticket.cached.left(self.room(service, now_us) as u32);
            slot.take_in(prompt_tokens.saturating_sub(left));
            // Others with the same prefix find it there while it is still being computed.
            self.affinity.note(&facts.keys, host, slot.cache(), &self.lengths(facts, claimed, now_us), now_us);
        }
        Ok(ticket)
    }

    /// Notes the first token of a response with work. Calls after the first change nothing.
    pub fn first_token(&self, ticket: &mut Ticket, now_us: u64) {
        self.state.first_token(ticket, now_us);
    }

    /// Counts a request out and learns from its end. To be called once per
    /// [`begin`](Self::begin), by the same process, with the same facts.
    ///
    /// # Errors
    /// [`LedgerError::Gone`] for a request that was taken back from a killed process, and
    /// [`LedgerError::Process`] as above.
    pub fn finish(
        &self,
        service: Option<&ServiceModel>,
        ticket: &Ticket,
        facts: &Facts,
        outcome: &Outcome,
        now_us: u64,
    ) -> Result<(), LedgerError> {
        match self.ledger {
            None => self.state.finish(ticket, outcome, service, now_us),
            Some(ledger) => ledger.finish(&self.state, ticket, outcome, service, now_us)?,
        }
        if outcome.status == Status::Success {
            self.classes.note(facts.class, outcome.output_tokens);
        }
        if facts.keys.is_some() {
            self.learn_of_cache(service, ticket, facts, outcome, now_us);
        }
        Ok(())
    }

    /// Notes what the host has cached by now, and holds what was guessed against what it says.
    #[inline(never)]
    fn learn_of_cache(
        &self,
        service: Option<&ServiceModel>,
        ticket: &Ticket,
        facts: &Facts,
        outcome: &Outcome,
        now_us: u64,
    ) {
        match outcome.status {
            Status::Success => {
                let Some(slot) = self.state.host(ticket.host) else { return };
                if let Some(told) = outcome.cached_tokens {
                    // What was not there was new, whatever was counted at the beginning.
                    let guessed = ticket.cached.left(self.room(service, now_us) as u32);
                    slot.take_in(guessed.min(ticket.prompt_tokens).wrapping_sub(told.min(ticket.prompt_tokens)));
                    self.learn_room(service, ticket, told, now_us);
                }
                slot.take_in(outcome.output_tokens);
                let tokens = self.prompt_tokens(facts, now_us).saturating_add(outcome.output_tokens);
                let lengths = self.lengths(facts, tokens, now_us);
                self.affinity.note(&facts.keys, ticket.host, slot.cache(), &lengths, now_us);
            }
            Status::Failure | Status::NoWork => self.affinity.forget(&facts.keys, ticket.host, ticket.sent_us),
            // The host may well have computed the prompt.
            Status::Timeout | Status::ClientAbort => {}
        }
    }

    /// Moves the room of caches towards what an engine's word shows: that much more was there, or
    /// no more than that.
    fn learn_room(&self, service: Option<&ServiceModel>, ticket: &Ticket, told: u32, now_us: u64) {
        let Guess { tokens, age } = ticket.cached;
        if tokens < CACHE_GUESS_MIN {
            return;
        }
        let is_met = told as f32 >= CACHE_GUESS_MET * tokens as f32;
        let shown = age as f32 + if is_met { tokens } else { told } as f32;
        let room = self.room(service, now_us);
        if is_met == (shown > room) {
            let capacity = service.map_or(ROOM_UNKNOWN, ServiceModel::prompt_tokens_max);
            let error = math::ln_called((shown / capacity).clamp(1e-3, ROOM_MAX));
            let before = self.room_error(now_us);
            self.header.room_error.store(before + (error - before) * ROOM_WEIGHT);
            self.header.room_told_us.store(now_us, Relaxed);
        }
    }

    /// Takes over a host's report, measured at `measured_us`: see [`State::report`].
    pub fn report(&self, host: u32, telemetry: &Telemetry, measured_us: u64, now_us: u64) -> bool {
        self.state.report(host, telemetry, measured_us, now_us)
    }

    /// Forgets what was learned of a host that came (back) up: see [`State::restarted`].
    pub fn restarted(&self, host: u32, now_us: u64) -> bool {
        self.state.restarted(host, now_us)
    }

    /// A process takes its number and takes back what the former one left under way: see
    /// [`Ledger::join`].
    ///
    /// # Errors
    /// As [`Ledger::join`]; [`LedgerError::Process`] where processes do not share the memory.
    pub fn join(&self, process: u32) -> Result<u32, LedgerError> {
        let taken_back = self.ledger.ok_or(LedgerError::Process)?.join(process)?;
        self.header.taken_back.fetch_add(u64::from(taken_back), Relaxed);
        Ok(taken_back)
    }

    /// Takes note of the time: to be called about once a second, by one caller at a time. Slow
    /// starts and the demand go on; see [`State::warm`] and [`Demand::tick`]. Returns whether
    /// there is a new forecast.
    pub fn tick(
        &self,
        clock: &Clock,
        model: Option<&Model<'_>>,
        history: &mut History<'_>,
        scratch: &mut [f32],
    ) -> bool {
        self.state.warm(clock.slow_start_us, clock.now_us);
        let forecaster = model.and_then(Model::forecaster);
        self.header.demand.tick(forecaster, history, clock.now_us, clock.epoch_s, scratch)
    }

    /// Reads the counts.
    pub fn counters(&self) -> Counters {
        Counters {
            decisions: Reason::ALL.map(|reason| self.state.decisions(reason)),
            stale_decisions: self.header.stale_decisions.load(Relaxed),
            taken_back: self.header.taken_back.load(Relaxed),
        }
    }
}

/// The time of a [`tick`](Upstream::tick).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Of the caller's monotonic clock.
    pub now_us: u64,
    /// Unix time, in the service's local time where its days and weeks follow that.
    pub epoch_s: f64,
    /// Time that a host which came up takes to get its full share; 0 for no slow start.
    pub slow_start_us: u64,
}

/// Most tokens of a prompt that may be cached: its last one is always computed. One of unknown length may
/// have any.
fn cacheable(prompt_tokens: u32) -> u32 {
    if prompt_tokens == 0 { u32::MAX } else { prompt_tokens - 1 }
}
