//! Counters, gauges and histograms in Envoy's own statistics.

use crate::abi::{self, Buffer, EnvoyPtr};

/// Envoy refused a metric.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("Envoy does not define the metric {name:?} (result {code})")]
pub(crate) struct MetricError {
    name: &'static str,
    code: u32,
}

/// A metric that was defined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MetricId(usize);

type Define = unsafe extern "C" fn(EnvoyPtr, Buffer, *const Buffer, usize, *mut usize) -> u32;

/// # Safety
/// - `config` is alive, of the kind that `define` takes, and being made.
unsafe fn define(
    define: Define,
    config: EnvoyPtr,
    name: &'static str,
    labels: &[&str],
) -> Result<MetricId, MetricError> {
    let labels: Vec<Buffer> = labels.iter().map(|label| Buffer::of(label.as_bytes())).collect();
    let mut id = 0;
    // SAFETY: the buffers live until the call returns; the rest is the caller's promise.
    let code = unsafe { define(config, Buffer::of(name.as_bytes()), labels.as_ptr(), labels.len(), &raw mut id) };
    if code == 0 { Ok(MetricId(id)) } else { Err(MetricError { name, code }) }
}

/// Metrics of a load-balancer configuration. To be used as long as that lives, by any
/// thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadBalancerMetrics(EnvoyPtr);

// SAFETY: Envoy's counters and histograms may be used by any thread.
unsafe impl Send for LoadBalancerMetrics {}
// SAFETY: as above.
unsafe impl Sync for LoadBalancerMetrics {}

impl LoadBalancerMetrics {
    /// # Safety
    /// - `config` is the configuration that Envoy hands over, and outlives this.
    pub(crate) unsafe fn new(config: EnvoyPtr) -> Self {
        Self(config)
    }

    /// Only while the configuration is made.
    pub(crate) fn define_counter(self, name: &'static str, labels: &[&str]) -> Result<MetricId, MetricError> {
        // SAFETY: the configuration is alive.
        unsafe { define(abi::envoy_dynamic_module_callback_lb_config_define_counter, self.0, name, labels) }
    }

    /// Only while the configuration is made.
    pub(crate) fn define_histogram(self, name: &'static str) -> Result<MetricId, MetricError> {
        // SAFETY: the configuration is alive.
        unsafe { define(abi::envoy_dynamic_module_callback_lb_config_define_histogram, self.0, name, &[]) }
    }

    pub(crate) fn add<const N: usize>(self, counter: MetricId, labels: [&[u8]; N], value: u64) {
        let labels = labels.map(Buffer::of);
        // SAFETY: the configuration is alive, and the buffers are until the call returns.
        unsafe {
            abi::envoy_dynamic_module_callback_lb_config_increment_counter(self.0, counter.0, labels.as_ptr(), N, value)
        };
    }

    pub(crate) fn record(self, histogram: MetricId, value: u64) {
        // SAFETY: the configuration is alive; without labels the pointer may be NULL.
        unsafe {
            abi::envoy_dynamic_module_callback_lb_config_record_histogram_value(
                self.0,
                histogram.0,
                std::ptr::null(),
                0,
                value,
            )
        };
    }
}

/// Metrics of the bootstrap extension. To be used as long as that lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootstrapMetrics(EnvoyPtr);

// SAFETY: Envoy's counters and gauges may be used by any thread.
unsafe impl Send for BootstrapMetrics {}
// SAFETY: as above.
unsafe impl Sync for BootstrapMetrics {}

impl BootstrapMetrics {
    /// # Safety
    /// - `config` is the configuration that Envoy hands over, and outlives this.
    pub(crate) unsafe fn new(config: EnvoyPtr) -> Self {
        Self(config)
    }

    /// Only while the configuration is made.
    pub(crate) fn define_counter(self, name: &'static str, labels: &[&str]) -> Result<MetricId, MetricError> {
        // SAFETY: the configuration is alive.
        unsafe {
            define(abi::envoy_dynamic_module_callback_bootstrap_extension_config_define_counter, self.0, name, labels)
        }
    }

    /// Only while the configuration is made.
    pub(crate) fn define_gauge(self, name: &'static str, labels: &[&str]) -> Result<MetricId, MetricError> {
        // SAFETY: the configuration is alive.
        unsafe {
            define(abi::envoy_dynamic_module_callback_bootstrap_extension_config_define_gauge, self.0, name, labels)
        }
    }

    pub(crate) fn add<const N: usize>(self, counter: MetricId, labels: [&[u8]; N], value: u64) {
        let labels = labels.map(Buffer::of);
        // SAFETY: the configuration is alive, and the buffers are until the call returns.
        unsafe {
            abi::envoy_dynamic_module_callback_bootstrap_extension_config_increment_counter(
                self.0,
                counter.0,
                labels.as_ptr(),
                N,
                value,
            )
        };
    }

    pub(crate) fn set<const N: usize>(self, gauge: MetricId, labels: [&[u8]; N], value: u64) {
        let labels = labels.map(Buffer::of);
        // SAFETY: the configuration is alive, and the buffers are until the call returns.
        unsafe {
            abi::envoy_dynamic_module_callback_bootstrap_extension_config_set_gauge(
                self.0,
                gauge.0,
                labels.as_ptr(),
                N,
                value,
            )
        };
    }
}
