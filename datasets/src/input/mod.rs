//! Bytes of a file: transparent decompression, and lines and fields of it.

mod container;
pub(crate) mod date;
mod lines;
pub(crate) mod number;
mod records;
pub(crate) mod time;
pub(crate) mod zone;
mod zstd;

pub(crate) use container::{Container, Unwrapper};
pub(crate) use lines::LineReader;
pub(crate) use records::Records;

use crate::DataError;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes are looked at to recognise a format and its units.
const HEAD_BYTES: usize = 1024 * 1024;
/// Capacity of the buffers before decompression.
const BUFFER_BYTES: usize = 64 * 1024;
/// A row longer than this is no trace's.
pub(crate) const ROW_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An open file, decompressed if its first bytes say that it is compressed.
pub(crate) struct Input {
    path: PathBuf,
    kind: &'static str,
    /// The beginning, read ahead; `taken` bytes of it are consumed.
    head: Vec<u8>,
    taken: usize,
    /// The failure that ended the beginning, reported once what came before it is consumed.
    failure: Option<io::Error>,
    rest: Box<dyn Read + Send>,
    progress: Progress,
    /// Bytes handed out since the row began; `None` where rows are not counted.
    row_bytes: Option<usize>,
}

/// How much of a file has been read, before decompression.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    read: Arc<AtomicU64>,
    bytes: u64,
}

impl Progress {
    /// The share that has been read.
    pub(crate) fn share(&self) -> f64 {
        if self.bytes == 0 { 0.0 } else { (self.read.load(Ordering::Relaxed) as f64 / self.bytes as f64).min(1.0) }
    }
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Input {
    /// Opens `path` and reads its beginning.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let failed = |source| DataError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        let progress = Progress { read: Arc::default(), bytes };
        let mut magic = Vec::new();
        (&mut file).take(4).read_to_end(&mut magic).map_err(failed)?;
        let file = io::Cursor::new(magic.clone()).chain(Counted { inner: file, read: progress.read.clone() });
        let (kind, rest): (_, Box<dyn Read + Send>) = match magic[..] {
            [0x1f, 0x8b, ..] => {
                let buffered = io::BufReader::with_capacity(BUFFER_BYTES, file);
                ("gzip", Box::new(flate2::bufread::MultiGzDecoder::new(buffered)))
            }
            [0x28, 0xb5, 0x2f, 0xfd] => ("zstd", Box::new(zstd::Decoder::new(file))),
            _ => ("plain", Box::new(file)),
        };
        let path = path.to_owned();
        let mut input = Self { path, kind, head: Vec::new(), taken: 0, failure: None, rest, progress, row_bytes: None };
        let mut head = Vec::new();
        input.failure = (&mut input.rest).take(HEAD_BYTES as u64).read_to_end(&mut head).err();
        input.head = head;
        match input.failure.take_if(|_| input.head.is_empty()) {
            Some(failure) => Err(input.failed(0, failure)),
            None if input.head.trim_ascii().is_empty() => Err(input.empty("rows")),
            None => Ok(input),
        }
    }

    /// The first bytes, whether or not they were read.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The first bytes up to their last whole line, or all of them where they are the whole file.
    pub(crate) fn whole_lines(&self) -> &[u8] {
        let end = if self.head.len() < HEAD_BYTES { None } else { memchr::memrchr(b'\n', &self.head) };
        &self.head[..end.unwrap_or(self.head.len())]
    }

    /// Leaves out the first `bytes`, which must be within the head and unread.
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.taken = bytes.min(self.head.len());
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// What a failure to read after `lines` good lines means.
    pub(crate) fn failed(&self, lines: u64, source: io::Error) -> DataError {
        let path = self.path.clone();
        if self.row_bytes > Some(ROW_BYTES_MAX) {
            return DataError::LongRow { path, line: lines + 1, bytes_max: ROW_BYTES_MAX };
        }
        read_failure(&path, self.kind, lines, source)
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn empty(&self, what: &'static str) -> DataError {
        DataError::Empty { path: self.path.clone(), what }
    }

    /// Begins to count the bytes of a row, which may not be more than [`ROW_BYTES_MAX`].
    pub(crate) fn begin_row(&mut self) {
        self.row_bytes = Some(0);
    }
}

/// Tells damaged data from a failing system.
pub(crate) fn read_failure(path: &Path, kind: &'static str, lines: u64, source: io::Error) -> DataError {
    let path = path.to_owned();
    if kind == "plain" { DataError::Io { path, source } } else { DataError::Damaged { path, kind, lines, source } }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.row_bytes > Some(ROW_BYTES_MAX) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the row is too long"));
        }
        let n = if self.taken < self.head.len() {
            let n = (&self.head[self.taken..]).read(buffer)?;
            self.taken += n;
            n
        } else if let Some(failure) = self.failure.take() {
            return Err(failure);
        } else {
            self.rest.read(buffer)?
        };
        self.row_bytes = self.row_bytes.map(|bytes| bytes + n);
        Ok(n)
    }
}

/// A file's name without folders and without the suffixes of compression and format.
pub(crate) fn stem(path: &Path) -> String {
    let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    let mut stem = name.as_str();
    for suffix in [".gz", ".zst", ".csv", ".jsonl", ".json", ".log", ".txt", ".tar"] {
        stem = stem.strip_suffix(suffix).filter(|rest| !rest.is_empty()).unwrap_or(stem);
    }
    stem.to_owned()
}

/// `bytes` for a message: in quotes, at most 60 characters, control characters escaped.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(256)]);
    let visible = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    let mut short: String = text.chars().take(60).map(visible).collect();
    if text.chars().count() > 60 {
        short.push('…');
    }
    if short.is_empty() { "nothing".to_owned() } else { format!("`{short}`") }
}
