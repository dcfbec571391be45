//! The command line's options.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use evenkeel_agent::access::{Access, Header};
use evenkeel_agent::engines::Rules;
use evenkeel_agent::tls;

/// Scrapes inference hosts' metrics many times a second into a file that proxies map.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-agent", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: Run,
}

/// Commands beside scraping.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows what is understood of hosts, from which metrics, what is missing, and what to do.
    Check(Check),
}

/// Options of the agent.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// File with a host a line: HOST:PORT [metrics=HOST:PORT|URL] [path=/PATH] [tls[=NAME]]
    /// [token-file=FILE] [header=NAME:VALUE] [sleeps=SECONDS]; repeatable.
    #[arg(long, value_name = "FILE")]
    pub(crate) hosts: Vec<PathBuf>,
    /// Name of which all addresses are hosts, NAME:PORT; repeatable.
    #[arg(long, value_name = "NAME:PORT")]
    pub(crate) dns: Vec<String>,
    /// Endpoints of an Envoy, the file of its filesystem subscription in JSON; repeatable.
    #[arg(long, value_name = "FILE")]
    pub(crate) eds: Vec<PathBuf>,
    /// The telemetry file, best on a file system in memory.
    #[arg(long, value_name = "FILE", default_value = "/run/evenkeel/telemetry")]
    pub(crate) output: PathBuf,
    /// Hosts that it has room for.
    #[arg(long, default_value_t = 256)]
    pub(crate) slots: u32,
    /// Milliseconds from one scrape of a host to the next.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub(crate) interval_ms: u64,
    /// Milliseconds between scrapes of a host that keeps failing.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    pub(crate) back_off_max_ms: u64,
    /// Milliseconds between two looks for hosts.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    pub(crate) discovery_ms: u64,
    /// Address of the agent's own metrics.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Address of metrics: http://HOST:PORT, https://HOST:PORT/PATH or HOST:PORT.
    #[arg(value_name = "URL", required_unless_present = "hosts")]
    pub(crate) urls: Vec<String>,
    /// File with a host a line, as the agent takes it; repeatable.
    #[arg(long, value_name = "FILE")]
    pub(crate) hosts: Vec<PathBuf>,
    /// Milliseconds to wait for tokens, from which steps are measured.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub(crate) patience_ms: u64,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// Options of asking hosts for their metrics.
#[derive(Debug, Args)]
pub(crate) struct Asking {
    /// Path of the hosts' metrics [default: those of the engines, one after the other].
    #[arg(long, value_name = "/PATH", value_parser = path)]
    path: Option<String>,
    /// Names of other engines' metrics, as JSON.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// Ask over TLS, where a host's line does not say.
    #[arg(long)]
    tls: bool,
    /// Authorities to trust instead of the system's, in PEM.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// File with a bearer token for the hosts; read again as it is renewed.
    #[arg(long, value_name = "FILE")]
    bearer_token_file: Option<PathBuf>,
    /// Header of requests to the hosts; repeatable.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<Header>,
    /// Milliseconds after which a scrape is given up.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub(crate) timeout_ms: u64,
    /// Bytes of a page after which it is given up.
    #[arg(long, default_value_t = 4 * 1024 * 1024)]
    pub(crate) page_bytes_max: usize,
}

impl Asking {
    /// Path for all hosts.
    pub(crate) fn path(&self) -> Option<String> {
        self.path.clone()
    }

    /// TLS, token and headers.
    pub(crate) fn access(&self) -> Result<Access> {
        let tls = match tls::connector(self.tls_ca.as_deref()) {
            Ok(tls) => Some(tls),
            // Only some hosts may need it: those say so.
            Err(_) if !self.tls && self.tls_ca.is_none() => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Access { tls, is_tls: self.tls, token_file: self.bearer_token_file.clone(), headers: self.headers.clone() })
    }

    /// The metrics that are looked for.
    pub(crate) fn rules(&self) -> Result<Rules> {
        Ok(match &self.mapping {
            Some(path) => Rules::with_mapping(path)?,
            None => Rules::default(),
        })
    }
}

fn path(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path { Ok(text.to_owned()) } else { Err("expected /PATH, without blanks".to_owned()) }
}
