//! `cargo xtask dist`: the C library, ready to install.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::process;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds the library and collects it in `dist/`.
pub(crate) fn run() -> Result<()> {
    build()?;
    let folder = process::root().join("dist");
    collect(&folder)?;
    // A folder of products is nobody's change.
    fs::write(folder.join(".gitignore"), "*\n")?;
    println!("{} holds the C library {VERSION}", folder.display());
    Ok(())
}

/// Builds the static and the shared library.
pub(crate) fn build() -> Result<()> {
    process::run(&mut process::cargo(["build", "--profile", "dist", "--package", "evenkeel-capi"]))
}

/// Puts libraries, header, pkg-config file and licences into a folder as they are to be
/// installed.
pub(crate) fn collect(folder: &Path) -> Result<()> {
    let root = process::root();
    let built = process::target().join("dist");
    let lib = folder.join("lib");
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(lib.join("pkgconfig"))?;
    copy(&built.join("libevenkeel.a"), &lib.join("libevenkeel.a"))?;
    if cfg!(target_os = "linux") {
        // The loader looks for the soname, the linker for the plain name.
        copy(&built.join("libevenkeel.so"), &lib.join(format!("libevenkeel.so.{VERSION}")))?;
        link(&format!("libevenkeel.so.{VERSION}"), &lib.join(soname()))?;
        link(&soname(), &lib.join("libevenkeel.so"))?;
    } else {
        let shared = format!("{}evenkeel{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        copy(&built.join(&shared), &lib.join(&shared))?;
    }
    copy(&root.join("runtime-min/include/evenkeel.h"), &folder.join("include/evenkeel.h"))?;
    let template = fs::read_to_string(root.join("runtime-min/evenkeel.pc.in"))?;
    fs::write(lib.join("pkgconfig/evenkeel.pc"), fill(&template))?;
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        copy(&root.join(licence), &folder.join(licence))?;
    }
    Ok(())
}

/// Name under which programs load the shared library; `runtime-min/capi/build.rs` sets it.
pub(crate) fn soname() -> String {
    format!("libevenkeel.so.{}", VERSION.split('.').next().unwrap_or(VERSION))
}

/// The prefix is relative to the file itself, so that the folder can be moved anywhere.
fn fill(template: &str) -> String {
    template.replace("@PREFIX@", "${pcfiledir}/../..").replace("@VERSION@", VERSION)
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

#[cfg(unix)]
pub(crate) fn link(target: &str, path: &Path) -> Result<()> {
    std::os::unix::fs::symlink(target, path).with_context(|| format!("cannot create {}", path.display()))
}

#[cfg(not(unix))]
pub(crate) fn link(target: &str, path: &Path) -> Result<()> {
    let source = path.with_file_name(target);
    copy(&source, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_file_is_filled_in() {
        let filled = fill("prefix=@PREFIX@\nVersion: @VERSION@\n");
        assert_eq!(filled, format!("prefix=${{pcfiledir}}/../..\nVersion: {VERSION}\n"));
    }
}
