//! Rules that no compiler knows.

use std::path::Path;

use anyhow::{Result, bail};

use super::{Skip, cases};
use crate::process::{self, program};

/// A file longer than this has more than one subject.
const LINES_MAX: usize = 700;

/// Folders of somebody's machine, which must not be written into the sources. In pieces,
/// so that this file passes its own check.
const FOLDERS: [&str; 2] = [concat!("/", "work"), concat!("/", "tmp")];

/// Checks all files that git tracks, and the table of cases.
pub(super) fn run() -> Result<()> {
    let Ok(files) = process::output(&mut program("git", ["ls-files", "-z"])) else {
        return Err(Skip("needs git and a clone, to know the project's files".into()).into());
    };
    let mut complaints: Vec<_> = files.split_terminator('\0').flat_map(check_file).collect();
    complaints.extend(cases::check()?);
    for complaint in &complaints {
        println!("{complaint}");
    }
    if complaints.is_empty() { Ok(()) } else { bail!("{} complaints", complaints.len()) }
}

/// Complaints about one file; none about binary or deleted ones.
fn check_file(path: &str) -> Vec<String> {
    std::fs::read_to_string(process::root().join(path)).map_or_else(|_| Vec::new(), |text| check(path, &text))
}

fn check(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = text.lines().count();
    if Path::new(path).extension().is_some_and(|extension| extension == "rs") && lines > LINES_MAX {
        complaints.push(format!("{path}: {lines} lines, more than {LINES_MAX}: split it by subject"));
    }
    for (index, line) in text.lines().enumerate() {
        if let Some(folder) = FOLDERS.iter().find(|folder| names_folder(line, folder)) {
            let line = index + 1;
            complaints.push(format!("{path}:{line}: names {folder}, a folder of one machine: make it relative"));
        }
    }
    if path.ends_with("Cargo.toml") && text.contains("[package]") && !text.contains("[lints]\nworkspace = true") {
        complaints.push(format!("{path}: add `[lints]` with `workspace = true`"));
    }
    complaints
}

/// Whether a line has the absolute path of a folder: not a longer name, nor a part of
/// another path or address.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let part_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | ')' | '*');
        let before = line[..at].chars().next_back();
        let after = line[at + folder.len()..].chars().next();
        !before.is_some_and(part_of_name) && after == Some('/')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_found() {
        assert!(check("a.rs", &"x\n".repeat(LINES_MAX)).is_empty());
        assert_eq!(check("a.rs", &"x\n".repeat(LINES_MAX + 1)).len(), 1);
        assert!(check("a.csv", &"x\n".repeat(LINES_MAX + 1)).is_empty());
    }

    #[test]
    fn absolute_folders_are_found_and_addresses_are_not() {
        let [first, second] = FOLDERS;
        assert_eq!(check("a.md", &format!("see {first}/shared\n")).len(), 1);
        assert_eq!(check("a.rs", &format!("\"{second}/x\"\n")).len(), 1);
        assert!(check("a.md", &format!("https://example.org{first}/shared, {second}orary, {first}load\n")).is_empty());
    }

    #[test]
    fn crates_share_the_lints() {
        assert_eq!(check("a/Cargo.toml", "[package]\nname = \"a\"\n").len(), 1);
        assert!(check("a/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n").is_empty());
        assert!(check("Cargo.toml", "[workspace]\n").is_empty());
    }
}
