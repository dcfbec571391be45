//! What is refused, and that the message says what to do.

use crate::support::{ingested, refused};
use std::fs;

#[test]
fn what_cannot_be_read_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let output = folder.path().join("out.parquet");
    let output = output.to_str().unwrap();
    let plain = path("plain.csv", "arrival,prompt_tokens,output_tokens\n10,1,1\n20,2,2\n");
    let named = path("named.csv", "when,prompt\n2025-01-01T00:00:00Z,1\n");
    let negative = path("negative.csv", "arrival,prompt_tokens\n2025-01-01T00:00:00Z,-5\n2025-01-01T00:00:01Z,5\n");
    let wide = path("wide.csv", "arrival_s,prompt_tokens\n0,1\n1e15,1\n");
    let odd = path("notes.txt", "hello");
    let nowhere = folder.path().join("nowhere/*.parquet");
    let cases: &[(&[&str], &[&str])] = &[
        (&[&plain], &["arrival", "--time-unit s", "such as 10"]),
        (&[&named], &["no column `arrival`", "when, prompt", "AS arrival"]),
        (&[&named, "--sql", "SELECT nothing FROM logs"], &["--sql", "nothing"]),
        (&[&named, "--sql", "SELECT * FROM logs WHERE"], &["--sql", "WHERE"]),
        (&[&negative], &["prompt_tokens", "-5", "WHERE"]),
        (&[&wide], &["--time-unit"]),
        (&[&odd], &["notes.txt", "--format"]),
        (&[nowhere.to_str().unwrap()], &["no files", "--format"]),
        (&["ftp://host/logs/*.parquet"], &["ftp", "s3://"]),
        (&[&plain, "--time-unit", "s", "--window", "1000"], &["--window", "multiple"]),
        (&[&plain, "--time-unit", "s", "--memory-mb", "1"], &["--memory-mb"]),
    ];
    for (arguments, expected) in cases {
        let message = refused(&[arguments, &["-o", output][..]].concat());
        assert!(message.lines().any(|line| line.starts_with("error: ")), "{message}");
        for text in *expected {
            assert!(message.contains(text), "{arguments:?}: {text} is not in: {message}");
        }
    }
    // The advice works.
    let said = ingested(&[&plain, "--time-unit", "s", "-o", output]);
    assert!(said.contains("2 requests"), "{said}");
    let said =
        ingested(&[&named, "--sql", "SELECT \"when\" AS arrival, prompt AS prompt_tokens FROM logs", "-o", output]);
    assert!(said.contains("1 requests"), "{said}");
}

#[test]
fn rows_without_a_time_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.csv");
    fs::write(&path, "arrival,prompt_tokens\n2025-01-01T00:00:00Z,5\n,5\n2025-01-01T00:00:09Z,5\n,1\n").unwrap();
    let output = folder.path().join("out.parquet");
    let said = ingested(&[path.to_str().unwrap(), "-o", output.to_str().unwrap()]);
    assert!(said.contains("left out: 2 rows without a time"), "{said}");
}
