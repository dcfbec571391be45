//! Downloading a data set, resuming what was broken off.

use super::Entry;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

/// Connections that are tried for one file before giving up.
const ATTEMPTS: u32 = 5;
/// How long to wait for a connection, and for the next bytes of one.
const PATIENCE: Duration = Duration::from_secs(30);

/// A data set that is now in a local file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
    /// Whether that was compared with a known one.
    pub is_verified: bool,
    /// Bytes that were there before, or came before the last interruption.
    pub resumed_bytes: u64,
}

/// Why a data set could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The server answered, but not with the file.
    #[error("{url}: the server answered {status}; {advice}")]
    Status {
        /// The address.
        url: String,
        /// The status of the answer.
        status: u16,
        /// What to do.
        advice: &'static str,
    },
    /// The server could not be reached, or the connection broke again and again.
    #[error(
        "{url}: {source}; {bytes} bytes are kept in {}, and fetching again goes on from there \
         (a proxy is taken from HTTPS_PROXY)", .part.display()
    )]
    Network {
        /// The address.
        url: String,
        /// What happened last.
        source: Box<ureq::Error>,
        /// Bytes that were received.
        bytes: u64,
        /// The unfinished file.
        part: PathBuf,
    },
    /// The file is not the one that is expected.
    #[error(
        "{url}: its SHA-256 is {found}, expected {expected}; it was deleted. Either the transfer was damaged, then \
         fetching again helps, or the file at that address has changed, then do not use it unseen"
    )]
    Hash {
        /// The address.
        url: String,
        /// The SHA-256 of what came.
        found: String,
        /// The SHA-256 that the catalogue has.
        expected: String,
    },
    /// The local file could not be written.
    #[error("{}: cannot be written: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Downloads a data set into `folder`, under [`Entry::file_name`], and verifies its SHA-256 where
/// that is known. A file which is there already is verified and kept.
///
/// Bytes go to `NAME.part` first, which is renamed when all is well; a download that was broken
/// off, now or in an earlier call, goes on where it ended if the server can do that. `progress`
/// is called with the bytes so far and in all (where known).
pub fn fetch(entry: &Entry, folder: &Path, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<Fetched, FetchError> {
    fs::create_dir_all(folder).map_err(|source| FetchError::Io { path: folder.to_owned(), source })?;
    let path = folder.join(entry.file_name());
    let local = |source| FetchError::Io { path: path.clone(), source };
    if path.is_file() {
        let sha256 = hash(&path).map_err(local)?;
        if entry.sha256.is_none_or(|expected| expected == sha256) {
            let bytes = path.metadata().map_err(local)?.len();
            let is_verified = entry.sha256.is_some();
            return Ok(Fetched { path, bytes, sha256, is_verified, resumed_bytes: bytes });
        }
    }
    let mut download = Download::new(entry, &path);
    let resumed_bytes = download.run(progress)?;
    let sha256 = hash(&download.part).map_err(local)?;
    if let Some(expected) = entry.sha256.filter(|&expected| expected != sha256) {
        download.discard().map_err(local)?;
        return Err(FetchError::Hash { url: entry.url.to_owned(), found: sha256, expected: expected.to_owned() });
    }
    let bytes = download.part.metadata().map_err(local)?.len();
    fs::rename(&download.part, &path).map_err(local)?;
    download.discard().map_err(local)?;
    Ok(Fetched { path, bytes, sha256, is_verified: entry.sha256.is_some(), resumed_bytes })
}

/// A file on its way.
struct Download<'a> {
    entry: &'a Entry,
    agent: Agent,
    part: PathBuf,
    /// Holds the server's tag of the version of which `part` is the beginning.
    tag: PathBuf,
}

/// How one connection ended.
enum End {
    Complete,
    /// What is in the part file is of no use.
    StartOver,
    Broken(Box<ureq::Error>),
}

impl<'a> Download<'a> {
    fn new(entry: &'a Entry, path: &Path) -> Self {
        let with_suffix = |suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .accept_encoding("identity")
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .max_idle_connections(0);
        Self { entry, agent: config.build().new_agent(), part: with_suffix(".part"), tag: with_suffix(".part.etag") }
    }

    /// Connects until the file is complete; returns how much of it was there before the last
    /// connection.
    fn run(&mut self, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<u64, FetchError> {
        // Without a hash at the end or a tag, a beginning from another day cannot be trusted.
        if self.entry.sha256.is_none() && !self.tag.is_file() {
            self.discard().map_err(|source| self.local(source))?;
        }
        let mut attempt = 1;
        loop {
            let begin = self.part.metadata().map_or(0, |metadata| metadata.len());
            match self.connect(begin, progress)? {
                End::Complete => return Ok(begin),
                End::StartOver => self.discard().map_err(|source| self.local(source))?,
                End::Broken(source) if attempt == ATTEMPTS => {
                    let bytes = self.part.metadata().map_or(0, |metadata| metadata.len());
                    let (url, part) = (self.entry.url.to_owned(), self.part.clone());
                    return Err(FetchError::Network { url, source, bytes, part });
                }
                End::Broken(_) => {}
            }
            attempt += 1;
            if attempt > 2 * ATTEMPTS {
                // Only a server that contradicts itself gets here.
                return Err(self.status(StatusCode::RANGE_NOT_SATISFIABLE));
            }
        }
    }

    /// Asks for the file from `begin` on and appends what comes.
    fn connect(&mut self, begin: u64, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<End, FetchError> {
        let mut request = self.agent.get(self.entry.url);
        if begin > 0 {
            request = request.header("Range", format!("bytes={begin}-"));
        }
        let mut response = match request.call() {
            Ok(response) => response,
            Err(error) => return Ok(End::Broken(Box::new(error))),
        };
        let begin = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if self.continues(&response, begin) => begin,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if begin > 0 => return Ok(End::StartOver),
            status if status.is_server_error() => {
                return Ok(End::Broken(Box::new(ureq::Error::StatusCode(status.as_u16()))));
            }
            status => return Err(self.status(status)),
        };
        let tag = header(&response, "etag").map(str::to_owned);
        let total = header(&response, "content-length").and_then(|length| length.parse::<u64>().ok());
        let total = total.map(|length| begin + length);
        let written = self.append(begin, tag.as_deref(), response.body_mut(), &mut |bytes| progress(bytes, total));
        match written.map_err(|source| self.local(source))? {
            Err(error) => Ok(End::Broken(Box::new(error.into()))),
            Ok(bytes) if total.is_none_or(|total| total == bytes) => Ok(End::Complete),
            Ok(_) => Ok(End::Broken(Box::new(io::Error::from(io::ErrorKind::UnexpectedEof).into()))),
        }
    }

    /// Whether a partial answer is the rest of what is there: from the right byte on, and of the
    /// same version.
    fn continues(&self, response: &Response<Body>, begin: u64) -> bool {
        let range = header(response, "content-range").unwrap_or_default();
        let is_next = range.strip_prefix("bytes ").is_some_and(|range| range.starts_with(&format!("{begin}-")));
        let known = fs::read_to_string(&self.tag).ok();
        is_next && known.is_none_or(|known| header(response, "etag").is_none_or(|tag| tag == known))
    }

    /// Writes the body behind the first `begin` bytes of the part file. The outer error is that of
    /// the file, the inner one that of the connection.
    fn append(
        &self,
        begin: u64,
        tag: Option<&str>,
        body: &mut Body,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<io::Result<u64>> {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.part)?;
        file.set_len(begin)?;
        file.seek(SeekFrom::End(0))?;
        if let Some(tag) = tag {
            fs::write(&self.tag, tag)?;
        }
        let mut reader = body.as_reader();
        let mut buffer = vec![0; 64 * 1024];
        let mut bytes = begin;
        loop {
            progress(bytes);
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(Ok(bytes)),
                Ok(n) => {
                    file.write_all(&buffer[..n])?;
                    bytes += n as u64;
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Deletes what belongs to an unfinished download.
    fn discard(&self) -> io::Result<()> {
        for path in [&self.part, &self.tag] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn local(&self, source: io::Error) -> FetchError {
        FetchError::Io { path: self.part.clone(), source }
    }

    fn status(&self, status: StatusCode) -> FetchError {
        let advice = match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                "the file has moved: look for it at the source named beside it in the list of data sets"
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "it may be a proxy that refuses: fetch the file by hand and give its path"
            }
            StatusCode::TOO_MANY_REQUESTS => "try again in some minutes",
            _ => "try again later, or fetch the file by hand and give its path",
        };
        FetchError::Status { url: self.entry.url.to_owned(), status: status.as_u16(), advice }
    }
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// SHA-256 of a file in lower-case hexadecimal.
fn hash(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}
