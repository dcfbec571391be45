//! What comes out, against an oracle that goes through all rows itself.

use crate::support::{SQL, ingested, logs, number, rows, written};
use std::collections::BTreeMap;
use std::fs;

/// The rows of generated CSV that are work: time in µs, route, session, prompt, output.
fn work(folder: &std::path::Path) -> Vec<(i64, String, String, f64, f64)> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let rows = files.iter().flat_map(|file| rows(&fs::read_to_string(file).unwrap()));
    let good = rows.filter(|row| row["status"] == "200");
    good.map(|row| {
        (
            us(&row["start_time"]),
            row["route"].clone(),
            row["session_id"].clone(),
            number(&row, "prompt_tokens"),
            number(&row, "output_tokens"),
        )
    })
    .collect()
}

/// `2025-11-24T00:00:04.035123Z` of November or December 2025 in µs since 1970.
fn us(text: &str) -> i64 {
    let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let day = part(8..10) + if part(5..7) == 12 { 30 } else { 0 };
    let seconds = ((day - 24) * 24 + part(11..13)) * 3600 + part(14..16) * 60 + part(17..19);
    let fraction = format!("{:0<6}", text[19..].trim_start_matches('.').trim_end_matches('Z'));
    (1_763_942_400 + seconds) * 1_000_000 + fraction.parse::<i64>().unwrap()
}

#[test]
fn rates_windows_and_requests_are_those_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let csv = logs(&folder.path().join("csv"), &["60000", "--files", "3", "--days", "3", "--format", "csv"]);
    let parquet = logs(folder.path(), &["60000", "--files", "3", "--days", "3"]);
    let work = work(&csv);
    let output = folder.path().join("service.parquet");
    let pattern = parquet.join("*.parquet");
    let said = ingested(&[pattern.to_str().unwrap(), "--sql", SQL, "-o", output.to_str().unwrap(), "--windows", "6"]);
    assert!(said.contains("3 files") && said.contains(&format!("{} requests", work.len())), "{said}");
    let written = written(&output);

    // Rates: every whole step, all classes and each.
    let count = |from_s: f64, class: Option<&str>| {
        let of = |row: &&(i64, String, String, f64, f64)| {
            let t_s = row.0 as f64 / 1e6;
            (from_s..from_s + 300.0).contains(&t_s) && class.is_none_or(|class| row.1 == class)
        };
        work.iter().filter(of).fold((0.0, 0.0), |(n, prompt), row| (n + 1.0, prompt + row.3))
    };
    assert_eq!(written.rates.len() as i64, (work[work.len() - 1].0 / 300_000_000) - (work[0].0 / 300_000_000) - 1);
    for row in written.rates.iter().step_by(37) {
        let from_s = number(row, "t_s");
        let (n, prompt) = count(from_s, None);
        assert_eq!((number(row, "requests_per_s") * 300.0).round(), n);
        assert!((number(row, "prompt_tokens_per_s") * 300.0 - prompt).abs() < 1e-3);
        assert_eq!((number(row, "code_requests_per_s") * 300.0).round(), count(from_s, Some("code")).0);
    }

    // Windows: whole hours, six of them chosen, among them the busiest.
    let chosen: Vec<_> = written.windows.iter().filter(|row| !row["chosen"].is_empty()).collect();
    let step_of = |row: &(i64, String, String, f64, f64)| row.0 / 300_000_000;
    let (first, last) = (step_of(&work[0]), step_of(&work[work.len() - 1]));
    assert_eq!((written.windows.len() as i64, chosen.len()), ((last + 1) / 12 - (first + 11) / 12, 6));
    let busiest = written.windows.iter().map(|row| number(row, "requests")).fold(0.0, f64::max);
    assert!(chosen.iter().any(|row| number(row, "requests") == busiest));

    // Requests: all of the chosen windows, in order, with their sessions.
    let mut expected = Vec::new();
    for (at, window) in chosen.iter().enumerate() {
        let begin_us = number(window, "begin_s") as i64 * 1_000_000;
        let within = work.iter().filter(|row| (begin_us..begin_us + 3_600_000_000).contains(&row.0));
        let rows: Vec<_> = within.collect();
        assert_eq!(rows.len() as f64, number(window, "requests"));
        let mut prompts: Vec<f64> = rows.iter().map(|row| row.3).collect();
        prompts.sort_by(f64::total_cmp);
        assert_eq!(number(window, "prompt_p50"), prompts[prompts.len().div_ceil(2) - 1]);
        let mean = prompts.iter().sum::<f64>() / prompts.len() as f64;
        assert!((number(window, "prompt_mean") - mean).abs() < 0.01);
        // Arrivals are those of a Poisson process, within the hour.
        assert!((0.85..1.15).contains(&number(window, "interarrival_cv")), "{window:?}");
        expected.extend(rows.into_iter().map(|row| {
            let arrival_s = at as f64 * 3600.0 + (row.0 - begin_us) as f64 / 1e6;
            (format!("{arrival_s:.6}"), row.3, row.4, format!("{}#{at}", row.2))
        }));
    }
    let of = |row: &BTreeMap<String, String>| {
        (row["arrival_s"].clone(), number(row, "prompt_tokens"), number(row, "output_tokens"), row["session"].clone())
    };
    assert_eq!(written.requests.iter().map(of).collect::<Vec<_>>(), expected);
}

#[test]
fn little_memory_spills_and_gives_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let logs = logs(folder.path(), &["400000", "--files", "2", "--days", "2"]);
    let temp = folder.path().join("spill");
    fs::create_dir(&temp).unwrap();
    let run = |name: &str, memory: &str| {
        let output = folder.path().join(name);
        // All windows, so that all rows are sorted.
        let arguments = [
            logs.to_str().unwrap(),
            "--sql",
            SQL,
            "-o",
            output.to_str().unwrap(),
            "--windows",
            "48",
            "--memory-mb",
            memory,
            "--temp",
            temp.to_str().unwrap(),
            "--threads",
            "2",
        ];
        ingested(&arguments);
        written(&output)
    };
    let (little, much) = (run("little.parquet", "64"), run("much.parquet", "2000"));
    assert_eq!(little.requests.len(), much.requests.len());
    assert!(little.trace == much.trace, "the same rows in the same order");
    assert!(little.rates == much.rates && little.windows == much.windows);
}

#[test]
fn whole_sessions_are_left_out_where_there_are_too_many_requests() {
    let folder = tempfile::tempdir().unwrap();
    let logs = logs(folder.path(), &["50000", "--files", "1", "--days", "1"]);
    let run = |name: &str, limit: &str| {
        let output = folder.path().join(name);
        let arguments = [
            logs.to_str().unwrap(),
            "--sql",
            SQL,
            "-o",
            output.to_str().unwrap(),
            "--windows",
            "3",
            "--requests-max",
            limit,
        ];
        (ingested(&arguments), written(&output))
    };
    let (_, all) = run("all.parquet", "1000000");
    let (said, some) = run("some.parquet", "2000");
    assert!(said.contains("by whole sessions") && said.contains("lower than they were"), "{said}");
    assert!((1500..2500).contains(&some.requests.len()), "{}", some.requests.len());
    let turns = |rows: &[BTreeMap<String, String>]| {
        rows.iter().fold(BTreeMap::new(), |mut turns: BTreeMap<String, usize>, row| {
            *turns.entry(row["session"].clone()).or_default() += 1;
            turns
        })
    };
    let (all, some) = (turns(&all.requests), turns(&some.requests));
    assert!(some.iter().all(|(session, turns)| all[session] == *turns), "a session that is kept has all its turns");
}
