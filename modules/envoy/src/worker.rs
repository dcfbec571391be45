//! What the hooks of one worker thread share for one cluster: the load balancer opens
//! tickets, the access log closes them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::clock;
use crate::feedback;
use crate::hash::fnv1a;
use crate::panic::Panic;
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
    /// When the access log last told of a request; 0 if never.
    pub(crate) last_log_us: Cell<u64>,
    /// All hosts, for when too few of them are healthy.
    pub(crate) panic: RefCell<Panic>,
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
                last_log_us: Cell::new(0),
                panic: RefCell::default(),
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

    /// The place of a host in the region, if it still is this host's.
    pub(crate) fn place(&self, address: &[u8]) -> Option<u32> {
        let key = fnv1a(address);
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
