//! Safe views of what Envoy hands to a hook. A view lives as long as the hook runs.

#![allow(unsafe_code, reason = "calls Envoy; what each call asks for, its view guarantees")]

mod bootstrap;
mod filter;
mod load_balancer;
mod log_entry;
mod metrics;

pub(crate) use bootstrap::{BootstrapView, Timer};
pub(crate) use filter::FilterView;
pub(crate) use load_balancer::{ContextView, HostStatistics, LoadBalancerView};
pub(crate) use log_entry::{LogEntry, ResponseFlags};
pub(crate) use metrics::{BootstrapMetrics, LoadBalancerMetrics, MetricError, MetricId};

use std::ffi::c_char;
use std::fmt::Display;
use std::ptr;

use crate::abi::{self, Buffer, LogLevel};

impl Buffer {
    /// To be filled in by Envoy.
    pub(crate) const EMPTY: Self = Self { ptr: ptr::null(), length: 0 };

    /// Bytes for Envoy to read during a call.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr().cast::<c_char>(), length: bytes.len() }
    }

    /// The bytes that Envoy handed over.
    ///
    /// # Safety
    /// - The buffer comes from Envoy and stays valid during `'h`.
    pub(crate) unsafe fn bytes<'h>(self) -> &'h [u8] {
        if self.ptr.is_null() {
            return &[];
        }
        // SAFETY: not NULL, and Envoy's buffers are as long as they say.
        unsafe { std::slice::from_raw_parts(self.ptr.cast::<u8>(), self.length) }
    }
}

/// Writes a line to Envoy's log.
pub(crate) fn log(level: LogLevel, message: impl Display) {
    let line = format!("evenkeel: {message}");
    // SAFETY: Envoy reads the buffer before it returns.
    unsafe { abi::envoy_dynamic_module_callback_log(level, Buffer::of(line.as_bytes())) }
}
