//! Short trainings, and what they must leave behind.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Machine, Skip};
use crate::process::{self, program};

const PRODUCTS: [&str; 5] = ["policy.onnx", "forecast.onnx", "evenkeel.ekm", "metrics.json", "report.html"];

/// Losses of two devices may differ by this share: rounding differs, and what the policy
/// sees next depends on what it chose before.
const LOSS_DIFFERENCE_MAX: f64 = 0.1;

/// Where the training on the default leaves its files.
pub(super) fn default_folder() -> PathBuf {
    process::target().join("test-artifacts/default")
}

/// The artifact of the training on the default.
pub(super) fn default_artifact() -> PathBuf {
    default_folder().join("evenkeel.ekm")
}

pub(super) fn default() -> Result<()> {
    train(&default_folder(), &["--device", "cpu"], None)
}

/// The pipeline on real input.
pub(super) fn real_traces() -> Result<()> {
    let traces = traces();
    let trace = traces.join("llm_requests/mooncake_conversation_trace.jsonl.gz");
    let series = traces.join("series/nab_nyc_taxi_30min.csv.gz");
    for file in [&trace, &series] {
        if !file.is_file() {
            let reason = format!("{} is not there: EVENKEEL_TRACES names the folder of traces", file.display());
            return Err(Skip(reason).into());
        }
    }
    let (trace, series) = (trace.to_string_lossy(), series.to_string_lossy());
    let arguments = ["--device", "cpu", "--trace", &trace, "--series", &series];
    train(&process::target().join("test-artifacts/real"), &arguments, None)
}

/// The same training on wgpu, by the software driver if need be, ends at the same losses.
pub(super) fn wgpu(machine: &Machine) -> Result<()> {
    machine.vulkan()?;
    let folder = process::target().join("test-artifacts/wgpu");
    // Vulkan's loader wants a folder for sockets and complains at length without one.
    let runtime_folder = tempfile::tempdir()?;
    train(&folder, &["--device", "wgpu"], Some(runtime_folder.path()))?;
    let (cpu, wgpu) = (final_losses(&default_folder())?, final_losses(&folder)?);
    ensure!(!cpu.is_empty() && cpu.len() == wgpu.len(), "cpu has {} curves, wgpu {}", cpu.len(), wgpu.len());
    for ((network, on_cpu), (other, on_wgpu)) in cpu.iter().zip(&wgpu) {
        ensure!(network == other, "curves are in another order: {network} on the CPU, {other} on wgpu");
        println!("{network}: final loss {on_cpu:.6} on the CPU, {on_wgpu:.6} on wgpu");
        ensure!(
            are_close(*on_cpu, *on_wgpu),
            "{network}: final loss {on_cpu} on the CPU, {on_wgpu} on wgpu: more than {LOSS_DIFFERENCE_MAX} apart"
        );
    }
    Ok(())
}

fn train(folder: &Path, arguments: &[&str], runtime_folder: Option<&Path>) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let mut command = program(process::evenkeel(), ["train", "--quick", "--seed", "1", "--out"]);
    command.arg(folder).args(arguments);
    if let Some(runtime_folder) = runtime_folder {
        command.env("XDG_RUNTIME_DIR", runtime_folder);
    }
    process::run(&mut command)?;
    for product in PRODUCTS {
        let size = std::fs::metadata(folder.join(product)).map_or(0, |metadata| metadata.len());
        ensure!(size > 0, "the training left no {product} in {}", folder.display());
    }
    Ok(())
}

/// Each network's name and its last loss: validation where there is one.
fn final_losses(folder: &Path) -> Result<Vec<(String, f64)>> {
    let path = folder.join("metrics.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let metrics: Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    losses(&metrics).with_context(|| format!("{} has no training curves", path.display()))
}

fn losses(metrics: &Value) -> Option<Vec<(String, f64)>> {
    let last_loss = |curve: &Value| {
        let points = curve["points"].as_array()?;
        let validation = points.iter().rev().find_map(|point| point["validation"].as_f64());
        let loss = validation.or_else(|| points.last()?["train"].as_f64())?;
        Some((curve["network"].as_str()?.to_string(), loss))
    };
    metrics["curves"].as_array()?.iter().map(last_loss).collect()
}

fn are_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= LOSS_DIFFERENCE_MAX * a.abs().max(b.abs())
}

pub(crate) fn traces() -> PathBuf {
    std::env::var_os("EVENKEEL_TRACES").map_or_else(|| process::root().join("../shared/traces"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_validation_loss_counts() {
        let metrics = serde_json::json!({"curves": [
            {"network": "policy", "points": [{"train": 2.0, "validation": 1.5}, {"train": 1.0, "validation": null}]},
            {"network": "forecast", "points": [{"train": 0.5, "validation": null}]},
        ]});
        assert_eq!(losses(&metrics), Some(vec![("policy".into(), 1.5), ("forecast".into(), 0.5)]));
        assert_eq!(losses(&serde_json::json!({})), None);
    }

    #[test]
    fn losses_are_compared_relatively() {
        assert!(are_close(1.0, 1.05));
        assert!(!are_close(0.01, 0.02));
        assert!(!are_close(1.0, f64::NAN));
    }
}
