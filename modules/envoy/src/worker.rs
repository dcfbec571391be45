//! State of one worker thread for one cluster, shared by its hooks: the load balancer opens
//! tickets, the access log closes them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use evenkeel_runtime::Status;
use evenkeel_runtime::telemetry_file::host_key;

use crate::clock;
use crate::envoy::HostStatistics;
use crate::panic_mode::PanicMode;
use crate::region::{self, Region};
use crate::settings::Settings;
use crate::tickets::Tickets;

/// One cluster on this thread.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) region: Arc<Region>,
    pub(crate) tickets: RefCell<Tickets>,
    /// Places in the region by the hosts' keys.
    pub(crate) places: RefCell<HashMap<u64, u32>>,
    /// Settings of the newest load balancer.
    pub(crate) settings: RefCell<Arc<Settings>>,
    /// Time of the first request since the last entry of the access log; 0 if there was none.
    pub(crate) silence_since_us: Cell<u64>,
    /// All hosts, for when too few of them are healthy.
    pub(crate) panic_mode: RefCell<PanicMode>,
    /// Envoy's statistics, by each load balancer that is alive.
    statistics: RefCell<Vec<Weak<Statistics>>>,
}

/// Envoy's statistics of the hosts that a load balancer has.
#[derive(Debug)]
pub(crate) struct Statistics {
    hosts: HostStatistics,
    /// Priority and index among all its hosts, by place in the region.
    places: RefCell<HashMap<u32, (u32, u32)>>,
}

impl Statistics {
    /// Hosts came or went: place in the region, priority, and index among all its hosts.
    pub(crate) fn update(&self, places: impl Iterator<Item = (u32, (u32, u32))>) {
        let known = &mut *self.places.borrow_mut();
        known.clear();
        known.extend(places);
    }
}

thread_local! {
    static WORKERS: RefCell<Vec<Weak<Worker>>> = const { RefCell::new(Vec::new()) };
}

impl Worker {
    /// The one for a cluster, made if there is none on this thread. It lives as long as a
    /// load balancer holds it.
    pub(crate) fn of_cluster(cluster: &str, settings: &Arc<Settings>) -> Rc<Self> {
        WORKERS.with_borrow_mut(|workers| {
            workers.retain(|worker| worker.strong_count() > 0);
            let known = workers.iter().filter_map(Weak::upgrade).find(|worker| worker.region.cluster() == cluster);
            if let Some(worker) = known {
                worker.settings.replace(settings.clone());
                return worker;
            }
            let worker = Rc::new(Self {
                region: region::of_cluster(cluster, clock::now_us()),
                tickets: RefCell::new(Tickets::new()),
                places: RefCell::default(),
                settings: RefCell::new(settings.clone()),
                silence_since_us: Cell::new(0),
                panic_mode: RefCell::default(),
                statistics: RefCell::default(),
            });
            workers.push(Rc::downgrade(&worker));
            worker
        })
    }

    /// The one for a cluster, if this thread has it.
    pub(crate) fn find(cluster: &[u8]) -> Option<Rc<Self>> {
        WORKERS.with_borrow(|workers| {
            workers.iter().filter_map(Weak::upgrade).find(|worker| worker.region.cluster().as_bytes() == cluster)
        })
    }

    /// Takes in a load balancer's statistics, for as long as it holds them.
    pub(crate) fn add_statistics(&self, hosts: HostStatistics) -> Rc<Statistics> {
        let statistics = Rc::new(Statistics { hosts, places: RefCell::default() });
        let known = &mut *self.statistics.borrow_mut();
        known.retain(|known| known.strong_count() > 0);
        known.push(Rc::downgrade(&statistics));
        statistics
    }

    /// Envoy's count of the requests to a host that took too long; `None` if no load balancer
    /// has the host any more.
    pub(crate) fn timeouts(&self, slot: u32, address: &[u8]) -> Option<u64> {
        self.statistics.borrow().iter().filter_map(Weak::upgrade).find_map(|statistics| {
            let (priority, index) = *statistics.places.borrow().get(&slot)?;
            statistics.hosts.timeouts(priority, index, address)
        })
    }

    /// Checks if a load balancer has the host in a slot.
    pub(crate) fn has_host(&self, slot: u32) -> bool {
        self.statistics
            .borrow()
            .iter()
            .filter_map(Weak::upgrade)
            .any(|statistics| statistics.places.borrow().contains_key(&slot))
    }

    /// Takes in the slots of hosts that a load balancer has. Hosts that are gone keep theirs as
    /// long as requests to them are under way, whose ends are still to be counted.
    pub(crate) fn update_places(&self, places: HashMap<u64, u32>) {
        let (upstream, tickets) = (self.region.upstream(), self.tickets.borrow());
        let known = &mut *self.places.borrow_mut();
        known.retain(|key, slot| match upstream.state().host(*slot) {
            Some(host) => host.key() == *key,
            None => tickets.oldest_us(*slot).is_some(),
        });
        known.extend(places);
    }

    /// Slot of a host in the region. A slot is not another host's before all requests to the
    /// one before have ended.
    pub(crate) fn place(&self, address: &[u8]) -> Option<u32> {
        let key = host_key(address);
        let slot = *self.places.borrow().get(&key)?;
        self.region.upstream().state().host(slot).is_none_or(|host| host.key() == key).then_some(slot)
    }
}

impl Drop for Worker {
    /// Nobody will tell of the end of what is still under way.
    fn drop(&mut self) {
        let upstream = self.region.upstream();
        for open in self.tickets.get_mut().drain() {
            open.end_unseen(&upstream, Status::ClientAbort);
        }
    }
}
