//! `cargo xtask train`: builds the trainer as this machine needs it and hands over.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::Result;

use crate::process;

/// Builds the trainer and runs it; on Unix it takes this process's place, and with it
/// Ctrl-C and the exit status.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    let device = device(arguments);
    let with_gpu = needs_wgpu(device.as_deref(), has_gpu);
    let mut build = vec!["build", "--release", "--package", "evenkeel-train"];
    if with_gpu {
        build.extend(["--features", "wgpu"]);
    }
    eprintln!("building the trainer {}", if with_gpu { "with GPU support (wgpu)" } else { "for the CPU" });
    process::run(&mut process::cargo(build))?;
    process::hand_over("train", arguments)
}

/// Value of the last `--device`, as clap would see it.
fn device(arguments: &[OsString]) -> Option<String> {
    let mut device = None;
    let mut arguments = arguments.iter().map(OsString::as_os_str).map(OsStr::to_string_lossy);
    while let Some(argument) = arguments.next() {
        if argument == "--device" {
            device = arguments.next().map(Into::into);
        } else if let Some(value) = argument.strip_prefix("--device=") {
            device = Some(value.into());
        }
    }
    device
}

/// Whether the trainer needs its wgpu backend, which takes minutes to build.
fn needs_wgpu(device: Option<&str>, has_gpu: impl Fn() -> bool) -> bool {
    match device {
        Some("wgpu") => true,
        None | Some("auto") => has_gpu(),
        // `cpu`, or something that the trainer itself will refuse.
        Some(_) => false,
    }
}

/// Whether the machine shows a GPU: a render node, NVIDIA's device or its tool. Systems
/// other than Linux have one that wgpu can use more often than not.
fn has_gpu() -> bool {
    if cfg!(not(target_os = "linux")) {
        return true;
    }
    let render_node = std::fs::read_dir("/dev/dri")
        .is_ok_and(|nodes| nodes.flatten().any(|node| node.file_name().to_string_lossy().starts_with("renderD")));
    render_node
        || Path::new("/dev/nvidia0").exists()
        || process::succeeds(&mut process::program("nvidia-smi", ["--list-gpus"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device_of(arguments: &[&str]) -> Option<String> {
        device(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_last_device_counts() {
        assert_eq!(device_of(&["--quick"]), None);
        assert_eq!(device_of(&["--device", "cpu", "--quick"]).as_deref(), Some("cpu"));
        assert_eq!(device_of(&["--device=cpu", "--device", "wgpu"]).as_deref(), Some("wgpu"));
        assert_eq!(device_of(&["--device"]), None);
    }

    #[test]
    fn wgpu_is_built_where_it_is_asked_for_or_of_use() {
        assert!(needs_wgpu(Some("wgpu"), || false));
        assert!(needs_wgpu(None, || true));
        assert!(needs_wgpu(Some("auto"), || true));
        assert!(!needs_wgpu(Some("auto"), || false));
        assert!(!needs_wgpu(Some("cpu"), || true));
    }
}
