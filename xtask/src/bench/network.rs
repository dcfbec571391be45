//! A decision and the policy network, beside the same ONNX file in other runtimes.

use std::path::PathBuf;

use anyhow::Result;

use crate::process;

/// What tract computes with, which is not optimised otherwise, and what calls it.
const OPTIMISED: [&str; 4] = ["tract-core", "tract-data", "tract-linalg", "evenkeel-export"];

/// Runs the exporter's benchmark on one core, then the trainer's, which has burn in it; ONNX Runtime
/// takes part once `cargo xtask test` has installed its Python wheel.
pub(super) fn run() -> Result<()> {
    let mut with_others = bench("evenkeel-export", "network");
    with_others.extend(OPTIMISED.map(|package| format!("--config=profile.release.package.{package}.opt-level=3")));
    run_pinned(&with_others)?;
    run_pinned(&bench("evenkeel-train", "networks"))
}

fn bench(package: &str, name: &str) -> Vec<String> {
    ["bench", "--profile", "release", "--package", package, "--bench", name].map(String::from).to_vec()
}

/// Builds, then runs on one core.
fn run_pinned(arguments: &[String]) -> Result<()> {
    process::run(process::cargo(arguments).arg("--no-run"))?;
    let mut command = match last_core() {
        Some(core) => {
            let mut pinned = process::program("taskset", ["--cpu-list", &core]);
            pinned.arg(process::cargo(arguments).get_program()).args(arguments);
            pinned
        }
        None => process::cargo(arguments),
    };
    if std::env::var_os("EVENKEEL_ONNXRUNTIME").is_none()
        && let Some(library) = onnx_runtime()
    {
        command.env("EVENKEEL_ONNXRUNTIME", library);
    }
    process::run(&mut command)
}

/// The last of the cores that this process may use, where Linux says so.
fn last_core() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    cores.trim().rsplit([',', '-']).next().map(String::from)
}

/// The shared library inside of the wheel.
fn onnx_runtime() -> Option<PathBuf> {
    let versions = std::fs::read_dir(process::target().join("python/lib")).ok()?;
    let folders = versions.flatten().map(|version| version.path().join("site-packages/onnxruntime/capi"));
    let files = folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let is_library =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so"));
    files.map(|file| file.path()).find(is_library)
}
