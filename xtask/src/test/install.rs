//! The Debian packages in a fresh Debian: installed, upgraded, removed, purged.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Skip, packages};
use crate::package::debian::{self, Compression};
use crate::package::{self, VERSION};
use crate::process::{self, program};

/// What a fresh Debian has besides what it cannot be without: the packages' dependencies, and what
/// rotates logs.
const INCLUDED: &str = "--include=nginx,adduser,python3,logrotate";

/// The version before, as whose the same files are packed.
const BEFORE: &str = "0.1.0";

/// Keeps dpkg from starting anything: the root shares this machine's ports.
const NOTHING_STARTS: &str = "#!/bin/sh\nexit 101\n";

/// Builds and packs both versions, and lets the script use them in a copy of a root that is kept.
pub(super) fn run() -> Result<()> {
    if !packages::is_root() {
        return Err(Skip("needs to be root, to change into another root".into()).into());
    }
    packages::ensure(&["debootstrap", "dpkg-dev"])?;
    package::build()?;
    let folder = std::path::absolute(process::target())?.join("package-root");
    let base = base(&folder)?;
    let root = folder.join("run");
    remove(&root)?;
    process::run(program("cp", ["--archive", "--reflink=auto"]).arg(&base).arg(&root))?;
    for (name, version) in [("old", BEFORE), ("new", VERSION)] {
        let packed = root.join("packages").join(name);
        fs::create_dir_all(&packed)?;
        debian::pack(&packed, version, Compression::Quick)?;
    }
    fs::create_dir(root.join("log"))?;
    fs::copy(process::root().join("xtask/src/test/install.sh"), root.join("install.sh"))?;
    process::run(
        program("chroot", [root.as_os_str(), "/bin/sh".as_ref(), "/install.sh".as_ref()]).args([BEFORE, VERSION]),
    )?;
    remove(&root)
}

/// A Debian of this machine's release, made once.
fn base(folder: &Path) -> Result<PathBuf> {
    let base = folder.join("base");
    if base.is_dir() {
        return Ok(base);
    }
    let (release, mirror) = (release()?, mirror()?);
    let unfinished = folder.join("unfinished");
    remove(&unfinished)?;
    fs::create_dir_all(folder)?;
    let mut make = program("debootstrap", ["--variant=minbase", INCLUDED, &release]);
    // What it prints is long, and kept in its own log.
    process::output(make.arg(&unfinished).arg(&mirror))
        .map_err(|error| Skip(format!("could not make a Debian {release} from {mirror}: {error:#}")))?;
    let policy = unfinished.join("usr/sbin/policy-rc.d");
    fs::write(&policy, NOTHING_STARTS)?;
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o755))?;
    fs::rename(&unfinished, &base)?;
    Ok(base)
}

/// The code name of this machine's Debian.
fn release() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.context("/etc/os-release has no VERSION_CODENAME")?.trim_matches('"').to_owned())
}

/// Where this machine has its packages from.
fn mirror() -> Result<String> {
    let format = ["indextargets", "--format", "$(SITE)", "Created-By: Packages", "Component: main", "Origin: Debian"];
    let sites = process::output(&mut program("apt-get", format))?;
    let site = sites.lines().find(|site| !site.contains("security"));
    Ok(site.context("apt knows no mirror of Debian: `apt-get update`, or add one to /etc/apt")?.to_owned())
}

/// Removes a folder that may not be there.
fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}
