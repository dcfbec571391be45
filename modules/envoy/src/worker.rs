//! What the hooks of one worker thread share for one cluster: the load balancer opens
//! tickets, the access log closes them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use evenkeel_runtime::telemetry_file::host_key;

use crate::clock;
use crate::envoy::HostStatistics;
use crate::feedback;
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
    /// When the first request was sent since the access log last told of one; 0 if none was.
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

    /// The place of a host in the region, if it still is this host's.
    pub(crate) fn place(&self, address: &[u8]) -> Option<u32> {
        let key = host_key(address);
        let slot = *self.places.borrow().get(&key)?;
        self.region.state().host(slot).filter(|host| host.key() == key).map(|_| slot)
    }
}

impl Drop for Worker {
    /// Nobody will tell of the end of what is still under way.
    fn drop(&mut self) {
        let tickets = self.tickets.get_mut();
        for (_, slot) in self.places.get_mut().drain() {
            while let Some(open) = tickets.take_oldest(slot) {
                feedback::forget(&self.region.state(), &open.ticket);
            }
        }
    }
}
