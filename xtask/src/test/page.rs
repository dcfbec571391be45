//! The demonstration's live page in headless Chromium.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{packages, python};
use crate::demo;
use crate::process::{self, program};
use crate::proxies::Running;

/// The browser, and what drives it, of the same version.
const PACKAGES: [&str; 2] = ["chromium", "chromium-driver"];

/// Starts the demonstration with a model that was just trained, and watches it.
pub(super) fn run(artifact: &Path) -> Result<()> {
    ensure!(artifact.is_file(), "{} is missing: the training before this step must succeed", artifact.display());
    packages::ensure(&PACKAGES)?;
    let python = python::environment("browser", &["selenium"], &["selenium"])?;
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
    process::run(tests.env("EVENKEEL_PAGE", format!("http://127.0.0.1:{port}/")))?;
    drop((page, demo));
    leaves_nothing_behind(artifact)
}

/// The command itself, ended as a service manager would: nothing goes on listening.
fn leaves_nothing_behind(artifact: &Path) -> Result<()> {
    let port = free_ports(demo::PORTS + 1)?;
    let itself = std::env::current_exe().context("this program has no path")?;
    let mut command = program(itself, ["demo", "--port", &port.to_string(), "--first-port", &(port + 1).to_string()]);
    let log = process::target().join("demo-ended.log");
    let mut demo = Running::start(command.arg("--artifact").arg(artifact), &log)?;
    demo.wait_for_within(Duration::from_mins(2), port, &log)?;
    process::run(&mut program("kill", ["-TERM", &demo.id().to_string()]))?;
    let begin = Instant::now();
    while demo.ended()?.is_none() {
        ensure!(begin.elapsed() < Duration::from_secs(20), "the demonstration does not end on SIGTERM");
        std::thread::sleep(Duration::from_millis(50));
    }
    let listens = |port: &u16| TcpStream::connect(("127.0.0.1", *port)).is_ok();
    let left: Vec<u16> = (port..=port + demo::PORTS).filter(listens).collect();
    ensure!(left.is_empty(), "after SIGTERM something still listens on ports {left:?}");
    let said = std::fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    ensure!(said.contains("Ctrl-C ends"), "the demonstration does not say how it is ended:\n{said}");
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
