//! The NGINX module inside of Debian's NGINX.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::packages;
use crate::dist;
use crate::process::{self, program};

/// What the module is built against and with; its tests need Python's own library and wrk.
const PACKAGES: [&str; 5] = ["nginx", "nginx-dev", "dpkg-dev", "python3", "wrk"];

/// Where the module's own structures begin, and what another build has before them.
const STRUCTURE: &str = "typedef struct {\n    ngx_http_upstream_srv_conf_t  *upstream;";
const OTHER_STRUCTURE: &str =
    "typedef struct {\n    u_char  other[4096];\n    ngx_http_upstream_srv_conf_t  *upstream;";

/// Builds the module, with warnings as errors, and runs its tests with a model that was
/// just trained.
pub(super) fn run(artifact: &Path) -> Result<()> {
    ensure!(artifact.is_file(), "{} is missing: the training before this step must succeed", artifact.display());
    let module = build()?;
    let folder = std::path::absolute(process::target())?.join("nginx-other");
    let sources = other_sources(&folder)?;
    process::run(&mut script(&sources.join("build.sh"), &[&folder])?)?;
    process::run(&mut tests(&module, Some(&folder), artifact)?)
}

/// A copy of the module's sources with other structures than its own, as another version has
/// them: an NGINX must survive a reload from the one to the other.
pub(super) fn other_sources(folder: &Path) -> Result<PathBuf> {
    let (from, to) = (process::root().join("modules/nginx"), folder.join("module"));
    fs::create_dir_all(to.join("src"))?;
    for file in ["build.sh", "build-source.sh", "config", "exports.map"] {
        fs::copy(from.join(file), to.join(file)).with_context(|| format!("cannot copy {file} of the NGINX module"))?;
    }
    for entry in fs::read_dir(from.join("src"))? {
        let path = entry?.path();
        let mut text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if path.ends_with("ngx_http_evenkeel.h") {
            ensure!(text.contains(STRUCTURE), "{} has no such structure:\n{STRUCTURE}", path.display());
            text = text.replace(STRUCTURE, OTHER_STRUCTURE);
        }
        let copy = to.join("src").join(path.file_name().unwrap_or_default());
        // Equal files stay as old as they are, so that `make` has nothing to do.
        if fs::read_to_string(&copy).ok().as_ref() != Some(&text) {
            fs::write(&copy, text)?;
        }
    }
    Ok(to)
}

/// A build script of the module, with the library that it links.
pub(super) fn script(script: &Path, arguments: &[&Path]) -> Result<Command> {
    let target = std::path::absolute(process::target())?;
    let mut command = program(script, arguments);
    command.env("CARGO_TARGET_DIR", &target).env("EVENKEEL_LIB", target.join("dist"));
    command.env("EVENKEEL_INCLUDE", std::path::absolute(process::root().join("runtime-min/include"))?);
    Ok(command)
}

/// The module's tests, with Debian's NGINX if the environment names no other. `other` is the folder of a build of the module with other structures.
pub(super) fn tests(module: &Path, other: Option<&Path>, artifact: &Path) -> Result<Command> {
    let mut tests = process::module_tests(["-m", "unittest", "discover", "--start-directory", "modules/nginx/tests"])?;
    tests.env("EVENKEEL_NGINX_MODULE", module).env("EVENKEEL_ARTIFACT", std::path::absolute(artifact)?);
    if let Some(other) = other {
        tests.env("EVENKEEL_NGINX_OTHER_MODULE", other.join("ngx_http_evenkeel_module.so"));
    }
    Ok(tests)
}

/// Measures the module's cost with a script of its tests' folder.
pub(crate) fn bench(artifact: &Path) -> Result<()> {
    ensure!(artifact.is_file(), "{} is missing: run `cargo xtask test` or `cargo xtask train`", artifact.display());
    let mut bench = process::module_tests(["modules/nginx/tests/bench.py"])?;
    process::run(bench.env("EVENKEEL_NGINX_MODULE", build()?).env("EVENKEEL_ARTIFACT", artifact))
}

/// Builds the module for Debian's NGINX, which it installs where it may; returns its path.
pub(crate) fn build() -> Result<PathBuf> {
    packages::ensure(&PACKAGES)?;
    dist::build()?;
    let folder = std::path::absolute(process::target())?.join("nginx");
    process::run(&mut script(Path::new("modules/nginx/build.sh"), &[&folder])?)?;
    Ok(folder.join("ngx_http_evenkeel_module.so"))
}
