//! The policy network beside the same ONNX file in other runtimes.

use std::path::PathBuf;

use anyhow::Result;

use crate::process;

/// Runs the exporter's benchmark; ONNX Runtime takes part once `cargo xtask test` has
/// installed its Python wheel.
pub(super) fn run() -> Result<()> {
    let mut command =
        process::cargo(["bench", "--profile", "release", "--package", "evenkeel-export", "--bench", "network"]);
    if std::env::var_os("EVENKEEL_ONNXRUNTIME").is_none()
        && let Some(library) = onnx_runtime()
    {
        command.env("EVENKEEL_ONNXRUNTIME", library);
    }
    process::run(&mut command)
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
