//! Bytes of a file: transparent decompression, and lines and fields of it.

mod lines;
pub(crate) mod number;
pub(crate) mod time;
mod zstd;

pub(crate) use lines::LineReader;

use crate::DataError;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// How many bytes are looked at to recognise a format.
const HEAD_BYTES: usize = 64 * 1024;

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
}

impl Input {
    /// Opens `path` and reads its beginning.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let failed = |source| DataError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        let mut magic = Vec::new();
        (&mut file).take(4).read_to_end(&mut magic).map_err(failed)?;
        let file = io::Cursor::new(magic.clone()).chain(file);
        let (kind, rest): (_, Box<dyn Read + Send>) = match magic[..] {
            [0x1f, 0x8b, ..] => {
                let buffered = io::BufReader::with_capacity(HEAD_BYTES, file);
                ("gzip", Box::new(flate2::bufread::MultiGzDecoder::new(buffered)))
            }
            [0x28, 0xb5, 0x2f, 0xfd] => ("zstd", Box::new(zstd::Decoder::new(file))),
            _ => ("plain", Box::new(file)),
        };
        let mut input = Self { path: path.to_owned(), kind, head: Vec::new(), taken: 0, failure: None, rest };
        let mut head = Vec::with_capacity(HEAD_BYTES);
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

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What a failure to read after `lines` good lines means.
    pub(crate) fn failed(&self, lines: u64, source: io::Error) -> DataError {
        read_failure(&self.path, self.kind, lines, source)
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn empty(&self, what: &'static str) -> DataError {
        DataError::Empty { path: self.path.clone(), what }
    }
}

/// Tells damaged data from a failing system.
pub(crate) fn read_failure(path: &Path, kind: &'static str, lines: u64, source: io::Error) -> DataError {
    let path = path.to_owned();
    if kind == "plain" { DataError::Io { path, source } } else { DataError::Damaged { path, kind, lines, source } }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken < self.head.len() {
            let n = (&self.head[self.taken..]).read(buffer)?;
            self.taken += n;
            return Ok(n);
        }
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.rest.read(buffer)
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
