//! The files of clients: members of a tar archive and of the one beside it, or of a folder.

use crate::input::{Input, read_failure};
use crate::row::Fault;
use crate::{BadRow, DataError};
use std::io::Read;
use std::path::{Path, PathBuf};

const TRACES: &str = "_traces";
const DATASETS: &str = "_datasets";
/// A member larger than this is no client's.
const MEMBER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The archives of windows and of lengths, of which `path` is one; a folder holds both.
pub(super) fn pair(path: &Path) -> Result<[PathBuf; 2], DataError> {
    if path.is_dir() {
        return Ok([path.to_owned(), path.to_owned()]);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let replaced = |from, to| path.with_file_name(name.replacen(from, to, 1));
    let (pair, missing) = if name.contains(TRACES) {
        let datasets = replaced(TRACES, DATASETS);
        ([path.to_owned(), datasets.clone()], datasets)
    } else if name.contains(DATASETS) {
        let traces = replaced(DATASETS, TRACES);
        ([traces.clone(), path.to_owned()], traces)
    } else {
        let missing = path.with_file_name("NAME_traces.tar.zst and NAME_datasets.tar.zst");
        return Err(DataError::Companion { path: path.to_owned(), missing });
    };
    if missing.is_file() { Ok(pair) } else { Err(DataError::Companion { path: path.to_owned(), missing }) }
}

/// Calls `each` with the client's number and the content of every `chunk-N-SUFFIX` in the archive.
pub(super) fn members(
    path: &Path,
    suffix: &str,
    mut each: impl FnMut(u64, &Member<'_>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    if path.is_dir() {
        return files(path, suffix, each);
    }
    let input = Input::open(path)?;
    let kind = if input.kind() == "plain" { "tar" } else { input.kind() };
    let mut archive = tar::Archive::new(input);
    let mut content = Vec::new();
    let mut count = 0;
    let failed = |count, error| read_failure(path, kind, count, error);
    for member in archive.entries().map_err(|error| failed(count, error))? {
        let mut member = member.map_err(|error| failed(count, error))?;
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        let Some(id) = client(&name, suffix) else { continue };
        content.clear();
        let size = member.size();
        (&mut member).take(MEMBER_BYTES_MAX).read_to_end(&mut content).map_err(|error| failed(count, error))?;
        if content.len() as u64 != size {
            let message = format!("{name} has {size} bytes, of which {} could be read", content.len());
            return Err(failed(count, std::io::Error::new(std::io::ErrorKind::UnexpectedEof, message)));
        }
        each(id, &Member { file: format!("{}/{name}", path.display()), content: &content })?;
        count += memchr::memchr_iter(b'\n', &content).count() as u64;
    }
    Ok(())
}

/// [`members`] of a folder, as `ServeGen`'s repository has one for every service.
fn files(
    path: &Path,
    suffix: &str,
    mut each: impl FnMut(u64, &Member<'_>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let failed = |path: &Path, source| DataError::Io { path: path.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| failed(path, error))? {
        let entry = entry.map_err(|error| failed(path, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        found.extend(client(&name, suffix).map(|id| (id, entry.path())));
    }
    // Folders have no order of their own.
    found.sort_unstable();
    for (id, file) in found {
        let mut content = Vec::new();
        let mut opened = std::fs::File::open(&file).map_err(|error| failed(&file, error))?;
        (&mut opened).take(MEMBER_BYTES_MAX + 1).read_to_end(&mut content).map_err(|error| failed(&file, error))?;
        if content.len() as u64 > MEMBER_BYTES_MAX {
            let message = format!("it is longer than {MEMBER_BYTES_MAX} bytes");
            return Err(failed(&file, std::io::Error::new(std::io::ErrorKind::InvalidData, message)));
        }
        each(id, &Member { file: file.display().to_string(), content: &content })?;
    }
    Ok(())
}

/// One file of an archive.
pub(super) struct Member<'a> {
    file: String,
    pub(super) content: &'a [u8],
}

impl Member<'_> {
    /// A fault at a line of this file.
    pub(super) fn bad_row(&self, line: u64, fault: Fault) -> BadRow {
        let Fault { field, found, expected } = fault;
        BadRow { file: self.file.clone(), line, field: field.into_owned(), found, expected: expected.into_owned() }
    }
}

/// The `N` of `…/chunk-N-SUFFIX`.
fn client(name: &str, suffix: &str) -> Option<u64> {
    let file = name.rsplit('/').next()?;
    file.strip_prefix("chunk-")?.strip_suffix(suffix)?.strip_suffix('-')?.parse().ok()
}
