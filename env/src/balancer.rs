//! One balancer: the runtime's state in memory of its own, the hosts it leaves out, and
//! what it remembers of the prompts it sent where.

mod hosts;

use evenkeel_runtime::{HostSlot, ServiceModel, State, StateHeader, Telemetry};

use crate::host::prefix_cache::PrefixCache;

/// A balancer's private knowledge.
#[derive(Debug)]
pub(crate) struct Balancer {
    header: StateHeader,
    slots: Vec<HostSlot>,
    /// Of each host: when it is taken in again; 0 if it is not left out.
    ejected_until_s: Vec<f64>,
    /// When the next host is taken in again.
    readmission_s: f64,
    eligible: Vec<u32>,
    eligible_mask: Vec<u64>,
    /// Those of the eligible hosts that the request at hand has not been sent to.
    untried: Vec<u32>,
    untried_mask: Vec<u64>,
    /// Of each host: the blocks of the prompts that this balancer sent there. Empty if the
    /// trace has no prefixes.
    sent_prefixes: Vec<PrefixCache>,
    cached_tokens: Vec<u32>,
}

impl Balancer {
    /// A balancer that knows nothing but the hosts' configured weights.
    pub(crate) fn new(seed: u64, weights: &[f32], prefix_cache_blocks: usize, now_us: u64) -> Self {
        let hosts = weights.len();
        let balancer = Self {
            header: StateHeader::new(seed),
            slots: (0..hosts).map(|_| HostSlot::default()).collect(),
            ejected_until_s: vec![0.0; hosts],
            readmission_s: f64::INFINITY,
            eligible: (0..hosts as u32).collect(),
            eligible_mask: full_mask(hosts),
            untried: Vec::new(),
            untried_mask: full_mask(hosts),
            sent_prefixes: if prefix_cache_blocks == 0 {
                Vec::new()
            } else {
                (0..hosts).map(|_| PrefixCache::new(prefix_cache_blocks)).collect()
            },
            cached_tokens: Vec::new(),
        };
        for (host, weight) in (1..).zip(weights) {
            let index = balancer.state().register(host, *weight, now_us);
            assert_eq!(index.map(u64::from), Ok(host - 1), "hosts keep their numbers");
        }
        balancer
    }

    /// The runtime's view of what this balancer knows.
    #[inline]
    pub(crate) fn state(&self) -> State<'_> {
        State::new(&self.header, &self.slots)
    }

    /// Hosts that may be chosen, and the same as a mask. If all are left out, all may be.
    #[inline]
    pub(crate) fn eligible(&self) -> (&[u32], &[u64]) {
        (&self.eligible, &self.eligible_mask)
    }

    /// Takes hosts in again whose time has come.
    #[inline]
    pub(crate) fn readmit(&mut self, now_s: f64) {
        if now_s >= self.readmission_s {
            self.update_eligible(now_s);
        }
    }

    /// Leaves a host out for a while.
    pub(crate) fn eject(&mut self, host: usize, now_s: f64, until_s: f64) {
        if until_s > now_s {
            self.ejected_until_s[host] = until_s;
            self.update_eligible(now_s);
        }
    }

    fn update_eligible(&mut self, now_s: f64) {
        let hosts = self.ejected_until_s.len();
        let is_out = |until_s: f64| until_s > now_s;
        self.readmission_s =
            self.ejected_until_s.iter().copied().filter(|until_s| is_out(*until_s)).fold(f64::INFINITY, f64::min);
        self.eligible.clear();
        self.eligible.extend((0..hosts as u32).filter(|host| !is_out(self.ejected_until_s[*host as usize])));
        if self.eligible.is_empty() {
            // Those that have not joined yet are out until for ever.
            self.eligible.extend((0..hosts as u32).filter(|host| self.ejected_until_s[*host as usize].is_finite()));
        }
        self.eligible_mask.fill(0);
        for &host in &self.eligible {
            self.eligible_mask[host as usize / 64] |= 1 << (host % 64);
        }
    }

    /// Looks up how many of a prompt's tokens each host probably has cached.
    pub(crate) fn look_up_prefix(&mut self, prefix: &[u64], block_tokens: u32, prompt_tokens: u32) {
        self.cached_tokens.clear();
        if !prefix.is_empty() {
            let tokens = |cache: &PrefixCache| {
                (cache.cached_blocks(prefix) as u32 * block_tokens).min(prompt_tokens.saturating_sub(1))
            };
            self.cached_tokens.extend(self.sent_prefixes.iter().map(tokens));
        }
    }

    /// The result of the last [`look_up_prefix`](Self::look_up_prefix), by host.
    pub(crate) fn cached_tokens(&self) -> &[u32] {
        &self.cached_tokens
    }

    /// Remembers what was sent where.
    pub(crate) fn remember_prefix(&mut self, host: usize, prefix: &[u64]) {
        if let Some(cache) = self.sent_prefixes.get_mut(host) {
            cache.touch(prefix);
        }
    }

    /// A host lost its cache.
    pub(crate) fn forget_prefixes(&mut self, host: usize) {
        if let Some(cache) = self.sent_prefixes.get_mut(host) {
            cache.clear();
        }
    }

    pub(crate) fn report(&self, host: u32, telemetry: &Telemetry, measured_us: u64, now_us: u64) -> bool {
        self.state().report(host, telemetry, measured_us, now_us)
    }

    pub(crate) fn finish(
        &self,
        ticket: &evenkeel_runtime::Ticket,
        outcome: &evenkeel_runtime::Outcome,
        service: &ServiceModel,
        now_us: u64,
    ) {
        self.state().finish(ticket, outcome, Some(service), now_us);
    }
}

fn full_mask(hosts: usize) -> Vec<u64> {
    let mut mask = vec![0; hosts.div_ceil(64)];
    for host in 0..hosts {
        mask[host / 64] |= 1 << (host % 64);
    }
    mask
}
