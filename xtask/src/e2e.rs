//! `cargo xtask e2e`: real proxies, each of their policies in turn, on the same trace, in front
//! of emulated hosts; beside what the simulator says of them.

mod selection;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::process::{self, program};
use crate::proxies::{self, Backend, envoy, nginx, release, sglang};
use crate::test::{self, Skip};
use selection::Selection;

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
    #[command(flatten)]
    selection: Selection,
    /// Milliseconds between two scrapes by the telemetry agent
    #[arg(long, default_value_t = 50)]
    telemetry_ms: u32,
    /// Write every figure to this file, as JSON [default: target/e2e/comparison.json]
    #[arg(long)]
    json: Option<PathBuf>,
    /// Plot the figures in this file [default: target/e2e/comparison.html]
    #[arg(long)]
    html: Option<PathBuf>,
    /// First of some fifty ports that are used
    #[arg(long, default_value_t = 21_000)]
    first_port: u16,
}

/// Hosts of the fleet, whose speeds are the testbed's default.
pub(crate) const HOSTS: u16 = 8;

const NGINX: [nginx::Policy; 4] =
    [nginx::Policy::RoundRobin, nginx::Policy::LeastConn, nginx::Policy::RandomTwo, nginx::Policy::Evenkeel];
const ENVOY: [envoy::Policy; 3] = [envoy::Policy::RoundRobin, envoy::Policy::LeastRequest, envoy::Policy::Evenkeel];
const SGLANG: [sglang::Policy; 4] =
    [sglang::Policy::Random, sglang::Policy::RoundRobin, sglang::Policy::PowerOfTwo, sglang::Policy::CacheAware];

/// Builds everything, trains a model unless one is given, and compares.
pub(crate) fn run(options: &Options) -> Result<()> {
    let selection = &options.selection;
    let names = NGINX.map(nginx::Policy::name).into_iter();
    let names = names.chain(ENVOY.map(envoy::Policy::name)).chain(SGLANG.map(sglang::Policy::name));
    selection.check(&names.collect::<Vec<_>>())?;
    let [nginx, envoy, sglang] = [
        selection.of(&NGINX, nginx::Policy::name).len(),
        selection.of(&ENVOY, envoy::Policy::name).len(),
        selection.of(&SGLANG, sglang::Policy::name).len(),
    ];
    ensure!(nginx + envoy + sglang > 0, "--only and --skip leave no policy to compare");

    let folder = proxies::folder("e2e")?;
    build()?;
    let mut left_out = LeftOut::default();
    let module = left_out.install(nginx > 0, "NGINX", test::nginx::build)?;
    let binary = left_out.install(envoy > 0, "Envoy", test::envoy::newest)?;
    let python = left_out.install(sglang > 0, "SGLang's router", sglang::install)?;
    let backend = Backend {
        first_port: options.first_port,
        hosts: HOSTS,
        artifact: artifact(&folder, options.artifact.as_deref(), options.trace.as_deref(), options.time_scale)?,
        telemetry: folder.join("telemetry"),
    };
    let _agent = backend.start_agent(&folder, options.telemetry_ms)?;
    let first = options.first_port + HOSTS;
    let mut listed = Vec::new();
    let mut running = Vec::new();
    if let Some(module) = module {
        let policies = selection.of(&NGINX, nginx::Policy::name);
        let servers: Vec<nginx::Server<'_>> =
            (first..).zip(policies).map(|(port, policy)| nginx::Server { port, policy, backend: &backend }).collect();
        let built_in = |policy| policy != nginx::Policy::Evenkeel;
        listed.extend(
            servers.iter().map(|at| entry(at.port, at.policy.name(), at.policy.simulated_as(), built_in(at.policy))),
        );
        running.push(nginx::start(&folder, &module, &servers)?);
    }
    if let Some(binary) = binary {
        let policies = selection.of(&ENVOY, envoy::Policy::name);
        let servers: Vec<envoy::Server> =
            (first + 10..).zip(policies).map(|(port, policy)| envoy::Server { port, policy }).collect();
        let built_in = |policy| policy != envoy::Policy::Evenkeel;
        listed.extend(
            servers.iter().map(|at| entry(at.port, at.policy.name(), at.policy.simulated_as(), built_in(at.policy))),
        );
        running.push(envoy::start(&folder, &binary, &servers, &backend)?);
    }
    if let Some(python) = python {
        let policies = selection.of(&SGLANG, sglang::Policy::name);
        let servers: Vec<sglang::Server> =
            (first + 20..).zip(policies).map(|(port, policy)| sglang::Server { port, policy }).collect();
        listed.extend(servers.iter().map(|at| entry(at.port, at.policy.name(), at.policy.simulated_as(), false)));
        running.extend(sglang::start(&folder, &python, &servers, &backend)?);
    }
    ensure!(!listed.is_empty(), "nothing is left to compare: {}", left_out.0.join("; "));
    let list = folder.join("proxies.json");
    fs::write(&list, serde_json::to_string_pretty(&listed)?)?;
    process::run(&mut compare(options, &folder, &list, &backend.artifact)?)?;
    for what in left_out.0 {
        println!("not compared: {what}");
    }
    Ok(())
}

/// The command that replays, predicts and writes the figures.
fn compare(options: &Options, folder: &Path, list: &Path, artifact: &Path) -> Result<std::process::Command> {
    let mut compare = program(release("evenkeel-testbed"), ["compare"]);
    compare.arg("--proxies").arg(list).arg("--model").arg(artifact);
    setting(&mut compare, options.trace.as_deref(), options.load, options.time_scale, options.first_port)?;
    let (requests, repeats) = if options.quick { (1500, 2) } else { (6000, 5) };
    compare.args(["--requests", &options.requests.unwrap_or(requests).to_string()]);
    compare.args(["--repeats", &options.repeats.unwrap_or(repeats).to_string()]);
    compare.args(["--telemetry-ms", &options.telemetry_ms.to_string()]);
    for (option, given) in [("json", &options.json), ("html", &options.html)] {
        let path =
            given.as_ref().map_or_else(|| Ok(folder.join(format!("comparison.{option}"))), std::path::absolute)?;
        compare.arg(format!("--{option}")).arg(path);
    }
    Ok(compare)
}

/// Proxies that could not be had, and why.
#[derive(Default)]
struct LeftOut(Vec<String>);

impl LeftOut {
    /// What `install` returns, if it is wanted; where it cannot be had on this machine, that is
    /// noted and the others are compared.
    fn install<T>(&mut self, is_wanted: bool, what: &str, install: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        if !is_wanted {
            return Ok(None);
        }
        match install() {
            Ok(installed) => Ok(Some(installed)),
            Err(error) if error.is::<Skip>() => {
                let reason = format!("{what}: {error:#}");
                eprintln!("warning: left out of the comparison: {reason}");
                self.0.push(reason);
                Ok(None)
            }
            Err(error) => Err(error.context(what.to_owned())),
        }
    }
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
        // `train` refuses the folder of another run.
        if out.exists() {
            std::fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
        }
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

/// A proxy in the list that `evenkeel-testbed compare` reads. Built in are the policies that come
/// with NGINX or Envoy: the best of them is what the others are held against.
fn entry(port: u16, name: &str, simulated_as: &str, is_built_in: bool) -> Value {
    json!({
        "name": name,
        "authority": format!("127.0.0.1:{port}"),
        "simulated_as": simulated_as,
        "is_built_in": is_built_in,
    })
}
