//! The newest NGINX that a package registry has in source, with the module, under the
//! address sanitizer.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{nginx, packages, reports};
use crate::dist;
use crate::process;

/// The crate that carries NGINX's sources, and the version to take.
const SOURCES: (&str, &str) = ("nginx-src", "=1.28.5");

/// What NGINX is built with, and its tests.
const PACKAGES: [&str; 4] = ["gcc", "make", "python3", "wrk"];

/// Builds NGINX and the module from source and runs the module's tests with both.
pub(super) fn run(artifact: &Path) -> Result<()> {
    ensure!(artifact.is_file(), "{} is missing: the training before this step must succeed", artifact.display());
    packages::ensure(&PACKAGES)?;
    dist::build()?;
    let folder = std::path::absolute(process::target())?.join("nginx-source");
    let built = folder.join("asan");
    let sources = sources(&folder)?;
    process::run(&mut nginx::script(Path::new("modules/nginx/build-source.sh"), &[&sources, &built])?)?;
    let other = folder.join("other");
    let script = nginx::other_sources(&other)?.join("build-source.sh");
    process::run(&mut nginx::script(&script, &[&sources, &other])?)?;
    let found = folder.join("reports");
    reports::folder(&found)?;
    let mut tests = nginx::tests(&built.join("ngx_http_evenkeel_module.so"), Some(&other), artifact)?;
    tests.env("NGINX", built.join("nginx"));
    // NGINX leaves its pools to the system when it ends: those are no leaks.
    tests.env("ASAN_OPTIONS", format!("detect_leaks=0:log_path={}", found.join("report").display()));
    process::run(&mut tests)?;
    reports::ensure_none(&found, "the address sanitizer")
}

/// Has cargo fetch the crate, for a manifest that is used for nothing else.
fn sources(folder: &Path) -> Result<PathBuf> {
    let (name, version) = SOURCES;
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("src/lib.rs"), "")?;
    let manifest = format!(
        "[package]\nname = \"fetch-nginx\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [dependencies]\n{name} = \"{version}\"\n\n[workspace]\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    let manifest_path = folder.join("Cargo.toml");
    let mut metadata = process::cargo(["metadata", "--format-version", "1", "--manifest-path"]);
    let said = process::output(metadata.arg(&manifest_path))?;
    let metadata: serde_json::Value = serde_json::from_str(&said).context("cargo metadata printed no JSON")?;
    let package = metadata["packages"].as_array().and_then(|all| all.iter().find(|package| package["name"] == name));
    let path = package.and_then(|package| package["manifest_path"].as_str()).map(Path::new).and_then(Path::parent);
    Ok(path.with_context(|| format!("cargo did not fetch {name}"))?.join("nginx"))
}
