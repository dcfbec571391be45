//! A worker's view of a cluster: which of Envoy's indices is which slot in the region.
//!
//! Envoy counts hosts twice: a choice is an index among the *healthy* hosts, statistics and
//! retries go by the index among *all* hosts. Both shift whenever a host comes, goes or
//! changes its health, which Envoy tells by a membership update; the region's slot stays.

use std::collections::HashMap;
use std::sync::Arc;

use evenkeel_runtime::state::HOSTS_MAX;
use evenkeel_runtime::telemetry_file::host_key;

use crate::envoy::LoadBalancerView;
use crate::priority;
use crate::region::Region;

/// No healthy host has this slot.
const NOWHERE: u32 = u32::MAX;

/// The slot of a host for which the region has none.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// A healthy host.
#[derive(Clone, Debug)]
pub(crate) struct Healthy {
    /// Slot in the region, or [`NO_SLOT`].
    pub(crate) slot: u32,
    /// Index among all hosts.
    pub(crate) all_index: u32,
    /// Envoy's weight, 1 to 128.
    pub(crate) weight: u32,
    /// Time when this worker saw it come up.
    pub(crate) since_us: u64,
}

/// Hosts of one priority.
#[derive(Clone, Debug, Default)]
pub(crate) struct Priority {
    /// Number of hosts, whatever their health.
    pub(crate) total: usize,
    /// By Envoy's index among healthy hosts.
    pub(crate) healthy: Vec<Healthy>,
    /// Set if every healthy host has a slot, and can be scored.
    pub(crate) is_scored: bool,
    /// The healthy hosts: bit by slot in the region.
    pub(crate) mask: Vec<u64>,
    /// Slot and index among all hosts, of every host that has a slot.
    pub(crate) all: Vec<(u32, u32)>,
    healthy_index: Vec<u32>,
}

impl Priority {
    /// Index among healthy hosts of a slot in the region.
    pub(crate) fn healthy_index(&self, slot: u32) -> Option<usize> {
        let index = *self.healthy_index.get(slot as usize)?;
        (index != NOWHERE).then_some(index as usize)
    }
}

/// The whole cluster.
#[derive(Debug)]
pub(crate) struct Table {
    region: Arc<Region>,
    pub(crate) priorities: Vec<Priority>,
    /// Share of the requests that each priority gets, in percent.
    pub(crate) loads: Vec<u32>,
    /// Keys whose slots in the region are held.
    held: Vec<u64>,
    /// Time when there were hosts for the first time.
    built_us: Option<u64>,
}

impl Table {
    pub(crate) fn new(region: Arc<Region>) -> Self {
        Self { region, priorities: Vec::new(), loads: Vec::new(), held: Vec::new(), built_us: None }
    }

    /// Checks if Envoy's count of healthy hosts is the one that the table was built from: of
    /// one priority, or of all.
    pub(crate) fn is_current(&self, view: LoadBalancerView<'_>, priority: Option<u32>) -> bool {
        let is_same = |priority: u32| {
            let known = self.priorities.get(priority as usize);
            known.is_some_and(|known| known.healthy.len() == view.healthy_hosts(priority))
        };
        priority.map_or_else(|| (0..view.priorities()).all(is_same), is_same)
    }

    /// Slot in the region, priority, and index among all its hosts, of every host with a slot.
    pub(crate) fn indices(&self) -> impl Iterator<Item = (u32, (u32, u32))> {
        (0..)
            .zip(&self.priorities)
            .flat_map(|(priority, hosts)| hosts.all.iter().map(move |&(slot, index)| (slot, (priority, index))))
    }

    /// Takes in what Envoy has now. Returns the slots of all hosts by their keys.
    pub(crate) fn rebuild(&mut self, view: LoadBalancerView<'_>, now_us: u64) -> HashMap<u64, u32> {
        let healthy = self.priorities.iter().flat_map(|priority| &priority.healthy);
        let since: HashMap<u32, u64> = healthy.map(|host| (host.slot, host.since_us)).collect();
        // New slots are held before old ones are given up: a host that stays must not lose what
        // was learned of it.
        let held_before = std::mem::take(&mut self.held);
        let mut slots = HashMap::new();
        self.priorities = (0..view.priorities())
            .map(|priority| {
                let hosts = self.hold_all(view, priority, now_us);
                slots
                    .extend(hosts.iter().filter(|(_, host)| host.slot != NO_SLOT).map(|(key, host)| (*key, host.slot)));
                built(view, priority, &hosts, |slot| since.get(&slot).copied().unwrap_or(now_us))
            })
            .collect();
        for key in held_before {
            self.region.release(key, now_us);
        }
        if self.built_us.is_none() && self.priorities.iter().any(|priority| priority.total > 0) {
            self.built_us = Some(now_us);
        }
        self.loads = priority::loads(self.priorities.iter().map(|priority| (priority.healthy.len(), priority.total)));
        let hosts: usize = self.priorities.iter().map(|priority| priority.total).sum();
        self.region.note_hosts(hosts, hosts - self.held.len().min(hosts));
        slots
    }

    /// Checks if hosts without a slot might find one by now: hosts that have gone give theirs up
    /// when the last load balancer has heard of it, and the last request to them has ended.
    pub(crate) fn may_score_more(&self) -> bool {
        let hosts: usize = self.priorities.iter().map(|priority| priority.total).sum();
        hosts <= HOSTS_MAX && self.priorities.iter().any(|priority| !priority.is_scored)
    }

    /// Slots of the healthy hosts that came up at a moment when the table was built. Those which a
    /// new table finds, as after an update of the cluster, and that had requests before, did not.
    pub(crate) fn came_up(&self, at_us: u64) -> impl Iterator<Item = u32> {
        let is_first = self.built_us == Some(at_us);
        let upstream = self.region.upstream();
        let is_known = move |slot| upstream.state().host(slot).is_some_and(|host| host.sent_total() > 0);
        let hosts = self.priorities.iter().flat_map(|priority| &priority.healthy);
        let slots = hosts.filter(move |host| host.since_us == at_us && host.slot != NO_SLOT).map(|host| host.slot);
        slots.filter(move |slot| !(is_first && is_known(*slot)))
    }

    /// Holds the slots of a priority's hosts, as far as there are any. By the hosts' keys.
    fn hold_all(&mut self, view: LoadBalancerView<'_>, priority: u32, now_us: u64) -> HashMap<u64, Known> {
        // Envoy tells weights of healthy hosts only; the others keep theirs.
        let weights: HashMap<&[u8], u32> = (0..view.healthy_hosts(priority))
            .filter_map(|index| Some((view.healthy_address(priority, index)?, view.healthy_weight(priority, index))))
            .collect();
        let addresses =
            (0..view.hosts(priority)).filter_map(|index| Some((index, view.host_address(priority, index)?)));
        let mut holder = self.region.holder(now_us);
        let mut hosts = HashMap::with_capacity(view.hosts(priority));
        for (index, address) in addresses {
            let key = host_key(address);
            let slot = holder.hold(address, weights.get(address).copied());
            if slot.is_some() {
                self.held.push(key);
            }
            hosts.insert(key, Known { slot: slot.unwrap_or(NO_SLOT), all_index: index as u32 });
        }
        hosts
    }
}

/// A host among all.
#[derive(Clone, Copy, Debug)]
struct Known {
    slot: u32,
    all_index: u32,
}

/// The table of a priority, from all its hosts by their keys.
fn built(
    view: LoadBalancerView<'_>,
    priority: u32,
    hosts: &HashMap<u64, Known>,
    since_us: impl Fn(u32) -> u64,
) -> Priority {
    let mut healthy = Vec::with_capacity(view.healthy_hosts(priority));
    let mut healthy_index = vec![NOWHERE; HOSTS_MAX];
    let mut mask = vec![0; HOSTS_MAX / 64];
    for index in 0..view.healthy_hosts(priority) {
        let known = view.healthy_address(priority, index).and_then(|address| hosts.get(&host_key(address)));
        let Known { slot, all_index } = known.copied().unwrap_or(Known { slot: NO_SLOT, all_index: NO_SLOT });
        if let Some(entry) = healthy_index.get_mut(slot as usize) {
            *entry = index as u32;
            mask[slot as usize / 64] |= 1 << (slot % 64);
        }
        healthy.push(Healthy {
            slot,
            all_index,
            weight: view.healthy_weight(priority, index),
            since_us: since_us(slot),
        });
    }
    let used = mask.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
    mask.truncate(used);
    let mut all: Vec<_> =
        hosts.values().filter(|host| host.slot != NO_SLOT).map(|host| (host.slot, host.all_index)).collect();
    all.sort_unstable_by_key(|(_, index)| *index);
    let is_scored = healthy.iter().all(|host| host.slot != NO_SLOT);
    Priority { total: view.hosts(priority), healthy, is_scored, mask, all, healthy_index }
}

impl Drop for Table {
    fn drop(&mut self) {
        let now_us = crate::clock::now_us();
        for key in self.held.drain(..) {
            self.region.release(key, now_us);
        }
    }
}
