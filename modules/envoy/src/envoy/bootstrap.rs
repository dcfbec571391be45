//! The bootstrap extension: timers and pages of the admin interface. Main thread only.

use crate::abi::{self, Buffer, EnvoyPtr};

/// Envoy's side of the extension's configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootstrapView(EnvoyPtr);

impl BootstrapView {
    /// # Safety
    /// - `config` is the configuration that Envoy hands over, and outlives this.
    /// - It is used on the main thread.
    pub(crate) unsafe fn new(config: EnvoyPtr) -> Self {
        Self(config)
    }

    /// Lets Envoy go on with its start; exactly once.
    pub(crate) fn signal_init_complete(self) {
        // SAFETY: the configuration is alive.
        unsafe { abi::envoy_dynamic_module_callback_bootstrap_extension_config_signal_init_complete(self.0) }
    }

    /// Adds a page to the admin interface; `false` where there is none or the path is taken.
    pub(crate) fn add_page(self, path: &str, help: &str) -> bool {
        // SAFETY: the configuration is alive, and the buffers are until the call returns.
        unsafe {
            abi::envoy_dynamic_module_callback_bootstrap_extension_register_admin_handler(
                self.0,
                Buffer::of(path.as_bytes()),
                Buffer::of(help.as_bytes()),
                true,
                false,
            )
        }
    }

    /// Sets the body of the page that is being asked for.
    pub(crate) fn respond(self, body: &str) {
        // SAFETY: the configuration is alive; Envoy copies the buffer.
        unsafe {
            abi::envoy_dynamic_module_callback_bootstrap_extension_admin_set_response(
                self.0,
                Buffer::of(body.as_bytes()),
            );
        }
    }

    /// A timer, not armed yet.
    pub(crate) fn timer(self) -> Timer {
        // SAFETY: the configuration is alive.
        Timer(unsafe { abi::envoy_dynamic_module_callback_bootstrap_extension_timer_new(self.0) })
    }
}

/// A timer of Envoy's main thread.
#[derive(Debug)]
pub(crate) struct Timer(EnvoyPtr);

impl Timer {
    /// Fires once, after so long.
    pub(crate) fn arm(&self, delay_ms: u64) {
        // SAFETY: made by Envoy and not deleted before `self` is dropped.
        unsafe { abi::envoy_dynamic_module_callback_bootstrap_extension_timer_enable(self.0, delay_ms) }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: made by Envoy, deleted once.
        unsafe { abi::envoy_dynamic_module_callback_bootstrap_extension_timer_delete(self.0) }
    }
}
