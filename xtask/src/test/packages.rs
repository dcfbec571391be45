//! Debian packages: installed where we may, named where we may not.

use std::process::Command;
use std::sync::OnceLock;

use anyhow::Result;

use super::Skip;
use crate::process::{self, program};

/// Makes sure that the packages are installed, or skips the step with their names.
pub(crate) fn ensure(packages: &[&str]) -> Result<()> {
    let missing: Vec<_> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !process::succeeds(&mut program("apt-get", ["--version"])) {
        return Err(Skip(format!("needs what Debian calls {names}")).into());
    }
    if !is_root() {
        return Err(Skip(format!("missing packages: run `apt-get install {names}` as root")).into());
    }
    let install = ["install", "--yes", "--no-install-recommends"].into_iter().chain(missing);
    match update().and_then(|()| process::run(quiet(&mut program("apt-get", install)))) {
        Ok(()) => Ok(()),
        Err(error) => Err(Skip(format!("could not install {names}: {error:#}")).into()),
    }
}

/// Brings the list of packages up to date, once.
fn update() -> Result<()> {
    static UPDATED: OnceLock<bool> = OnceLock::new();
    let updated = UPDATED.get_or_init(|| process::run(quiet(&mut program("apt-get", ["update"]))).is_ok());
    if *updated { Ok(()) } else { anyhow::bail!("`apt-get update` failed") }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.arg("-qq").env("DEBIAN_FRONTEND", "noninteractive")
}

fn is_installed(package: &str) -> bool {
    let mut query = program("dpkg-query", ["--show", "--showformat=${Status}", package]);
    let output = query.stderr(std::process::Stdio::null()).output();
    output.is_ok_and(|output| output.stdout.ends_with(b"install ok installed"))
}

/// Whether this user may do all.
pub(super) fn is_root() -> bool {
    process::output(&mut program("id", ["-u"])).is_ok_and(|id| id.trim() == "0")
}
