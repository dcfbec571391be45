//! Getting a page: HTTP/1.1 over a connection that is kept, within limits of time and size.
//!
//! Hosts may hang, answer garbage or without end. Whatever goes wrong closes the connection,
//! and costs no more than the time and the memory that the limits say.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::access::{Access, Header, Token, TokenError};
use crate::discovery::Host;
use crate::http::{self, Body, Dechunker, Head, HttpError};
use crate::tls;

/// Limits of one scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the connection to the last byte.
    pub timeout: Duration,
    /// Head and body together.
    pub bytes_max: usize,
}

/// The options of scraping.
#[derive(Clone, Debug)]
pub struct ScrapeOptions {
    /// From one scrape to the next.
    pub interval: Duration,
    /// Limits of one.
    pub limits: Limits,
    /// Longest pause between scrapes of a host that fails.
    pub back_off_max: Duration,
    /// Path of the metrics, where a host names none; without it, those of the engines are tried.
    pub path: Option<String>,
    /// TLS, token and headers.
    pub access: Access,
}

impl Default for ScrapeOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            limits: Limits { timeout: Duration::from_millis(500), bytes_max: 4 * 1024 * 1024 },
            back_off_max: Duration::from_secs(5),
            path: None,
            access: Access::default(),
        }
    }
}

/// Errors of a scrape.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// Nobody listens.
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    /// TLS was not agreed on.
    #[error("TLS: {0}; for an authority of your own give --tls-ca FILE, for another name in the certificate tls=NAME")]
    Tls(std::io::Error),
    /// The host is asked over TLS, and nothing speaks it.
    #[error("TLS is needed, and not set up: no authorities were found; give --tls-ca FILE")]
    NoTls,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(std::io::Error),
    /// The page did not come in time.
    #[error("no page within {0:?}")]
    Timeout(Duration),
    /// The page is larger than anybody's metrics.
    #[error("more than {0} bytes; --page-bytes-max allows for more")]
    TooLarge(usize),
    /// This is not HTTP.
    #[error("{0}; is it TLS, or another port?")]
    Http(#[from] HttpError),
    /// The token cannot be read.
    #[error("{0}")]
    Token(#[from] TokenError),
    /// Another status than 200.
    #[error("status {status}{}", advice(*status, said))]
    Status {
        /// The status.
        status: u16,
        /// Beginning of what the host says.
        said: String,
    },
    /// A redirection elsewhere.
    #[error("redirected to {0:?}, which is not followed; give metrics=URL with the right address")]
    Redirect(String),
    /// The body is compressed.
    #[error("a compressed page, which was not asked for")]
    Encoded,
    /// The page is no page of metrics.
    #[error("not a page of metrics: it begins with {0:?}; give path=/PATH")]
    NoMetrics(String),
}

impl ScrapeError {
    /// A word for it, for the agent's own metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) | Self::Io(_) => "connection",
            Self::Tls(_) | Self::NoTls => "tls",
            Self::Timeout(_) => "timeout",
            Self::TooLarge(_) => "too_large",
            Self::Http(_) | Self::Encoded => "not_http",
            Self::Token(_) => "token",
            Self::Status { status: 401 | 403, .. } => "denied",
            Self::Status { .. } => "status",
            Self::Redirect(_) => "redirect",
            Self::NoMetrics(_) => "no_metrics",
        }
    }
}

/// Suggests a remedy for a status.
fn advice(status: u16, said: &str) -> String {
    let said_so = if said.is_empty() { String::new() } else { format!(" ({said})") };
    let advice = match status {
        401 | 403 => "; give --bearer-token-file FILE or --header, or token-file= in the host's line",
        404 => "; nothing is served there: give path=/PATH",
        501 => "; llama.cpp needs --metrics",
        _ => "",
    };
    format!("{said_so}{advice}")
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A host's server of metrics and the connection to it.
pub struct Scraper {
    address: SocketAddr,
    /// As in the Host header.
    authority: String,
    /// The TLS client and the server's name, where TLS is used.
    tls: Option<(Option<TlsConnector>, String)>,
    headers: Vec<Header>,
    token: Option<Token>,
    limits: Limits,
    stream: Option<Box<dyn Stream>>,
    buffer: Vec<u8>,
}

/// Redirections that are followed, such as from `/metrics` to `/metrics/`.
const REDIRECTS_MAX: usize = 3;

impl Scraper {
    /// Asks a host's server of metrics.
    pub fn new(host: &Host, access: &Access, limits: Limits) -> Self {
        let address = host.metrics.unwrap_or(host.address);
        let name = host.name.clone().unwrap_or_else(|| address.ip().to_string());
        let authority = match &host.name {
            Some(name) => format!("{name}:{}", address.port()),
            None => address.to_string(),
        };
        let is_tls = host.is_tls.unwrap_or(access.is_tls);
        let token_file = host.token_file.clone().or_else(|| access.token_file.clone());
        Self {
            address,
            authority,
            tls: is_tls.then(|| (access.tls.clone(), name)),
            headers: access.headers.iter().chain(&host.headers).cloned().collect(),
            token: token_file.map(Token::new),
            limits,
            stream: None,
            buffer: Vec::new(),
        }
    }

    /// The URL of a path, for people.
    pub fn url(&self, path: &str) -> String {
        format!("http{}://{}{path}", if self.tls.is_some() { "s" } else { "" }, self.authority)
    }

    /// Gets the page at a path, which is changed to where the host redirects. A connection that
    /// the host closed since the last time is opened anew.
    pub async fn page(&mut self, path: &mut String) -> Result<&[u8], ScrapeError> {
        let timeout = self.limits.timeout;
        let body = match tokio::time::timeout(timeout, self.follow(path)).await {
            Ok(result) => result,
            Err(_) => Err(ScrapeError::Timeout(timeout)),
        };
        match body {
            Ok(body) => Ok(&self.buffer[body]),
            Err(error) => {
                if error.kind() == "denied"
                    && let Some(token) = &mut self.token
                {
                    token.refused();
                }
                if !matches!(error, ScrapeError::Status { .. }) {
                    self.stream = None;
                }
                // What a host sent too much of is not kept.
                self.buffer = Vec::new();
                Err(error)
            }
        }
    }

    async fn follow(&mut self, path: &mut String) -> Result<Range<usize>, ScrapeError> {
        for _ in 0..=REDIRECTS_MAX {
            let (head, body) = self.exchange(path).await?;
            match (head.status, head.location) {
                (200, _) if head.is_encoded => return Err(ScrapeError::Encoded),
                (200, _) => return Ok(body),
                (301 | 302 | 303 | 307 | 308, Some(location)) => match self.same_server(&location) {
                    Some(there) => *path = there,
                    None => return Err(ScrapeError::Redirect(shortened(location.as_bytes()))),
                },
                (status, _) => {
                    return Err(ScrapeError::Status { status, said: message(&self.buffer[body]) });
                }
            }
        }
        Err(ScrapeError::Redirect(path.clone()))
    }

    /// The path of a location on this server; `None` for another, to which no token goes.
    fn same_server(&self, location: &str) -> Option<String> {
        let is_path = |path: &str| path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        let path = if location.starts_with('/') && !location.starts_with("//") {
            location
        } else {
            let base = self.url("");
            location.strip_prefix(&base).filter(|rest| rest.starts_with('/'))?
        };
        is_path(path).then(|| path.to_owned())
    }

    async fn exchange(&mut self, path: &str) -> Result<(Head, Range<usize>), ScrapeError> {
        let request = self.request(path)?;
        if let Some(mut stream) = self.stream.take() {
            // A kept connection may have been closed meanwhile: that is no failure yet.
            if stream.write_all(request.as_bytes()).await.is_ok() {
                match self.receive(&mut stream).await {
                    Err(ScrapeError::Io(_)) if self.buffer.is_empty() => {}
                    result => return self.keep(stream, result),
                }
            }
        }
        let tcp = TcpStream::connect(self.address).await.map_err(ScrapeError::Connect)?;
        tcp.set_nodelay(true).map_err(ScrapeError::Connect)?;
        let mut stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some((None, _)) => return Err(ScrapeError::NoTls),
            Some((Some(connector), name)) => {
                let name = tls::server_name(name).ok_or_else(|| {
                    ScrapeError::Tls(std::io::Error::other(format!("{name:?} is no name for a certificate")))
                })?;
                Box::new(connector.connect(name, tcp).await.map_err(ScrapeError::Tls)?)
            }
        };
        stream.write_all(request.as_bytes()).await.map_err(ScrapeError::Io)?;
        stream.flush().await.map_err(ScrapeError::Io)?;
        let result = self.receive(&mut stream).await;
        self.keep(stream, result)
    }

    fn request(&mut self, path: &str) -> Result<String, ScrapeError> {
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: text/plain;version=0.0.4\r\nAccept-Encoding: identity\r\nUser-Agent: evenkeel-agent\r\n",
            self.authority
        );
        if let Some(token) = &mut self.token {
            request.push_str(token.header()?);
            request.push_str("\r\n");
        }
        for header in &self.headers {
            request.push_str(header.line());
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        Ok(request)
    }

    fn keep(
        &mut self,
        stream: Box<dyn Stream>,
        result: Result<(Head, Range<usize>, bool), ScrapeError>,
    ) -> Result<(Head, Range<usize>), ScrapeError> {
        let (head, body, is_kept) = result?;
        if is_kept {
            self.stream = Some(stream);
        }
        Ok((head, body))
    }

    /// Reads a response into the buffer: its head, where its body stands, and whether the
    /// connection may be used again.
    async fn receive(&mut self, stream: &mut dyn Stream) -> Result<(Head, Range<usize>, bool), ScrapeError> {
        self.buffer.clear();
        let head = loop {
            if self.read(stream).await? == 0 {
                return Err(ScrapeError::Io(std::io::ErrorKind::UnexpectedEof.into()));
            }
            if let Some(head) = http::head(&self.buffer)? {
                break head;
            }
        };
        let begin = head.begin;
        let (body, is_whole) = match head.body {
            Body::Length(length) => {
                let end = begin.checked_add(length).ok_or(HttpError::Length)?;
                if end > self.limits.bytes_max {
                    return Err(ScrapeError::TooLarge(self.limits.bytes_max));
                }
                while self.buffer.len() < end {
                    self.read_more(stream).await?;
                }
                (begin..end, self.buffer.len() == end)
            }
            Body::Chunked => {
                let mut decoder = Dechunker::new(begin);
                loop {
                    if let Some((body, end)) = decoder.decode(&mut self.buffer)? {
                        break (body, end == self.buffer.len());
                    }
                    self.read_more(stream).await?;
                }
            }
            Body::Close => {
                while self.read(stream).await? > 0 {}
                (begin..self.buffer.len(), false)
            }
        };
        let is_kept = head.is_kept && is_whole;
        Ok((head, body, is_kept))
    }

    async fn read_more(&mut self, stream: &mut dyn Stream) -> Result<(), ScrapeError> {
        if self.read(stream).await? == 0 {
            return Err(HttpError::Length.into());
        }
        Ok(())
    }

    async fn read(&mut self, stream: &mut dyn Stream) -> Result<usize, ScrapeError> {
        const STEP_BYTES: usize = 16 * 1024;
        if self.buffer.len() >= self.limits.bytes_max {
            return Err(ScrapeError::TooLarge(self.limits.bytes_max));
        }
        if self.buffer.capacity() == self.buffer.len() {
            self.buffer.reserve(STEP_BYTES);
        }
        stream.read_buf(&mut self.buffer).await.map_err(ScrapeError::Io)
    }
}

/// Extracts the message of an error response, whether in JSON or plain.
fn message(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let places = ["/error/message", "/message", "/detail", "/error"];
    let message = places.iter().find_map(|place| value.pointer(place)?.as_str());
    shortened(message.map_or(body, str::as_bytes))
}

/// The first words of what a host says, for a message of one line.
pub fn shortened(bytes: &[u8]) -> String {
    const CHARACTERS_MAX: usize = 60;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * CHARACTERS_MAX)]);
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().filter(|letter| !letter.is_control()).collect();
    match line.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
