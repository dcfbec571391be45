//! What a checker of memory writes of each process, in a folder of its own.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// An empty folder: what an earlier run found says nothing of this one.
pub(super) fn folder(path: &Path) -> Result<()> {
    fs::remove_dir_all(path).or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    Ok(fs::create_dir_all(path)?)
}

/// Fails, with the first report, unless every process was without a complaint: it then left
/// an empty file, or none.
pub(super) fn ensure_none(path: &Path, checker: &str) -> Result<()> {
    let mut found: Vec<PathBuf> = Vec::new();
    for report in fs::read_dir(path)? {
        let report = report?.path();
        if fs::metadata(&report)?.len() > 0 {
            found.push(report);
        }
    }
    if let Some(first) = found.first() {
        println!("{}", fs::read_to_string(first)?);
    }
    ensure!(found.is_empty(), "{checker} complained of {} processes, of the first one as above", found.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_fails_and_an_empty_one_does_not() -> Result<()> {
        let path = std::env::temp_dir().join(format!("evenkeel-reports-{}", std::process::id()));
        folder(&path)?;
        fs::write(path.join("1"), "")?;
        assert!(ensure_none(&path, "valgrind").is_ok());
        fs::write(path.join("2"), "Invalid read of size 8")?;
        let error = ensure_none(&path, "valgrind").expect_err("a report is there").to_string();
        assert!(error.starts_with("valgrind complained of 1 processes"), "{error}");
        folder(&path)?;
        assert!(ensure_none(&path, "valgrind").is_ok());
        Ok(fs::remove_dir_all(&path)?)
    }
}
