//! Real proxies and Dynamo's own router in front of NVIDIA's mockers of vLLM.
//!
//! Engines that this project did not model, whose metrics, streams and bodies are as they come: proxies
//! with Evenkeel are told nothing by clients, and are given the general artifact, which knows
//! nothing of these engines.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use super::aiperf;
use super::line_up::{LeftOut, LineUp};
use super::{Options, build};
use crate::mockers::{self, Fleet, SPEEDS, WEIGHTS};
use crate::process::{self, program};
use crate::proxies::{self, Backend, envoy, nginx, release};
use crate::test;

/// Who sends the requests.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Client {
    Replayer,
    Aiperf,
}

const NGINX: [nginx::Policy; 3] = [nginx::Policy::LeastConn, nginx::Policy::WeightedLeastConn, nginx::Policy::Evenkeel];
const ENVOY: [envoy::Policy; 2] = [envoy::Policy::LeastRequest, envoy::Policy::Evenkeel];

/// Dynamo's router, which knows what each of its workers has cached and has in hand.
const DYNAMO: [&str; 1] = ["dynamo kv"];

/// Where the trace is, in the folder of traces.
const TRACE: &str = "llm_requests/mooncake_conversation_trace.jsonl.gz";

/// Installs the mockers, starts two fleets, one of hosts and one behind Dynamo's router, and compares.
pub(super) fn run(options: &Options) -> Result<()> {
    let selection = &options.selection;
    let names = NGINX.map(nginx::Policy::name).into_iter().chain(ENVOY.map(envoy::Policy::name)).chain(DYNAMO);
    selection.check(&names.collect::<Vec<_>>())?;
    let nginx = selection.of(&NGINX, nginx::Policy::name);
    let envoy = selection.of(&ENVOY, envoy::Policy::name);
    let has_router = !selection.of(&DYNAMO, |name| name).is_empty();
    ensure!(nginx.len() + envoy.len() > 0 || has_router, "--only and --skip leave no policy to compare");
    let trace = match &options.trace {
        Some(trace) => std::path::absolute(trace)?,
        None => test::training::traces().join(TRACE),
    };
    ensure!(trace.is_file(), "{} is missing: name a trace with --trace", trace.display());

    let folder = proxies::folder("e2e-dynamo")?;
    build()?;
    let mockers = mockers::install()?;
    let mut left_out = LeftOut::default();
    let module = left_out.install(!nginx.is_empty(), "NGINX", test::nginx::build)?;
    let binary = left_out.install(!envoy.is_empty(), "Envoy", test::envoy::newest)?;
    let mut hosts = Fleet::apart(&mockers, &folder, options.first_port)?;
    let mut router = if has_router { Some(Fleet::routed(&mockers, &folder, options.first_port + 20)?) } else { None };
    hosts.wait()?;
    let backend = Backend {
        first_metrics_port: Some(hosts.first_metrics_port),
        weights: WEIGHTS.to_vec(),
        clients_tell: false,
        ..Backend::new(options.first_port, SPEEDS.len() as u16, artifact(options)?, folder.join("telemetry"))
    };
    let _agent = backend.start_agent(&folder, options.telemetry_ms)?;
    let mut line_up = LineUp::new(&folder, &backend);
    if let Some(module) = module {
        line_up.nginx(&module, &nginx, options.first_port + 40)?;
    }
    if let Some(binary) = binary {
        line_up.envoy(&binary, &envoy, options.first_port + 45)?;
    }
    if let Some(router) = &mut router {
        router.wait()?;
        line_up.list(router.first_port, DYNAMO[0], None, true);
    }
    match options.client {
        Client::Replayer => replay(options, &folder, &line_up, &trace)?,
        Client::Aiperf => {
            let mut compare = aiperf::compare(&mockers.model, &folder, &line_up.write()?, &trace)?;
            process::run(size(options, &mut compare))?;
        }
    }
    print!("{left_out}");
    Ok(())
}

/// Replays with the project's own client, which prints and writes the figures.
fn replay(options: &Options, folder: &Path, line_up: &LineUp<'_>, trace: &Path) -> Result<()> {
    let mut compare = program(release("evenkeel-testbed"), ["compare-running", "--model-name", mockers::MODEL]);
    compare.arg("--proxies").arg(line_up.write()?).arg("--trace").arg(trace);
    let json = options.json.as_ref().map_or_else(|| Ok(folder.join("comparison.json")), std::path::absolute)?;
    process::run(size(options, &mut compare).arg("--json").arg(json))
}

/// Arguments that both clients have.
fn size<'c>(options: &Options, command: &'c mut Command) -> &'c mut Command {
    let (requests, repeats) = if options.quick { (120, 2) } else { (400, 5) };
    command.args(["--rate-per-s", &options.rate_per_s.to_string()]);
    command.args(["--requests", &options.requests.unwrap_or(requests).to_string()]);
    command.args(["--repeats", &options.repeats.unwrap_or(repeats).to_string()])
}

/// The artifact given, or the general one.
fn artifact(options: &Options) -> Result<PathBuf> {
    let general = || process::root().join("models/general.ekm");
    let path = std::path::absolute(options.artifact.clone().unwrap_or_else(general))?;
    path.canonicalize().with_context(|| format!("{} cannot be read", path.display()))
}
