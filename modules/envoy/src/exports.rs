//! The functions that Envoy calls. None lets a panic out: it would end Envoy.
//!
//! A pointer that Envoy keeps for the module comes from `Box::into_raw` or
//! `Arc::into_raw` in a hook whose name ends in `_new`, is handed to the other hooks of its
//! kind, and comes back once, to the one whose name ends in `_destroy`.

#![allow(unsafe_code, reason = "called by Envoy, with pointers")]

mod access_logger;
mod bootstrap;
mod http_filter;
mod load_balancer;

use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::abi::{ABI_VERSION, LogLevel};
use crate::envoy;

/// Runs a hook; if it panics, says so and returns `otherwise`. What the hook was working on
/// is counts and averages, which are never in a state that must not be seen.
fn guard<T>(hook: &'static str, otherwise: T, run: impl FnOnce() -> T) -> T {
    caught(run).unwrap_or_else(|cause| {
        let said = || envoy::log(LogLevel::Error, format_args!("panic in {hook}: {cause}; please report this"));
        let _ = caught(said);
        otherwise
    })
}

/// Runs a function; returns its value, or the message of its panic.
fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| match panic.downcast::<String>() {
        Ok(said) => *said,
        Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or("of unknown cause").into(),
    })
}

/// The first call: the version of the interface that the module was written for.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    ABI_VERSION.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_end_where_they_are_caught() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| -> u8 { panic!("at the disco") }), Err("at the disco".into()));
        assert_eq!(caught(|| -> u8 { panic!("{} of {}", 3, 4) }), Err("3 of 4".into()));
        assert_eq!(caught(|| -> u8 { std::panic::panic_any(5) }), Err("of unknown cause".into()));
    }
}
