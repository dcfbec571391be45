//! HTTP/1.1 as far as a scrape needs it: heads of responses, and bodies by length, in chunks or up to
//! the connection's end.

use std::ops::Range;

/// Errors in a response.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The head is not that of a response.
    #[error("not HTTP: {0}")]
    Head(#[from] httparse::Error),
    /// The body is shorter than its length, or its chunks are none.
    #[error("not HTTP: the body's length makes no sense")]
    Length,
}

/// The end of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// After so many bytes.
    Length(usize),
    /// With an empty chunk.
    Chunked,
    /// With the connection.
    Close,
}

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// The offset of the body.
    pub begin: usize,
    /// The end of the body.
    pub body: Body,
    /// Set if the connection may be used again.
    pub is_kept: bool,
    /// The target of a redirection.
    pub location: Option<String>,
    /// Set if the body is compressed, which nobody asked for.
    pub is_encoded: bool,
}

/// Reads a head; `None` if it is not complete yet.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, HttpError> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(begin) = response.parse(bytes)? else { return Ok(None) };
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value.trim_ascii())
    };
    let status = response.code.unwrap_or(0);
    let body = if matches!(status, 204 | 304) {
        Body::Length(0)
    } else if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case(b"chunked")) {
        Body::Chunked
    } else if let Some(length) = header("content-length") {
        let length = std::str::from_utf8(length).ok().and_then(|length| length.parse().ok());
        Body::Length(length.ok_or(HttpError::Length)?)
    } else {
        Body::Close
    };
    let closes = header("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
    let encoding = header("content-encoding").filter(|value| !value.eq_ignore_ascii_case(b"identity"));
    Ok(Some(Head {
        status,
        begin,
        body,
        is_kept: response.version == Some(1) && !closes && body != Body::Close,
        location: header("location").map(|value| String::from_utf8_lossy(value).into_owned()),
        is_encoded: encoding.is_some(),
    }))
}

/// Takes chunks' sizes out of a buffer, in place.
#[derive(Debug)]
pub struct Dechunker {
    begin: usize,
    /// Up to where the buffer was looked at.
    read: usize,
    /// Up to where the body stands in it.
    written: usize,
}

impl Dechunker {
    /// For a body that begins there.
    pub fn new(begin: usize) -> Self {
        Self { begin, read: begin, written: begin }
    }

    /// Goes on with what is there. The body and where it was found to end, once the last chunk
    /// is there.
    pub fn decode(&mut self, buffer: &mut [u8]) -> Result<Option<(Range<usize>, usize)>, HttpError> {
        loop {
            let rest = buffer.get(self.read..).unwrap_or_default();
            let httparse::Status::Complete((line, size)) =
                httparse::parse_chunk_size(rest).map_err(|_| HttpError::Length)?
            else {
                return Ok(None);
            };
            let size = usize::try_from(size).map_err(|_| HttpError::Length)?;
            let begin = self.read + line;
            let end = begin.checked_add(size).ok_or(HttpError::Length)?;
            // Behind a chunk stands an empty line.
            let Some(behind) = end.checked_add(2).and_then(|after| buffer.get(end..after)) else { return Ok(None) };
            if behind != b"\r\n" {
                return Err(HttpError::Length);
            }
            buffer.copy_within(begin..end, self.written);
            self.written += size;
            self.read = end + 2;
            if size == 0 {
                return Ok(Some((self.begin..self.written, self.read)));
            }
        }
    }
}
