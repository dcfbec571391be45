//! Ending together with what was started. Ctrl-C in a terminal reaches all processes, but SIGTERM from a
//! service manager, or SIGHUP from a terminal that closes, reaches this one alone.

use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process;

/// Set once this process was asked to end.
static ASKED: AtomicBool = AtomicBool::new(false);
/// Set where a request to end is waited for.
static CAUGHT: AtomicBool = AtomicBool::new(false);

/// This process was asked to end.
#[derive(Debug)]
struct Asked;

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("asked to end")
    }
}

impl std::error::Error for Asked {}

/// Runs a chore, and ends it on SIGINT, SIGTERM or SIGHUP with all that it started. To be asked to end is
/// no failure.
pub(crate) fn on_signals(chore: impl FnOnce() -> Result<()>) -> Result<()> {
    ctrlc::set_handler(|| ASKED.store(true, Relaxed)).context("cannot wait for signals")?;
    CAUGHT.store(true, Relaxed);
    match chore() {
        Err(error) if error.is::<Asked>() => Ok(()),
        result => result,
    }
}

/// Fails once this process was asked to end.
pub(crate) fn check() -> Result<()> {
    if ASKED.load(Relaxed) { Err(Asked.into()) } else { Ok(()) }
}

/// Waits for a process, and ends it when this one is to end.
pub(crate) fn wait(child: &mut Child) -> Result<ExitStatus> {
    const POLL: Duration = Duration::from_millis(50);
    if !CAUGHT.load(Relaxed) {
        return Ok(child.wait()?);
    }
    loop {
        if let Err(asked) = check() {
            end(child);
            return Err(asked);
        }
        if let Some(status) = child.try_wait()? {
            // In a terminal, Ctrl-C may have reached it first.
            return if status.success() { Ok(status) } else { check().map(|()| status) };
        }
        std::thread::sleep(POLL);
    }
}

/// Asks a process to end, and ends it if it does not.
pub(crate) fn end(child: &mut Child) {
    // NGINX's master takes its workers along on SIGTERM, but not on SIGKILL.
    let asked = process::succeeds(&mut process::program("kill", [child.id().to_string()]));
    let begin = Instant::now();
    while asked && begin.elapsed() < Duration::from_secs(3) {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // It may have ended meanwhile: then there is nothing left to do.
    let _ = child.kill();
    let _ = child.wait();
}
