//! Bad input: what the messages say, and that nothing is lost silently.

use crate::support::{Files, failure, fixture, gzip, redacted, zstd};
use evenkeel_datasets::{Format, LoadOptions, load_series, load_trace};
use insta::assert_snapshot;

const STRICT: &LoadOptions = &LoadOptions {
    max_bad_rows: 0,
    columns: None,
    seed: 0,
    start_s: 0.0,
    end_s: f64::INFINITY,
    rate_scale: 1.0,
    sort: false,
};

const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n";

#[test]
fn a_missing_file() {
    let files = Files::new();
    assert_snapshot!(failure(&files.path("none.csv"), None, STRICT), @"");
}

#[test]
fn an_empty_file() {
    let files = Files::new();
    assert_snapshot!(failure(&files.write("empty.csv", ""), None, STRICT), @"");
    assert_snapshot!(failure(&files.write("header.csv", AZURE), None, STRICT), @"");
    assert_snapshot!(failure(&files.write("empty.gz", gzip(b"\n")), None, STRICT), @"");
}

#[test]
fn time_going_backwards() {
    let files = Files::new();
    let rows = "2024-05-12 00:00:05+00:00,1,1\n2024-05-12 00:00:02.5+00:00,2,2\n2024-05-12 00:00:06+00:00,3,3\n";
    let path = files.write("backwards.csv", format!("{AZURE}{rows}"));
    assert_snapshot!(failure(&path, None, STRICT), @"");
    let tolerant = load_trace(&path, None, &LoadOptions { max_bad_rows: 1, ..STRICT.clone() }).unwrap();
    assert_eq!((tolerant.requests.len(), tolerant.dropped_rows), (2, 1));
    let sorted = load_trace(&path, None, &LoadOptions { sort: true, ..STRICT.clone() }).unwrap();
    assert_eq!(sorted.requests.iter().map(|r| r.prompt_tokens).collect::<Vec<_>>(), [2, 1, 3]);
    assert_eq!(sorted.start_epoch_s, Some(1_715_472_002.5));
}

#[test]
fn negative_tokens() {
    let files = Files::new();
    let path = files.write("negative.csv", format!("{AZURE}2024-05-12 00:00:05,1,1\n2024-05-12 00:00:06,-7,1\n"));
    assert_snapshot!(failure(&path, None, STRICT), @"");
    let line = r#"{"timestamp": 0, "input_length": 5, "output_length": -2, "hash_ids": []}"#;
    assert_snapshot!(failure(&files.write("negative.jsonl", line), None, STRICT), @"");
}

#[test]
fn malformed_rows() {
    let files = Files::new();
    let path = files.write("short.csv", format!("{AZURE}2024-05-12 00:00:05,1\n"));
    assert_snapshot!(failure(&path, None, STRICT), @"");
    let path = files.write("time.csv", format!("{AZURE}yesterday,1,1\n"));
    assert_snapshot!(failure(&path, None, STRICT), @"");
    let good = std::fs::read_to_string(fixture("nginx.jsonl")).unwrap();
    assert_snapshot!(failure(&files.write("cut.jsonl", &good[..good.len() - 30]), None, STRICT), @"");
    let path = files.write("no_time.jsonl", good.replace("\"request_time\":0.750,", ""));
    assert_snapshot!(failure(&path, None, STRICT), @"");
    let good = std::fs::read_to_string(fixture("nginx_combined.log")).unwrap();
    let path = files.write("combined.log", good.replace("204 -", "204 many"));
    assert_snapshot!(failure(&path, None, STRICT), @"");
    let path = files.write("combined.log", format!("{good}2025/03/12 10:00:00 [error] 7#7: upstream timed out\n"));
    assert_snapshot!(failure(&path, None, STRICT), @"");
}

#[test]
fn more_bad_rows_than_allowed() {
    let files = Files::new();
    let row = "2024-05-12 00:00:05,1,1\n";
    let path = files.write("bad.csv", format!("{AZURE}{row}a,b,c\n{row}d,e,f\n{row}"));
    let allow = |max_bad_rows| LoadOptions { max_bad_rows, ..STRICT.clone() };
    assert_snapshot!(failure(&path, None, &allow(1)), @"");
    assert_eq!(load_trace(&path, None, &allow(2)).unwrap().dropped_rows, 2);
}

#[test]
fn truncated_archives() {
    let files = Files::new();
    let rows: String = (0..20_000).map(|i| format!("2024-05-12 00:00:05.{i:05},{},7\n", i * 7919 % 1000)).collect();
    let content = format!("{AZURE}{rows}");
    let cut = |data: Vec<u8>| data[..data.len() - data.len() / 4].to_vec();
    let tolerant = &LoadOptions { max_bad_rows: 1_000_000, ..STRICT.clone() };
    let message = |name, data| {
        let path = files.write(name, data);
        let message = failure(&path, None, STRICT);
        assert_eq!(failure(&path, None, tolerant), message, "damage is never tolerated");
        // How far it was read depends on the decoder's blocks.
        message.split(' ').map(|word| word.parse::<u64>().map_or(word, |_| "N")).collect::<Vec<_>>().join(" ")
    };
    assert_snapshot!(message("cut.csv.gz", cut(gzip(content.as_bytes()))), @"");
    assert_snapshot!(message("cut.csv.zst", cut(zstd(content.as_bytes()))), @"");
    let windows = std::fs::read(fixture("windows_traces.tar.zst")).unwrap();
    std::fs::copy(fixture("windows_datasets.tar.zst"), files.path("windows_datasets.tar.zst")).unwrap();
    let tar = zstd::decode_all(&windows[..]).unwrap();
    assert_snapshot!(message("windows_traces.tar.zst", cut(windows)), @"");
    assert_snapshot!(message("windows_traces.tar.zst", tar[..550].to_vec()), @"");
}

#[test]
fn a_wrong_format() {
    let wrong = |name: &str, format| failure(&fixture(name), Some(format), STRICT);
    assert_snapshot!(wrong("azure2023.csv", Format::Mooncake), @"");
    assert_snapshot!(wrong("nginx.jsonl", Format::NginxCombined), @"");
    assert_snapshot!(wrong("envoy.jsonl", Format::NginxJson), @"");
    assert_snapshot!(wrong("windows_traces.tar.zst", Format::Azure), @"");
    assert_snapshot!(wrong("azure2023.csv", Format::ServeGen), @"");
    assert_snapshot!(wrong("series.csv", Format::BurstGpt), @"");
    assert_snapshot!(failure(&fixture("series.csv"), None, STRICT), @"");
    assert_snapshot!(failure(&fixture("mapped.csv"), None, STRICT), @"");
    assert_snapshot!(wrong("mapped.csv", Format::Csv), @"");
    let files = Files::new();
    assert_snapshot!(failure(&files.write("x.xz", b"\xfd7zXZ\0\0\x04"), Some(Format::Azure), STRICT), @"");
}

#[test]
fn wrong_columns() {
    let options = LoadOptions { columns: Some("arrival=when".parse().unwrap()), ..STRICT.clone() };
    assert_snapshot!(failure(&fixture("mapped.csv"), None, &options), @"");
}

#[test]
fn a_missing_companion() {
    let files = Files::new();
    std::fs::copy(fixture("windows_traces.tar.zst"), files.path("alone_traces.tar.zst")).unwrap();
    assert_snapshot!(failure(&files.path("alone_traces.tar.zst"), None, STRICT), @"");
}

#[test]
fn options_that_cannot_be() {
    let path = fixture("azure2023.csv");
    assert_snapshot!(failure(&path, None, &LoadOptions { rate_scale: 2.0, ..STRICT.clone() }), @"");
    assert_snapshot!(failure(&path, None, &LoadOptions { start_s: 5.0, end_s: 5.0, ..STRICT.clone() }), @"");
    assert_snapshot!(failure(&path, None, &LoadOptions { start_s: 5.0, ..STRICT.clone() }), @"");
}

#[test]
fn series_errors() {
    let files = Files::new();
    let message = |path: &std::path::Path| redacted(load_series(path, STRICT).unwrap_err().to_string(), path);
    assert_snapshot!(message(&fixture("mooncake.jsonl")), @"");
    assert_snapshot!(message(&files.write("one.csv", "t,value\n0,1\n")), @"");
    assert_snapshot!(message(&files.write("negative.csv", "t,value\n0,1\n1,-1\n")), @"");
    assert_snapshot!(message(&files.write("backwards.csv", "t,value\n0,1\n60,1\n30,1\n")), @"");
    assert_snapshot!(message(&files.write("uneven.csv", "t,value\n0,1\n1,1\n2.5,1\n3.2,1\n4.6,3\n5.4,3\n")), @"");
    assert_snapshot!(message(&files.write("sparse.csv", "t,value\n0,1\n1,1\n2,1\n9000000000,1\n")), @"");
}
