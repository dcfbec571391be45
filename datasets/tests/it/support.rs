//! Files for the tests.

use evenkeel_datasets::{Format, LoadOptions, Trace, load_trace};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A file made up for the tests.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A real file, or `None` with a note where the traces are not at hand.
pub(crate) fn real(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces");
    let folder = std::env::var_os("EVENKEEL_TRACES").map_or_else(beside, PathBuf::from);
    let path = folder.join(name);
    if path.is_file() {
        return Some(path);
    }
    println!("skipped: {name} is not there (EVENKEEL_TRACES names the folder of the real traces)");
    None
}

/// The folder of cases rebuilt from public reports, or `None` with a note where it is not at hand.
pub(crate) fn cases(folder: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases");
    let path = std::env::var_os("EVENKEEL_CASES").map_or_else(beside, PathBuf::from).join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: the cases of {folder} are not there (EVENKEEL_CASES names their folder)");
    None
}

/// The options that a message advises, such as `--time-unit ms`: what a reader of it would do next.
pub(crate) fn advised(message: &str) -> LoadOptions {
    let mut options = LoadOptions::default();
    let mut words = message.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix("--").map(|word| word.trim_end_matches([',', ';', ')'])) else { continue };
        let value = words.peek().map_or("", |value| value.trim_end_matches([',', ';', ')'])).to_owned();
        match option {
            // The first that is named is what the message advises first.
            "time-unit" if options.time_unit.is_none() => options.time_unit = Some(value.parse().unwrap()),
            "duration-unit" if options.duration_unit.is_none() => options.duration_unit = Some(value.parse().unwrap()),
            "block-tokens" => options.block_tokens = Some(16),
            "time-zone" if options.time_zone.is_none() => options.time_zone = Some(value),
            "date-order" if options.date_order.is_none() => options.date_order = Some(value.parse().unwrap()),
            "combine" if options.combine.is_none() => options.combine = Some(value.parse().unwrap()),
            "columns" if !value.contains("FIELD") && options.columns.is_none() => {
                options.columns = Some(value.parse().unwrap());
            }
            "without-tokens" => options.without_tokens = true,
            "sort" => options.sort = true,
            _ => {}
        }
    }
    options
}

pub(crate) fn load(path: &Path) -> Trace {
    load_trace(path, None, &LoadOptions::default()).unwrap()
}

/// The message of a failing load, the folder taken out of it.
pub(crate) fn failure(path: &Path, format: Option<Format>, options: &LoadOptions) -> String {
    redacted(&load_trace(path, format, options).unwrap_err().to_string(), path)
}

pub(crate) fn redacted(message: &str, path: &Path) -> String {
    message.replace(&path.parent().unwrap().display().to_string(), "DIR")
}

/// A folder that is deleted at the end of the test.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

/// An archive of one file.
pub(crate) fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, name, content).unwrap();
    builder.into_inner().unwrap()
}
