//! The command line of the agent.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use evenkeel_agent::agent::{self, AgentOptions, Overview};
use evenkeel_agent::discovery::Source;
use evenkeel_agent::file::Output;
use evenkeel_agent::names::Names;
use evenkeel_agent::scrape::Limits;
use evenkeel_agent::status;
use evenkeel_agent::target::ScrapeOptions;
use tokio::net::TcpListener;

/// Scrapes inference hosts' metrics many times a second into a file that proxies map.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-agent", version, max_term_width = 100)]
struct Cli {
    /// File with a host a line: HOST:PORT [metrics=HOST:PORT] [path=/PATH]; repeatable.
    #[arg(long, value_name = "FILE")]
    hosts: Vec<PathBuf>,
    /// Name of which all addresses are hosts, NAME:PORT; repeatable.
    #[arg(long, value_name = "NAME:PORT")]
    dns: Vec<String>,
    /// Endpoints of an Envoy, the file of its filesystem subscription in JSON; repeatable.
    #[arg(long, value_name = "FILE")]
    eds: Vec<PathBuf>,
    /// The telemetry file, best on a file system in memory.
    #[arg(long, value_name = "FILE", default_value = "/run/evenkeel/telemetry")]
    output: PathBuf,
    /// Hosts that it has room for.
    #[arg(long, default_value_t = 256)]
    slots: u32,
    /// Milliseconds from one scrape of a host to the next.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    interval_ms: u64,
    /// Milliseconds after which a scrape is given up.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    timeout_ms: u64,
    /// Milliseconds between scrapes of a host that keeps failing.
    #[arg(long, default_value_t = 5000)]
    back_off_max_ms: u64,
    /// Bytes of a page after which it is given up.
    #[arg(long, default_value_t = 4 * 1024 * 1024)]
    page_bytes_max: usize,
    /// Path of the hosts' metrics.
    #[arg(long, default_value = "/metrics")]
    path: String,
    /// Names of other engines' metrics, as JSON.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// Milliseconds between two looks for hosts.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..))]
    discovery_ms: u64,
    /// Address of the agent's own metrics.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(cli))
}

async fn run(cli: Cli) -> Result<()> {
    let lists = cli.hosts.into_iter().map(Source::List);
    let sources: Vec<Source> =
        lists.chain(cli.dns.into_iter().map(Source::Dns)).chain(cli.eds.into_iter().map(Source::Eds)).collect();
    ensure!(!sources.is_empty(), "no hosts: give --hosts, --dns or --eds");
    let names = match &cli.mapping {
        Some(path) => Names::with_mapping(path)?,
        None => Names::default(),
    };
    let options = AgentOptions {
        sources,
        scrape: ScrapeOptions {
            interval: Duration::from_millis(cli.interval_ms),
            limits: Limits { timeout: Duration::from_millis(cli.timeout_ms), bytes_max: cli.page_bytes_max },
            back_off_max: Duration::from_millis(cli.back_off_max_ms),
            path: cli.path,
        },
        names,
        discovery_interval: Duration::from_millis(cli.discovery_ms),
    };
    let output = Output::open(&cli.output, cli.slots)?;
    let overview = Rc::new(RefCell::new(Overview::default()));
    let Some(address) = cli.listen else {
        agent::run(options, output, overview).await;
        return Ok(());
    };
    let listener = TcpListener::bind(address).await.with_context(|| format!("{address}: cannot listen there"))?;
    let local = tokio::task::LocalSet::new();
    local.spawn_local(status::serve(listener, Rc::clone(&overview)));
    local.run_until(agent::run(options, output, overview)).await;
    Ok(())
}
