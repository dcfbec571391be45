//! What is known of a cluster's hosts: one region for all workers of the process.
//!
//! A host keeps its place, and what was learned of it, as long as some worker's load
//! balancer has it, and a while longer: addresses come back after a restart, and a cluster
//! that is updated is built anew before, or after, the old one is taken down.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use evenkeel_runtime::affinity::Affinity;
use evenkeel_runtime::affinity::Set;
use evenkeel_runtime::classes::Classes;
use evenkeel_runtime::histogram::Histogram;
use evenkeel_runtime::state::{HOSTS_MAX, RegisterError};
use evenkeel_runtime::telemetry_file::host_key;
use evenkeel_runtime::{HostSlot, State, StateHeader};

use crate::artifact::Artifact;
use crate::claims::Claims;
use crate::clock;
use crate::config::ScaleOptions;
use crate::demand::Forecast;
use crate::settings::Settings;

/// How long a host that no worker has any more keeps its place.
const HOST_LINGERS_US: u64 = 60_000_000;

/// How long a region without load balancers is kept.
const REGION_LINGERS_US: u64 = 600_000_000;

/// Keys that are remembered, divided by those that share a place: half a megabyte.
const AFFINITY_SETS: usize = 2048;

/// Classes that are remembered, divided by those that share a place.
const CLASS_SETS: usize = 128;

fn sets(count: usize) -> Box<[Set]> {
    (0..count).map(|_| Set::default()).collect()
}

/// The hosts of one cluster.
pub(crate) struct Region {
    cluster: Box<str>,
    header: StateHeader,
    slots: Box<[HostSlot]>,
    /// Of Envoy's count of each host's failures, what the state knows of.
    pub(crate) errors: Claims,
    /// Of Envoy's count of each host's timeouts, what the state knows of.
    pub(crate) timeouts: Claims,
    hosts: Mutex<BTreeMap<u64, Registration>>,
    affinity: OnceLock<Box<[Set]>>,
    classes: OnceLock<Box<[Set]>>,
    /// How long decisions took.
    pub(crate) decision_time: Histogram,
    /// What is foreseen, and what it is made from.
    pub(crate) forecast: Forecast,
    /// What the main thread works with.
    used: Mutex<Option<Used>>,
}

/// The part of a configuration that concerns the cluster as a whole.
#[derive(Clone)]
pub(crate) struct Used {
    pub(crate) artifact: Arc<Artifact>,
    pub(crate) scale: ScaleOptions,
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
            header: StateHeader::new(host_key(cluster.as_bytes()) ^ clock::now_ns()),
            slots: (0..HOSTS_MAX).map(|_| HostSlot::default()).collect(),
            errors: Claims::default(),
            timeouts: Claims::default(),
            hosts: Mutex::default(),
            affinity: OnceLock::new(),
            classes: OnceLock::new(),
            decision_time: Histogram::default(),
            forecast: Forecast::default(),
            used: Mutex::default(),
        }
    }

    /// Name of the cluster.
    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The runtime's view; all of it is atomic.
    pub(crate) fn state(&self) -> State<'_> {
        State::new(&self.header, &self.slots)
    }

    /// The configuration in force, once there is one.
    pub(crate) fn used(&self) -> Option<Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over a configuration.
    pub(crate) fn use_settings(&self, settings: &Settings) {
        let used = Used {
            artifact: settings.artifact.clone(),
            scale: settings.options.scale,
            telemetry: settings.options.telemetry.clone(),
        };
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Some(used);
    }

    /// Which hosts served a key last; made when it is first asked for.
    pub(crate) fn affinity(&self) -> Affinity<'_> {
        Affinity::new(self.affinity.get_or_init(|| sets(AFFINITY_SETS)))
    }

    /// What requests of each class generate; made when it is first asked for.
    pub(crate) fn classes(&self) -> Classes<'_> {
        Classes::new(self.classes.get_or_init(|| sets(CLASS_SETS)))
    }

    /// Holds a host's place, to be released once for each call. Without a weight, the one
    /// it had stays, and is 1 at first.
    pub(crate) fn hold(&self, address: &[u8], weight: Option<u32>, now_us: u64) -> Result<u32, RegisterError> {
        let mut hosts = self.lock();
        let key = host_key(address);
        if let Some(host) = hosts.get_mut(&key) {
            host.holders += 1;
            if let Some(weight) = weight
                && weight != host.weight
            {
                host.weight = weight;
                self.state().register(key, weight as f32, now_us)?;
            }
            return Ok(host.slot);
        }
        let weight = weight.unwrap_or(1);
        self.expire(&mut hosts, now_us, HOST_LINGERS_US);
        let slot = match self.state().register(key, weight as f32, now_us) {
            Err(RegisterError::Full) => {
                self.expire(&mut hosts, now_us, 0);
                self.state().register(key, weight as f32, now_us)
            }
            result => result,
        }?;
        self.errors.skip(slot, 0);
        self.timeouts.skip(slot, 0);
        let address = String::from_utf8_lossy(address).into();
        hosts.insert(key, Registration { address, slot, weight, holders: 1, released_us: 0 });
        Ok(slot)
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

    fn expire(&self, hosts: &mut BTreeMap<u64, Registration>, now_us: u64, lingers_us: u64) {
        hosts.retain(|key, host| {
            let keeps = host.holders > 0 || now_us.saturating_sub(host.released_us) < lingers_us;
            if !keeps {
                self.state().remove(*key);
            }
            keeps
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Registration>> {
        // What a panic interrupted is a count at worst.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Known {
    region: Arc<Region>,
    /// When a load balancer was last seen to have it.
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

    #[test]
    fn a_host_keeps_its_place_while_held_and_a_while_longer() {
        let region = Region::new("test");
        let slot = region.hold(b"10.0.0.1:80", Some(1), 0).expect("a place");
        assert_eq!(region.hold(b"10.0.0.1:80", Some(1), 0), Ok(slot));
        let other = region.hold(b"10.0.0.2:80", Some(2), 0).expect("a place");
        assert_ne!(slot, other);
        let key = host_key(b"10.0.0.1:80");
        region.release(key, 5);
        region.release(key, 5);
        assert_eq!(region.hosts().len(), 1);
        region.hold(b"10.0.0.3:80", Some(1), 10).expect("a place");
        assert_eq!(region.state().find(key), Some(slot), "it lingers");
        region.hold(b"10.0.0.4:80", Some(1), 10 + HOST_LINGERS_US).expect("a place");
        assert_eq!(region.state().find(key), None, "it has made room");
    }

    #[test]
    fn what_lingers_makes_room_when_the_region_is_full() {
        let region = Region::new("test");
        for n in 0..HOSTS_MAX {
            region.hold(n.to_string().as_bytes(), Some(1), 0).expect("a place");
        }
        assert_eq!(region.hold(b"one too many", Some(1), 1), Err(RegisterError::Full));
        region.release(host_key(b"7"), 1);
        assert!(region.hold(b"in place of 7", Some(1), 2).is_ok());
    }

    #[test]
    fn a_weight_that_changes_is_taken_over() {
        let region = Region::new("test");
        let slot = region.hold(b"a", Some(1), 0).expect("a place");
        region.hold(b"a", Some(7), 0).expect("a place");
        assert_eq!(region.state().host(slot).map(HostSlot::weight), Some(7.0));
    }
}
