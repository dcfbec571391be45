//! libevenkeel: the C interface of the runtime as a static and a shared library.
//!
//! Built with the `dist` profile, where a panic aborts, it needs nothing but the
//! compiler's own memory functions. Everything it contains is in `evenkeel_runtime::ffi`.

#![cfg_attr(panic = "abort", no_std)]

pub use evenkeel_runtime::ffi::*;

/// What would run if the runtime panicked, which it does not: stop here, since C could
/// not take what unwinds.
#[cfg(panic = "abort")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
