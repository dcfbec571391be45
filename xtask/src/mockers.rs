//! NVIDIA Dynamo's mockers: simulated vLLM engines with its scheduler, its caches and its metrics, in real
//! time and without a GPU.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{self, program};
use crate::proxies::Running;
use crate::test::{Skip, python};

/// Dynamo itself, whose list of requirements has a package that fetches another from elsewhere.
const DYNAMO: [&str; 2] = ["ai-dynamo==1.6.1", "ai-dynamo-runtime==1.6.1"];

/// What mocker and front end need of that list.
const PACKAGES: [&str; 17] = [
    "aiohttp",
    "kubernetes==32.0.1",
    "msgspec",
    "numpy",
    "prometheus_client",
    "pydantic",
    "pyyaml",
    "pyzmq",
    "redis",
    "regex",
    "requests",
    "rich",
    "safetensors",
    "tokenizers",
    "transformers",
    "typer",
    "zstandard",
];

/// Speeds of the hosts.
pub(crate) const SPEEDS: [f64; 5] = [1.5, 1.5, 0.75, 0.75, 0.4];

/// The same as weights, which are whole numbers.
pub(crate) const WEIGHTS: [u32; 5] = [30, 30, 15, 15, 8];

/// Name of the model.
pub(crate) const MODEL: &str = "mocked";

/// Ports between a fleet's front ends and its engines' metrics.
const TO_METRICS: u16 = 10;

/// What is installed.
pub(crate) struct Mockers {
    python: PathBuf,
    /// Folder of the model's tokenizer.
    pub(crate) model: PathBuf,
}

/// Installs Dynamo under `target/` and writes a tokenizer, unless an earlier run has.
pub(crate) fn install() -> Result<Mockers> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(Skip("the mockers' package is for x86-64 Linux alone".into()).into());
    }
    let python = python::environment("dynamo", &PACKAGES, &["aiohttp", "msgspec", "tokenizers", "transformers"])?;
    python::add(&python, &DYNAMO, &["dynamo.mocker", "dynamo.frontend"])?;
    let model = std::path::absolute(process::target().join("dynamo/model"))?;
    if !model.join("tokenizer.json").is_file() {
        let script = process::root().join("modules/testing/word_tokenizer.py");
        process::run(program(&python, [script]).arg(&model))?;
    }
    Ok(Mockers { python, model })
}

/// Five engines, and the front ends that speak HTTP for them.
pub(crate) struct Fleet {
    /// Port of the first, or only, front end.
    pub(crate) first_port: u16,
    /// Port of the first engine's metrics; the others follow.
    pub(crate) first_metrics_port: u16,
    running: Vec<Listening>,
}

/// A process, where it will listen and where it writes.
struct Listening {
    process: Running,
    port: u16,
    log: PathBuf,
}

impl Fleet {
    /// Starts hosts: a front end for each engine, on ports from `first_port` on.
    pub(crate) fn apart(mockers: &Mockers, folder: &Path, first_port: u16) -> Result<Self> {
        let mut fleet = Self::new(first_port);
        for (port, speed) in (first_port..).zip(SPEEDS) {
            let group = Group::new(mockers, folder, &format!("host{port}"))?;
            fleet.running.push(group.engine(port + TO_METRICS, speed)?);
            fleet.running.push(group.front_end(port, "round-robin")?);
        }
        Ok(fleet)
    }

    /// Starts engines behind one front end with Dynamo's own router, on `port`.
    pub(crate) fn routed(mockers: &Mockers, folder: &Path, port: u16) -> Result<Self> {
        let mut fleet = Self::new(port);
        let group = Group::new(mockers, folder, "router")?;
        for (metrics_port, speed) in (fleet.first_metrics_port..).zip(SPEEDS) {
            fleet.running.push(group.engine(metrics_port, speed)?);
        }
        fleet.running.push(group.front_end(port, "kv")?);
        Ok(fleet)
    }

    fn new(first_port: u16) -> Self {
        Self { first_port, first_metrics_port: first_port + TO_METRICS, running: Vec::new() }
    }

    /// Waits until all of it listens. Each process takes seconds of a core to start.
    pub(crate) fn wait(&mut self) -> Result<()> {
        const PATIENCE: Duration = Duration::from_mins(3);
        self.running.iter_mut().try_for_each(|Listening { process, port, log }| {
            process.wait_for_within(PATIENCE, *port, log).with_context(|| format!("Dynamo, {}", log.display()))
        })
    }
}

/// Processes that find each other.
struct Group<'a> {
    mockers: &'a Mockers,
    folder: PathBuf,
    name: String,
}

impl<'a> Group<'a> {
    fn new(mockers: &'a Mockers, folder: &Path, name: &str) -> Result<Self> {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { mockers, folder, name: name.to_owned() })
    }

    /// Starts an engine whose metrics are on a port.
    fn engine(&self, metrics_port: u16, speed: f64) -> Result<Listening> {
        let mut command = self.module("dynamo.mocker");
        command.env("DYN_SYSTEM_PORT", metrics_port.to_string());
        command.arg("--model-path").arg(&self.mockers.model).args(["--model-name", MODEL]);
        command.args(["--speedup-ratio", &speed.to_string()]);
        // About what vLLM has on one large GPU for a small model.
        command.args(["--num-gpu-blocks-override", "16384", "--block-size", "16"]);
        command.args(["--max-num-seqs", "64", "--max-num-batched-tokens", "2048"]);
        self.start(&mut command, "engine", metrics_port)
    }

    /// Starts a front end on a port.
    fn front_end(&self, port: u16, router: &str) -> Result<Listening> {
        let mut command = self.module("dynamo.frontend");
        command.args(["--namespace", &self.name, "--http-host", "127.0.0.1", "--http-port", &port.to_string()]);
        command.args(["--router-mode", router]);
        self.start(&mut command, "front-end", port)
    }

    fn start(&self, command: &mut Command, what: &str, port: u16) -> Result<Listening> {
        let log = self.folder.join(format!("{what}{port}.log"));
        Ok(Listening { process: Running::start(command, &log)?, port, log })
    }

    /// A module of Dynamo's. Its processes find each other by files, and speak over the loopback alone.
    fn module(&self, module: &str) -> Command {
        let mut command = program(&self.mockers.python, ["-m", module]);
        command.env("DYN_NAMESPACE", &self.name).env("DYN_FILE_KV", self.folder.join("discovery"));
        command.envs([
            ("DYN_DISCOVERY_BACKEND", "file"),
            ("DYN_REQUEST_PLANE", "tcp"),
            ("DYN_EVENT_PLANE", "zmq"),
            ("DYN_TCP_RPC_HOST", "127.0.0.1"),
            ("DYN_TCP_RESPONSE_STREAM_HOST", "127.0.0.1"),
            ("DYN_EVENT_PLANE_HOST", "127.0.0.1"),
            ("DYN_SYSTEM_HOST", "127.0.0.1"),
            ("HF_HUB_OFFLINE", "1"),
            ("TRANSFORMERS_OFFLINE", "1"),
        ]);
        command
    }
}
