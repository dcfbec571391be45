//! The NGINX module inside of Debian's NGINX.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::packages;
use crate::dist;
use crate::process::{self, program};

/// What the module is built against and with; its tests need Python's own library and wrk.
const PACKAGES: [&str; 5] = ["nginx", "nginx-dev", "dpkg-dev", "python3", "wrk"];

/// Builds the module, with warnings as errors, and runs its tests with a model that was
/// just trained.
pub(super) fn run(artifact: &Path) -> Result<()> {
    ensure!(artifact.is_file(), "{} is missing: the training before this step must succeed", artifact.display());
    process::run(&mut tests(&build()?, artifact)?)
}

/// The module's tests, with Debian's NGINX if the environment names no other, and with the
/// telemetry agent.
pub(super) fn tests(module: &Path, artifact: &Path) -> Result<Command> {
    process::run(&mut process::cargo(["build", "--release", "--package", "evenkeel-agent"]))?;
    let mut tests = process::module_tests(["-m", "unittest", "discover", "--start-directory", "modules/nginx/tests"]);
    tests.env("EVENKEEL_NGINX_MODULE", module).env("EVENKEEL_ARTIFACT", std::path::absolute(artifact)?);
    tests.env("EVENKEEL_AGENT", std::path::absolute(process::target().join("release/evenkeel-agent"))?);
    Ok(tests)
}

/// Measures the module's cost with a script of its tests' folder.
pub(crate) fn bench(artifact: &Path) -> Result<()> {
    ensure!(artifact.is_file(), "{} is missing: run `cargo xtask test` or `cargo xtask train`", artifact.display());
    let mut bench = process::module_tests(["modules/nginx/tests/bench.py"]);
    process::run(bench.env("EVENKEEL_NGINX_MODULE", build()?).env("EVENKEEL_ARTIFACT", artifact))
}

/// Builds the module for Debian's NGINX, which it installs where it may; returns its path.
pub(crate) fn build() -> Result<PathBuf> {
    packages::ensure(&PACKAGES)?;
    dist::build()?;
    let folder = std::path::absolute(process::target())?.join("nginx");
    process::run(program("modules/nginx/build.sh", [&folder]).env("CARGO_TARGET_DIR", process::target()))?;
    Ok(folder.join("ngx_http_evenkeel_module.so"))
}
