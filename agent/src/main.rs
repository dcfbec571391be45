//! The command line of the agent.

mod cli;

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use evenkeel_agent::agent::{self, AgentOptions, Overview};
use evenkeel_agent::check;
use evenkeel_agent::discovery::dns::Addresses;
use evenkeel_agent::discovery::list::Url;
use evenkeel_agent::discovery::{Host, Source};
use evenkeel_agent::file::Output;
use evenkeel_agent::scrape::Limits;
use evenkeel_agent::scrape::ScrapeOptions;
use evenkeel_agent::status;
use evenkeel_console::{parse, with_causes};
use tokio::net::TcpListener;

use cli::{Asking, Check, Cli, Command, Run};

fn main() -> ExitCode {
    match start() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("evenkeel-agent: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<ExitCode> {
    let cli: Cli = parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = match cli.command {
        Some(Command::Check(check)) => runtime.block_on(check_hosts(check)),
        None => runtime.block_on(run(cli.run)).map(|()| ExitCode::SUCCESS),
    };
    // A resolver that still waits for a name is not waited for.
    runtime.shutdown_background();
    result
}

async fn run(run: Run) -> Result<()> {
    let lists = run.hosts.into_iter().map(Source::List);
    let sources: Vec<Source> =
        lists.chain(run.dns.into_iter().map(Source::Dns)).chain(run.eds.into_iter().map(Source::Eds)).collect();
    ensure!(!sources.is_empty(), "no hosts: give --hosts, --dns or --eds, or `check URL` to look at one");
    let options = AgentOptions {
        sources,
        rules: run.asking.rules()?,
        scrape: ScrapeOptions {
            interval: Duration::from_millis(run.interval_ms),
            back_off_max: Duration::from_millis(run.back_off_max_ms),
            ..scrape_options(&run.asking)?
        },
        discovery_interval: Duration::from_millis(run.discovery_ms),
    };
    let output = Output::open(&run.output, run.slots)?;
    let overview = Rc::new(RefCell::new(Overview::default()));
    let Some(address) = run.listen else {
        agent::run(options, output, overview).await;
        return Ok(());
    };
    let listener = TcpListener::bind(address).await.with_context(|| format!("{address}: cannot listen there"))?;
    let local = tokio::task::LocalSet::new();
    local.spawn_local(status::serve(listener, Rc::clone(&overview)));
    local.run_until(agent::run(options, output, overview)).await;
    Ok(())
}

fn scrape_options(asking: &Asking) -> Result<ScrapeOptions> {
    Ok(ScrapeOptions {
        limits: Limits { timeout: Duration::from_millis(asking.timeout_ms), bytes_max: asking.page_bytes_max },
        path: asking.path(),
        access: asking.access()?,
        ..ScrapeOptions::default()
    })
}

/// Says what is understood of each host. It fails if one of them says nothing usable.
async fn check_hosts(check: Check) -> Result<ExitCode> {
    let (options, rules) = (scrape_options(&check.asking)?, check.asking.rules()?);
    let mut hosts = Vec::new();
    let mut addresses = Addresses::default();
    let mut is_usable = true;
    for file in check.hosts {
        let found = Source::List(file).discover(&mut addresses).await;
        for problem in found.problems {
            println!("{problem}\n");
            is_usable = false;
        }
        hosts.extend(found.hosts);
    }
    for url in &check.urls {
        match of_url(url, &mut addresses).await {
            Ok(found) => hosts.extend(found),
            Err(error) => {
                println!("{url}\n  Nothing usable: {error}.\n");
                is_usable = false;
            }
        }
    }
    for host in &hosts {
        let report = check::host(host, &options, &rules, Duration::from_millis(check.patience_ms)).await;
        println!("{}", report.text);
        is_usable &= report.is_usable;
    }
    Ok(if is_usable && !hosts.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The hosts at a URL: one for each address of its name.
async fn of_url(text: &str, addresses: &mut Addresses) -> Result<Vec<Host>> {
    let url = Url::parse(text).map_err(|expected| anyhow!(expected))?;
    let found = Source::Dns(url.authority.clone()).discover(addresses).await;
    if let Some(problem) = found.problems.into_iter().next() {
        return Err(problem.into());
    }
    let with_scheme = text.contains("://");
    let as_url = |host: Host| Host {
        path: url.path.clone(),
        is_tls: with_scheme.then_some(url.is_tls),
        name: url.name.clone(),
        ..host
    };
    Ok(found.hosts.into_iter().map(as_url).collect())
}
