//! Hosts on free ports, and requests to them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_env::host::ServiceOptions;
use evenkeel_env::host::llm::{LlmOptions, StepModel};
use evenkeel_testbed::emulator::server::HostServer;
use evenkeel_testbed::emulator::{EmulatorOptions, World};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A language model whose steps take a millisecond.
pub(crate) fn quick_service() -> ServiceOptions {
    let step = StepModel { base_s: 1e-3, per_request_s: 1e-5, per_kv_token_s: 1e-8, per_prefill_token_s: 1e-5 };
    ServiceOptions::Llm(LlmOptions { step, ..LlmOptions::default() })
}

pub(crate) fn quick_options() -> EmulatorOptions {
    EmulatorOptions {
        service: quick_service(),
        stream_interval: Duration::from_millis(5),
        ..EmulatorOptions::default()
    }
}

/// Runs a test on an event loop of its own, for half a minute at most.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), test).await.expect("the test hangs") })
}

/// The fleet of these options, on free ports.
pub(crate) async fn hosts(options: EmulatorOptions) -> Vec<Arc<HostServer>> {
    let world = World::start(options).unwrap();
    let mut hosts = Vec::new();
    for index in 0..world.options().speeds.len() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        hosts.push(HostServer::start(Arc::clone(&world), index, address).await.unwrap());
    }
    hosts
}

pub(crate) async fn host(options: EmulatorOptions) -> Arc<HostServer> {
    hosts(options).await.remove(0)
}

/// A response, as much of it as came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Whether all of the body came.
    pub(crate) is_whole: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// One request over a connection of its own; an error where no response's head came.
pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut connection, driver) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(driver);
    let mut request = Request::builder().method(method).uri(path).header("host", "test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    let response = connection.send_request(request).await.map_err(|error| error.to_string())?;
    let (head, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    let mut is_whole = true;
    while let Some(frame) = incoming.frame().await {
        match frame {
            Ok(frame) => body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
            Err(_) => is_whole = false,
        }
    }
    Ok(Answer { status: head.status, headers: head.headers, body, is_whole })
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, "GET", path, &[], "").await.unwrap()
}

pub(crate) async fn complete(address: SocketAddr, body: &str) -> Result<Answer, String> {
    send(address, "POST", "/v1/completions", &[("content-type", "application/json")], body).await
}

/// A completion of four tokens, as a fault would meet it.
pub(crate) const SHORT: &str = r#"{"prompt": "once upon a time", "max_tokens": 4, "ignore_eos": true}"#;
