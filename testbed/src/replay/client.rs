//! Connections, and one request over one of them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use evenkeel_env::Status;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::events::{Events, number_after};
use super::observation::Observation;
use super::plan::Plan;
use super::prompt_text;
use crate::clock::Clock;
use crate::emulator::server::{HOST_HEADER, SERVICE_HEADER};

/// The request's header with the prompt's tokens, for proxies that decide by them.
pub const PROMPT_TOKENS_HEADER: &str = "x-prompt-tokens";

/// The request's header with its session, for proxies that mind where a prompt's beginning is cached.
pub const SESSION_HEADER: &str = "x-session";

/// Where requests go, and how.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Host and port to connect to.
    pub authority: String,
    /// Path of the requests; `None` for that of completions, or `/` for requests without tokens.
    pub path: Option<String>,
    /// Name of the model.
    pub model: String,
    /// Whether responses are asked for as streams.
    pub stream: bool,
    /// After this long from when it was due a request is given up, in seconds of service time.
    pub deadline_s: f64,
    /// Headers of every request, beside those that it needs.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Sends requests over as many connections as there are requests at a time.
#[derive(Debug)]
pub struct Client {
    options: ClientOptions,
    clock: Clock,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("invalid request: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("the stream ended early")]
    EndedEarly,
}

/// What comes back, as far as it came.
#[derive(Debug, Default)]
struct Answer {
    code: u16,
    host: Option<String>,
    head: Option<Instant>,
    first_token: Option<Instant>,
    last_event: Option<Instant>,
    gap_max: Option<Duration>,
    output_tokens: u32,
}

impl Client {
    /// A client without connections.
    pub fn new(options: ClientOptions, clock: Clock) -> Self {
        Self { options, clock, idle: Mutex::default() }
    }

    /// Sends one of the plan's requests, which is due at `due_s` of the clock, and waits for its
    /// end.
    pub async fn send(&self, plan: &Plan, index: usize, due_s: f64) -> Observation {
        let lag_s = self.clock.now_s() - due_s;
        let mut answer = Answer::default();
        let left = Duration::try_from_secs_f64((self.options.deadline_s - lag_s).max(0.0) / self.clock.time_scale());
        let exchange = self.exchange(plan, index, &mut answer);
        let result = match left {
            Ok(left) => tokio::time::timeout(left, exchange).await.ok(),
            // An infinite deadline.
            Err(_) => Some(exchange.await),
        };
        let (status, error) = match result {
            None => (Status::TimedOut, Some("no answer within the deadline".to_owned())),
            Some(Err(error)) => (Status::Failed, Some(error.to_string())),
            Some(Ok(())) if (200..300).contains(&answer.code) => (Status::Answered, None),
            Some(Ok(())) => (Status::Failed, Some(format!("status {}", answer.code))),
        };
        let since_due_s = |moment: Option<Instant>| moment.map_or(f64::NAN, |m| self.clock.service_s(m) - due_s);
        let scale = self.clock.time_scale();
        Observation {
            index,
            due_s,
            lag_s,
            head_s: since_due_s(answer.head),
            first_token_s: since_due_s(answer.first_token),
            latency_s: self.clock.now_s() - due_s,
            gap_max_s: answer.gap_max.map_or(f64::NAN, |gap| gap.as_secs_f64() * scale),
            output_tokens: answer.output_tokens,
            status,
            code: answer.code,
            host: answer.host,
            error,
        }
    }

    async fn exchange(&self, plan: &Plan, index: usize, answer: &mut Answer) -> Result<(), SendError> {
        let request = self.request(plan, index)?;
        let (response, connection) = self.head(request).await?;
        answer.head = Some(Instant::now());
        answer.code = response.status().as_u16();
        answer.host = response.headers().get(HOST_HEADER).and_then(|host| Some(host.to_str().ok()?.to_owned()));
        let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        if kind.starts_with(b"text/event-stream") {
            read_stream(response.into_body(), answer).await?;
        } else {
            read_whole(response.into_body(), answer).await?;
        }
        self.lock_idle().push(connection);
        Ok(())
    }

    fn request(&self, plan: &Plan, index: usize) -> Result<Request<Full<Bytes>>, SendError> {
        let due = &plan.requests[index].request;
        let mut request = Request::builder().header(HOST, self.options.authority.as_str());
        for (name, value) in &self.options.headers {
            request = request.header(name, value);
        }
        if plan.has_tokens() {
            let body = format!(
                "{{\"model\":{:?},\"prompt\":\"{}\",\"max_tokens\":{},\"ignore_eos\":true,\"stream\":{},\
                 \"stream_options\":{}}}",
                self.options.model,
                prompt_text::prompt(plan, index),
                due.output_tokens.max(1),
                self.options.stream,
                if self.options.stream { "{\"include_usage\":true}" } else { "null" },
            );
            if let Some(session) = plan.session(index) {
                request = request.header(SESSION_HEADER, format!("{session:x}"));
            }
            request = request
                .method(Method::POST)
                .uri(self.options.path.as_deref().unwrap_or("/v1/completions"))
                .header(CONTENT_TYPE, "application/json")
                .header(PROMPT_TOKENS_HEADER, due.prompt_tokens);
            return Ok(request.body(Full::new(body.into()))?);
        }
        request = request.method(Method::GET).uri(self.options.path.as_deref().unwrap_or("/"));
        if due.service_s.is_finite() {
            request = request.header(SERVICE_HEADER, due.service_s.to_string());
        }
        Ok(request.body(Full::default())?)
    }

    /// Sends a request over an idle connection, or a new one, and waits for the response's head.
    async fn head(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, SendRequest<Full<Bytes>>), SendError> {
        let mut request = request;
        loop {
            let idle = self.lock_idle().pop();
            let Some(mut connection) = idle else { break };
            if connection.is_closed() || connection.ready().await.is_err() {
                continue;
            }
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((response, connection)),
                // The other side has closed it meanwhile, before anything was sent.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let stream = TcpStream::connect(&self.options.authority).await?;
        // Without it a request waits for its predecessor's acknowledgement.
        stream.set_nodelay(true)?;
        let (mut connection, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        let response = connection.send_request(request).await?;
        Ok((response, connection))
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<SendRequest<Full<Bytes>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read_stream(mut body: Incoming, answer: &mut Answer) -> Result<(), SendError> {
    let mut events = Events::default();
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(bytes) = frame.data_ref() else { continue };
        if events.push(bytes) {
            let now = Instant::now();
            answer.first_token.get_or_insert(now);
            if let Some(last) = answer.last_event.replace(now) {
                answer.gap_max = answer.gap_max.max(Some(now - last));
            }
        }
        answer.output_tokens = events.tokens();
    }
    if events.is_done { Ok(()) } else { Err(SendError::EndedEarly) }
}

async fn read_whole(mut body: Incoming, answer: &mut Answer) -> Result<(), SendError> {
    /// The token counts stand at the end.
    const TAIL_BYTES: usize = 256;
    let mut tail = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(bytes) = frame.data_ref() else { continue };
        answer.first_token.get_or_insert_with(Instant::now);
        tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
    }
    let end = &tail[tail.len().saturating_sub(TAIL_BYTES)..];
    answer.output_tokens = number_after(end, b"\"completion_tokens\":").unwrap_or(0);
    Ok(())
}
