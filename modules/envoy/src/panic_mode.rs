//! Envoy's panic mode: where too few hosts are healthy, health checks are not believed, and
//! requests go to all hosts.
//!
//! A load-balancing policy can return healthy hosts only. What Envoy's own policies do here
//! is done by the request filter, which names a host before the policy is asked; Envoy
//! takes it if the cluster's `override_host_status` says that unhealthy hosts will do.

use crate::envoy::LoadBalancerView;

/// The addresses of all hosts, and how many of them are healthy.
#[derive(Debug, Default)]
pub(crate) struct PanicMode {
    addresses: Vec<Box<[u8]>>,
    healthy: usize,
    next: usize,
}

impl PanicMode {
    /// Hosts came, went, or changed their health.
    pub(crate) fn update(&mut self, view: LoadBalancerView<'_>) {
        self.healthy = (0..view.priorities()).map(|priority| view.healthy_hosts(priority)).sum();
        self.addresses.clear();
        for priority in 0..view.priorities() {
            let hosts = (0..view.hosts(priority)).filter_map(|index| view.host_address(priority, index));
            self.addresses.extend(hosts.map(Box::from));
        }
    }

    /// A host, one after the other, if less than `threshold` percent are healthy.
    pub(crate) fn host(&mut self, threshold: u32) -> Option<&[u8]> {
        if self.healthy * 100 >= threshold as usize * self.addresses.len() {
            return None;
        }
        self.next = (self.next + 1) % self.addresses.len().max(1);
        self.addresses.get(self.next).map(|address| &**address)
    }
}
