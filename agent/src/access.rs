//! Access to a host's metrics: TLS, a token, headers.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio_rustls::TlsConnector;

/// Access to all hosts whose own lines say nothing else.
#[derive(Clone, Default)]
pub struct Access {
    /// The TLS client, made even where only some hosts need it.
    pub tls: Option<TlsConnector>,
    /// Set if hosts whose lines do not say are asked over TLS.
    pub is_tls: bool,
    /// File with a bearer token.
    pub token_file: Option<PathBuf>,
    /// Further headers.
    pub headers: Vec<Header>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers may hold secrets.
        formatter
            .debug_struct("Access")
            .field("is_tls", &self.is_tls)
            .field("token_file", &self.token_file)
            .finish_non_exhaustive()
    }
}

/// A header of requests: `Name: value`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Header(String);

impl Header {
    /// As it stands in the request.
    pub fn line(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: …", self.0.split(':').next().unwrap_or_default())
    }
}

impl std::str::FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("header {text:?}: expected NAME: VALUE");
        let (name, value) = text.split_once(':').ok_or_else(wrong)?;
        let value = value.trim();
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) || value.bytes().any(|byte| byte < b' ' || byte == 0x7F) {
            return Err(wrong());
        }
        let reserved = ["host", "connection", "content-length", "transfer-encoding"];
        if reserved.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            return Err(format!("header {name}: the agent writes it itself"));
        }
        Ok(Self(format!("{name}: {value}")))
    }
}

/// A bearer token in a file, which somebody else renews.
#[derive(Debug)]
pub struct Token {
    path: PathBuf,
    line: String,
    read: Option<Instant>,
}

/// Tokens are renewed every few minutes at most.
const READ_AGAIN: Duration = Duration::from_secs(10);
/// Longest token.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

impl Token {
    /// The token in a file, not read yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, line: String::new(), read: None }
    }

    /// The header that it makes. The file is read again every few seconds.
    pub fn header(&mut self) -> Result<&str, TokenError> {
        if self.read.is_none_or(|read| read.elapsed() > READ_AGAIN) {
            let failed = |reason: String| TokenError { path: self.path.clone(), reason };
            let text = std::fs::read_to_string(&self.path).map_err(|error| failed(error.to_string()))?;
            let token = text.trim();
            if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(failed("expected one token, of printable ASCII without blanks".to_owned()));
            }
            self.line = format!("Authorization: Bearer {token}");
            self.read = Some(Instant::now());
        }
        Ok(&self.line)
    }

    /// It was refused: it may have been renewed.
    pub fn refused(&mut self) {
        self.read = None;
    }
}

/// The error of reading a token.
#[derive(Debug, thiserror::Error)]
#[error("bearer token {}: {reason}", path.display())]
pub struct TokenError {
    path: PathBuf,
    reason: String,
}

#[cfg(test)]
mod tests {
    use super::{Header, Token};

    #[test]
    fn headers_that_would_break_a_request_are_refused() {
        assert_eq!("X-Key:  a b".parse::<Header>().unwrap().line(), "X-Key: a b");
        for wrong in ["X-Key", ": a", "X Key: a", "X-Key: a\r\nX: b", "Host: b", "content-length: 3"] {
            assert!(wrong.parse::<Header>().is_err(), "{wrong:?}");
        }
        assert!(!format!("{:?}", "X-Key: secret".parse::<Header>().unwrap()).contains("secret"));
    }

    #[test]
    fn tokens_are_read_from_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let mut token = Token::new(path.clone());
        assert!(token.header().unwrap_err().to_string().contains("No such file"));
        std::fs::write(&path, "abc.def\n").unwrap();
        assert_eq!(token.header().unwrap(), "Authorization: Bearer abc.def");
        std::fs::write(&path, "new").unwrap();
        assert_eq!(token.header().unwrap(), "Authorization: Bearer abc.def", "not read at every scrape");
        token.refused();
        assert_eq!(token.header().unwrap(), "Authorization: Bearer new");
        std::fs::write(&path, "a\r\nX: b").unwrap();
        token.refused();
        assert!(token.header().is_err());
    }
}
