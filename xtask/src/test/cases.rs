//! The table of cases, `modules/testing/cases.json`: every test that it names is there.

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

const TABLE: &str = "modules/testing/cases.json";

/// Python that both proxies' tests inherit from.
const SHARED: &str = "modules/testing/life.py";

/// Where a case may run.
const COLUMNS: [&str; 6] = ["runtime", "c", "simulator", "nginx", "nginx_unbuffered", "envoy"];

/// The one of these that may be empty without a reason: the same tests as its neighbour's.
const OPTIONAL: &str = "nginx_unbuffered";

/// What each case says.
const TEXTS: [&str; 5] = ["row", "name", "setup", "measured", "bound"];

/// Rows of the table, in order.
const ROWS: [&str; 22] = [
    "1", "1b", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19",
    "20", "21",
];

/// Complaints about the table.
pub(super) fn check() -> Result<Vec<String>> {
    let path = process::root().join(TABLE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let table: Value = serde_json::from_str(&text).with_context(|| format!("{TABLE} is no JSON"))?;
    let root = process::root();
    Ok(check_table(&table, |path| fs::read_to_string(root.join(path)).ok()))
}

fn check_table(table: &Value, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let cases = table["cases"].as_array().map_or(&[][..], Vec::as_slice);
    let rows: Vec<_> = cases.iter().map(|case| case["row"].as_str().unwrap_or_default()).collect();
    let mut complaints = Vec::new();
    if rows != ROWS {
        complaints.push(format!("{TABLE}: found the rows {rows:?}, expected {ROWS:?}"));
    }
    for (row, case) in rows.iter().zip(cases) {
        let mut complain = |complaint: String| complaints.push(format!("{TABLE}: row {row}: {complaint}"));
        for name in TEXTS {
            if case[name].as_str().is_none_or(str::is_empty) {
                complain(format!("\"{name}\" is missing: expected a text"));
            }
        }
        for column in COLUMNS.iter().filter(|column| **column != OPTIONAL) {
            let (is_run, reason) =
                (case[column].as_array().is_some_and(|tests| !tests.is_empty()), &case["not_run"][column]);
            if is_run == reason.as_str().is_some_and(|reason| !reason.is_empty()) {
                complain(format!("\"{column}\": expected either tests or a reason in \"not_run\""));
            }
        }
        for test in COLUMNS.iter().flat_map(|column| case[column].as_array().map_or(&[][..], Vec::as_slice)) {
            let test = test.as_str().unwrap_or_default();
            if !is_there(test, &read) {
                complain(format!("there is no test {test}: was it renamed?"));
            }
        }
    }
    complaints
}

/// Finds `path::function`, in Rust or in C, or `path::Class.method`, in Python, in its file.
fn is_there(test: &str, read: &impl Fn(&str) -> Option<String>) -> bool {
    let Some((path, name)) = test.split_once("::") else { return false };
    let Some(text) = read(path) else { return false };
    match name.split_once('.') {
        // A row in C that nobody calls would be a warning, and so an error, of its compiler.
        None if path.ends_with(".h") => text.contains(&format!("static void {name}(")),
        None => text.contains(&format!("fn {name}(")),
        Some((class, method)) => has_method(&(text + &read(SHARED).unwrap_or_default()), class, method),
    }
}

/// Whether a class of these Python files has a method, itself or from a class it inherits from.
fn has_method(text: &str, class: &str, method: &str) -> bool {
    let mut lines = text.lines().skip_while(|line| {
        line.strip_prefix("class ")
            .and_then(|rest| rest.strip_prefix(class))
            .is_none_or(|rest| !rest.starts_with(['(', ':']))
    });
    let Some(head) = lines.next() else { return false };
    let own = lines.take_while(|line| line.is_empty() || line.starts_with(' '));
    let defined = format!("    def {method}(");
    let bases = head.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(bases, _)| bases);
    own.into_iter().any(|line| line.starts_with(&defined))
        || bases.split(", ").any(|base| base != class && has_method(text, base, method))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PYTHON: &str = "class Base:\n    def test_a(self):\n        pass\n\nclass Life(Base, Other):\n    x = 1\n\n    def test_b(self):\n";

    #[test]
    fn methods_are_found_where_they_are_inherited() {
        assert!(has_method(PYTHON, "Life", "test_a") && has_method(PYTHON, "Life", "test_b"));
        assert!(has_method(PYTHON, "Base", "test_a"));
        assert!(!has_method(PYTHON, "Base", "test_b") && !has_method(PYTHON, "Lif", "test_b"));
    }

    #[test]
    fn the_table_holds_and_a_renamed_test_is_found() -> Result<()> {
        assert_eq!(check()?, Vec::<String>::new());
        let text = fs::read_to_string(process::root().join(TABLE))?;
        let renamed: Value = serde_json::from_str(&text.replace("::slowness_is_forgotten", "::slowness_is_kept"))?;
        let root = process::root();
        let complaints = check_table(&renamed, |path| fs::read_to_string(root.join(path)).ok());
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].contains("row 1: there is no test runtime-min/tests/it/life.rs::slowness_is_kept"));
        Ok(())
    }
}
