//! `cargo xtask demo`: two NGINX side by side, one with Evenkeel, and a live page on which to
//! watch them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::e2e::{self, HOSTS};
use crate::process::{self, program};
use crate::proxies::{self, Backend, Running, nginx, release};
use crate::test;

#[derive(Args)]
pub(crate) struct Options {
    /// Trace to learn from and, its last part, to replay; conversations about documents if none is given
    #[arg(long)]
    pub(crate) trace: Option<PathBuf>,
    /// Artifact to use instead of training one
    #[arg(long)]
    pub(crate) artifact: Option<PathBuf>,
    /// Offered work as a share of the fleet's capacity
    #[arg(long, default_value_t = 0.7)]
    pub(crate) load: f64,
    /// Seconds of service time in a second on the wall
    #[arg(long, default_value_t = 4.0)]
    pub(crate) time_scale: f64,
    /// Port of the page
    #[arg(long, default_value_t = 8800)]
    pub(crate) port: u16,
    /// First of some twenty ports that are used besides
    #[arg(long, default_value_t = 21_100)]
    pub(crate) first_port: u16,
}

/// Ports that are used from the first one on, the page's not among them: hosts of both sides, then
/// their proxies.
pub(crate) const PORTS: u16 = 2 * HOSTS + 2;

/// The proxies and the telemetry agent, which end when this is dropped, and the page's command.
pub(crate) struct Demo {
    pub(crate) show: Command,
    /// Where they keep their files.
    pub(crate) folder: PathBuf,
    _servers: [Running; 2],
}

/// Builds everything, trains a model unless one is given, and shows both until it is ended.
pub(crate) fn run(options: &Options) -> Result<()> {
    process::run(&mut start(options)?.show)
}

/// The same up to the page, which is still to be started.
pub(crate) fn start(options: &Options) -> Result<Demo> {
    let folder = proxies::folder("demo")?;
    e2e::build()?;
    let module = test::nginx::build()?;
    let trace = options.trace.clone().map_or_else(|| conversations(&folder), Ok)?;
    let artifact = e2e::artifact(&folder, options.artifact.as_deref(), Some(&trace), options.time_scale)?;
    let telemetry = folder.join("telemetry");
    let [left, right] =
        [0, HOSTS].map(|after| Backend::new(options.first_port + after, HOSTS, artifact.clone(), telemetry.clone()));
    let first = options.first_port + 2 * HOSTS;
    let servers = [
        nginx::Server { port: first, policy: nginx::Policy::LeastConn, backend: &left },
        nginx::Server { port: first + 1, policy: nginx::Policy::Evenkeel, backend: &right },
    ];
    let running = [right.start_agent(&folder, 50)?, nginx::start(&folder, &module, &servers)?];
    let mut show =
        program(release("evenkeel-testbed"), ["demo", "--requests", "50000", "--port", &options.port.to_string()]);
    show.arg("--model").arg(&artifact);
    for (side, server) in ["--left", "--right"].into_iter().zip(&servers) {
        show.args([side, &format!("127.0.0.1:{}", server.port)]);
    }
    e2e::setting(&mut show, Some(&trace), options.load, options.time_scale, options.first_port)?;
    Ok(Demo { show, folder, _servers: running })
}

/// Writes a trace of which prompts share long beginnings, as those of chat services do.
fn conversations(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("conversations.jsonl");
    process::run(program(release("evenkeel-testbed"), ["conversations", "--output"]).arg(&path))?;
    Ok(path)
}
