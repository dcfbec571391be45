//! The demonstration's live page in headless Chromium.

use std::net::TcpListener;
use std::path::Path;

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
    process::run(tests.env("EVENKEEL_PAGE", format!("http://127.0.0.1:{port}/")))
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
