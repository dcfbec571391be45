//! Memory that is a file: the one place where the agent needs unsafe code.

#![allow(unsafe_code, reason = "a mapping is shared memory; what is done to it is atomic")]

use std::fs::File;
use std::io;
use std::sync::atomic::AtomicU64;

use memmap2::{MmapOptions, MmapRaw};

/// A file, mapped for reading and writing, seen as 64-bit words.
#[derive(Debug)]
pub(crate) struct MappedWords {
    map: MmapRaw,
    words: usize,
}

impl MappedWords {
    /// Maps the first `words` words of a file, which must be that long and stay so.
    pub(crate) fn new(file: &File, words: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(words * size_of::<AtomicU64>()).map_raw(file)?;
        Ok(Self { map, words })
    }

    /// The words.
    #[expect(clippy::cast_ptr_alignment, reason = "mappings begin on pages")]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        let words = self.map.as_mut_ptr().cast::<AtomicU64>();
        // SAFETY:
        // - the mapping is page-aligned, `words` words long and lives as long as `self`;
        // - every bit pattern is a valid word, and whoever else has the file mapped reads and
        //   writes it by atomic operations on words, as the layout's description demands;
        // - the agent holds the file's lock and never shortens it.
        unsafe { std::slice::from_raw_parts(words, self.words) }
    }
}
