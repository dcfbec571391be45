//! SGLang's router from the Python package index, a process for each of its policies.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Backend, Running};
use crate::process::program;
use crate::test::python;

/// The package, and the version that was tried.
const PACKAGE: &str = "sglang-router==0.3.2";

/// A policy of the router. `manual`, which pins sessions by hand, is left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Random,
    RoundRobin,
    PowerOfTwo,
    CacheAware,
}

/// A port and the policy on it. The port ten above it serves the router's own metrics.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) policy: Policy,
}

impl Policy {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Random => "sglang random",
            Self::RoundRobin => "sglang round_robin",
            Self::PowerOfTwo => "sglang power_of_two",
            Self::CacheAware => "sglang cache_aware",
        }
    }

    /// Its name in the simulator.
    pub(crate) fn simulated_as(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::RoundRobin => "round_robin",
            Self::PowerOfTwo => "p2c",
            Self::CacheAware => "cache_aware",
        }
    }

    /// Its name for the router.
    fn option(self) -> &'static str {
        self.name().trim_start_matches("sglang ")
    }
}

/// Installs the router under `target/`; returns a Python that has it.
pub(crate) fn install() -> Result<PathBuf> {
    python::environment("sglang-router", &[PACKAGE], &["sglang_router.sglang_router_rs"])
}

/// Starts a router for each policy, and waits until they know their hosts, which must run.
pub(crate) fn start(folder: &Path, python: &Path, servers: &[Server], backend: &Backend) -> Result<Vec<Running>> {
    let mut all = Vec::new();
    for server in servers {
        let mut command = program(python, ["-m", "sglang_router.launch_router", "--host", "127.0.0.1"]);
        command.args(["--port", &server.port.to_string(), "--policy", server.policy.option()]);
        command.args(["--prometheus-host", "127.0.0.1", "--prometheus-port", &(server.port + 10).to_string()]);
        // By default it writes a line for each request.
        command.args(["--log-level", "warn"]);
        // It may start before the hosts do, and hosts start afresh between two replays.
        command.args(["--worker-startup-check-interval", "1", "--health-check-interval-secs", "1"]);
        command.arg("--worker-urls").args(backend.ports().map(|port| format!("http://127.0.0.1:{port}")));
        all.push((Running::start(&mut command, &log(folder, server))?, server));
    }
    let mut running = Vec::new();
    for (mut process, server) in all {
        process.wait_for(server.port, &log(folder, server)).with_context(|| server.policy.name())?;
        running.push(process);
    }
    Ok(running)
}

fn log(folder: &Path, server: &Server) -> PathBuf {
    folder.join(format!("sglang-{}.log", server.policy.option()))
}
