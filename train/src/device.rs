//! Where the trainer computes: the CPU, or a GPU through wgpu.

use std::fmt;

use anyhow::Result;
use burn::prelude::Device;
use clap::ValueEnum;

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// A real GPU where one answers, otherwise the CPU.
    Auto,
    /// The CPU (burn's flex backend), which repeats bit for bit.
    Cpu,
    /// wgpu: a GPU, or a software Vulkan driver.
    Wgpu,
}

/// The device chosen, and why.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// For burn, without gradients.
    pub device: Device,
    /// `cpu` or `wgpu`.
    pub name: &'static str,
    /// Why this one, for the log.
    pub reason: String,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.reason)
    }
}

impl Chosen {
    fn cpu(reason: impl Into<String>) -> Self {
        Self { device: Device::flex(), name: "cpu", reason: reason.into() }
    }
}

/// Picks the device.
///
/// # Errors
/// If wgpu is asked for and this build has no wgpu, or no adapter answers.
pub fn choose(choice: DeviceChoice) -> Result<Chosen> {
    match choice {
        DeviceChoice::Cpu => Ok(Chosen::cpu("asked for")),
        DeviceChoice::Auto => Ok(auto()),
        DeviceChoice::Wgpu => wgpu(),
    }
}

#[cfg(not(feature = "wgpu"))]
fn auto() -> Chosen {
    Chosen::cpu("this build has no wgpu; `cargo xtask train --device wgpu` adds it")
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Chosen> {
    anyhow::bail!(
        "--device wgpu: this build of evenkeel has no wgpu backend; run `cargo xtask train --device wgpu`, \
         or build with `--features wgpu`"
    )
}

#[cfg(feature = "wgpu")]
fn auto() -> Chosen {
    use burn::tensor::DeviceType;
    // Software drivers present themselves as CPU adapters and have no card behind them.
    let cards = std::panic::catch_unwind(|| {
        Device::enumerate(DeviceType::Wgpu).into_iter().find_map(|device| {
            let identity = device.identity()?;
            identity.physical.is_some().then_some((device, identity.name))
        })
    });
    match cards {
        Ok(Some((device, name))) => Chosen { device, name: "wgpu", reason: format!("found {name}") },
        Ok(None) | Err(_) => Chosen::cpu("no GPU answered"),
    }
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Chosen> {
    use anyhow::Context;
    let device = Device::wgpu_options().init().context(
        "--device wgpu: no adapter answered; install a GPU driver or a software one \
         (Debian: apt-get install libvulkan1 mesa-vulkan-drivers), or use --device cpu",
    )?;
    let reason =
        device.identity().map_or_else(|| "asked for".to_owned(), |identity| format!("asked for, {}", identity.name));
    Ok(Chosen { device, name: "wgpu", reason })
}
