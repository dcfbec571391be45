//! Hosts that answer in all kinds of ways, and the agent in front of them.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use evenkeel_agent::agent::{self, AgentOptions, Overview};
use evenkeel_agent::discovery::Source;
use evenkeel_agent::engines::Rules;
use evenkeel_agent::file::Output;
use evenkeel_agent::scrape::Limits;
use evenkeel_agent::scrape::ScrapeOptions;
use evenkeel_runtime::telemetry_file::{Reading, TelemetryFile, host_key};

/// A host whose every connection is handed to `behave`, with its number, on a thread of its own.
pub(crate) fn host(behave: impl Fn(TcpStream, usize) + Send + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let behave = behave.clone();
            std::thread::spawn(move || behave(stream, number));
        }
    });
    address
}

/// Reads one request; `false` at the connection's end.
pub(crate) fn read_request(stream: &mut TcpStream) -> bool {
    request(stream).is_some()
}

/// Reads one request; `None` at the connection's end.
pub(crate) fn request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return None;
        }
        request.push(byte[0]);
    }
    String::from_utf8(request).ok()
}

/// A host that always answers with these bytes.
pub(crate) fn answering(response: Vec<u8>) -> SocketAddr {
    host(move |mut stream, _| while read_request(&mut stream) && stream.write_all(&response).is_ok() {})
}

pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A healthy host with so many requests running.
pub(crate) fn healthy(running: u32) -> SocketAddr {
    answering(ok(&format!("vllm:num_requests_running {running}\nvllm:num_requests_waiting 1\n")))
}

/// Runs the agent in front of hosts for a while, and reads what it wrote.
pub(crate) fn scraped(hosts: &[SocketAddr], for_ms: u64, page_bytes_max: usize) -> (Vec<Option<Reading>>, String) {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("hosts");
    let lines: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    std::fs::write(&list, lines.join("\n")).unwrap();
    let file = folder.path().join("telemetry");
    let page = run(vec![Source::List(list)], &file, for_ms, page_bytes_max);
    (hosts.iter().map(|host| read(&file, *host)).collect(), page)
}

/// Runs the agent for a while; returns its own metrics.
pub(crate) fn run(sources: Vec<Source>, file: &Path, for_ms: u64, page_bytes_max: usize) -> String {
    let options = AgentOptions {
        sources,
        scrape: ScrapeOptions {
            interval: Duration::from_millis(20),
            limits: Limits { timeout: Duration::from_millis(100), bytes_max: page_bytes_max },
            back_off_max: Duration::from_millis(200),
            ..ScrapeOptions::default()
        },
        rules: Rules::default(),
        discovery_interval: Duration::from_millis(50),
    };
    let output = Output::open(file, 64).unwrap();
    let overview = Rc::new(RefCell::new(Overview::default()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let running = agent::run(options, output, Rc::clone(&overview));
    let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_millis(for_ms), running).await });
    assert!(ended.is_err(), "the agent does not end by itself");
    drop(runtime);
    evenkeel_agent::status::page(&overview.take())
}

/// Reads the file as a proxy does.
pub(crate) fn read(file: &Path, host: SocketAddr) -> Option<Reading> {
    let words = words(file);
    TelemetryFile::parse(&words).unwrap().find(host_key(host.to_string().as_bytes()))
}

pub(crate) fn words(file: &Path) -> Vec<AtomicU64> {
    let bytes = std::fs::read(file).unwrap();
    bytes.as_chunks::<8>().0.iter().map(|word| AtomicU64::new(u64::from_ne_bytes(*word))).collect()
}
