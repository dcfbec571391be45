//! The NGINX module inside of Debian's NGINX under valgrind.

use std::path::Path;

use anyhow::{Result, ensure};

use super::{nginx, packages, reports};
use crate::process;

/// Classes of the module's tests that take every road through its code. All of them take
/// several times as long; `EVENKEEL_NGINX_WRAPPER` runs any of them so.
const TESTS: [&str; 5] = ["Failures", "Http.test_whole", "Reloads", "Requests", "Telemetry"];

/// Runs these tests with NGINX under memcheck, which must find nothing in it.
pub(super) fn run(artifact: &Path) -> Result<()> {
    ensure!(artifact.is_file(), "{} is missing: the training before this step must succeed", artifact.display());
    packages::ensure(&["valgrind"])?;
    let folder = std::path::absolute(process::target())?.join("nginx/valgrind");
    reports::folder(&folder)?;
    let mut tests = nginx::tests(&nginx::build()?, None, artifact)?;
    tests.args(TESTS.iter().flat_map(|name| ["-k", name]));
    // Leaks are not looked for: NGINX leaves its pools to the system when it ends.
    tests.env("EVENKEEL_NGINX_WRAPPER", format!("valgrind --quiet --log-file={}/%p", folder.display()));
    process::run(&mut tests)?;
    reports::ensure_none(&folder, "valgrind")
}
