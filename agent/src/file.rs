//! The telemetry file: created or taken over, locked, written.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use evenkeel_runtime::Telemetry;
use evenkeel_runtime::telemetry_file::{SLOTS_MAX, TelemetryFile, words};
use rustix::fs::{FlockOperation, OFlags, flock};

use crate::mapped::MappedWords;

/// Errors of opening the telemetry file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened, extended or mapped.
    #[error("telemetry file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another agent writes it.
    #[error("telemetry file {}: another agent writes it; stop that one, or give another path", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It is a link: whoever can make one could have any file written to.
    #[error("telemetry file {}: {kind}, and not written to; give the path of a plain file", path.display())]
    Link {
        /// The file.
        path: PathBuf,
        /// Its kind.
        kind: &'static str,
    },
    /// There is another file by that name.
    #[error("{}: not a telemetry file, and not overwritten; give another path", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The number of slots is out of range.
    #[error("{slots} slots: expected 1 to {SLOTS_MAX}")]
    Slots {
        /// The number asked for.
        slots: u32,
    },
}

/// The file, as its only writer sees it.
#[derive(Debug)]
pub struct Output {
    mapped: MappedWords,
    /// Keys of the hosts that there are: the others' slots may be taken.
    known: BTreeSet<u64>,
    /// Closing it gives up the lock.
    _lock: File,
}

impl Output {
    /// Creates the file, or takes over one that an earlier agent left: in place, since proxies
    /// have it mapped. It may grow then, never shrink.
    pub fn open(path: &Path, slots: u32) -> Result<Self, FileError> {
        if !(1..=SLOTS_MAX).contains(&slots) {
            return Err(FileError::Slots { slots });
        }
        let failed = |source| FileError::Io { path: path.to_owned(), source };
        let lock = lock(path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o644);
        let file = open_plain(&options, path)?;
        let there = file.metadata().map_err(failed)?.len();
        if there > 0 && !begins_like_ours(&file, there) {
            return Err(FileError::Foreign { path: path.to_owned() });
        }
        let wanted = (words(slots) * size_of::<u64>()) as u64;
        if there < wanted {
            file.set_len(wanted).map_err(failed)?;
        }
        let mapped = MappedWords::new(&file, words(slots)).map_err(failed)?;
        let output = Self { mapped, known: BTreeSet::new(), _lock: lock };
        // Within bounds, since slots and length were checked.
        let _ = TelemetryFile::create(output.mapped.words(), slots);
        Ok(output)
    }

    /// A host is to be written from now on. `false` if no slot is left for it.
    pub fn add(&mut self, key: u64) -> bool {
        let room = self.file().is_some_and(|file| self.known.len() < file.slots());
        room && self.known.insert(key)
    }

    /// A host is gone.
    pub fn remove(&mut self, key: u64) {
        self.known.remove(&key);
        if let Some(file) = self.file() {
            file.forget(key);
        }
    }

    /// Writes a host's reading. `false` if there is no room.
    pub fn write(&self, key: u64, telemetry: &Telemetry, measured_us: u64) -> bool {
        let is_free = |key: u64| !self.known.contains(&key);
        self.file().is_some_and(|file| file.write(key, telemetry, measured_us, is_free))
    }

    /// Notes that the agent lives.
    pub fn beat(&self, now_us: u64) {
        if let Some(file) = self.file() {
            file.beat(now_us);
        }
    }

    /// The file as readers see it; `None` if somebody else has damaged it.
    pub fn file(&self) -> Option<TelemetryFile<'_>> {
        TelemetryFile::parse(self.mapped.words()).ok()
    }
}

/// The lock that only one agent has. It is on a file beside, which nobody else may open:
/// whoever may read the telemetry could lock the file itself.
fn lock(path: &Path) -> Result<File, FileError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = open_plain(&options, Path::new(&beside))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(FileError::Locked { path: path.to_owned() });
    }
    Ok(file)
}

/// Opens a plain file with one name: what a link leads to may be anybody's.
fn open_plain(options: &OpenOptions, path: &Path) -> Result<File, FileError> {
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    let link = |kind| FileError::Link { path: path.to_owned(), kind };
    // Without waiting, should it be a pipe.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let result = options.clone().custom_flags(flags.bits().cast_signed()).open(path);
    let file = match result {
        Err(_) if path.is_symlink() => return Err(link("a symbolic link")),
        result => result.map_err(failed)?,
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(link("no plain file"));
    }
    if metadata.nlink() > 1 {
        return Err(link("a file with several names"));
    }
    Ok(file)
}

/// Recognises a telemetry file, of whatever version, and empty space.
fn begins_like_ours(file: &File, len: u64) -> bool {
    if len < size_of::<u64>() as u64 {
        return false;
    }
    let mut magic = [0; 8];
    let read = std::os::unix::fs::FileExt::read_exact_at(file, &mut magic, 0);
    read.is_ok() && (magic == *b"EVKTELEM" || magic == [0; 8])
}
