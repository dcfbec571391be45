//! Opening files whose path comes from the configuration.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Reason for not opening a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("cannot be opened: {0}")]
    Io(#[from] io::Error),
    /// A folder, a pipe, a device.
    #[error("is not a regular file")]
    NotRegular,
}

/// Opens a regular file for reading. Never waits: opening a pipe would block the main thread,
/// and with it the admin interface, until somebody writes to it.
pub(crate) fn open(path: &Path) -> Result<(File, Metadata), OpenError> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    // Of the open file, not of the path, which may be another file by now.
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(OpenError::NotRegular) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_and_folders_are_refused_at_once() {
        let folder = std::env::temp_dir().join(format!("evenkeel-regular-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let pipe = folder.join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        let regular = folder.join("file");
        std::fs::write(&regular, "abc").expect("a file");
        assert!(matches!(open(&pipe), Err(OpenError::NotRegular)));
        assert!(matches!(open(&folder), Err(OpenError::NotRegular)));
        assert!(matches!(open(&folder.join("missing")), Err(OpenError::Io(_))));
        assert_eq!(open(&regular).expect("a regular file").1.len(), 3);
        std::fs::remove_dir_all(&folder).expect("the folder is there");
    }
}
