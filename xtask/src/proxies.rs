//! Real proxies in front of emulated hosts, each in a folder of its own, all on the loopback.

pub(crate) mod envoy;
pub(crate) mod nginx;
pub(crate) mod sglang;

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::{ending, process};

/// A process that ends when this is dropped.
pub(crate) struct Running(Child);

impl Running {
    /// Starts a program; what it prints goes to a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = fs::File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(Self(command.spawn().with_context(|| format!("{} cannot be started", command.get_program().display()))?))
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it listens.
    pub(crate) fn wait_for(&mut self, port: u16, log: &Path) -> Result<()> {
        self.wait_for_within(Duration::from_secs(20), port, log)
    }

    /// The same, for what begins with other work.
    pub(crate) fn wait_for_within(&mut self, patience: Duration, port: u16, log: &Path) -> Result<()> {
        let begin = Instant::now();
        loop {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.0.try_wait()? {
                bail!("it ended with {status}: {}", fs::read_to_string(log).unwrap_or_default());
            }
            ending::check()?;
            if begin.elapsed() > patience {
                bail!("nothing listens on port {port}: {}", fs::read_to_string(log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            ensure!(begin.elapsed() < patience, "it has not ended within {patience:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        ending::end(&mut self.0);
    }
}

/// The hosts behind proxies, and what a proxy with Evenkeel needs.
pub(crate) struct Backend {
    /// Port of the first host; the others follow.
    pub(crate) first_port: u16,
    /// How many there are.
    pub(crate) hosts: u16,
    /// The artifact.
    pub(crate) artifact: PathBuf,
    /// The telemetry agent's file.
    pub(crate) telemetry: PathBuf,
    /// Port of the first host's metrics, if they are not where its requests go; the others follow.
    pub(crate) first_metrics_port: Option<u16>,
    /// Weights of the hosts for a rule that has them; equal if empty.
    pub(crate) weights: Vec<u32>,
    /// Whether clients tell tokens and session in headers. Without, proxies read bodies.
    pub(crate) clients_tell: bool,
}

impl Backend {
    /// Hosts that answer where they also tell their metrics, to clients that tell tokens and session.
    pub(crate) fn new(first_port: u16, hosts: u16, artifact: PathBuf, telemetry: PathBuf) -> Self {
        let (first_metrics_port, weights) = (None, Vec::new());
        Self { first_port, hosts, artifact, telemetry, first_metrics_port, weights, clients_tell: true }
    }

    /// Addresses of the hosts.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        (self.first_port..).take(usize::from(self.hosts))
    }

    /// Starts an agent that scrapes the hosts.
    pub(crate) fn start_agent(&self, folder: &Path, interval_ms: u32) -> Result<Running> {
        self.start_agent_with(folder, interval_ms, &[])
    }

    /// The same, with more options.
    pub(crate) fn start_agent_with(&self, folder: &Path, interval_ms: u32, options: &[&str]) -> Result<Running> {
        let list = folder.join("hosts");
        let line = |(host, port)| match self.first_metrics_port {
            Some(first) => format!("127.0.0.1:{port} metrics=127.0.0.1:{}\n", first + host),
            None => format!("127.0.0.1:{port}\n"),
        };
        let addresses: Vec<String> = (0..).zip(self.ports()).map(line).collect();
        fs::write(&list, addresses.concat())?;
        let mut command = process::program(release("evenkeel-agent"), ["--interval-ms", &interval_ms.to_string()]);
        // Hosts that start afresh between two replays are back at once.
        command.args(["--back-off-max-ms", "200"]).arg("--hosts").arg(list).arg("--output").arg(&self.telemetry);
        command.args(options);
        Running::start(&mut command, &folder.join("agent.log"))
    }
}

/// A program of the workspace, once it is built.
pub(crate) fn release(name: &str) -> PathBuf {
    process::target().join("release").join(name).with_extension(std::env::consts::EXE_EXTENSION)
}

/// An empty folder under `target/`.
pub(crate) fn folder(name: &str) -> Result<PathBuf> {
    let folder = std::path::absolute(process::target())?.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
