//! Python, for the tools that know ONNX best.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::{Machine, Skip, packages, training};
use crate::process::{self, program};

const MODULES: [&str; 5] = ["numpy", "onnx", "onnxruntime", "onnxscript", "skl2onnx"];

/// Where they come from: about 450 MB installed, of which `SciPy` and scikit-learn are 200. The versions are
/// those of the table in docs/training.md.
const PACKAGES: [&str; 5] = ["numpy", "onnx==1.23.2", "onnxruntime==1.32.0", "onnxscript==0.7.2", "skl2onnx==1.20.0"];

/// The interpreter of the project's own environment.
pub(super) fn interpreter() -> PathBuf {
    interpreter_in("python")
}

/// Makes the environment under `target/`, or finds the one that an earlier run made.
pub(super) fn ensure() -> Result<()> {
    environment("python", &PACKAGES, &MODULES).map(|_| ())
}

/// An environment of its own under `target/` with packages from the Python package index, in which the modules can
/// be imported; the one that an earlier run made, if there is one. Returns its interpreter.
pub(crate) fn environment(name: &str, packages: &[&str], modules: &[&str]) -> Result<PathBuf> {
    let python = std::path::absolute(interpreter_in(name))?;
    let import = format!("import {}", modules.join(", "));
    let has_modules = || process::succeeds(&mut program(&python, ["-c", &import]));
    if has_modules() {
        return Ok(python);
    }
    if !process::succeeds(&mut program("python3", ["-c", "import ensurepip, venv"])) {
        packages::ensure(&["python3-venv"])?;
    }
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"].iter().chain(packages);
    let made = process::run(program("python3", ["-m", "venv"]).arg(process::target().join(name)))
        .and_then(|()| process::run(&mut program(&python, install)));
    made.map_err(|error| Skip(format!("could not install {} from PyPI: {error:#}", packages.join(", "))))?;
    if has_modules() {
        Ok(python)
    } else {
        Err(anyhow!("{} were installed but cannot be imported", modules.join(", ")))
    }
}

/// Adds packages without what they require to an environment, unless the modules can be imported.
pub(crate) fn add(python: &Path, packages: &[&str], modules: &[&str]) -> Result<()> {
    let import = format!("import {}", modules.join(", "));
    let has_modules = || process::succeeds(&mut program(python, ["-c", &import]));
    if has_modules() {
        return Ok(());
    }
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
    process::run(&mut program(python, install.iter().chain(packages)))
        .map_err(|error| Skip(format!("could not install {} from PyPI: {error:#}", packages.join(", "))))?;
    if has_modules() { Ok(()) } else { Err(anyhow!("{} were installed but cannot be imported", modules.join(", "))) }
}

fn interpreter_in(name: &str) -> PathBuf {
    let scripts = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    process::target().join(name).join(scripts)
}

/// The files of the default training pass `onnx.checker` and run in onnxruntime.
pub(super) fn check_trained(machine: &Machine) -> Result<()> {
    machine.python()?;
    let folder = training::default_folder();
    let files = ["policy.onnx", "forecast.onnx"].map(|name| folder.join(name));
    let script = process::root().join("xtask/src/test/check_onnx.py");
    process::run(program(interpreter(), [script]).args(files))
}
