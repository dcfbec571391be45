//! `cargo xtask package`: what a release hands out, in `dist/`.

pub(crate) mod debian;
mod sbom;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::{self, program};
use crate::{dist, test};
use debian::Compression;

/// Version of the workspace, and of all that is packed.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds everything and packs it into `dist/`, which it empties before.
pub(crate) fn run() -> Result<()> {
    build()?;
    let folder = process::root().join("dist");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    debian::pack(&folder, VERSION, Compression::Small)?;
    envoy_archive(&folder)?;
    sbom::write(&folder.join(format!("evenkeel-{VERSION}.cdx.json")))?;
    sums(&folder)?;
    // A folder of products is nobody's change.
    fs::write(folder.join(".gitignore"), "*\n")?;
    println!("{} holds the packages of {VERSION}; docs/install.md says what each is", folder.display());
    Ok(())
}

/// Builds the programs, the library and both modules.
pub(crate) fn build() -> Result<()> {
    // The selection of the tests' build, so that nothing heavy is built twice.
    process::run(&mut process::cargo([
        "build",
        "--workspace",
        "--release",
        "--features",
        "evenkeel-train/wgpu",
        "--bins",
        "--tests",
    ]))?;
    process::run(&mut process::cargo(["build", "--release", "--package", "evenkeel-envoy"]))?;
    test::nginx::build()?;
    Ok(())
}

/// The Envoy module with its example, its page and the licences.
fn envoy_archive(folder: &Path) -> Result<()> {
    let architecture = std::env::consts::ARCH;
    let name = format!("evenkeel-envoy-{VERSION}-linux-{architecture}");
    let scratch = tempfile::tempdir()?;
    let tree = scratch.path().join(&name);
    let root = process::root();
    let files: [(PathBuf, &str); 6] = [
        (process::target().join("release/libevenkeel_envoy.so"), "libevenkeel_envoy.so"),
        (root.join("models/general.ekm"), "general.ekm"),
        (root.join("deploy/envoy/envoy.yaml"), "envoy.yaml"),
        (root.join("docs/envoy.md"), "envoy.md"),
        (root.join("LICENSE-MIT"), "LICENSE-MIT"),
        (root.join("LICENSE-APACHE"), "LICENSE-APACHE"),
    ];
    for (from, to) in &files {
        dist::copy(from, &tree.join(to))?;
    }
    let archive = folder.join(format!("{name}.tar.gz"));
    let mut tar = program("tar", ["--owner=0", "--group=0", "--sort=name", "-czf"]);
    process::run(tar.arg(&archive).arg("-C").arg(scratch.path()).arg(&name))
}

/// `SHA256SUMS` of all files, as `sha256sum --check` reads it.
fn sums(folder: &Path) -> Result<()> {
    let mut names: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    names.sort();
    let sums = process::output(program("sha256sum", names).current_dir(folder))?;
    fs::write(folder.join("SHA256SUMS"), sums)?;
    Ok(())
}
