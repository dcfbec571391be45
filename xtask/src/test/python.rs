//! Python, for the tools that know ONNX best.

use std::path::PathBuf;

use anyhow::{Result, anyhow};

use super::{Machine, Skip, packages, training};
use crate::process::{self, program};

const MODULES: [&str; 3] = ["numpy", "onnx", "onnxruntime"];

/// The interpreter of the project's own environment.
pub(super) fn interpreter() -> PathBuf {
    let scripts = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    process::target().join("python").join(scripts)
}

/// Makes the environment under `target/`, or finds the one that an earlier run made.
pub(super) fn ensure() -> Result<()> {
    if has_modules() {
        return Ok(());
    }
    if !process::succeeds(&mut program("python3", ["-c", "import ensurepip, venv"])) {
        packages::ensure(&["python3-venv"])?;
    }
    let folder = process::target().join("python");
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"].into_iter().chain(MODULES);
    let made = process::run(program("python3", ["-m", "venv"]).arg(&folder))
        .and_then(|()| process::run(&mut program(interpreter(), install)));
    made.map_err(|error| Skip(format!("could not install {} from PyPI: {error:#}", MODULES.join(", "))))?;
    if has_modules() { Ok(()) } else { Err(anyhow!("{} were installed but cannot be imported", MODULES.join(", "))) }
}

/// The files of the default training pass `onnx.checker` and run in onnxruntime.
pub(super) fn check_trained(machine: &Machine) -> Result<()> {
    machine.python()?;
    let folder = training::default_folder();
    let files = ["policy.onnx", "forecast.onnx"].map(|name| folder.join(name));
    let script = process::root().join("xtask/src/test/check_onnx.py");
    process::run(program(interpreter(), [script]).args(files))
}

fn has_modules() -> bool {
    process::succeeds(&mut program(interpreter(), ["-c", &format!("import {}", MODULES.join(", "))]))
}
