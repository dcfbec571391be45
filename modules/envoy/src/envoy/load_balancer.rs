//! The load balancer of one worker for one cluster, and the request that it chooses for.

use std::marker::PhantomData;

use crate::abi::{self, Buffer, EnvoyPtr};

/// A cluster's hosts as this worker sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadBalancerView<'h> {
    lb: EnvoyPtr,
    hook: PhantomData<&'h ()>,
}

impl<'h> LoadBalancerView<'h> {
    /// # Safety
    /// - `lb` is what Envoy handed to a hook that runs during `'h`.
    pub(crate) unsafe fn new(lb: EnvoyPtr) -> Self {
        Self { lb, hook: PhantomData }
    }

    /// Name of the cluster.
    pub(crate) fn cluster(self) -> &'h [u8] {
        let mut name = Buffer::EMPTY;
        // SAFETY: the view holds a load balancer that is alive.
        unsafe { abi::envoy_dynamic_module_callback_lb_get_cluster_name(self.lb, &raw mut name) };
        // SAFETY: Envoy's, and valid during the hook.
        unsafe { name.bytes() }
    }

    pub(crate) fn priorities(self) -> u32 {
        // SAFETY: as above.
        unsafe { abi::envoy_dynamic_module_callback_lb_get_priority_set_size(self.lb) as u32 }
    }

    /// Number of hosts, whatever their health.
    pub(crate) fn hosts(self, priority: u32) -> usize {
        // SAFETY: as above.
        unsafe { abi::envoy_dynamic_module_callback_lb_get_hosts_count(self.lb, priority) }
    }

    pub(crate) fn healthy_hosts(self, priority: u32) -> usize {
        // SAFETY: as above.
        unsafe { abi::envoy_dynamic_module_callback_lb_get_healthy_hosts_count(self.lb, priority) }
    }

    /// Address by the place among all hosts.
    pub(crate) fn host_address(self, priority: u32, index: usize) -> Option<&'h [u8]> {
        let mut address = Buffer::EMPTY;
        // SAFETY: as above; out of range gives `false`.
        let found = unsafe {
            abi::envoy_dynamic_module_callback_lb_get_host_address(self.lb, priority, index, &raw mut address)
        };
        // SAFETY: Envoy's, and valid during the hook.
        found.then(|| unsafe { address.bytes() })
    }

    /// Address by the place among the healthy hosts.
    pub(crate) fn healthy_address(self, priority: u32, index: usize) -> Option<&'h [u8]> {
        let mut address = Buffer::EMPTY;
        // SAFETY: as above; out of range gives `false`.
        let found = unsafe {
            abi::envoy_dynamic_module_callback_lb_get_healthy_host_address(self.lb, priority, index, &raw mut address)
        };
        // SAFETY: Envoy's, and valid during the hook.
        found.then(|| unsafe { address.bytes() })
    }

    /// Weight by the place among the healthy hosts, at least 1.
    pub(crate) fn healthy_weight(self, priority: u32, index: usize) -> u32 {
        // SAFETY: as above; out of range gives 0.
        unsafe { abi::envoy_dynamic_module_callback_lb_get_healthy_host_weight(self.lb, priority, index) }.max(1)
    }

    /// A statistic by the place among all hosts.
    pub(crate) fn host_stat(self, priority: u32, index: u32, stat: u32) -> u64 {
        // SAFETY: as above; out of range gives 0.
        unsafe { abi::envoy_dynamic_module_callback_lb_get_host_stat(self.lb, priority, index as usize, stat) }
    }

    /// Asks if Envoy wants this attempt to go to another host than this, by the index among all.
    pub(crate) fn wants_another(self, context: ContextView<'h>, priority: u32, index: u32) -> bool {
        // SAFETY: both belong to the hook that runs.
        unsafe {
            abi::envoy_dynamic_module_callback_lb_context_should_select_another_host(
                self.lb,
                context.context,
                priority,
                index as usize,
            )
        }
    }
}

/// The statistics of a cluster's hosts, for when no hook of the load balancer runs.
#[derive(Debug)]
pub(crate) struct HostStatistics(EnvoyPtr);

impl HostStatistics {
    /// # Safety
    /// - `lb` is what Envoy handed to `lb_new`, and this is not used after `lb_destroy`.
    /// - It is used on the thread of these hooks.
    pub(crate) unsafe fn new(lb: EnvoyPtr) -> Self {
        Self(lb)
    }

    /// Requests to the host that took too long, by its place among all hosts; `None` if
    /// another host, or none, is there.
    pub(crate) fn timeouts(&self, priority: u32, index: u32, address: &[u8]) -> Option<u64> {
        // SAFETY: the load balancer is alive; nothing of the view outlives this call.
        let view = unsafe { LoadBalancerView::new(self.0) };
        let is_there = view.host_address(priority, index as usize) == Some(address);
        is_there.then(|| view.host_stat(priority, index, abi::HOST_STAT_REQUEST_TIMEOUTS))
    }
}

/// The request that a host is chosen for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContextView<'h> {
    context: EnvoyPtr,
    hook: PhantomData<&'h ()>,
}

impl<'h> ContextView<'h> {
    /// `None` if there is no request, as for connections made ahead of one.
    ///
    /// # Safety
    /// - `context` is what Envoy handed to a hook that runs during `'h`, or NULL.
    pub(crate) unsafe fn new(context: EnvoyPtr) -> Option<Self> {
        (!context.is_null()).then_some(Self { context, hook: PhantomData })
    }

    /// Checks if this is known to be a retry: only then does Envoy offer more than one attempt at
    /// choosing a host, as many as `host_selection_retry_max_attempts` says.
    pub(crate) fn is_retry(self) -> bool {
        // SAFETY: the view holds a context that is alive.
        unsafe { abi::envoy_dynamic_module_callback_lb_context_get_host_selection_retry_count(self.context) > 1 }
    }

    /// First value of a request header; `name` in lower case.
    pub(crate) fn header(self, name: &[u8]) -> Option<&'h [u8]> {
        let mut value = Buffer::EMPTY;
        // SAFETY: the view holds a context that is alive; the count may be NULL.
        let found = unsafe {
            abi::envoy_dynamic_module_callback_lb_context_get_downstream_header(
                self.context,
                Buffer::of(name),
                &raw mut value,
                0,
                std::ptr::null_mut(),
            )
        };
        // SAFETY: Envoy's, and valid during the hook.
        found.then(|| unsafe { value.bytes() })
    }
}
