//! A fleet from a file.
//!
//! A JSON array with one object for each kind of host:
//!
//! ```json
//! [
//!   { "name": "a100", "speed": 1.0, "count": 6 },
//!   { "name": "h100", "speed": 2.5, "count": 2 }
//! ]
//! ```
//!
//! `speed` is relative to the host that the service's options describe, `count` is 1 where
//! it is left out, `name` is for people.

use std::path::{Path, PathBuf};

use evenkeel_runtime::state::HOSTS_MAX;
use serde::Deserialize;

use super::Fleet;

/// Speeds beyond these are taken for a mistake: of another unit, most likely.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.001..=1000.0;

/// Why a file describes no fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The file could not be read.
    #[error("cannot read the fleet {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not JSON of the right shape.
    #[error(
        "{origin}, line {line}, column {column}: {found}; expected an array like \
         [{{\"name\": \"a100\", \"speed\": 1.0, \"count\": 6}}]"
    )]
    Json {
        /// Where the text came from.
        origin: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there.
        found: String,
    },
    /// A field makes no sense.
    #[error("{origin}, entry {entry}, field `{field}`: found {found}, expected {expected}")]
    Field {
        /// Where the text came from.
        origin: String,
        /// Entry of the array, from 1.
        entry: usize,
        /// The field.
        field: &'static str,
        /// What is there.
        found: String,
        /// What should be there.
        expected: &'static str,
    },
    /// There are no hosts, or more than a balancer can hold.
    #[error("{origin}: found {hosts} hosts, expected 1 to {HOSTS_MAX}; see `count`")]
    Hosts {
        /// Where the text came from.
        origin: String,
        /// Sum of the counts.
        hosts: u64,
    },
}

/// Hosts of one kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    #[serde(default, rename = "name")]
    _name: Option<String>,
    speed: f64,
    #[serde(default = "one")]
    count: u64,
}

fn one() -> u64 {
    1
}

impl Fleet {
    /// Reads a fleet from a JSON file; its name is the file's, without the ending. See the
    /// module [`fleet::file`](crate::fleet::file) for the format.
    ///
    /// # Errors
    /// If the file cannot be read or describes no fleet; the message says where.
    pub fn read(path: &Path) -> Result<Self, FleetError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| FleetError::Read { path: path.to_owned(), source })?;
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        Self::from_json(&name, &path.display().to_string(), &text)
    }

    /// The same from text. `origin` is what error messages call it.
    ///
    /// # Errors
    /// If the text describes no fleet.
    pub fn from_json(name: &str, origin: &str, text: &str) -> Result<Self, FleetError> {
        let kinds: Vec<Kind> = serde_json::from_str(text).map_err(|error| FleetError::Json {
            origin: origin.to_owned(),
            line: error.line(),
            column: error.column(),
            found: without_place(&error),
        })?;
        let fault = |entry: usize, field: &'static str, found: String, expected: &'static str| FleetError::Field {
            origin: origin.to_owned(),
            entry: entry + 1,
            field,
            found,
            expected,
        };
        let mut hosts = 0u64;
        for (entry, kind) in kinds.iter().enumerate() {
            if !SPEEDS.contains(&kind.speed) {
                return Err(fault(
                    entry,
                    "speed",
                    kind.speed.to_string(),
                    "a number from 0.001 to 1000, 1 being usual",
                ));
            }
            if kind.count == 0 {
                return Err(fault(entry, "count", "0".to_owned(), "at least 1; leave the entry out for none"));
            }
            hosts = hosts.saturating_add(kind.count);
        }
        if hosts == 0 || hosts > HOSTS_MAX as u64 {
            return Err(FleetError::Hosts { origin: origin.to_owned(), hosts });
        }
        let speeds = kinds.iter().flat_map(|kind| std::iter::repeat_n(kind.speed, kind.count as usize));
        Ok(Self { name: name.to_owned(), speeds: speeds.collect() })
    }
}

/// The message of the parser without " at line 1 column 2", which is told apart.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&place).map(str::to_owned).unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::Fleet;

    fn message(text: &str) -> String {
        Fleet::from_json("f", "fleet.json", text).expect_err("the text is wrong").to_string()
    }

    #[test]
    fn kinds_are_repeated() {
        let text = r#"[{"name": "old", "speed": 1, "count": 2}, {"speed": 2.5}]"#;
        let fleet = Fleet::from_json("mine", "fleet.json", text).expect("the text is right");
        assert_eq!((fleet.name.as_str(), fleet.speeds), ("mine", vec![1.0, 1.0, 2.5]));
    }

    #[test]
    fn errors_name_the_place() {
        assert!(message("[\n{\"sped\": 1}]").starts_with("fleet.json, line 2, column 7: unknown field `sped`"));
        assert!(message("[{\"speed\": 1}").contains("line 1"));
        assert!(message(r#"[{"speed": 1}, {"speed": -1}]"#).contains("entry 2, field `speed`: found -1"));
        assert!(message(r#"[{"speed": 1, "count": 0}]"#).contains("field `count`: found 0"));
        assert!(message("[]").contains("found 0 hosts"));
        assert!(message(r#"[{"speed": 1, "count": 18446744073709551615}, {"speed": 1}]"#).contains("expected 1 to"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Fleet::read(std::path::Path::new("no/such/fleet.json")).expect_err("there is no such file");
        assert!(error.to_string().contains("no/such/fleet.json"));
    }
}
