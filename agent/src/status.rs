//! The agent's own `/metrics`.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::agent::Overview;
use crate::clock;

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

/// The page.
pub fn page(overview: &Overview) -> String {
    let mut text = String::new();
    let now_us = clock::now_us();
    let mut family = |name: &str, kind: &str, help: &str| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (host, account) in overview.hosts() {
            let value = match name {
                "evenkeel_agent_pages_total" => account.pages as f64,
                "evenkeel_agent_failures_total" => account.failures as f64,
                "evenkeel_agent_failures_in_a_row" => f64::from(account.failures_in_a_row),
                "evenkeel_agent_page_bytes" => account.page_bytes as f64,
                "evenkeel_agent_scrape_seconds" => account.took.as_secs_f64(),
                _ if account.measured_us == 0 => f64::INFINITY,
                _ => now_us.saturating_sub(account.measured_us) as f64 * 1e-6,
            };
            let value = if value.is_infinite() { "+Inf".to_owned() } else { value.to_string() };
            let _ = writeln!(text, "{name}{{host=\"{}\"}} {value}", host.address);
        }
    };
    family("evenkeel_agent_pages_total", "counter", "Pages read of a host.");
    family("evenkeel_agent_failures_total", "counter", "Scrapes of a host that failed.");
    family("evenkeel_agent_failures_in_a_row", "gauge", "Those since its last page.");
    family("evenkeel_agent_page_bytes", "gauge", "Size of a host's last page.");
    family("evenkeel_agent_scrape_seconds", "gauge", "How long the last scrape of a host took.");
    family("evenkeel_agent_age_seconds", "gauge", "Age of what is known of a host.");
    let mut single = |name: &str, kind: &str, help: &str, value: u64| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    let failures = overview.discovery_failures;
    single("evenkeel_agent_hosts", "gauge", "Hosts that are scraped.", overview.hosts().count() as u64);
    single("evenkeel_agent_hosts_left_out", "gauge", "Hosts for which no slot is left.", overview.left_out);
    single("evenkeel_agent_discovery_failures_total", "counter", "Times that a source could not be read.", failures);
    text
}
