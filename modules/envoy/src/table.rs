//! A worker's view of a cluster: which of Envoy's indices is which place in the region.
//!
//! Envoy counts hosts twice: a choice is an index among the *healthy* hosts, statistics and
//! retries go by the index among *all* hosts. Both shift whenever a host comes, goes or
//! changes its health, which Envoy tells by a membership update; the region's place stays.

use std::collections::HashMap;
use std::sync::Arc;

use evenkeel_runtime::state::HOSTS_MAX;
use evenkeel_runtime::telemetry_file::host_key;

use crate::abi::LogLevel;
use crate::envoy::{self, LoadBalancerView};
use crate::priority;
use crate::region::Region;

/// No healthy host has this place.
const NOWHERE: u16 = u16::MAX;

/// The place of a host that found none.
pub(crate) const NO_PLACE: u32 = u32::MAX;

/// A healthy host, which may be chosen if it has a place.
#[derive(Clone, Debug)]
pub(crate) struct Healthy {
    /// Place in the region, or [`NO_PLACE`].
    pub(crate) slot: u32,
    /// Index among all hosts.
    pub(crate) all_index: u32,
    /// Envoy's weight, 1 to 128.
    pub(crate) weight: u32,
    /// When this worker saw it come up; `None` if it was there from the start.
    pub(crate) since_us: Option<u64>,
}

/// Hosts of one priority.
#[derive(Clone, Debug, Default)]
pub(crate) struct Priority {
    /// Hosts, whatever their health.
    pub(crate) total: usize,
    /// By Envoy's index among healthy hosts.
    pub(crate) healthy: Vec<Healthy>,
    /// The healthy hosts: bit by place in the region.
    pub(crate) mask: Vec<u64>,
    /// Place and index among all hosts, of every host.
    pub(crate) all: Vec<(u32, u32)>,
    healthy_index: Vec<u16>,
}

impl Priority {
    /// Index among healthy hosts of a place in the region.
    pub(crate) fn healthy_index(&self, slot: u32) -> Option<u32> {
        let index = *self.healthy_index.get(slot as usize)?;
        (index != NOWHERE).then_some(u32::from(index))
    }
}

/// The whole cluster.
#[derive(Debug)]
pub(crate) struct Table {
    region: Arc<Region>,
    pub(crate) priorities: Vec<Priority>,
    /// Share of the requests that each priority gets, in percent.
    pub(crate) loads: Vec<u32>,
    /// Keys whose places in the region are held.
    held: Vec<u64>,
    built: bool,
}

impl Table {
    pub(crate) fn new(region: Arc<Region>) -> Self {
        Self { region, priorities: Vec::new(), loads: Vec::new(), held: Vec::new(), built: false }
    }

    /// Whether Envoy's count of healthy hosts is the one that the table was built from: of
    /// one priority, or of all.
    pub(crate) fn is_current(&self, view: LoadBalancerView<'_>, priority: Option<u32>) -> bool {
        let is_same = |priority: u32| {
            let known = self.priorities.get(priority as usize);
            known.is_some_and(|known| known.healthy.len() == view.healthy_hosts(priority))
        };
        priority.map_or_else(|| (0..view.priorities()).all(is_same), is_same)
    }

    /// Place in the region, priority, and index among all its hosts, of every host.
    pub(crate) fn indices(&self) -> impl Iterator<Item = (u32, (u32, u32))> {
        (0..)
            .zip(&self.priorities)
            .flat_map(|(priority, hosts)| hosts.all.iter().map(move |&(slot, index)| (slot, (priority, index))))
    }

    /// Builds the table anew; returns the key and place of every host.
    pub(crate) fn rebuild(&mut self, view: LoadBalancerView<'_>, now_us: u64) -> HashMap<u64, u32> {
        let healthy = self.priorities.iter().flat_map(|priority| &priority.healthy);
        let since: HashMap<u32, Option<u64>> = healthy.map(|host| (host.slot, host.since_us)).collect();
        // New places are held before old ones are given up: a host that stays must not
        // lose what was learned of it.
        let held_before = std::mem::take(&mut self.held);
        // What is there from the start has not just come up.
        let up_us = self.built.then_some(now_us);
        let mut places = HashMap::new();
        self.priorities = (0..view.priorities())
            .map(|priority| {
                let all = self.hold_all(view, priority, now_us, &mut places);
                self.priority(view, priority, all, &places, |slot| since.get(&slot).copied().unwrap_or(up_us))
            })
            .collect();
        for key in held_before {
            self.region.release(key, now_us);
        }
        self.built |= self.priorities.iter().any(|priority| priority.total > 0);
        self.loads = priority::loads(self.priorities.iter().map(|priority| (priority.healthy.len(), priority.total)));
        places
    }

    /// Places of the healthy hosts that came up at a moment when the table was built.
    pub(crate) fn came_up(&self, at_us: u64) -> impl Iterator<Item = u32> {
        let hosts = self.priorities.iter().flat_map(|priority| &priority.healthy);
        hosts.filter(move |host| host.since_us == Some(at_us) && host.slot != NO_PLACE).map(|host| host.slot)
    }

    /// Holds the place of every host of a priority.
    fn hold_all(
        &mut self,
        view: LoadBalancerView<'_>,
        priority: u32,
        now_us: u64,
        places: &mut HashMap<u64, u32>,
    ) -> Vec<(u32, u32)> {
        // Envoy tells weights of healthy hosts only; the others keep theirs.
        let weights: HashMap<&[u8], u32> = (0..view.healthy_hosts(priority))
            .filter_map(|index| Some((view.healthy_address(priority, index)?, view.healthy_weight(priority, index))))
            .collect();
        let mut all = Vec::with_capacity(view.hosts(priority));
        let mut without_place = 0;
        for index in 0..view.hosts(priority) {
            let Some(address) = view.host_address(priority, index) else { continue };
            let key = host_key(address);
            match self.region.hold(address, weights.get(address).copied(), now_us) {
                Ok(slot) => {
                    self.held.push(key);
                    places.insert(key, slot);
                    all.push((slot, index as u32));
                }
                Err(_) => without_place += 1,
            }
        }
        if without_place > 0 {
            let cluster = self.region.cluster();
            envoy::log(
                LogLevel::Warn,
                format_args!(
                    "cluster {cluster:?} has {without_place} hosts too many, more than {HOSTS_MAX}: they get no requests"
                ),
            );
        }
        all
    }

    fn priority(
        &self,
        view: LoadBalancerView<'_>,
        priority: u32,
        all: Vec<(u32, u32)>,
        places: &HashMap<u64, u32>,
        since_us: impl Fn(u32) -> Option<u64>,
    ) -> Priority {
        let all_index: HashMap<u32, u32> = all.iter().copied().collect();
        let place = |address| places.get(&host_key(address)).copied();
        let mut healthy_index = vec![NOWHERE; HOSTS_MAX];
        let mut healthy = Vec::with_capacity(view.healthy_hosts(priority));
        for index in 0..view.healthy_hosts(priority) {
            // A host without a place stays in the list, which goes by Envoy's index.
            let slot = view.healthy_address(priority, index).and_then(place);
            let known = slot.and_then(|slot| Some((slot, *all_index.get(&slot)?)));
            if let Some((slot, _)) = known
                && let Some(entry) = healthy_index.get_mut(slot as usize)
            {
                *entry = index as u16;
            }
            let (slot, all_index) = known.unwrap_or((NO_PLACE, NO_PLACE));
            let weight = view.healthy_weight(priority, index);
            healthy.push(Healthy { slot, all_index, weight, since_us: since_us(slot) });
        }
        let mut mask = vec![0; self.region.state().host_end().div_ceil(64)];
        for host in &healthy {
            if let Some(word) = mask.get_mut(host.slot as usize / 64) {
                *word |= 1 << (host.slot % 64);
            }
        }
        Priority { total: view.hosts(priority), healthy, mask, all, healthy_index }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let now_us = crate::clock::now_us();
        for key in self.held.drain(..) {
            self.region.release(key, now_us);
        }
    }
}
