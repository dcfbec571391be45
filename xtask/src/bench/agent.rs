//! `cargo xtask bench agent`: what it costs the telemetry agent to scrape a hundred hosts ten
//! times a second.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process::{self, program};
use crate::proxies::{self, Backend, Running, release};
use crate::{e2e, test};

const HOSTS: u16 = 100;
const FIRST_PORT: u16 = 22_000;
const AGENT_PORT: u16 = FIRST_PORT + HOSTS;
const INTERVAL_MS: u32 = 100;
const WARM_UP: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(20);

/// Emulated hosts, the agent, and the time that the system says the agent ran.
pub(super) fn run() -> Result<()> {
    let folder = proxies::folder("bench-agent")?;
    e2e::build()?;
    let backend = Backend::new(FIRST_PORT, HOSTS, test::default_artifact(), folder.join("telemetry"));
    let log = folder.join("hosts.log");
    let ports = format!("{FIRST_PORT}-{}", FIRST_PORT + HOSTS - 1);
    let mut hosts = Running::start(&mut program(release("evenkeel-testbed"), ["host", "--ports", &ports]), &log)?;
    hosts.wait_for(FIRST_PORT + HOSTS - 1, &log).context("the emulated hosts")?;
    let mut agent =
        backend.start_agent_with(&folder, INTERVAL_MS, &["--listen", &format!("127.0.0.1:{AGENT_PORT}")])?;
    agent.wait_for(AGENT_PORT, &folder.join("agent.log")).context("the agent")?;
    sleep(WARM_UP);
    let (begin, busy_before_s, (pages_before, bytes)) = (Instant::now(), busy_s(agent.id())?, pages()?);
    ensure!(pages_before > 0.0, "the agent read no page: see {}", folder.join("agent.log").display());
    sleep(MEASURED);
    let (elapsed_s, busy_s, pages) = (begin.elapsed().as_secs_f64(), busy_s(agent.id())? - busy_before_s, pages()?.0);
    let pages = pages - pages_before;
    println!(
        "{HOSTS} hosts every {INTERVAL_MS} ms: {:.0} pages of {:.1} kB a second, {:.1} % of a core, {:.0} µs a page, {}",
        pages / elapsed_s,
        bytes / 1e3,
        100.0 * busy_s / elapsed_s,
        1e6 * busy_s / pages,
        resident(agent.id())?,
    );
    Ok(())
}

/// Processor time of a process so far, its own and the kernel's for it.
fn busy_s(id: u32) -> Result<f64> {
    let ticks_per_s: f64 = process::output(&mut program("getconf", ["CLK_TCK"]))?.trim().parse()?;
    let path = format!("/proc/{id}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("{path}: this needs Linux"))?;
    // The name, in parentheses, may have spaces in it; then state is the first field, and user
    // and system time are the 12th and 13th.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<f64>().ok());
    Ok((ticks(11).zip(ticks(12)).map(|(user, system)| user + system).with_context(|| format!("{path}: {stat}"))?)
        / ticks_per_s)
}

/// Memory that a process has, in words.
fn resident(id: u32) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(format!("{} resident", line.unwrap_or("unknown").trim()))
}

/// Pages that the agent has read, and the mean size of the latest in bytes, by its own metrics.
fn pages() -> Result<(f64, f64)> {
    let mut stream = TcpStream::connect(("127.0.0.1", AGENT_PORT))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    let values = |name: &str| {
        let lines = page.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
        lines.filter_map(|value| value.parse::<f64>().ok()).collect::<Vec<_>>()
    };
    let (pages, bytes) = (values("evenkeel_agent_pages_total{"), values("evenkeel_agent_page_bytes{"));
    Ok((pages.iter().sum(), bytes.iter().sum::<f64>() / bytes.len().max(1) as f64))
}
