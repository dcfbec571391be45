//! Public data sets: where they are, what they hold, and on what terms.
//!
//! With the feature `fetch` they can be downloaded.

#[cfg(feature = "fetch")]
mod fetch;
mod table;

#[cfg(feature = "fetch")]
pub use fetch::{FetchError, Fetched, fetch};
pub use table::ENTRIES;

use crate::Format;
use std::fmt;

/// One public data set, a single file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name used on the command line.
    pub name: &'static str,
    /// What it holds.
    pub what: &'static str,
    /// The address of the file, at a fixed version where the source has versions.
    pub url: &'static str,
    /// SHA-256 of the file in lower-case hexadecimal, where it is known.
    pub sha256: Option<&'static str>,
    /// Size of the file in bytes, where it is known.
    pub bytes: Option<u64>,
    /// Licence, as an SPDX identifier.
    pub licence: &'static str,
    /// Whom to name when the data is used.
    pub attribution: &'static str,
    /// The format of the file.
    pub format: Format,
}

impl Entry {
    /// The name of the file: the last part of its address.
    pub fn file_name(&self) -> &'static str {
        self.url.rsplit('/').next().unwrap_or(self.name)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.bytes.map_or("size unknown".to_owned(), |bytes| format!("{:.1} MB", bytes as f64 / 1e6));
        writeln!(f, "{}", self.name)?;
        writeln!(f, "  {} ({}, {size})", self.what, self.format)?;
        writeln!(f, "  {}", self.url)?;
        writeln!(f, "  SHA-256 {}", self.sha256.unwrap_or("not known; printed after fetching"))?;
        writeln!(f, "  {}; {}", self.licence, self.attribution)
    }
}

/// The data set called `name`.
pub fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        for entry in ENTRIES {
            assert!(find(entry.name) == Some(entry), "{} is there twice", entry.name);
            assert!(entry.url.starts_with("https://") && entry.file_name().contains('.'), "{}", entry.name);
            let is_hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            assert!(entry.sha256.is_none_or(is_hash), "{}", entry.name);
            assert!(entry.sha256.is_none() || entry.bytes.is_some(), "{}", entry.name);
        }
        assert_eq!(find("none such"), None);
    }
}
