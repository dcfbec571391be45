//! The port on which faults are commanded and hosts looked at.
//!
//! ```text
//! GET  /hosts                                 all hosts and their load, JSON
//! POST /hosts/9003/slow?factor=3              by port, or by index from 0
//! POST /hosts/9003/crash
//! POST /hosts/9003/restart?warm_up_s=30&slowness=2
//! POST /hosts/9003/{hang,refuse,half-close,heal}
//! POST /hosts/9003/status?code=503&share=0.5
//! POST /hosts/9003/truncate?share=0.1
//! ```

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::faults::Fault;
use super::server::HostServer;

/// Listens for commands on the present runtime; returns where.
///
/// # Errors
/// If the address is taken.
pub async fn start(hosts: Vec<Arc<HostServer>>, address: SocketAddr) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    tokio::spawn(listen(listener, Arc::new(hosts)));
    Ok(address)
}

async fn listen(listener: TcpListener, hosts: Arc<Vec<Arc<HostServer>>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let hosts = Arc::clone(&hosts);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(|request: Request<Incoming>| {
                let response = answer(&hosts, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            // A client that breaks off is no news.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(hosts: &[Arc<HostServer>], request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
    let (status, body) = match (request.method(), path.as_slice()) {
        (&Method::GET, ["hosts"]) => (StatusCode::OK, Value::Array(hosts.iter().map(|host| look(host)).collect())),
        (&Method::POST, ["hosts", host, command]) => match run(hosts, host, command, request.uri().query()) {
            Ok(host) => (StatusCode::OK, look(host)),
            Err(error) => (StatusCode::BAD_REQUEST, json!({"error": error})),
        },
        _ => (StatusCode::NOT_FOUND, json!({"error": "expected GET /hosts or POST /hosts/PORT/COMMAND"})),
    };
    let mut response = Response::new(Full::new(body.to_string().into()));
    *response.status_mut() = status;
    response
}

/// Commands a host, by its port or its index.
///
/// # Errors
/// What is wrong with the command.
pub fn run<'h>(
    hosts: &'h [Arc<HostServer>],
    host: &str,
    command: &str,
    query: Option<&str>,
) -> Result<&'h HostServer, String> {
    let number: usize = host.parse().map_err(|_| format!("host {host:?}: expected a port or an index"))?;
    let host = hosts.iter().find(|host| usize::from(host.address().port()) == number).or_else(|| hosts.get(number));
    let host = host.ok_or_else(|| format!("there is no host {number}; GET /hosts lists them"))?;
    let mut parameters = Vec::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?}: expected key=number"))?;
        let value: f64 = value.parse().map_err(|_| format!("{key} is {value:?}, expected a number"))?;
        parameters.push((key, value));
    }
    let fault = Fault::parse(command, |key| parameters.iter().find(|(name, _)| *name == key).map(|(_, value)| *value))?;
    host.command(fault);
    Ok(host)
}

/// A host as others may see it. Times in seconds of service time.
pub fn look(host: &HostServer) -> Value {
    let faults = host.faults();
    host.world().with_host(host.index(), |emulated, now_s| {
        let report = emulated.report(now_s);
        let counters = emulated.counters();
        json!({
            "address": host.address().to_string(),
            "speed": emulated.speed(),
            "is_up": emulated.is_up(),
            "is_hung": emulated.is_hung(),
            "refuses": faults.refuses,
            "half_closes": faults.half_closes,
            "failing_share": faults.status.1.share(),
            "truncated_share": faults.truncated.share(),
            "slowness": emulated.slowness(),
            "running": report.running,
            "waiting": report.waiting,
            "pending_prefill_tokens": report.pending_prefill_tokens,
            "kv_use": report.kv_use,
            "step_s": report.step_s,
            "busy_s": emulated.busy_s(),
            "answered": counters.answered,
            "generated_tokens": counters.generated_tokens,
            "cached_tokens": counters.cached_tokens,
        })
    })
}
