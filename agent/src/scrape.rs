//! Getting a page: HTTP/1.1 over a connection that is kept, within limits of time and size.
//!
//! Hosts may hang, answer garbage or without end. Whatever goes wrong closes the connection,
//! and costs no more than the time and the memory that the limits say.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Limits of one scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the connection to the last byte.
    pub timeout: Duration,
    /// Head and body together.
    pub bytes_max: usize,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// Nobody listens, or the connection broke.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The page did not come in time.
    #[error("no page within {0:?}")]
    Timeout(Duration),
    /// The page is larger than anybody's metrics.
    #[error("more than {0} bytes")]
    TooLarge(usize),
    /// This is not HTTP.
    #[error("not HTTP: {0}")]
    Http(#[from] httparse::Error),
    /// The body's length makes no sense.
    #[error("the body's length makes no sense")]
    Length,
    /// Another status than 200.
    #[error("status {0}")]
    Status(u16),
    /// The page has none of the metrics that are known.
    #[error("none of the metrics that are known")]
    NoMetrics,
}

impl ScrapeError {
    /// A word for it, for the agent's own metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Io(_) => "connection",
            Self::Timeout(_) => "timeout",
            Self::TooLarge(_) => "too_large",
            Self::Http(_) | Self::Length => "not_http",
            Self::Status(_) => "status",
            Self::NoMetrics => "no_metrics",
        }
    }
}

/// A host's metrics and the connection to them.
#[derive(Debug)]
pub struct Scraper {
    address: SocketAddr,
    request: Vec<u8>,
    limits: Limits,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// How a body ends.
enum Body {
    Length(usize),
    Chunked,
    Close,
}

impl Scraper {
    /// Scrapes `path` at `address`.
    pub fn new(address: SocketAddr, path: &str, limits: Limits) -> Self {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/plain;version=0.0.4\r\nUser-Agent: evenkeel-agent\r\n\r\n"
        );
        Self { address, request: request.into_bytes(), limits, stream: None, buffer: Vec::new() }
    }

    /// Gets the page. A connection that the host closed since the last time is opened anew.
    pub async fn page(&mut self) -> Result<&[u8], ScrapeError> {
        let timeout = self.limits.timeout;
        let begin_end = match tokio::time::timeout(timeout, self.exchange()).await {
            Ok(result) => result,
            Err(_) => Err(ScrapeError::Timeout(timeout)),
        };
        match begin_end {
            Ok((begin, end)) => Ok(&self.buffer[begin..end]),
            Err(error) => {
                self.stream = None;
                // What a host sent too much of is not kept.
                self.buffer = Vec::new();
                Err(error)
            }
        }
    }

    async fn exchange(&mut self) -> Result<(usize, usize), ScrapeError> {
        if let Some(mut stream) = self.stream.take() {
            // A kept connection may have been closed meanwhile: that is no failure yet.
            if stream.write_all(&self.request).await.is_ok() {
                match self.receive(&mut stream).await {
                    Err(ScrapeError::Io(_)) if self.buffer.is_empty() => {}
                    result => return self.keep(stream, result),
                }
            }
        }
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&self.request).await?;
        let result = self.receive(&mut stream).await;
        self.keep(stream, result)
    }

    fn keep(
        &mut self,
        stream: TcpStream,
        result: Result<(usize, usize, bool), ScrapeError>,
    ) -> Result<(usize, usize), ScrapeError> {
        let (begin, end, is_kept) = result?;
        if is_kept {
            self.stream = Some(stream);
        }
        Ok((begin, end))
    }

    /// Reads a response into the buffer: where its body begins and ends, and whether the
    /// connection may be used again.
    async fn receive(&mut self, stream: &mut TcpStream) -> Result<(usize, usize, bool), ScrapeError> {
        self.buffer.clear();
        let (begin, body, is_kept) = loop {
            if self.read(stream).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            if let Some(head) = parse_head(&self.buffer)? {
                break head;
            }
        };
        match body {
            Body::Length(length) => {
                let end = begin.checked_add(length).ok_or(ScrapeError::Length)?;
                if end > self.limits.bytes_max {
                    return Err(ScrapeError::TooLarge(self.limits.bytes_max));
                }
                while self.buffer.len() < end {
                    if self.read(stream).await? == 0 {
                        return Err(ScrapeError::Length);
                    }
                }
                Ok((begin, end, is_kept && self.buffer.len() == end))
            }
            Body::Chunked => {
                let mut decoder = Dechunker { read: begin, written: begin };
                while !decoder.decode(&mut self.buffer)? {
                    if self.read(stream).await? == 0 {
                        return Err(ScrapeError::Length);
                    }
                }
                Ok((begin, decoder.written, is_kept && decoder.read == self.buffer.len()))
            }
            Body::Close => {
                while self.read(stream).await? > 0 {}
                Ok((begin, self.buffer.len(), false))
            }
        }
    }

    async fn read(&mut self, stream: &mut TcpStream) -> Result<usize, ScrapeError> {
        const STEP_BYTES: usize = 16 * 1024;
        if self.buffer.len() >= self.limits.bytes_max {
            return Err(ScrapeError::TooLarge(self.limits.bytes_max));
        }
        if self.buffer.capacity() == self.buffer.len() {
            self.buffer.reserve(STEP_BYTES);
        }
        Ok(stream.read_buf(&mut self.buffer).await?)
    }
}

/// Where the body begins, how it ends, and whether the connection is kept; `None` if the head
/// is not complete yet.
fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Body, bool)>, ScrapeError> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(begin) = response.parse(bytes)? else { return Ok(None) };
    match response.code {
        Some(200) => {}
        code => return Err(ScrapeError::Status(code.unwrap_or(0))),
    }
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value.trim_ascii())
    };
    let body = if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case(b"chunked")) {
        Body::Chunked
    } else if let Some(length) = header("content-length") {
        let length = std::str::from_utf8(length).ok().and_then(|length| length.parse().ok());
        Body::Length(length.ok_or(ScrapeError::Length)?)
    } else {
        Body::Close
    };
    let closes = header("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
    Ok(Some((begin, body, response.version == Some(1) && !closes)))
}

/// Takes chunks' sizes out of a buffer, in place.
struct Dechunker {
    /// Up to where the buffer was looked at.
    read: usize,
    /// Up to where the body stands in it.
    written: usize,
}

impl Dechunker {
    /// Goes on with what is there; whether the last chunk was.
    fn decode(&mut self, buffer: &mut [u8]) -> Result<bool, ScrapeError> {
        loop {
            let httparse::Status::Complete((line, size)) =
                httparse::parse_chunk_size(&buffer[self.read..]).map_err(|_| ScrapeError::Length)?
            else {
                return Ok(false);
            };
            let size = usize::try_from(size).map_err(|_| ScrapeError::Length)?;
            let begin = self.read + line;
            let end = begin.checked_add(size).ok_or(ScrapeError::Length)?;
            // Behind a chunk stands an empty line.
            if end + 2 > buffer.len() {
                return Ok(false);
            }
            if buffer[end..end + 2] != *b"\r\n" {
                return Err(ScrapeError::Length);
            }
            buffer.copy_within(begin..end, self.written);
            self.written += size;
            self.read = end + 2;
            if size == 0 {
                return Ok(true);
            }
        }
    }
}
