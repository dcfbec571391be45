//! The trained artifacts in use: one for each path, read by all workers, replaced by the
//! main thread.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use evenkeel_runtime::Model;
use evenkeel_runtime::artifact::ArtifactError;
use self_cell::self_cell;

use crate::identity::Identity;
use crate::regular_file::{self, OpenError};

/// Larger than any artifact.
const BYTES_MAX: u64 = 64 << 20;

/// Weights are read fastest from multiples of this.
const ALIGNMENT: usize = 64;

/// Reason for not loading an artifact.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// It is missing, or no regular file.
    #[error("artifact {path:?} {cause}")]
    Open { path: PathBuf, cause: OpenError },
    /// It cannot be read.
    #[error("artifact {path:?} cannot be read: {cause}")]
    Read { path: PathBuf, cause: std::io::Error },
    /// Too large to be one.
    #[error("artifact {path:?} has {bytes} bytes, more than any artifact")]
    TooLarge { path: PathBuf, bytes: u64 },
    /// It is none, or is damaged.
    #[error("artifact {path:?} is refused: {cause}")]
    Refused { path: PathBuf, cause: ArtifactError },
}

/// Bytes at an aligned address.
struct AlignedBytes {
    memory: Vec<u8>,
    begin: usize,
    len: usize,
}

impl AlignedBytes {
    fn new(bytes: &[u8]) -> Self {
        let mut memory = vec![0; bytes.len() + ALIGNMENT];
        let begin = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        memory[begin..begin + bytes.len()].copy_from_slice(bytes);
        Self { memory, begin, len: bytes.len() }
    }

    fn get(&self) -> &[u8] {
        &self.memory[self.begin..self.begin + self.len]
    }
}

self_cell! {
    /// A model together with the bytes that it is read from.
    struct OwnedModel {
        owner: AlignedBytes,
        #[covariant]
        dependent: Model,
    }
}

/// Identity of one version of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
    bytes: u64,
    modified_ns: i128,
}

impl FileIdentity {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        }
    }
}

/// A loaded artifact.
pub(crate) struct LoadedModel(OwnedModel);

impl LoadedModel {
    /// The model, read in place.
    pub(crate) fn model(&self) -> &Model<'_> {
        self.0.borrow_dependent()
    }
}

fn load(path: &Path) -> Result<(LoadedModel, FileIdentity), LoadError> {
    let (file, metadata) = regular_file::open(path).map_err(|cause| LoadError::Open { path: path.into(), cause })?;
    if metadata.len() > BYTES_MAX {
        return Err(LoadError::TooLarge { path: path.into(), bytes: metadata.len() });
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(|cause| LoadError::Read { path: path.into(), cause })?;
    let model = OwnedModel::try_new(AlignedBytes::new(&bytes), |bytes| Model::parse(bytes.get()))
        .map_err(|cause| LoadError::Refused { path: path.into(), cause })?;
    Ok((LoadedModel(model), FileIdentity::of(&metadata)))
}

/// An artifact in use.
pub(crate) struct Artifact {
    path: PathBuf,
    current: ArcSwap<LoadedModel>,
    /// The file that was last looked at, good or bad. Only the main thread uses it.
    seen: Mutex<Option<FileIdentity>>,
    swaps: AtomicU64,
    refusals: AtomicU64,
}

impl Artifact {
    /// The artifact of a path; read anew if its file is another one than before.
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>, LoadError> {
        let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.retain(|artifact| artifact.strong_count() > 0);
        if let Some(artifact) = in_use.iter().filter_map(Weak::upgrade).find(|artifact| artifact.path == path) {
            artifact.refresh()?;
            return Ok(artifact);
        }
        let (model, identity) = load(path)?;
        let artifact = Arc::new(Self {
            path: path.into(),
            current: ArcSwap::from_pointee(model),
            seen: Mutex::new(Some(identity)),
            swaps: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
        });
        in_use.push(Arc::downgrade(&artifact));
        Ok(artifact)
    }

    /// All artifacts in use.
    pub(crate) fn all() -> Vec<Arc<Self>> {
        IN_USE.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    /// Takes over the file if it has changed; returns whether it has. One that is refused
    /// is counted and looked at again only when it changes; the present model stays.
    pub(crate) fn refresh(&self) -> Result<bool, LoadError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = std::fs::metadata(&self.path).ok().map(|metadata| FileIdentity::of(&metadata));
        if identity == *seen {
            return Ok(false);
        }
        *seen = identity;
        match load(&self.path) {
            Ok((model, identity)) => {
                *seen = Some(identity);
                self.current.store(Arc::new(model));
                self.swaps.fetch_add(1, Relaxed);
                Ok(true)
            }
            Err(error) => {
                self.refusals.fetch_add(1, Relaxed);
                Err(error)
            }
        }
    }

    /// The model in force, without a lock. It stays valid as long as the guard is held,
    /// whatever takes its place meanwhile.
    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<LoadedModel>> {
        self.current.load()
    }

    /// Identity of the model in force.
    pub(crate) fn identity(&self) -> Identity {
        Identity::of(self.current().model(), &self.path)
    }

    /// Path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Number of new files taken over.
    pub(crate) fn swaps(&self) -> u64 {
        self.swaps.load(Relaxed)
    }

    /// Number of new files refused.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.load(Relaxed)
    }
}

static IN_USE: Mutex<Vec<Weak<Artifact>>> = Mutex::new(Vec::new());
