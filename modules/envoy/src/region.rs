//! Knowledge of a cluster's hosts: one region for all workers of the process.
//!
//! A host keeps its place, and what was learned of it, as long as some worker's load
//! balancer has it, and a while longer: addresses come back after a restart, and a cluster
//! that is updated is built anew before, or after, the old one is taken down.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_runtime::affinity::Set;
use evenkeel_runtime::state::{HOSTS_MAX, RegisterError};
use evenkeel_runtime::telemetry_file::host_key;
use evenkeel_runtime::upstream::{Header, Memory, Upstream};
use evenkeel_runtime::{HostSlot, Model};

use crate::abi::LogLevel;
use crate::artifact::Artifact;
use crate::claims::Claims;
use crate::clock;
use crate::config::ScaleOptions;
use crate::demand::Past;
use crate::envoy;

/// Time for which a host that no worker has any more keeps its slot.
const HOST_LINGERS_US: u64 = 60_000_000;

/// Time for which a region without load balancers is kept.
const REGION_LINGERS_US: u64 = 600_000_000;

/// Keys of prefixes and sessions that are remembered, divided by those that share a place: half a
/// megabyte.
const AFFINITY_SETS: usize = 2048;

/// Classes that are remembered, divided by those that share a place.
const CLASS_SETS: usize = 128;

fn sets(count: usize) -> Box<[Set]> {
    (0..count).map(|_| Set::default()).collect()
}

/// The hosts of one cluster.
pub(crate) struct Region {
    cluster: Box<str>,
    header: Header,
    slots: Box<[HostSlot]>,
    affinity: Box<[Set]>,
    classes: Box<[Set]>,
    past: Mutex<Past>,
    /// Of Envoy's count of each host's failures, what the state knows of.
    pub(crate) errors: Claims,
    /// Of Envoy's count of each host's timeouts, what the state knows of.
    pub(crate) timeouts: Claims,
    hosts: Mutex<BTreeMap<u64, Registration>>,
    hosts_total: AtomicUsize,
    hosts_without_slot: AtomicUsize,
    /// Choices by least request of two, for want of slots.
    pub(crate) unscored: AtomicU64,
    /// Choices in shadow mode in which the policy's host was the one that served.
    pub(crate) shadow_agreed: AtomicU64,
    /// Choices in shadow mode in which it was not.
    pub(crate) shadow_differed: AtomicU64,
    /// Configuration that the main thread works with.
    used: Mutex<Option<Used>>,
}

/// The part of a configuration that concerns the cluster as a whole.
#[derive(Clone)]
pub(crate) struct Used {
    pub(crate) artifact: Arc<Artifact>,
    pub(crate) scale: ScaleOptions,
    pub(crate) slow_start: Duration,
    pub(crate) telemetry: Option<PathBuf>,
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Region").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// A host that has a place.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    /// Address and port, as Envoy writes them.
    pub(crate) address: Box<str>,
    /// Index in the region.
    pub(crate) slot: u32,
    weight: u32,
    /// Load balancers that have it.
    holders: usize,
    released_us: u64,
}

impl Region {
    fn new(cluster: &str) -> Self {
        Self {
            cluster: cluster.into(),
            header: Header::new(host_key(cluster.as_bytes()) ^ clock::now_ns()),
            slots: (0..HOSTS_MAX).map(|_| HostSlot::default()).collect(),
            affinity: sets(AFFINITY_SETS),
            classes: sets(CLASS_SETS),
            past: Mutex::default(),
            errors: Claims::default(),
            timeouts: Claims::default(),
            hosts: Mutex::default(),
            hosts_total: AtomicUsize::new(0),
            hosts_without_slot: AtomicUsize::new(0),
            unscored: AtomicU64::new(0),
            shadow_agreed: AtomicU64::new(0),
            shadow_differed: AtomicU64::new(0),
            used: Mutex::default(),
        }
    }

    /// Name of the cluster.
    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The runtime's view; all of it is atomic.
    pub(crate) fn upstream(&self) -> Upstream<'_> {
        let Self { header, slots, affinity, classes, .. } = self;
        // All workers are threads of one process, and end together.
        Upstream::new(&Memory { header, slots, affinity, classes, ledger: None })
    }

    /// Brings slow starts up to date, for when nobody [ticks](Self::tick).
    pub(crate) fn warm(&self, slow_start: Duration, now_us: u64) {
        self.upstream().state().warm(slow_start.as_micros() as u64, now_us);
    }

    /// Notes the time, about once a second: slow starts and the demand go on.
    pub(crate) fn tick(&self, model: &Model<'_>, slow_start: Duration) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        past.tick(&self.upstream(), model, slow_start);
    }

    /// The configuration in force, once there is one.
    pub(crate) fn used(&self) -> Option<Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over a configuration.
    pub(crate) fn take_over(&self, used: Used) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Some(used);
    }

    /// Holds hosts' slots, to be released once for each.
    pub(crate) fn holder(&self, now_us: u64) -> Holder<'_> {
        Holder { region: self, hosts: self.lock(), now_us, is_full: false }
    }

    /// Gives up a host's place.
    pub(crate) fn release(&self, key: u64, now_us: u64) {
        if let Some(host) = self.lock().get_mut(&key) {
            host.holders = host.holders.saturating_sub(1);
            host.released_us = now_us;
        }
    }

    /// The hosts that some load balancer has.
    pub(crate) fn hosts(&self) -> Vec<Registration> {
        self.lock().values().filter(|host| host.holders > 0).cloned().collect()
    }

    /// Takes in how many hosts the cluster has, and how many of them have no slot.
    pub(crate) fn note_hosts(&self, hosts: usize, without_slot: usize) {
        self.hosts_total.store(hosts, Relaxed);
        if self.hosts_without_slot.swap(without_slot, Relaxed) != without_slot && without_slot > 0 {
            let cluster = self.cluster();
            envoy::log(
                LogLevel::Warn,
                format_args!(
                    "cluster {cluster:?} has {hosts} hosts, of which {HOSTS_MAX} can be scored: \
                     its requests go by least request of two"
                ),
            );
        }
    }

    /// Number of hosts, and of those without a slot.
    pub(crate) fn host_counts(&self) -> (usize, usize) {
        (self.hosts_total.load(Relaxed), self.hosts_without_slot.load(Relaxed))
    }

    fn expire(&self, hosts: &mut BTreeMap<u64, Registration>, now_us: u64, lingers_us: u64) {
        hosts.retain(|key, host| {
            let keeps = host.holders > 0 || now_us.saturating_sub(host.released_us) < lingers_us;
            if !keeps {
                self.upstream().state().remove(*key);
            }
            keeps
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Registration>> {
        // What a panic interrupted is a count at worst.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds slots for the hosts of a load balancer.
pub(crate) struct Holder<'r> {
    region: &'r Region,
    hosts: MutexGuard<'r, BTreeMap<u64, Registration>>,
    now_us: u64,
    /// Set once a host has found no slot: others need not look for one.
    is_full: bool,
}

impl Holder<'_> {
    /// Holds a host's slot; `None` if all are taken. Without a weight, the one it had stays, and
    /// is 1 at first.
    pub(crate) fn hold(&mut self, address: &[u8], weight: Option<u32>) -> Option<u32> {
        let (region, now_us) = (self.region, self.now_us);
        let key = host_key(address);
        if let Some(host) = self.hosts.get_mut(&key) {
            host.holders += 1;
            if let Some(weight) = weight
                && weight != host.weight
            {
                host.weight = weight;
                region.upstream().state().set_weight(host.slot, weight as f32);
            }
            return Some(host.slot);
        }
        if self.is_full {
            return None;
        }
        let weight = weight.unwrap_or(1);
        region.expire(&mut self.hosts, now_us, HOST_LINGERS_US);
        let register = || region.upstream().state().register(key, weight as f32, now_us);
        let registered = match register() {
            Err(RegisterError::Full) => {
                region.expire(&mut self.hosts, now_us, 0);
                register()
            }
            result => result,
        };
        let Ok(slot) = registered else {
            self.is_full = true;
            return None;
        };
        region.errors.skip(slot, 0);
        region.timeouts.skip(slot, 0);
        let address = String::from_utf8_lossy(address).into();
        self.hosts.insert(key, Registration { address, slot, weight, holders: 1, released_us: 0 });
        Some(slot)
    }
}

struct Known {
    region: Arc<Region>,
    /// Time when a load balancer was last seen to have it.
    used_us: u64,
}

static REGIONS: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// The region of a cluster, made if there is none.
pub(crate) fn of_cluster(cluster: &str, now_us: u64) -> Arc<Region> {
    let mut regions = REGIONS.lock().unwrap_or_else(PoisonError::into_inner);
    for known in regions.iter_mut().filter(|known| Arc::strong_count(&known.region) > 1) {
        known.used_us = now_us;
    }
    regions.retain(|known| now_us.saturating_sub(known.used_us) < REGION_LINGERS_US);
    if let Some(known) = regions.iter_mut().find(|known| known.region.cluster() == cluster) {
        known.used_us = now_us;
        return known.region.clone();
    }
    let region = Arc::new(Region::new(cluster));
    regions.push(Known { region: region.clone(), used_us: now_us });
    region
}

/// All regions that a load balancer uses.
pub(crate) fn all() -> Vec<Arc<Region>> {
    let regions = REGIONS.lock().unwrap_or_else(PoisonError::into_inner);
    regions.iter().map(|known| &known.region).filter(|region| Arc::strong_count(region) > 1).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(region: &Region, address: &[u8], weight: u32, now_us: u64) -> Option<u32> {
        region.holder(now_us).hold(address, Some(weight))
    }

    #[test]
    fn a_host_keeps_its_place_while_held_and_a_while_longer() {
        let region = Region::new("test");
        let slot = hold(&region, b"10.0.0.1:80", 1, 0).expect("a place");
        assert_eq!(hold(&region, b"10.0.0.1:80", 1, 0), Some(slot));
        let other = hold(&region, b"10.0.0.2:80", 2, 0).expect("a place");
        assert_ne!(slot, other);
        let key = host_key(b"10.0.0.1:80");
        region.release(key, 5);
        region.release(key, 5);
        assert_eq!(region.hosts().len(), 1);
        hold(&region, b"10.0.0.3:80", 1, 10).expect("a place");
        assert_eq!(region.upstream().state().find(key), Some(slot), "it lingers");
        hold(&region, b"10.0.0.4:80", 1, 10 + HOST_LINGERS_US).expect("a place");
        assert_eq!(region.upstream().state().find(key), None, "it has made room");
    }

    #[test]
    fn what_lingers_makes_room_when_the_region_is_full() {
        let region = Region::new("test");
        for n in 0..HOSTS_MAX {
            hold(&region, n.to_string().as_bytes(), 1, 0).expect("a place");
        }
        assert_eq!(hold(&region, b"one too many", 1, 1), None);
        region.release(host_key(b"7"), 1);
        assert!(hold(&region, b"in place of 7", 1, 2).is_some());
    }

    #[test]
    fn a_weight_that_changes_is_taken_over() {
        let region = Region::new("test");
        let slot = hold(&region, b"a", 1, 0).expect("a place");
        hold(&region, b"a", 7, 0).expect("a place");
        assert_eq!(region.upstream().state().host(slot).map(HostSlot::weight), Some(7.0));
    }
}
