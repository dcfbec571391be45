//! Hooks of the access log. Neither configuration nor logger has anything of its own: they
//! are the address of a constant, which is never written to or given back.

use std::ptr;

use crate::abi::{Buffer, EnvoyPtr, LOG_UPSTREAM_END, LogLevel, ModulePtr};
use crate::envoy::{self, LogEntry};
use crate::feedback;
use crate::fields::{self, NoFields};
use crate::reconcile;

use super::guard;

/// Stands for what is not NULL.
static LOGGER: u8 = 0;

/// A new configuration; NULL refuses it. It has no options.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_access_logger_config_new(
    _config: EnvoyPtr,
    _name: Buffer,
    options: Buffer,
) -> ModulePtr {
    guard("access_logger_config_new", ptr::null(), || {
        // SAFETY: Envoy's, and valid during the hook.
        match fields::parse(unsafe { options.bytes() }) {
            Ok(NoFields {}) => {
                reconcile::log_begins();
                (&raw const LOGGER).cast()
            }
            Err(error) => {
                envoy::log(LogLevel::Error, format_args!("logger_config: {error}"));
                ptr::null()
            }
        }
    })
}

/// No logger uses the configuration any more.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_access_logger_config_destroy(_config: ModulePtr) {
    reconcile::log_ends();
}

/// The logger of a thread.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_access_logger_new(config: ModulePtr, _logger: EnvoyPtr) -> ModulePtr {
    config
}

/// Nothing to give back.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_access_logger_destroy(_logger: ModulePtr) {}

/// Something happened to a request.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_access_logger_log(entry: EnvoyPtr, _logger: ModulePtr, kind: u32) {
    if kind != LOG_UPSTREAM_END {
        return;
    }
    guard("access_logger_log", (), || {
        // SAFETY: alive during the hook.
        feedback::log(unsafe { LogEntry::new(entry) });
    });
}
