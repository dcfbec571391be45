//! Running the program, and the made-up service's logs.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Programs that the examples are.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    Command::new(folder.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION))
}

/// A folder of generated logs.
pub(crate) fn logs(folder: &Path, arguments: &[&str]) -> PathBuf {
    let logs = folder.join("logs");
    let done = example("generate").arg(&logs).args(arguments).status().unwrap();
    assert!(done.success());
    logs
}

/// The query that makes requests of the generated rows.
pub(crate) const SQL: &str = "SELECT start_time AS arrival, route AS class, session_id AS session, prompt_tokens, output_tokens, \
                              upstream, duration_ms / 1000.0 AS service_s FROM logs WHERE status = 200";

pub(crate) fn lake(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evenkeel-lake")).args(arguments).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs the program, which must succeed; returns what it said.
pub(crate) fn ingested(arguments: &[&str]) -> String {
    let output = lake(arguments);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

/// The message of the program, which must fail.
pub(crate) fn refused(arguments: &[&str]) -> String {
    let output = lake(arguments);
    assert!(!output.status.success(), "{}", text(&output.stdout));
    text(&output.stderr)
}

/// The rows of a CSV: values by the header's names. Nothing here is quoted.
pub(crate) fn rows(csv: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| {
        let values: Vec<&str> = line.split(',').collect();
        assert_eq!(values.len(), header.len(), "{line}");
        header.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect()
    };
    lines.map(row).collect()
}

/// The written files.
pub(crate) struct Written {
    pub(crate) requests: Vec<BTreeMap<String, String>>,
    pub(crate) rates: Vec<BTreeMap<String, String>>,
    pub(crate) windows: Vec<BTreeMap<String, String>>,
    /// The text of the requests.
    pub(crate) trace: String,
}

pub(crate) fn written(parquet: &Path) -> Written {
    let read = |ending: &str| fs::read_to_string(parquet.with_extension(ending)).unwrap();
    let mut trace = String::new();
    let file = fs::File::open(parquet.with_extension("requests.csv.gz")).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut trace).unwrap();
    Written { requests: rows(&trace), rates: rows(&read("rates.csv")), windows: rows(&read("windows.csv")), trace }
}

pub(crate) fn number(row: &BTreeMap<String, String>, name: &str) -> f64 {
    row[name].parse().unwrap_or_else(|_| panic!("{name}: {:?}", row[name]))
}
