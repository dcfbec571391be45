//! Evaluations that were made, kept in a file as they come: a search that was interrupted
//! goes the same way again, and what it remembers costs nothing.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Worth;

/// Worth of vectors by their bits.
#[derive(Debug, Default)]
pub struct Memory {
    known: Mutex<BTreeMap<Vec<u64>, Worth>>,
    file: Option<Mutex<File>>,
}

/// A line of the file, but for the first. Numbers are kept as bits: in decimals the last
/// digit could differ, and with it the way that a search takes.
#[derive(Serialize, Deserialize)]
struct Line {
    shares: Vec<u64>,
    worth: [u64; 4],
}

impl Memory {
    /// Evaluations of `identity` (what they depend on) kept at `path`, those already there
    /// included; the file is made if there is none.
    ///
    /// # Errors
    /// If the file cannot be read or written, or is of another identity.
    pub fn open(path: &Path, identity: &Value) -> Result<Self> {
        let place = || path.display().to_string();
        let mut known = BTreeMap::new();
        let text = if path.exists() { std::fs::read_to_string(path).with_context(place)? } else { String::new() };
        let mut whole_len = 0;
        for (number, line) in text.split_inclusive('\n').enumerate().filter(|(_, line)| line.ends_with('\n')) {
            whole_len += line.len();
            if number == 0 {
                let found: Value = serde_json::from_str(line).with_context(|| format!("{}, line 1", place()))?;
                ensure!(
                    &found == identity,
                    "{}: holds evaluations of {found}, expected {identity}; name another file or delete this one",
                    place()
                );
                continue;
            }
            let Line { shares, worth } = serde_json::from_str(line)
                .with_context(|| format!("{}, line {}: expected an evaluation", place(), number + 1))?;
            let [cost, objectives @ ..] = worth.map(f64::from_bits);
            known.insert(shares, Worth { cost, objectives });
        }
        let mut file = OpenOptions::new().create(true).append(true).open(path).with_context(place)?;
        // The last line may be cut short.
        file.set_len(whole_len as u64).with_context(place)?;
        if whole_len == 0 {
            writeln!(file, "{identity}").with_context(place)?;
        }
        Ok(Self { known: Mutex::new(known), file: Some(Mutex::new(file)) })
    }

    /// Number of evaluations that are remembered.
    pub fn len(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a vector is worth: remembered, or evaluated and kept.
    pub fn recall(&self, shares: &[f64], evaluate: impl FnOnce() -> Worth) -> Worth {
        let key: Vec<u64> = shares.iter().map(|share| share.to_bits()).collect();
        if let Some(worth) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return *worth;
        }
        let worth = evaluate();
        if let Some(file) = &self.file {
            let [first, second, third] = worth.objectives;
            let numbers = [worth.cost, first, second, third].map(f64::to_bits);
            let line = serde_json::to_string(&Line { shares: key.clone(), worth: numbers }).unwrap_or_default() + "\n";
            // A full disk costs the memory, not the search.
            let _ = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
        }
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, worth);
        worth
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const WORTH: Worth = Worth { cost: 0.1 + 0.2, objectives: [1.0 / 3.0, f64::INFINITY, 0.0] };

    #[test]
    fn what_was_evaluated_is_not_evaluated_again() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("evaluations.jsonl");
        let identity = json!({"series": "a"});
        let memory = Memory::open(&path, &identity)?;
        assert_eq!(memory.recall(&[0.1, 0.7], || WORTH), WORTH);
        // A process that is killed leaves half a line.
        OpenOptions::new().append(true).open(&path)?.write_all(b"{\"shares\":[1,")?;
        let memory = Memory::open(&path, &identity)?;
        assert_eq!(memory.len(), 1);
        assert_eq!(memory.recall(&[0.1, 0.7], || unreachable!("it is remembered")), WORTH);
        memory.recall(&[0.2, 0.7], || WORTH);
        assert_eq!(Memory::open(&path, &identity)?.len(), 2);
        let error = Memory::open(&path, &json!({"series": "b"})).unwrap_err().to_string();
        assert!(error.contains("holds evaluations of"), "{error}");
        Ok(())
    }
}
