//! The demonstration's live page in headless Chromium.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{packages, python};
use crate::demo;
use crate::process::{self, program};
use crate::proxies::Running;

/// The browser, and what drives it, of the same version.
const PACKAGES: [&str; 2] = ["chromium", "chromium-driver"];

/// The longest that the demonstration may take to end; it begins with builds, which take longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the demonstration with a model that was just trained, watches it, and ends it.
pub(super) fn run(artifact: &Path) -> Result<()> {
    ensure!(artifact.is_file(), "{} is missing: the training before this step must succeed", artifact.display());
    packages::ensure(&PACKAGES)?;
    let python = python::environment("browser", &["selenium"], &["selenium"])?;
    watch(artifact, &python)?;
    for signal in ["TERM", "HUP", "INT"] {
        end(artifact, signal).with_context(|| format!("the demonstration, ended by SIG{signal}"))?;
    }
    Ok(())
}

/// Opens the page in the browser.
fn watch(artifact: &Path, python: &Path) -> Result<()> {
    let port = free_ports(demo::PORTS + 1)?;
    let options = demo::Options {
        trace: None,
        artifact: Some(artifact.to_owned()),
        load: 0.6,
        time_scale: 4.0,
        port,
        first_port: port + 1,
    };
    let mut demo = demo::start(&options)?;
    let log = demo.folder.join("demo.log");
    let mut page = Running::start(&mut demo.show, &log)?;
    page.wait_for(port, &log)?;
    let mut tests = program(python, ["-B", "testbed/tests/page/test_page.py"]);
    process::run(tests.env("EVENKEEL_PAGE", format!("http://127.0.0.1:{port}/")))
}

/// The program of this process, also where a build has put another file in its place meanwhile, which Linux
/// marks behind the path.
fn itself() -> Result<PathBuf> {
    let path = std::env::current_exe().context("this program has no path")?;
    Ok(path.to_string_lossy().trim_end_matches(" (deleted)").into())
}

/// Starts the demonstration as a process of its own, ends it by a signal to that one alone, and looks that
/// nothing listens any more.
fn end(artifact: &Path, signal: &str) -> Result<()> {
    let ports = demo::PORTS + 1;
    let port = free_ports(ports)?;
    let log = process::target().join(format!("demo-{signal}.log"));
    let mut command = program(itself()?, ["demo", "--port", &port.to_string(), "--first-port"]);
    command.arg((port + 1).to_string()).arg("--artifact").arg(std::path::absolute(artifact)?);
    let mut demo = Running::start(&mut command, &log)?;
    demo.wait_for_within(10 * PATIENCE, port, &log)?;
    process::run(&mut program("kill", ["-s", signal, &demo.id().to_string()]))?;
    let status = demo.wait(PATIENCE)?;
    let said = std::fs::read_to_string(&log)?;
    ensure!(status.success(), "it ended with {status}: {said}");
    ensure!(said.contains("Ctrl-C ends it"), "it does not say how to end it: {said}");
    // What was answered last lingers in TIME_WAIT, which does not listen.
    let listening: Vec<u16> =
        (port..port + ports).filter(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()).collect();
    ensure!(listening.is_empty(), "something still listens on the ports {listening:?}");
    Ok(())
}

/// The first of so many ports in a row that nothing listens on, from below the range that clients
/// are given.
fn free_ports(count: u16) -> Result<u16> {
    const FIRST: u16 = 22_000;
    const LAST: u16 = 32_000;
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut blocks = (FIRST..LAST).step_by(usize::from(count));
    let found = blocks.find(|first| (*first..first + count).all(is_free));
    found.with_context(|| format!("no {count} ports in a row are free between {FIRST} and {LAST}"))
}
