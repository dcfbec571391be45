//! Running the binary, and input for it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use evenkeel_export::onnx::GraphBuilder;
use evenkeel_runtime::HOST_FEATURES;

/// The binary with these arguments.
pub(crate) fn evenkeel(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(arguments);
    command
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    evenkeel(arguments).output().expect("the binary runs")
}

/// Runs the binary and expects success; gives its standard output.
pub(crate) fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} failed:\n{stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs the binary and expects failure; gives its standard error.
pub(crate) fn fail(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(!output.status.success(), "{arguments:?} should have failed");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// A small policy for language models, as an artifact.
pub(crate) fn write_artifact(folder: &Path) -> PathBuf {
    let (onnx, artifact) = (folder.join("small.onnx"), folder.join("small.ekm"));
    let mut graph = GraphBuilder::new("small");
    let features = graph.input("features", HOST_FEATURES);
    let mut weights = [0.0; HOST_FEATURES];
    // The first feature is the logarithm of the analytic estimate.
    weights[0] = 1.0;
    let score = graph.linear(features, &weights, HOST_FEATURES, 1, Some(&[0.0]));
    graph.finish(score, "score", &[]).expect("a sound graph").write(&onnx).expect("a writable folder");
    succeed(&["compile", text(&onnx), "-o", text(&artifact)]);
    artifact
}

/// Numbers that look random and are the same in every run (a multiplicative congruence).
pub(crate) fn noise(index: u64) -> u64 {
    index.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 33
}

/// A small trace of a language model: CSV with times in seconds.
pub(crate) fn write_llm_trace(folder: &Path) -> PathBuf {
    let mut csv = String::from("ts,prompt,output\n");
    let mut time_s = 0.0;
    for index in 0..3000 {
        time_s += 0.02 + noise(index) as f64 % 100.0 * 1e-3;
        let _ = writeln!(csv, "{time_s:.4},{},{}", 200 + noise(index + 7) % 3000, 20 + noise(index + 13) % 400);
    }
    let path = folder.join("requests.csv");
    std::fs::write(&path, csv).expect("a writable folder");
    path
}

/// A daily demand of twelve days, hour by hour.
pub(crate) fn write_series(folder: &Path) -> PathBuf {
    let mut csv = String::from("ts,requests_per_s\n");
    for hour in 0..288u64 {
        let day = (hour as f64 / 24.0 * std::f64::consts::TAU).sin();
        let rate_per_s = 20.0 + 10.0 * day + noise(hour) as f64 % 100.0 * 0.02;
        let _ = writeln!(csv, "2026-01-{:02}T{:02}:00:00Z,{rate_per_s:.3}", 1 + hour / 24, hour % 24);
    }
    let path = folder.join("demand.csv");
    std::fs::write(&path, csv).expect("a writable folder");
    path
}

/// A small trace without tokens: CSV with service times.
pub(crate) fn write_service_trace(folder: &Path) -> PathBuf {
    let mut csv = String::from("ts,took\n");
    for index in 0..3000u64 {
        let _ = writeln!(csv, "{:.3},{:.4}", index as f64 * 0.01, 0.005 + noise(index) as f64 % 50.0 * 1e-3);
    }
    let path = folder.join("service.csv");
    std::fs::write(&path, csv).expect("a writable folder");
    path
}

/// How to read [`write_llm_trace`].
pub(crate) const LLM_COLUMNS: &str = "arrival=ts,prompt=prompt,output=output";
/// How to read [`write_service_trace`].
pub(crate) const SERVICE_COLUMNS: &str = "arrival=ts,service=took";
