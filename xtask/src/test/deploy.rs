//! The recipes under `deploy/`: against the schemas of what reads them, where a registry has
//! one, and the loop for plain machines.

use anyhow::Result;

use super::{Machine, Skip, packages};
use crate::process::{self, program};

const MODULES: [&str; 3] = ["kubernetes-validate", "python-hcl2", "pyyaml"];
const KEDA: &str = "@kubernetes-models/keda@2.0.0";

/// Tests of the loop: Python's own library is enough.
pub(super) fn machines() -> Result<()> {
    if !process::succeeds(&mut program("python3", ["--version"])) {
        return Err(Skip("needs python3".into()).into());
    }
    process::run(
        program("python3", ["-B", "-m", "unittest", "discover", "-s", "deploy/vm"]).current_dir(process::root()),
    )
}

/// Kubernetes, KEDA and Nomad. Without npm, KEDA's are left out, and the step says so.
pub(super) fn schemas(_: &Machine) -> Result<()> {
    let folder = process::target().join("python-deploy");
    let python = folder.join("bin/python");
    if !process::succeeds(&mut program(&python, ["-c", "import kubernetes_validate, hcl2, yaml"])) {
        if !process::succeeds(&mut program("python3", ["-c", "import ensurepip, venv"])) {
            packages::ensure(&["python3-venv"])?;
        }
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"].into_iter().chain(MODULES);
        process::run(program("python3", ["-m", "venv"]).arg(&folder))
            .and_then(|()| process::run(&mut program(&python, install)))
            .map_err(|error| Skip(format!("could not install {} from PyPI: {error:#}", MODULES.join(", "))))?;
    }
    let npm = npm();
    let script = process::root().join("xtask/src/test/check_deploy.py");
    process::run(program(&python, ["-B".as_ref(), script.as_os_str()]).arg(npm.as_deref().unwrap_or("-".as_ref())))?;
    if npm.is_none() {
        return Err(Skip(format!("KEDA's recipes: could not install {KEDA} with npm; the others passed")).into());
    }
    Ok(())
}

/// The folder in which npm has KEDA's schemas; `None` where it cannot be had.
fn npm() -> Option<std::ffi::OsString> {
    let folder = process::target().join("npm-deploy");
    let found = folder.join("node_modules/@kubernetes-models/keda/package.json");
    if !found.is_file() {
        std::fs::create_dir_all(&folder).ok()?;
        let mut install = program("npm", ["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
        if !process::succeeds(install.arg(&folder).arg(KEDA)) {
            return None;
        }
    }
    let has_node = process::succeeds(&mut program("node", ["--version"]));
    has_node.then(|| folder.into_os_string())
}
