//! The recipes under `deploy/`: against the schemas of what reads them, where a registry has
//! one, and the loop for plain machines.

use std::path::PathBuf;

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

/// Kubernetes, KEDA, Nomad and Prometheus. What cannot be checked for want of npm or promtool is left out,
/// and the step says so.
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
    let promtool = promtool();
    if let Some(promtool) = &promtool {
        process::run(&mut program(promtool, ["check", "rules", "deploy/prometheus/alerts.yaml"]))?;
        process::run(&mut program(promtool, ["test", "rules", "xtask/src/test/alerts_test.yaml"]))?;
    }
    let missing: Vec<String> = [
        npm.is_none().then(|| format!("KEDA's recipes: could not install {KEDA} with npm")),
        promtool.is_none().then(|| "alert rules: no promtool, which Debian's package prometheus has".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect();
    if missing.is_empty() { Ok(()) } else { Err(Skip(format!("{}; the others passed", missing.join("; "))).into()) }
}

/// Prometheus' checker of rules: the machine's, or out of Debian's package, which is not installed: that
/// would start a server.
fn promtool() -> Option<PathBuf> {
    let works = |path: &PathBuf| process::succeeds(&mut program(path, ["--version"]));
    let installed = PathBuf::from("promtool");
    if works(&installed) {
        return Some(installed);
    }
    let folder = std::path::absolute(process::target().join("promtool")).ok()?;
    let unpacked = folder.join("usr/bin/promtool");
    if !works(&unpacked) {
        std::fs::create_dir_all(&folder).ok()?;
        let mut download = program("apt-get", ["download", "-qq", "prometheus"]);
        process::run(download.current_dir(&folder)).ok()?;
        let mut files = std::fs::read_dir(&folder).ok()?.flatten().map(|entry| entry.path());
        let package = files.find(|path| path.extension().is_some_and(|extension| extension == "deb"))?;
        process::run(program("dpkg-deb", ["--extract"]).arg(package).arg(&folder)).ok()?;
    }
    works(&unpacked).then_some(unpacked)
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
