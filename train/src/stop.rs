//! Stopping cleanly: Ctrl-C sets a flag, and every long loop looks at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::{Context, Result};

/// Set once the user asks to stop.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

/// Returned by a long loop that found the flag set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stopped {}

impl StopFlag {
    /// A flag that the first Ctrl-C (or SIGTERM) sets; the second ends the process at once.
    pub fn on_interrupt() -> Result<Self> {
        let flag = Self::default();
        let handler = flag.clone();
        ctrlc::set_handler(move || {
            if handler.0.swap(true, Relaxed) {
                std::process::exit(130);
            }
        })
        .context("cannot install the Ctrl-C handler")?;
        Ok(flag)
    }

    /// Asks to stop.
    pub fn set(&self) {
        self.0.store(true, Relaxed);
    }

    /// The flag itself, for loops that only look.
    pub fn as_atomic(&self) -> &AtomicBool {
        &self.0
    }

    /// `Err` once the user has asked to stop.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.0.load(Relaxed) { Err(Stopped) } else { Ok(()) }
    }
}
