//! What [`Life`](crate::Life) has in store: slow spells, hosts that join, claims, exchanges
//! without work, clients that leave, turns of sessions.

use std::collections::BTreeMap;

use evenkeel_runtime as runtime;
use rand_pcg::Pcg64Mcg;

use super::{Event, Progress, Simulation};
use crate::life::{Claims, Exchanges, Patience};
use crate::outcome::Status;
use crate::policy::Policy;
use crate::random::{Purpose, exponential, log_between, stream, uniform};
use crate::scenario::Scenario;
use crate::time::microseconds;
use crate::window::Window;

/// The random streams of life, and what must be remembered for it. All of it is empty where
/// the options are off.
#[derive(Debug)]
pub(super) struct Fate {
    claims: Claims,
    exchanges: Exchanges,
    patience: Patience,
    claim_rng: Pcg64Mcg,
    exchange_rng: Pcg64Mcg,
    patience_rng: Pcg64Mcg,
    /// Of each host.
    spell_rngs: Vec<Pcg64Mcg>,
    /// Of each host: slow spells so far.
    spells: Vec<u32>,
    /// Exchanges that may be open, in the order in which they were opened.
    open_exchanges: Vec<u32>,
    /// Hosts that requests to be tried again have been sent to.
    tried: BTreeMap<u32, Vec<u16>>,
    turns: Turns,
}

/// Turns of sessions that wait for the turn before; empty if the loop is open.
#[derive(Debug, Default)]
struct Turns {
    /// Of each request: the turn after it, and the time that its client thinks before, in
    /// seconds.
    next: Vec<Option<(u32, f64)>>,
    /// Of each request: whether it waits for the turn before.
    waits: Vec<bool>,
}

impl Turns {
    fn of(window: &Window) -> Self {
        let requests = window.requests();
        let mut turns = Self { next: vec![None; requests.len()], waits: vec![false; requests.len()] };
        let mut latest: BTreeMap<u64, usize> = BTreeMap::new();
        for (number, request) in requests.iter().enumerate() {
            if request.session == evenkeel_datasets::Request::NO_SESSION {
                continue;
            }
            let before = latest.insert(request.session, number);
            let think_s = f64::from(request.think_s);
            if let Some(before) = before.filter(|_| think_s.is_finite() && think_s >= 0.0) {
                turns.next[before] = Some((number as u32, think_s * window.stretch()));
                turns.waits[number] = true;
            }
        }
        turns
    }
}

impl Fate {
    pub(super) fn new(scenario: &Scenario, window: &Window, seed: u64) -> Self {
        let life = &scenario.life;
        let hosts = scenario.fleet.hosts();
        Self {
            claims: life.claims,
            exchanges: life.exchanges,
            patience: life.patience,
            claim_rng: stream(seed, Purpose::Claim, 0),
            exchange_rng: stream(seed, Purpose::Exchange, 0),
            patience_rng: stream(seed, Purpose::Patience, 0),
            spell_rngs: (0..hosts as u64).map(|host| stream(seed, Purpose::Spell, host)).collect(),
            spells: vec![0; hosts],
            open_exchanges: Vec::new(),
            tried: BTreeMap::new(),
            turns: if life.closed_loop { Turns::of(window) } else { Turns::default() },
        }
    }

    /// The first request from this one on that arrives when the trace says.
    #[inline]
    pub(super) fn next_timed(&self, request: u32) -> u32 {
        let waiting = self.turns.waits.iter().skip(request as usize).take_while(|waits| **waits);
        request + waiting.count() as u32
    }

    /// What the balancer is told of a prompt's length.
    #[inline]
    pub(super) fn claimed_tokens(&mut self, prompt_tokens: u32) -> u32 {
        let Claims { wrong_share, factor_max, unknown_share } = self.claims;
        if wrong_share == 0.0 && unknown_share == 0.0 {
            return prompt_tokens;
        }
        if uniform(&mut self.claim_rng) < wrong_share {
            let factor = log_between(&mut self.claim_rng, 1.0 / factor_max, factor_max);
            return (f64::from(prompt_tokens) * factor).clamp(1.0, f64::from(u32::MAX)) as u32;
        }
        if uniform(&mut self.claim_rng) < unknown_share { 0 } else { prompt_tokens }
    }

    /// Whether the request at hand is an exchange without work.
    #[inline]
    pub(super) fn draw_exchange(&mut self) -> bool {
        self.exchanges.share > 0.0 && uniform(&mut self.exchange_rng) < self.exchanges.share
    }

    /// Opens an exchange, and says how long it stays open, in seconds.
    pub(super) fn open_exchange(&mut self, request: u32) -> f64 {
        self.open_exchanges.push(request);
        exponential(&mut self.exchange_rng, self.exchanges.mean_s)
    }

    /// How long the client of the request at hand waits, in seconds; `None` for as long as it
    /// takes.
    #[inline]
    pub(super) fn draw_patience_s(&mut self) -> Option<f64> {
        let Patience { leaving_share, min_s, max_s, .. } = self.patience;
        let leaves = leaving_share > 0.0 && uniform(&mut self.patience_rng) < leaving_share;
        leaves.then(|| log_between(&mut self.patience_rng, min_s, max_s))
    }

    /// Hosts that a request may not be sent to again.
    #[inline]
    pub(super) fn tried(&self, request: u32) -> &[u16] {
        self.tried.get(&request).map_or(&[], Vec::as_slice)
    }

    pub(super) fn note_tried(&mut self, request: u32, host: u16) {
        self.tried.entry(request).or_default().push(host);
    }
}

impl Simulation {
    /// Schedules what happens whatever balancers do.
    pub(super) fn begin_life(&mut self) {
        let life = &std::sync::Arc::clone(&self.scenario).life;
        for host in 0..self.hosts.len() as u32 {
            self.schedule_spell(host, 0.0);
        }
        for (index, spell) in life.spells.scheduled.iter().enumerate() {
            self.schedule(spell.at_s, Event::Spell { host: spell.host as u32, scheduled: Some(index as u32) });
        }
        for join in &life.joins {
            self.schedule(join.at_s, Event::Join { host: join.host as u32 });
        }
        if life.closed_loop {
            self.requests.resize(self.window.len(), Progress::unborn());
        }
    }

    /// Takes the hosts away that join later.
    pub(super) fn leave_out_late_hosts(&mut self) {
        for join in &std::sync::Arc::clone(&self.scenario).life.joins {
            self.hosts[join.host].crash(self.now_s, &mut self.lost);
            for balancer in &mut self.balancers {
                balancer.not_there(join.host);
            }
        }
    }

    /// Schedules a host's next spell at random, some time after the present one is over.
    fn schedule_spell(&mut self, host: u32, present_s: f64) {
        let every_mean_s = self.scenario.life.spells.every_mean_s;
        if every_mean_s.is_finite() {
            let quiet_s = exponential(&mut self.fate.spell_rngs[host as usize], every_mean_s);
            self.schedule(present_s + quiet_s, Event::Spell { host, scheduled: None });
        }
    }

    pub(super) fn begin_spell(&mut self, host: u32, scheduled: Option<u32>) {
        let spells = &self.scenario.life.spells;
        let (slowness, lasts_s) = if let Some(index) = scheduled {
            let spell = &spells.scheduled[index as usize];
            (spell.slowness, spell.lasts_s)
        } else {
            let rng = &mut self.fate.spell_rngs[host as usize];
            let slowness = log_between(rng, spells.slowness_min, spells.slowness_max);
            (slowness, log_between(rng, spells.lasts_min_s, spells.lasts_max_s))
        };
        self.fate.spells[host as usize] += 1;
        self.hosts[host as usize].set_spell(self.now_s, slowness);
        self.reschedule(host);
        self.schedule(lasts_s, Event::SpellEnds { host, spells: self.fate.spells[host as usize] });
        if scheduled.is_none() {
            self.schedule_spell(host, lasts_s);
        }
    }

    pub(super) fn end_spell(&mut self, host: u32, spells: u32) {
        if self.fate.spells[host as usize] == spells {
            self.hosts[host as usize].set_spell(self.now_s, 1.0);
            self.reschedule(host);
        }
    }

    /// A host comes up for the first time.
    pub(super) fn join(&mut self, host: u32) {
        self.restart(host);
        if !self.scenario.life.restarts_announced {
            self.announce(host);
        }
    }

    /// Every balancer hears that a host came up.
    pub(super) fn announce(&mut self, host: u32) {
        let now_us = microseconds(self.now_s);
        for balancer in &mut self.balancers {
            balancer.came_up(host as usize, self.now_s, now_us);
        }
    }

    /// An exchange ends, or a request was answered without work.
    pub(super) fn end_without_work(&mut self, request: u32, attempt: u16, policy: &mut dyn Policy) {
        let progress = &self.requests[request as usize];
        if progress.is_over || !progress.is_sent || progress.record.attempts != attempt {
            return;
        }
        let outcome = runtime::Outcome { status: runtime::Status::NoWork, output_tokens: 0, cached_tokens: None };
        let event = self.end_attempt(request, &outcome);
        self.piggyback(&event, policy);
        policy.on_done(&event, &outcome);
        self.end(request, Status::NoWork);
    }

    /// Appends the exchanges that a crash of their host cuts off.
    pub(super) fn lose_exchanges(&mut self, host: u32, lost: &mut Vec<u32>) {
        let requests = &self.requests;
        let is_open = |request: u32| {
            let progress = &requests[request as usize];
            progress.is_sent && !progress.is_over
        };
        self.fate.open_exchanges.retain(|request| {
            let is_here = u32::from(requests[*request as usize].record.host) == host;
            if is_open(*request) && is_here {
                lost.push(*request);
            }
            is_open(*request) && !is_here
        });
    }

    /// A client leaves.
    pub(super) fn leave(&mut self, request: u32, policy: &mut dyn Policy) {
        let progress = &self.requests[request as usize];
        if progress.is_over {
            return;
        }
        if progress.is_sent {
            let outcome =
                runtime::Outcome { status: runtime::Status::ClientAbort, output_tokens: 0, cached_tokens: None };
            let event = self.end_attempt(request, &outcome);
            policy.on_done(&event, &outcome);
            if !self.scenario.life.patience.hosts_work_on {
                self.hosts[event.host].abort(self.now_s, request);
                self.reschedule(event.host as u32);
            }
        }
        self.undecided.retain(|undecided| *undecided != request);
        self.end(request, Status::Aborted);
    }

    /// The client of a session's turn that has ended begins to think about the next.
    #[inline]
    pub(super) fn schedule_turn(&mut self, ended: u32) {
        if let Some(Some((request, think_s))) = self.fate.turns.next.get(ended as usize).copied() {
            self.schedule(think_s, Event::Turn { request });
        }
    }
}
