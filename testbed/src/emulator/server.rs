//! Listening, connections, and which handler a request goes to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use evenkeel_env::host::{HostReport, ServiceOptions};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::body::{ResponseBody, Stream};
use super::faults::{Fault, Faults, Share};
use super::host::{Emulated, Offer, Progress};
use super::openai::{self, Interface, Writer};
use super::{StreamHead, World, metrics, orca, sglang};

/// The response's header that names the host, so that whoever measures behind a proxy knows it.
pub const HOST_HEADER: &str = "x-testbed-host";
/// The response's header with the tokens generated, of whole responses.
pub const OUTPUT_TOKENS_HEADER: &str = "x-output-tokens";
/// The request's header with the service time in seconds, for FIFO hosts.
pub const SERVICE_HEADER: &str = "x-service-s";

/// Longest request body that is read.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What connections of a host have to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Door {
    /// No connections are taken.
    is_closed: bool,
    /// Nothing is answered.
    is_hung: bool,
    /// Raised by a crash: connections older than that are broken.
    crashes: u64,
}

/// A host and its address.
#[derive(Debug)]
pub struct HostServer {
    world: Arc<World>,
    index: usize,
    address: SocketAddr,
    faults: Mutex<Faults>,
    door: watch::Sender<Door>,
    serial: AtomicU64,
}

impl HostServer {
    /// Listens on `address` (port 0: one that is free) for host `index` of the world, on the
    /// present runtime.
    ///
    /// # Errors
    /// If the address is taken.
    pub async fn start(world: Arc<World>, index: usize, address: SocketAddr) -> std::io::Result<Arc<Self>> {
        let listener = TcpListener::bind(address).await?;
        let server = Arc::new(Self {
            world,
            index,
            address: listener.local_addr()?,
            faults: Mutex::default(),
            door: watch::Sender::new(Door::default()),
            serial: AtomicU64::new(0),
        });
        tokio::spawn(Arc::clone(&server).listen(Some(listener)));
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Index of the host in its world.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The host's world.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// The faults that are in force.
    pub fn faults(&self) -> Faults {
        *self.lock_faults()
    }

    /// Lets something go wrong, or right again.
    pub fn command(&self, fault: Fault) {
        let mut faults = self.lock_faults();
        match fault {
            Fault::Slow(slowness) => {
                self.world.with_host(self.index, |host, now_s| host.set_slowness(now_s, slowness));
            }
            Fault::Hang => self.world.with_host(self.index, Emulated::hang),
            Fault::Crash => self.world.with_host(self.index, Emulated::crash),
            Fault::Restart { warm_up_s, slowness } => {
                self.world.with_host(self.index, |host, now_s| host.restart(now_s, warm_up_s, slowness));
            }
            Fault::Refuse => faults.refuses = true,
            Fault::Status { code, share } => faults.status = (code, Share::new(share)),
            Fault::Truncate { share } => faults.truncated = Share::new(share),
            Fault::HalfClose => faults.half_closes = true,
            Fault::Heal => {
                *faults = Faults::default();
                self.world.with_host(self.index, |host, now_s| {
                    host.resume(now_s);
                    host.set_slowness(now_s, 1.0);
                });
            }
        }
        let (is_up, is_hung) = self.world.with_host(self.index, |host, _| (host.is_up(), host.is_hung()));
        let is_closed = faults.refuses || !is_up;
        drop(faults);
        self.door.send_modify(|door| {
            door.is_closed = is_closed;
            door.is_hung = is_hung;
            door.crashes += u64::from(fault == Fault::Crash);
        });
    }

    fn lock_faults(&self) -> std::sync::MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes connections as long as the door is open.
    async fn listen(self: Arc<Self>, mut listener: Option<TcpListener>) {
        let mut door = self.door.subscribe();
        loop {
            let is_closed = door.borrow_and_update().is_closed;
            if is_closed {
                listener = None;
                if door.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let open = match listener.take() {
                Some(open) => Ok(open),
                None => TcpListener::bind(self.address).await,
            };
            // Somebody else may have taken the port meanwhile, or connections linger.
            let Ok(open) = open else {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            tokio::select! {
                changed = door.changed() => if changed.is_err() { return },
                accepted = open.accept() => if let Ok((stream, _)) = accepted {
                    tokio::spawn(Arc::clone(&self).connection(stream));
                },
            }
            listener = Some(open);
        }
    }

    async fn connection(self: Arc<Self>, mut stream: TcpStream) {
        let mut door = self.door.subscribe();
        let crashes = door.borrow().crashes;
        let crashed = async move { while door.changed().await.is_ok() && door.borrow().crashes == crashes {} };
        // Small writes go out at once; a host without that option is merely slower.
        let _ = stream.set_nodelay(true);
        if self.faults().half_closes {
            let _ = stream.shutdown().await;
            let mut sink = tokio::io::sink();
            tokio::select! {
                () = crashed => {}
                _ = tokio::io::copy(&mut stream, &mut sink) => {}
            }
            return;
        }
        let service = hyper::service::service_fn(|request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            () = crashed => {}
            // A client that breaks off is no news.
            _ = connection => {}
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        self.while_hung().await;
        let mut response = match (request.method(), request.uri().path()) {
            (&Method::POST, "/v1/completions") => self.generate(Interface::Completions, request).await,
            (&Method::POST, "/v1/chat/completions") => self.generate(Interface::Chat, request).await,
            (&Method::GET, "/health" | "/ping" | "/health_generate") => Response::new(ResponseBody::whole("")),
            (&Method::GET, "/v1/models") => self.models(),
            (&Method::GET, "/metrics") => self.metrics(),
            (_, "/v1/completions" | "/v1/chat/completions") => refused(StatusCode::METHOD_NOT_ALLOWED, "expected POST"),
            _ if matches!(self.world.options().service, ServiceOptions::Fifo(_)) => self.serve(request).await,
            (_, path) => match sglang::answer(path, self.world.options(), &self.wall_report()) {
                Some(answer) => json(StatusCode::OK, answer.to_string().into_bytes(), false),
                None => refused(StatusCode::NOT_FOUND, &format!("there is nothing at {path}")),
            },
        };
        if let Ok(value) = HeaderValue::from_str(&self.address.to_string()) {
            response.headers_mut().insert(HOST_HEADER, value);
        }
        response
    }

    async fn while_hung(&self) {
        let mut door = self.door.subscribe();
        // The sender is this server's, which lives as long as its connections.
        let _ = door.wait_for(|door| !door.is_hung).await;
    }

    async fn generate(&self, interface: Interface, request: Request<Incoming>) -> Response<ResponseBody> {
        let format = request.headers().get(orca::FORMAT_HEADER).cloned();
        let body = match Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return refused(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        let options = self.world.options();
        let request = match openai::Request::parse(interface, &body, options.block_tokens) {
            Ok(request) => request,
            Err(error) => return refused(StatusCode::BAD_REQUEST, &error),
        };
        let (status, is_truncated) = self.next_faults();
        if let Some(status) = status {
            return refused(status, "a fault that was commanded");
        }
        let offer = Offer {
            prompt_tokens: request.prompt.tokens,
            output_tokens: request.output_tokens,
            service_s: 0.0,
            prefix: request.prompt.prefix.clone(),
        };
        let Some(mut progress) = self.world.with_host(self.index, |host, now_s| host.offer(now_s, offer)) else {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "the host is down");
        };
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let writer = Writer::new(&request, &options.model, serial, epoch_s());
        let mut response = if request.stream {
            let mut stream = Stream::new(writer, progress, request.output_tokens, request.include_usage, is_truncated);
            if options.stream_head == StreamHead::FirstToken && !stream.wait_for_first().await {
                return refused(StatusCode::SERVICE_UNAVAILABLE, "the host crashed");
            }
            let mut response = Response::new(ResponseBody::Stream(Box::new(stream)));
            let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        } else {
            if !is_done(&mut progress).await {
                return refused(StatusCode::SERVICE_UNAVAILABLE, "the host crashed");
            }
            let mut response = json(StatusCode::OK, writer.whole(request.output_tokens), is_truncated);
            response.headers_mut().insert(OUTPUT_TOKENS_HEADER, request.output_tokens.into());
            response
        };
        self.add_report(response.headers_mut(), format.as_ref(), request.stream);
        response
    }

    /// A FIFO host serves whatever the path is.
    async fn serve(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        let format = request.headers().get(orca::FORMAT_HEADER).cloned();
        let ServiceOptions::Fifo(options) = self.world.options().service else {
            return refused(StatusCode::NOT_FOUND, "this host serves a language model");
        };
        let given =
            request.headers().get(SERVICE_HEADER).map(|value| value.to_str().unwrap_or_default().parse::<f64>());
        let service_s = match given {
            None => options.service_mean_s,
            Some(Ok(service_s)) if service_s > 0.0 && service_s.is_finite() => service_s,
            Some(_) => return refused(StatusCode::BAD_REQUEST, "x-service-s: expected a positive number of seconds"),
        };
        let (status, is_truncated) = self.next_faults();
        if let Some(status) = status {
            return refused(status, "a fault that was commanded");
        }
        let offer = Offer { service_s, ..Offer::default() };
        let progress = self.world.with_host(self.index, |host, now_s| host.offer(now_s, offer));
        let Some(mut progress) = progress else {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "the host is down");
        };
        if !is_done(&mut progress).await {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "the host crashed");
        }
        let mut response = json(StatusCode::OK, b"{\"served\":true}".to_vec(), is_truncated);
        self.add_report(response.headers_mut(), format.as_ref(), false);
        response
    }

    /// Status of a response that is to fail, and whether it is to break off.
    fn next_faults(&self) -> (Option<StatusCode>, bool) {
        let mut faults = self.lock_faults();
        let (code, share) = &mut faults.status;
        let status = share.take().then(|| StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
        (status, faults.truncated.take())
    }

    fn add_report(&self, headers: &mut HeaderMap, format: Option<&HeaderValue>, is_stream: bool) {
        let format = format.map(HeaderValue::as_bytes);
        let value = orca::header(self.world.options().orca, format, is_stream, &self.wall_report());
        if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(&value)) {
            headers.insert(orca::HEADER, value);
        }
    }

    /// What the host reports, in wall time and as engines count.
    fn wall_report(&self) -> HostReport {
        let report = self.world.with_host(self.index, Emulated::engine_report);
        HostReport { step_s: report.step_s / self.world.clock().time_scale(), ..report }
    }

    fn metrics(&self) -> Response<ResponseBody> {
        let counters = self.world.with_host(self.index, |host, now_s| {
            host.tell_progress(now_s);
            host.counters().clone()
        });
        let model = &self.world.options().model;
        let page = metrics::page(model, &self.wall_report(), &counters, self.world.clock().time_scale());
        let mut response = Response::new(ResponseBody::whole(page));
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    fn models(&self) -> Response<ResponseBody> {
        let model = &self.world.options().model;
        let list =
            serde_json::json!({"object": "list", "data": [{"id": model, "object": "model", "owned_by": "evenkeel"}]});
        json(StatusCode::OK, list.to_string().into_bytes(), false)
    }
}

/// Waits for a request's end: whether it is complete.
async fn is_done(progress: &mut tokio::sync::mpsc::UnboundedReceiver<Progress>) -> bool {
    loop {
        match progress.recv().await {
            Some(Progress::Tokens(_)) => {}
            Some(Progress::Done) => return true,
            Some(Progress::Lost) | None => return false,
        }
    }
}

fn refused(status: StatusCode, message: &str) -> Response<ResponseBody> {
    json(status, openai::error(status.as_u16(), message), false)
}

fn json(status: StatusCode, bytes: Vec<u8>, is_truncated: bool) -> Response<ResponseBody> {
    let body = if is_truncated { ResponseBody::truncated(bytes) } else { ResponseBody::whole(bytes) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn epoch_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
