//! `cargo xtask e2e`: real proxies, each of their policies in turn, on the same trace, in front
//! of emulated hosts, beside what the simulator says of them; or in front of NVIDIA's simulated engines.

mod aiperf;
mod dynamo;
mod line_up;
mod selection;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::process::{self, program};
use crate::proxies::{self, Backend, envoy, nginx, release, sglang};
use crate::test;
use line_up::{LeftOut, LineUp};
use selection::Selection;

#[derive(Args)]
pub(crate) struct Options {
    /// What serves: emulated hosts, or NVIDIA Dynamo's mockers of vLLM
    #[arg(long, value_enum, default_value_t = Hosts::Emulated)]
    hosts: Hosts,
    /// Fewer requests and repeats: a first look
    #[arg(long)]
    quick: bool,
    /// Trace to learn from and, its last part, to replay; without one the synthetic service, or for
    /// mockers Mooncake's conversations
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Artifact to use instead of training one, or for mockers instead of the general one
    #[arg(long)]
    artifact: Option<PathBuf>,
    /// Offered work as a share of the fleet's capacity; of emulated hosts
    #[arg(long, default_value_t = 0.75)]
    load: f64,
    /// Requests a second; of mockers, where 4 of Mooncake's conversations are 72 % of what they carry
    #[arg(long, default_value_t = 4.0)]
    rate_per_s: f64,
    /// Seconds of service time in a second on the wall; of emulated hosts
    #[arg(long, default_value_t = 2.0)]
    time_scale: f64,
    /// Requests of a replay [default: 6000, quick: 1500; mockers: 400, quick: 120]
    #[arg(long)]
    requests: Option<u32>,
    /// Replays of each policy, with different seeds [default: 5, quick: 2]
    #[arg(long)]
    repeats: Option<u32>,
    #[command(flatten)]
    selection: Selection,
    /// Who sends: the project's replayer, or NVIDIA's aiperf as a witness; for mockers
    #[arg(long, value_enum, default_value_t = dynamo::Client::Replayer)]
    client: dynamo::Client,
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

/// What serves in a comparison.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Hosts {
    Emulated,
    Dynamo,
}

/// Hosts of the fleet, whose speeds are the testbed's default.
pub(crate) const HOSTS: u16 = 8;

const NGINX: [nginx::Policy; 4] =
    [nginx::Policy::RoundRobin, nginx::Policy::LeastConn, nginx::Policy::RandomTwo, nginx::Policy::Evenkeel];
const ENVOY: [envoy::Policy; 3] = [envoy::Policy::RoundRobin, envoy::Policy::LeastRequest, envoy::Policy::Evenkeel];
const SGLANG: [sglang::Policy; 4] =
    [sglang::Policy::Random, sglang::Policy::RoundRobin, sglang::Policy::PowerOfTwo, sglang::Policy::CacheAware];

/// Compares in front of the hosts that are asked for.
pub(crate) fn run(options: &Options) -> Result<()> {
    match options.hosts {
        Hosts::Emulated => emulated(options),
        Hosts::Dynamo => dynamo::run(options),
    }
}

/// Builds everything, trains a model unless one is given, and compares in front of emulated hosts.
fn emulated(options: &Options) -> Result<()> {
    let selection = &options.selection;
    let names = NGINX.map(nginx::Policy::name).into_iter();
    let names = names.chain(ENVOY.map(envoy::Policy::name)).chain(SGLANG.map(sglang::Policy::name));
    selection.check(&names.collect::<Vec<_>>())?;
    let nginx = selection.of(&NGINX, nginx::Policy::name);
    let envoy = selection.of(&ENVOY, envoy::Policy::name);
    let sglang = selection.of(&SGLANG, sglang::Policy::name);
    ensure!(nginx.len() + envoy.len() + sglang.len() > 0, "--only and --skip leave no policy to compare");

    let folder = proxies::folder("e2e")?;
    build()?;
    let mut left_out = LeftOut::default();
    let module = left_out.install(!nginx.is_empty(), "NGINX", test::nginx::build)?;
    let binary = left_out.install(!envoy.is_empty(), "Envoy", test::envoy::newest)?;
    let python = left_out.install(!sglang.is_empty(), "SGLang's router", sglang::install)?;
    let artifact = artifact(&folder, options.artifact.as_deref(), options.trace.as_deref(), options.time_scale)?;
    let backend = Backend::new(options.first_port, HOSTS, artifact, folder.join("telemetry"));
    let _agent = backend.start_agent(&folder, options.telemetry_ms)?;
    let first = options.first_port + HOSTS;
    let mut line_up = LineUp::new(&folder, &backend);
    if let Some(module) = module {
        line_up.nginx(&module, &nginx, first)?;
    }
    if let Some(binary) = binary {
        line_up.envoy(&binary, &envoy, first + 10)?;
    }
    if let Some(python) = python {
        line_up.sglang(&python, &sglang, first + 20)?;
    }
    ensure!(!line_up.is_empty(), "nothing is left to compare: {left_out}");
    process::run(&mut compare(options, &folder, &line_up.write()?, &backend.artifact)?)?;
    print!("{left_out}");
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
