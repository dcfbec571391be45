//! One balancer: the runtime's [`Upstream`] in memory of its own, and the hosts that its proxy
//! leaves out.

mod hosts;

use evenkeel_runtime::affinity::{Keys, PREFIX_TOKENS, PrefixKeys, Set};
use evenkeel_runtime::state::{HOST_WORDS, HOSTS_MAX};
use evenkeel_runtime::upstream::{Header, Memory};
use evenkeel_runtime::{Attempt, Eligible, Facts, HostSlot, Request, ServiceModel, State, Upstream};

use crate::host::Job;

/// Sets of a balancer's table of prefixes: some eight thousand entries, as a proxy with a few
/// megabytes has them.
const AFFINITY_SETS: usize = 1024;

/// A balancer's private knowledge.
#[derive(Debug)]
pub(crate) struct Balancer {
    header: Header,
    slots: Vec<HostSlot>,
    /// Empty if the trace has no prefixes.
    affinity: Vec<Set>,
    /// Of each host: when it is taken in again; 0 if it is not left out.
    ejected_until_s: Vec<f64>,
    /// Of each host: it was left out, and has not answered since.
    was_out: Vec<bool>,
    /// When the next host is taken in again.
    readmission_s: f64,
    /// When slow starts were last brought up to date.
    warmed_s: f64,
    eligible: Vec<u32>,
    eligible_mask: Vec<u64>,
    /// Those of the eligible hosts that the decision at hand may choose.
    admitted: Vec<u32>,
    admitted_mask: [u64; HOST_WORDS],
    /// Of the decision at hand.
    cached_tokens: Box<[u32; HOSTS_MAX]>,
}

/// A decision as the balancer sees it.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) state: State<'a>,
    pub(crate) request: Request<'a>,
    /// Hosts that may be chosen, ascending, and the same as a mask.
    pub(crate) eligible: &'a [u32],
    pub(crate) eligible_mask: &'a [u64],
}

impl Balancer {
    /// A balancer that knows nothing but the hosts' configured weights.
    pub(crate) fn new(seed: u64, weights: &[f32], has_prefixes: bool, now_us: u64) -> Self {
        let hosts = weights.len();
        let balancer = Self {
            header: Header::new(seed),
            slots: (0..hosts).map(|_| HostSlot::default()).collect(),
            affinity: (0..if has_prefixes { AFFINITY_SETS } else { 0 }).map(|_| Set::default()).collect(),
            ejected_until_s: vec![0.0; hosts],
            was_out: vec![false; hosts],
            readmission_s: f64::INFINITY,
            warmed_s: f64::NEG_INFINITY,
            eligible: (0..hosts as u32).collect(),
            eligible_mask: full_mask(hosts),
            admitted: Vec::new(),
            admitted_mask: [0; HOST_WORDS],
            cached_tokens: Box::new([0; HOSTS_MAX]),
        };
        for (host, weight) in (1..).zip(weights) {
            let index = balancer.upstream().state().register(host, *weight, now_us);
            assert_eq!(index.map(u64::from), Ok(host - 1), "hosts keep their numbers");
        }
        balancer
    }

    /// The runtime's object over what this balancer knows.
    #[inline]
    pub(crate) fn upstream(&self) -> Upstream<'_> {
        upstream(&self.header, &self.slots, &self.affinity)
    }

    /// What is known of a request before it is placed, and the hosts that it may go to: not those
    /// that were tried, unless there are no others.
    pub(crate) fn see(&mut self, service: &ServiceModel, facts: &Facts, tried: &[u16], now_us: u64) -> Seen<'_> {
        let upstream = upstream(&self.header, &self.slots, &self.affinity);
        // For rules that choose without the runtime's own decision.
        upstream.state().age(now_us);
        let request = upstream.resolve(Some(service), facts, now_us, &mut self.cached_tokens);
        let (mut eligible, mut eligible_mask) = (&self.eligible[..], &self.eligible_mask[..]);
        if upstream.is_starting() || !tried.is_empty() {
            let mut tried_mask = [0; HOST_WORDS];
            for host in tried {
                tried_mask[usize::from(*host) / 64] |= 1 << (host % 64);
            }
            let attempt = Attempt { eligible: Eligible::Mask(&self.eligible_mask), tried: &tried_mask };
            upstream.admit(&attempt, &mut self.admitted_mask);
            let mask = &self.admitted_mask;
            self.admitted.clear();
            self.admitted
                .extend(self.eligible.iter().filter(|host| mask[**host as usize / 64] >> (**host % 64) & 1 == 1));
            if !self.admitted.is_empty() {
                (eligible, eligible_mask) = (&self.admitted, mask);
            }
        }
        Seen { state: *upstream.state(), request, eligible, eligible_mask }
    }

    /// Brings slow starts up to date, once a second.
    pub(crate) fn warm(&mut self, slow_start_s: f64, now_s: f64) {
        if now_s - self.warmed_s >= 1.0 {
            self.warmed_s = now_s;
            self.upstream().state().warm((slow_start_s * 1e6) as u64, crate::time::microseconds(now_s));
        }
    }

    /// A host answered: one that had been left out has come back, as proxies see it.
    pub(crate) fn answered(&mut self, host: usize, now_us: u64) {
        if std::mem::take(&mut self.was_out[host]) {
            self.upstream().restarted(host as u32, now_us);
        }
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
            self.was_out[host] = true;
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
}

fn upstream<'m>(header: &'m Header, slots: &'m [HostSlot], affinity: &'m [Set]) -> Upstream<'m> {
    Upstream::new(&Memory { header, slots, affinity, classes: &[], ledger: None })
}

/// What a balancer knows of a request that claims a prompt of so many tokens. If it claims
/// nothing, its prompt has not been looked at.
pub(crate) fn facts(job: &Job<'_>, claimed_tokens: u32) -> Facts {
    let prefix = if claimed_tokens > 0 { job.prefix } else { &[] };
    Facts {
        prompt_tokens: claimed_tokens,
        keys: Keys { prefixes: prefix_keys(prefix, job.prefix_block_tokens), session: 0 },
        ..Facts::default()
    }
}

/// Keys of a prompt's prefixes from its blocks, each of which stands for all before it. Of
/// lengths within one block, the longest has its key.
fn prefix_keys(blocks: &[u64], block_tokens: u32) -> PrefixKeys {
    let mut keys = PrefixKeys::default();
    if block_tokens == 0 {
        return keys;
    }
    let block = |tokens: u32| tokens.div_ceil(block_tokens) as usize - 1;
    for (index, tokens) in PREFIX_TOKENS.into_iter().enumerate() {
        let is_longest = PREFIX_TOKENS.get(index + 1).is_none_or(|next| block(*next) != block(tokens));
        if let Some(id) = blocks.get(block(tokens)).filter(|_| is_longest) {
            keys[index] = evenkeel_numbers::random::mix(id ^ (index as u64) << 56).max(1);
        }
    }
    keys
}

fn full_mask(hosts: usize) -> Vec<u64> {
    let mut mask = vec![0; hosts.div_ceil(64)];
    for host in 0..hosts {
        mask[host / 64] |= 1 << (host % 64);
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_have_keys_as_long_as_they_are_the_same() {
        let blocks: Vec<u64> = (1..=40).collect();
        let keys = prefix_keys(&blocks, 512);
        assert_eq!(keys.map(|key| key != 0), [false, true, true, true, true]);
        let mut other = blocks.clone();
        other[1] = 99;
        let others = prefix_keys(&other, 512);
        assert_eq!((others[1] == keys[1], others[2] == keys[2]), (true, false));
        assert_eq!(prefix_keys(&blocks[..7], 512).map(|key| key != 0), [false, true, true, false, false]);
        assert_eq!(prefix_keys(&blocks[..4], 16).map(|key| key != 0), [true, false, false, false, false]);
        assert_eq!(prefix_keys(&[], 0), PrefixKeys::default());
    }
}
