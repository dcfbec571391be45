//! `cargo xtask e2e`: real proxies, each of their policies in turn, on the same trace, in front
//! of emulated hosts; beside what the simulator says of them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::process::{self, program};
use crate::proxies::{self, Backend, envoy, nginx, release};
use crate::test;

#[derive(Args)]
pub(crate) struct Options {
    /// Fewer requests and repeats: a first look
    #[arg(long)]
    quick: bool,
    /// Trace to learn from and, its last part, to replay; the synthetic service if none is given
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Artifact to use instead of training one
    #[arg(long)]
    artifact: Option<PathBuf>,
    /// Offered work as a share of the fleet's capacity
    #[arg(long, default_value_t = 0.75)]
    load: f64,
    /// Seconds of service time in a second on the wall
    #[arg(long, default_value_t = 2.0)]
    time_scale: f64,
    /// Requests of a replay [default: 6000, quick: 1500]
    #[arg(long)]
    requests: Option<u32>,
    /// Replays of each policy, with different seeds [default: 5, quick: 2]
    #[arg(long)]
    repeats: Option<u32>,
    /// Leave Envoy out
    #[arg(long)]
    no_envoy: bool,
    /// Milliseconds between two scrapes by the telemetry agent
    #[arg(long, default_value_t = 50)]
    telemetry_ms: u32,
    /// Write every figure to this file, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// First of some forty ports that are used
    #[arg(long, default_value_t = 21_000)]
    first_port: u16,
}

/// Hosts of the fleet, whose speeds are the testbed's default.
pub(crate) const HOSTS: u16 = 8;

const NGINX: [nginx::Policy; 4] =
    [nginx::Policy::RoundRobin, nginx::Policy::LeastConn, nginx::Policy::RandomTwo, nginx::Policy::Evenkeel];
const ENVOY: [envoy::Policy; 3] = [envoy::Policy::RoundRobin, envoy::Policy::LeastRequest, envoy::Policy::Evenkeel];

/// Builds everything, trains a model unless one is given, and compares.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = proxies::folder("e2e")?;
    build()?;
    let module = test::nginx::build()?;
    let backend = Backend {
        first_port: options.first_port,
        hosts: HOSTS,
        artifact: artifact(&folder, options.artifact.as_deref(), options.trace.as_deref(), options.time_scale)?,
        telemetry: folder.join("telemetry"),
    };
    let first = options.first_port + HOSTS;
    let servers: Vec<nginx::Server<'_>> =
        (first..).zip(NGINX).map(|(port, policy)| nginx::Server { port, policy, backend: &backend }).collect();
    let mut listed: Vec<Value> =
        servers.iter().map(|server| entry(server.port, server.policy.name(), server.policy.simulated_as())).collect();
    let _agent = backend.start_agent(&folder, options.telemetry_ms)?;
    let _nginx = nginx::start(&folder, &module, &servers)?;
    let _envoy = if options.no_envoy {
        None
    } else {
        let servers: Vec<envoy::Server> =
            (first + 10..).zip(ENVOY).map(|(port, policy)| envoy::Server { port, policy }).collect();
        let named = |server: &envoy::Server| entry(server.port, server.policy.name(), server.policy.simulated_as());
        listed.extend(servers.iter().map(named));
        Some(envoy::start(&folder, &test::envoy::newest()?, &servers, &backend)?)
    };
    let list = folder.join("proxies.json");
    fs::write(&list, serde_json::to_string_pretty(&listed)?)?;
    let mut compare = program(release("evenkeel-testbed"), ["compare"]);
    compare.arg("--proxies").arg(list).arg("--model").arg(&backend.artifact);
    setting(&mut compare, options.trace.as_deref(), options.load, options.time_scale, options.first_port)?;
    let (requests, repeats) = if options.quick { (1500, 2) } else { (6000, 5) };
    compare.args(["--requests", &options.requests.unwrap_or(requests).to_string()]);
    compare.args(["--repeats", &options.repeats.unwrap_or(repeats).to_string()]);
    compare.args(["--telemetry-ms", &options.telemetry_ms.to_string()]);
    if let Some(path) = &options.json {
        compare.arg("--json").arg(std::path::absolute(path)?);
    }
    process::run(&mut compare)
}

/// Builds what emulates, replays and scrapes.
pub(crate) fn build() -> Result<()> {
    let packages = ["evenkeel-testbed", "evenkeel-agent"].into_iter().flat_map(|name| ["--package", name]);
    process::run(&mut process::cargo(["build", "--release"].into_iter().chain(packages)))
}

/// The artifact given, or one trained briefly on the trace's first part, fitted to the time
/// scale.
pub(crate) fn artifact(folder: &Path, given: Option<&Path>, trace: Option<&Path>, time_scale: f64) -> Result<PathBuf> {
    let model = if let Some(given) = given {
        std::path::absolute(given)?
    } else {
        process::run(&mut process::cargo(["build", "--release", "--package", "evenkeel-train"]))?;
        let out = folder.join("model");
        let mut train = program(process::evenkeel(), ["train", "--quick", "--device", "cpu", "--out"]);
        train.arg(&out);
        if let Some(trace) = trace {
            train.arg("--trace").arg(std::path::absolute(trace)?);
        }
        process::run(&mut train)?;
        out.join("evenkeel.ekm")
    };
    let fitted = folder.join("evenkeel.ekm");
    let mut faster = program(release("evenkeel-testbed"), ["faster", "--factor", &time_scale.to_string(), "--model"]);
    process::run(faster.arg(&model).arg("--output").arg(&fitted)).context("fitting the artifact to the time scale")?;
    Ok(fitted)
}

/// Arguments that comparison and demonstration have in common.
pub(crate) fn setting(
    command: &mut std::process::Command,
    trace: Option<&Path>,
    load: f64,
    time_scale: f64,
    first_port: u16,
) -> Result<()> {
    command.args(["--load", &load.to_string(), "--time-scale", &time_scale.to_string()]);
    command.args(["--first-port", &first_port.to_string()]);
    if let Some(trace) = trace {
        command.arg("--trace").arg(std::path::absolute(trace)?);
    }
    Ok(())
}

fn entry(port: u16, name: &str, simulated_as: &str) -> Value {
    json!({
        "name": name,
        "authority": format!("127.0.0.1:{port}"),
        "simulated_as": simulated_as,
        "is_built_in": simulated_as != "evenkeel",
    })
}
