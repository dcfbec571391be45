//! The agent's own `/metrics`.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::account::Account;
use crate::agent::Overview;
use crate::clock;
use crate::reading::Found;

/// Answers every request with the page, one at a time, each within a second.
pub async fn serve(listener: TcpListener, overview: Rc<RefCell<Overview>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, say: there will be some again.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let page = page(&overview.borrow());
        // Who asks too slowly goes without.
        let _ = tokio::time::timeout(Duration::from_secs(1), answer(stream, &page)).await;
    }
}

async fn answer(mut stream: TcpStream, page: &str) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let mut read = 0;
    while read < request.len() && !request[..read].windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut request[read..]).await? {
            0 => return Ok(()),
            bytes => read += bytes,
        }
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        page.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(page.as_bytes()).await?;
    stream.shutdown().await
}

/// Name, kind, help, and what a host has there; hosts without it have no line.
type Family = (&'static str, &'static str, &'static str, fn(&Account, u64) -> Option<f64>);

fn age_s(now_us: u64, then_us: u64) -> f64 {
    now_us.saturating_sub(then_us) as f64 * 1e-6
}

fn value(found: Option<Found>) -> Option<f64> {
    found.map(|found| found.value)
}

const FAMILIES: &[Family] = &[
    ("evenkeel_agent_pages_total", "counter", "Pages read of a host.", |account, _| Some(account.pages as f64)),
    ("evenkeel_agent_failures_total", "counter", "Scrapes of a host that failed.", |account, _| {
        Some(account.failures as f64)
    }),
    ("evenkeel_agent_failures_in_a_row", "gauge", "Those since its last page.", |account, _| {
        Some(f64::from(account.failures_in_a_row))
    }),
    (
        "evenkeel_agent_values_dropped_total",
        "counter",
        "Numbers in a host's pages that it could not mean.",
        |account, _| Some(account.dropped as f64),
    ),
    ("evenkeel_agent_page_bytes", "gauge", "Size of a host's last page.", |account, _| Some(account.page_bytes as f64)),
    ("evenkeel_agent_scrape_seconds", "gauge", "Duration of the last scrape of a host.", |account, _| {
        Some(account.took.as_secs_f64())
    }),
    ("evenkeel_agent_age_seconds", "gauge", "Age of what is known of a host.", |account, now_us| {
        Some(if account.measured_us == 0 { f64::INFINITY } else { age_s(now_us, account.measured_us) })
    }),
    ("evenkeel_agent_running", "gauge", "Requests that a host says it processes.", |account, _| {
        value(account.load.running)
    }),
    ("evenkeel_agent_waiting", "gauge", "Requests that wait at a host.", |account, _| value(account.load.waiting)),
    ("evenkeel_agent_pending_prefill_tokens", "gauge", "Prompt tokens that wait at a host.", |account, _| {
        value(account.load.pending_prefill_tokens)
    }),
    (
        "evenkeel_agent_kv_use_ratio",
        "gauge",
        "Share of a host's KV cache in use, of its fullest engine.",
        |account, _| value(account.load.kv_use),
    ),
    ("evenkeel_agent_kv_capacity_tokens", "gauge", "Tokens that a host's KV caches hold.", |account, _| {
        value(account.load.kv_capacity_tokens)
    }),
    ("evenkeel_agent_batch_limit", "gauge", "Requests that a host processes at once, at most.", |account, _| {
        value(account.load.batch_limit)
    }),
    ("evenkeel_agent_engines", "gauge", "Engines behind a host's address.", |account, _| {
        account.load.engines.map(f64::from)
    }),
    (
        "evenkeel_agent_step_seconds",
        "gauge",
        "Time per output token of a host, while it makes tokens.",
        |account, _| account.step.map(|(step_s, _)| step_s),
    ),
    ("evenkeel_agent_step_age_seconds", "gauge", "Time since the last tokens of that.", |account, now_us| {
        account.step.map(|(_, measured_us)| age_s(now_us, measured_us))
    }),
];

/// The page.
pub fn page(overview: &Overview) -> String {
    let mut text = String::new();
    let now_us = clock::now_us();
    for (name, kind, help, read) in FAMILIES {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (host, account) in overview.hosts() {
            let Some(value) = read(&account, now_us) else { continue };
            let value = if value.is_infinite() { "+Inf".to_owned() } else { value.to_string() };
            let _ = writeln!(text, "{name}{{host=\"{}\"}} {value}", host.address);
        }
    }
    let name = "evenkeel_agent_host_state";
    let _ = writeln!(
        text,
        "# HELP {name} State in which a host was last found, and the kind of its failure.\n# TYPE {name} gauge"
    );
    for (host, account) in overview.hosts() {
        let (state, reason) = (account.state.word(), account.state.reason());
        let _ = writeln!(text, "{name}{{host=\"{}\",state=\"{state}\",reason=\"{reason}\"}} 1", host.address);
    }
    let mut single = |name: &str, kind: &str, help: &str, value: u64| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    let (failures, problems) = (overview.discovery_failures, overview.problems.len() as u64);
    single("evenkeel_agent_hosts", "gauge", "Hosts that are scraped.", overview.hosts().count() as u64);
    single("evenkeel_agent_hosts_left_out", "gauge", "Hosts for which no slot is left.", overview.left_out);
    single(
        "evenkeel_agent_discovery_failures_total",
        "counter",
        "Times that a source or a part of it could not be read.",
        failures,
    );
    single(
        "evenkeel_agent_discovery_problems",
        "gauge",
        "Sources, lines and names that cannot be read at present.",
        problems,
    );
    text
}
