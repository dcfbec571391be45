//! Packages for Debian.

mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::{self, program};
use crate::{dist, test};
use tree::Tree;

/// How packages are compressed.
#[derive(Clone, Copy)]
pub(crate) enum Compression {
    /// As small as they get, which takes minutes.
    Small,
    /// For tests, which unpack them once.
    Quick,
}

/// Packs what is built, as a version, into a folder.
pub(crate) fn pack(folder: &Path, version: &str, compression: Compression) -> Result<()> {
    test::packages::ensure(&["dpkg-dev"])?;
    for tree in [command_line()?, agent()?, library(version)?, nginx_module()?] {
        println!("{}", tree.pack(folder, version, compression)?.display());
    }
    Ok(())
}

/// The file that a package becomes.
pub(crate) fn file_name(name: &str, version: &str) -> Result<String> {
    Ok(format!("{name}_{version}-1_{}.deb", architecture()?))
}

fn architecture() -> Result<String> {
    let printed = process::output(&mut program("dpkg", ["--print-architecture"]))?;
    Ok(printed.trim().to_owned())
}

fn command_line() -> Result<Tree> {
    let mut tree = Tree::new("evenkeel", "utils", "training and trying of balancing policies")?;
    tree.says("Trains a balancing policy and a forecaster on a service's own traces, shows and\nchecks artifacts, emulates fleets of inference servers, and scales plain machines.");
    tree.depends("python3");
    tree.program(&release("evenkeel"))?;
    tree.program(&release("evenkeel-testbed"))?;
    tree.script(&source("deploy/vm/evenkeel-scale"))?;
    let unit = fs::read_to_string(source("deploy/vm/evenkeel-scale.service"))?;
    tree.text(
        "usr/share/doc/evenkeel/examples/evenkeel-scale.service",
        &unit.replace("/usr/local/bin/evenkeel", "/usr/bin/evenkeel"),
    )?;
    tree.file(&source("models/general.ekm"), "usr/share/doc/evenkeel/examples/general.ekm")?;
    for page in ["training.md", "data.md", "scaling.md", "testbed.md"] {
        tree.document(&source("docs").join(page))?;
    }
    Ok(tree)
}

fn agent() -> Result<Tree> {
    let mut tree = Tree::new("evenkeel-agent", "net", "telemetry of inference servers for Evenkeel")?;
    tree.says(
        "Asks inference servers for their metrics and keeps them in a file that the\nproxies of the same machine read.",
    );
    tree.depends("adduser");
    tree.program(&release("evenkeel-agent"))?;
    tree.text("lib/systemd/system/evenkeel-agent.service", &unit()?)?;
    tree.configuration(&source("deploy/agent/hosts"), "etc/evenkeel/hosts")?;
    tree.document(&source("docs/agent.md"))?;
    Ok(tree)
}

/// The unit for plain machines, with the package's program and user.
fn unit() -> Result<String> {
    let mut unit = fs::read_to_string(source("deploy/agent/evenkeel-agent.service"))?;
    // What `DynamicUser` brings along is said in words. A user of its own can be given a token to read.
    let user = "User=evenkeel-agent\nGroup=evenkeel-agent\nPrivateTmp=yes\nRemoveIPC=yes\nRestrictSUIDSGID=yes";
    for (old, new) in [("ExecStart=/usr/local/bin/", "ExecStart=/usr/bin/"), ("DynamicUser=yes", user)] {
        anyhow::ensure!(unit.contains(old), "deploy/agent/evenkeel-agent.service has no {old}");
        unit = unit.replace(old, new);
    }
    // How to install it by hand is said before the first section.
    let begin = unit.find("[Unit]").context("deploy/agent/evenkeel-agent.service has no [Unit]")?;
    Ok(unit.split_off(begin))
}

fn library(version: &str) -> Result<Tree> {
    let mut tree = Tree::new("libevenkeel-dev", "libdevel", "Evenkeel's runtime for C programs")?;
    tree.says("The static and the shared library, which needs no other, its header and its file\nfor pkg-config.");
    let triplet = process::output(&mut program("dpkg-architecture", ["-q", "DEB_HOST_MULTIARCH"]))?;
    let lib = format!("usr/lib/{}", triplet.trim());
    let built = process::target().join("dist");
    tree.file(&built.join("libevenkeel.a"), &format!("{lib}/libevenkeel.a"))?;
    tree.file(&built.join("libevenkeel.so"), &format!("{lib}/libevenkeel.so.{version}"))?;
    tree.link(&format!("libevenkeel.so.{version}"), &format!("{lib}/{}", dist::soname()))?;
    tree.link(&dist::soname(), &format!("{lib}/libevenkeel.so"))?;
    tree.file(&source("runtime-min/include/evenkeel.h"), "usr/include/evenkeel.h")?;
    let template =
        fs::read_to_string(source("runtime-min/evenkeel.pc.in"))?.replace("${prefix}/lib", &format!("/{lib}"));
    tree.text(
        &format!("{lib}/pkgconfig/evenkeel.pc"),
        &template.replace("@PREFIX@", "/usr").replace("@VERSION@", version),
    )?;
    for example in ["balance.c", "shadow.c"] {
        tree.file(&source("examples/c").join(example), &format!("usr/share/doc/libevenkeel-dev/examples/{example}"))?;
    }
    Ok(tree)
}

/// The module, for the very binary interface of the NGINX that it was built with.
fn nginx_module() -> Result<Tree> {
    let mut tree = Tree::new("libnginx-mod-http-evenkeel", "httpd", "balancing by a trained policy for NGINX")?;
    tree.says("Chooses the server of each request with a policy that was trained on the\nservice's own traces, and publishes its demand for scalers.");
    tree.depends(&nginx_interface()?);
    let built = process::target().join("nginx/ngx_http_evenkeel_module.so");
    tree.file(&built, "usr/lib/nginx/modules/ngx_http_evenkeel_module.so")?;
    let available = "usr/share/nginx/modules-available/mod-http-evenkeel.conf";
    tree.text(available, "load_module modules/ngx_http_evenkeel_module.so;\n")?;
    tree.link(&format!("/{available}"), "etc/nginx/modules-enabled/50-mod-http-evenkeel.conf")?;
    tree.folder("etc/evenkeel")?;
    tree.file(&source("models/general.ekm"), "usr/share/evenkeel/general.ekm")?;
    let example = "usr/share/doc/libnginx-mod-http-evenkeel/examples/evenkeel.conf";
    tree.file(&source("deploy/nginx/evenkeel.conf"), example)?;
    tree.document(&source("docs/nginx.md"))?;
    Ok(tree)
}

/// Debian's name of the installed NGINX's binary interface.
fn nginx_interface() -> Result<String> {
    let provided = process::output(&mut program("dpkg-query", ["--show", "--showformat=${Provides}", "nginx"]))?;
    let interface = provided.split(',').map(str::trim).find(|name| name.starts_with("nginx-abi-"));
    let interface =
        interface.context("the installed nginx names no binary interface (nginx-abi-…): install Debian's nginx")?;
    Ok(interface.to_owned())
}

fn release(name: &str) -> PathBuf {
    process::target().join("release").join(name)
}

fn source(path: &str) -> PathBuf {
    process::root().join(path)
}
