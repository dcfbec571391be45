//! Hooks of the bootstrap extension. Envoy wants all of them to be there.

use std::ffi::c_void;
use std::ptr;

use crate::abi::{Buffer, EnvoyPtr, EventCallback, LogLevel, ModulePtr};
use crate::bootstrap::Bootstrap;
use crate::envoy::{self, BootstrapMetrics, BootstrapView};

use super::guard;

/// A new configuration; NULL refuses it.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_config_new(
    config: EnvoyPtr,
    _name: Buffer,
    options: Buffer,
) -> ModulePtr {
    guard("bootstrap_extension_config_new", ptr::null(), || {
        // SAFETY: Envoy's, valid during the hook; Envoy destroys the module's configuration
        // first, and calls the hooks that use it on the main thread.
        let (options, view, metrics) =
            unsafe { (options.bytes(), BootstrapView::new(config), BootstrapMetrics::new(config)) };
        match Bootstrap::new(options, view, metrics) {
            Ok(bootstrap) => {
                view.signal_init_complete();
                Box::into_raw(Box::new(bootstrap)).cast_const().cast()
            }
            Err(error) => {
                envoy::log(LogLevel::Error, format_args!("extension_config: {error}"));
                ptr::null()
            }
        }
    })
}

/// The configuration is not used any more.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_config_destroy(bootstrap: ModulePtr) {
    guard("bootstrap_extension_config_destroy", (), || {
        // SAFETY: from `config_new`, and not used again.
        drop(unsafe { Box::from_raw(bootstrap.cast::<Bootstrap>().cast_mut()) });
    });
}

/// The extension itself: the configuration stands for it, and outlives it.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_new(bootstrap: ModulePtr, _extension: EnvoyPtr) -> ModulePtr {
    bootstrap
}

/// Nothing to give back.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_destroy(_extension: ModulePtr) {}

/// The server is up.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_server_initialized(
    _extension: EnvoyPtr,
    bootstrap: ModulePtr,
) {
    guard("bootstrap_extension_server_initialized", (), || of(bootstrap).start());
}

/// A timer of the module's fired: there is but one.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_timer_fired(
    _config: EnvoyPtr,
    bootstrap: ModulePtr,
    _timer: EnvoyPtr,
) {
    guard("bootstrap_extension_timer_fired", (), || of(bootstrap).tick());
}

/// A request to the admin page; returns the status.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_admin_request(
    _config: EnvoyPtr,
    bootstrap: ModulePtr,
    _method: Buffer,
    path: Buffer,
    _body: Buffer,
) -> u32 {
    guard("bootstrap_extension_admin_request", 500, || {
        // SAFETY: Envoy's, and valid during the hook.
        let path = unsafe { path.bytes() };
        of(bootstrap).answer(&String::from_utf8_lossy(path))
    })
}

/// The server is about to end: it waits for the callback.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_shutdown(
    _extension: EnvoyPtr,
    bootstrap: ModulePtr,
    done: EventCallback,
    context: *mut c_void,
) {
    guard("bootstrap_extension_shutdown", (), || of(bootstrap).stop());
    if let Some(done) = done {
        // SAFETY: to be called once, with the pointer that came with it.
        unsafe { done(context) };
    }
}

/// A worker thread is up: it needs nothing.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_worker_thread_initialized(
    _extension: EnvoyPtr,
    _bootstrap: ModulePtr,
) {
}

/// The server drains: decisions go on.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_drain_started(_extension: EnvoyPtr, _bootstrap: ModulePtr) {}

/// No event is ever scheduled.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_config_scheduled(
    _config: EnvoyPtr,
    _bootstrap: ModulePtr,
    _event: u64,
) {
}

/// No request is ever sent.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_http_callout_done(
    _config: EnvoyPtr,
    _bootstrap: ModulePtr,
    _callout: u64,
    _result: u32,
    _headers: *mut c_void,
    _headers_size: usize,
    _chunks: *mut Buffer,
    _chunks_size: usize,
) {
}

/// No file is watched: they are looked at once a second, which also notices links that
/// change on the way to them, as Kubernetes changes its volumes.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_file_changed(
    _config: EnvoyPtr,
    _bootstrap: ModulePtr,
    _path: Buffer,
    _events: u32,
) {
}

/// Not asked for.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_cluster_add_or_update(
    _config: EnvoyPtr,
    _bootstrap: ModulePtr,
    _cluster: Buffer,
) {
}

/// Not asked for.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_cluster_removal(
    _config: EnvoyPtr,
    _bootstrap: ModulePtr,
    _cluster: Buffer,
) {
}

/// Not asked for.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_listener_add_or_update(
    _config: EnvoyPtr,
    _bootstrap: ModulePtr,
    _listener: Buffer,
) {
}

/// Not asked for.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_listener_removal(
    _config: EnvoyPtr,
    _bootstrap: ModulePtr,
    _listener: Buffer,
) {
}

/// The extension that Envoy hands back.
fn of<'h>(bootstrap: ModulePtr) -> &'h Bootstrap {
    // SAFETY: from `config_new`, not destroyed yet; only the main thread uses it.
    unsafe { &*bootstrap.cast::<Bootstrap>() }
}
