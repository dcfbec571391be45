//! Bad input: what the messages say, and that nothing is lost silently.

use crate::support::{Files, failure, fixture, gzip, redacted, tar, zstd};
use evenkeel_datasets::{Format, LoadOptions, load_series, load_trace};
use insta::assert_snapshot;

const STRICT: &LoadOptions = &LoadOptions::new();

const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n";

#[test]
fn a_missing_file() {
    let files = Files::new();
    assert_snapshot!(failure(&files.path("none.csv"), None, STRICT), @"DIR/none.csv: cannot be read: No such file or directory (os error 2)");
}

#[test]
fn an_empty_file() {
    let files = Files::new();
    assert_snapshot!(failure(&files.write("empty.csv", ""), None, STRICT), @"DIR/empty.csv: holds no rows; is it the right file, and was it copied whole?");
    assert_snapshot!(failure(&files.write("header.csv", AZURE), None, STRICT), @"DIR/header.csv: holds no usable rows after its header; is it the right file, and was it copied whole?");
    assert_snapshot!(failure(&files.write("empty.gz", gzip(b"\n")), None, STRICT), @"DIR/empty.gz: holds no rows; is it the right file, and was it copied whole?");
}

#[test]
fn time_going_backwards() {
    let files = Files::new();
    let rows = "2024-05-12 00:00:05+00:00,1,1\n2024-05-12 00:00:02.5+00:00,2,2\n2024-05-12 00:00:06+00:00,3,3\n";
    let path = files.write("backwards.csv", format!("{AZURE}{rows}"));
    assert_snapshot!(failure(&path, None, STRICT), @"DIR/backwards.csv:3: arrival: found a time 2.5 s before the row before it, expected rows in order of arrival: sort the file, or load it with --sort (--max-bad-rows N leaves out up to N such rows)");
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
    assert_snapshot!(failure(&path, None, STRICT), @"DIR/negative.csv:3: ContextTokens: found `-7`, expected a whole number of tokens, at least 0 (--max-bad-rows N leaves out up to N such rows)");
    let line = r#"{"timestamp": 0, "input_length": 5, "output_length": -2, "hash_ids": []}"#;
    assert_snapshot!(failure(&files.write("negative.jsonl", line), None, STRICT), @"DIR/negative.jsonl:1: output_length: found `-2`, expected a whole number of tokens, at least 0 (--max-bad-rows N leaves out up to N such rows)");
}

#[test]
fn malformed_rows() {
    let files = Files::new();
    let path = files.write("short.csv", format!("{AZURE}2024-05-12 00:00:05,1\n"));
    assert_snapshot!(failure(&path, None, STRICT), @"DIR/short.csv:2: GeneratedTokens: found 2 columns, expected at least 3 (--max-bad-rows N leaves out up to N such rows)");
    let path = files.write("time.csv", format!("{AZURE}yesterday,1,1\n"));
    assert_snapshot!(failure(&path, None, STRICT), @"DIR/time.csv:2: TIMESTAMP: found `yesterday`, expected a time: ISO 8601 (2024-05-10 00:00:00.5) or a number (--max-bad-rows N leaves out up to N such rows)");
    let good = std::fs::read_to_string(fixture("nginx.jsonl")).unwrap();
    assert_snapshot!(failure(&files.write("cut.jsonl", &good[..good.len() - 30]), None, STRICT), @"DIR/cut.jsonl:3: column 142: found the end of the line, expected a closing quote (--max-bad-rows N leaves out up to N such rows)");
    let path = files.write("no_time.jsonl", good.replace("\"request_time\":0.750,", ""));
    assert_snapshot!(failure(&path, None, STRICT), @"DIR/no_time.jsonl:2: request_time: found nothing, expected seconds from the request's first byte to the log entry (--max-bad-rows N leaves out up to N such rows)");
    let good = std::fs::read_to_string(fixture("nginx_combined.log")).unwrap();
    let path = files.write("combined.log", good.replace("204 -", "204 many"));
    assert_snapshot!(failure(&path, None, STRICT), @"DIR/combined.log:2: body_bytes_sent: found `many`, expected a number of bytes (--max-bad-rows N leaves out up to N such rows)");
    let path = files.write("combined.log", format!("{good}2025/03/12 10:00:00 [error] 7#7: upstream timed out\n"));
    assert_snapshot!(failure(&path, None, STRICT), @"DIR/combined.log:4: time_local: found `error] 7#7: upstream timed`, expected a time as in 10/Oct/2000:13:55:36 -0700 (--max-bad-rows N leaves out up to N such rows)");
}

#[test]
fn more_bad_rows_than_allowed() {
    let files = Files::new();
    let row = "2024-05-12 00:00:05,1,1\n";
    let path = files.write("bad.csv", format!("{AZURE}{row}a,b,c\n{row}d,e,f\n{row}"));
    let allow = |max_bad_rows| LoadOptions { max_bad_rows, ..STRICT.clone() };
    assert_snapshot!(failure(&path, None, &allow(1)), @"DIR/bad.csv:5: TIMESTAMP: found `d`, expected a time: ISO 8601 (2024-05-10 00:00:00.5) or a number (the first of more than 1 bad rows, which is all that --max-bad-rows allows)");
    assert_eq!(load_trace(&path, None, &allow(2)).unwrap().dropped_rows, 2);
}

#[test]
fn truncated_archives() {
    let files = Files::new();
    let rows: Vec<_> = (0..20_000).map(|i| format!("2024-05-12 00:00:05.{i:05},{},7", i * 7919 % 1000)).collect();
    let content = format!("{AZURE}{}\n", rows.join("\n"));
    let cut = |data: Vec<u8>| data[..data.len() - data.len() / 4].to_vec();
    let tolerant = &LoadOptions { max_bad_rows: 1_000_000, ..STRICT.clone() };
    let message = |name, data| {
        let path = files.write(name, data);
        let message = failure(&path, None, STRICT);
        assert_eq!(failure(&path, None, tolerant), message, "damage is never tolerated");
        // How far it was read depends on the decoder's blocks.
        message.split(' ').map(|word| word.parse::<u64>().map_or(word, |_| "N")).collect::<Vec<_>>().join(" ")
    };
    assert_snapshot!(message("cut.csv.gz", cut(gzip(content.as_bytes()))), @"DIR/cut.csv.gz: the gzip data is damaged or ends too early (incomplete deflate stream), after N good lines; fetch or copy the file again");
    assert_snapshot!(message("cut.csv.zst", cut(zstd(content.as_bytes()))), @"DIR/cut.csv.zst: the zstd data is damaged or ends too early (incomplete frame), after N good lines; fetch or copy the file again");
    let windows = std::fs::read(fixture("windows_traces.tar.zst")).unwrap();
    std::fs::copy(fixture("windows_datasets.tar.zst"), files.path("windows_datasets.tar.zst")).unwrap();
    let tar = zstd::decode_all(&windows[..]).unwrap();
    assert_snapshot!(message("windows_traces.tar.zst", cut(windows)), @"DIR/windows_traces.tar.zst: the zstd data is damaged or ends too early (incomplete frame), after N good lines; fetch or copy the file again");
    assert_snapshot!(message("windows_traces.tar.zst", tar[..550].to_vec()), @"DIR/windows_traces.tar.zst: the tar data is damaged or ends too early (data/chunk-0-trace.csv has N bytes, of which N could be read), after N good lines; fetch or copy the file again");
}

#[test]
fn a_wrong_format() {
    let wrong = |name: &str, format| failure(&fixture(name), Some(format), STRICT);
    assert_snapshot!(wrong("azure2023.csv", Format::Mooncake), @"DIR/azure2023.csv: is not in the format `mooncake`: it begins with `TIMESTAMP,ContextTokens,GeneratedTokens`; it looks like `azure`: use --format azure, or leave --format out");
    assert_snapshot!(wrong("nginx.jsonl", Format::NginxCombined), @r#"DIR/nginx.jsonl: is not in the format `nginx-combined`: it begins with `{"msec":1741770003.500,"request_time":3.000,"status":200,"up…`; it looks like `nginx-json`: use --format nginx-json, or leave --format out"#);
    assert_snapshot!(wrong("envoy.jsonl", Format::NginxJson), @r#"DIR/envoy.jsonl: is not in the format `nginx-json`: it begins with `{"start_time":"2025-03-12T09:00:00.500Z","duration":3000,"re…`; it looks like `envoy-json`: use --format envoy-json, or leave --format out"#);
    assert_snapshot!(wrong("windows_traces.tar.zst", Format::Azure), @"DIR/windows_traces.tar.zst: is not in the format `azure`: it is a tar archive; it looks like `servegen`: use --format servegen, or leave --format out");
    assert_snapshot!(wrong("azure2023.csv", Format::ServeGen), @"DIR/azure2023.csv: is not in the format `servegen`: it begins with `TIMESTAMP,ContextTokens,GeneratedTokens`; it looks like `azure`: use --format azure, or leave --format out");
    assert_snapshot!(wrong("series.csv", Format::BurstGpt), @"DIR/series.csv: is not in the format `burstgpt`: it begins with `timestamp,sessionsA,sessionsB,isMissing`; it looks like a rate series: give it as --series");
    assert_snapshot!(failure(&fixture("series.csv"), None, STRICT), @"DIR/series.csv: looks like a rate series, not like a trace of requests: it begins with `timestamp,sessionsA,sessionsB,isMissing`; give it as --series, or, if its rows are requests, name their columns with --columns arrival=timestamp");
    assert_snapshot!(failure(&fixture("mapped.csv"), None, STRICT), @"DIR/mapped.csv: looks like a rate series, not like a trace of requests: it begins with `id;ts;in_tokens;out_tokens;took;host;comment`; give it as --series, or, if its rows are requests, name their columns with --columns arrival=ts,prompt=in_tokens,output=out_tokens");
    assert_snapshot!(wrong("mapped.csv", Format::Csv), @"columns: found `none`, expected arrival=COLUMN,… with the formats csv and json, which have no columns of their own");
    let files = Files::new();
    assert_snapshot!(failure(&files.write("x.xz", b"\xfd7zXZ\0\0\x04"), Some(Format::Azure), STRICT), @"DIR/x.xz: is not in the format `azure`: it is binary data; is it compressed by something other than gzip and zstd? Unpack it first");
}

#[test]
fn wrong_columns() {
    let options = LoadOptions { columns: Some("arrival=when".parse().unwrap()), ..STRICT.clone() };
    assert_snapshot!(failure(&fixture("mapped.csv"), None, &options), @"DIR/mapped.csv: is not in the format `csv`: there is no column `when`, the columns are id, ts, in_tokens, out_tokens, took, host, comment; name columns that are there with --columns arrival=COLUMN,…");
}

#[test]
fn a_missing_companion() {
    let files = Files::new();
    std::fs::copy(fixture("windows_traces.tar.zst"), files.path("alone_traces.tar.zst")).unwrap();
    assert_snapshot!(failure(&files.path("alone_traces.tar.zst"), None, STRICT), @"DIR/alone_traces.tar.zst: needs DIR/alone_datasets.tar.zst beside it, which is not there; fetch it too");
}

#[test]
fn servegen_members() {
    let files = Files::new();
    let good = (
        "0,2,1,Gamma,1,0.5\n600,1,1,Weibull,0.9,1\n",
        r#"{"0":{"input_tokens":"{5: 1.0}","output_tokens":"{7: 1.0}"}}"#,
    );
    let message = |windows: &str, lengths: &str| {
        let archive = |name, member, content: &str| files.write(name, tar(member, content.as_bytes()));
        archive("x_datasets.tar", "data/chunk-4-dataset.json", lengths);
        failure(&archive("x_traces.tar", "data/chunk-4-trace.csv", windows), None, STRICT)
    };
    assert_snapshot!(message(&good.0.replace("Weibull", "Poisson"), good.1), @"DIR/x_traces.tar/data/chunk-4-trace.csv:2: pattern: found `Poisson`, expected Gamma or Weibull (--max-bad-rows N leaves out up to N such rows)");
    assert_snapshot!(message(&good.0.replace("600,", "60O,"), good.1), @"DIR/x_traces.tar/data/chunk-4-trace.csv:2: t: found `60O`, expected seconds, at least 0, at most ten years, and at least one more than in the row before (--max-bad-rows N leaves out up to N such rows)");
    assert_snapshot!(message("0,2,1\n", good.1), @"DIR/x_traces.tar/data/chunk-4-trace.csv:1: line: found `0,2,1`, expected six columns: t,rate,cv,pattern,param1,param2 (--max-bad-rows N leaves out up to N such rows)");
    assert_snapshot!(message(good.0, &good.1.replace("5: 1.0", "-5: 1.0")), @"DIR/x_datasets.tar/data/chunk-4-dataset.json:1: input_tokens: found `-5: 1.0`, expected {tokens: probability, …} (--max-bad-rows N leaves out up to N such rows)");
    assert_snapshot!(message(good.0, &good.1[..20]), @r#"DIR/x_datasets.tar/data/chunk-4-dataset.json:1: column 20: found `{"0":{"input_tokens"`, expected JSON of the form {"0": {"input_tokens": "{…}", "output_tokens": "{…}"}} (EOF while parsing an object) (--max-bad-rows N leaves out up to N such rows)"#);
    assert_snapshot!(message(good.0, "{}"), @"DIR/x_datasets.tar: holds no distributions of lengths for any of the clients; is it the right file, and was it copied whole?");
}

#[test]
fn options_that_cannot_be() {
    let path = fixture("azure2023.csv");
    assert_snapshot!(failure(&path, None, &LoadOptions { rate_scale: 2.0, ..STRICT.clone() }), @"rate scale: found `2`, expected at most 1: recorded requests can be thinned, not multiplied (servegen takes any factor)");
    assert_snapshot!(failure(&path, None, &LoadOptions { start_s: 5.0, end_s: 5.0, ..STRICT.clone() }), @"start and end: found `5 s to 5 s`, expected 0 <= start < end");
    assert_snapshot!(failure(&path, None, &LoadOptions { start_s: 5.0, ..STRICT.clone() }), @"start and end: found `5 s to the end`, expected a time in which the trace has requests");
}

#[test]
fn series_errors() {
    let files = Files::new();
    let message = |path: &std::path::Path| redacted(&load_series(path, STRICT).unwrap_err().to_string(), path);
    assert_snapshot!(message(&fixture("mooncake.jsonl")), @r#"DIR/mooncake.jsonl: is not in the format `series`: it begins with `{"timestamp": 0, "input_length": 1400, "output_length": 52, …`; it looks like `mooncake`, which is a trace of requests: give it as --trace"#);
    assert_snapshot!(message(&files.write("one.csv", "t,value\n0,1\n")), @"DIR/one.csv: holds no two rows of different times, from which to tell the step; is it the right file, and was it copied whole?");
    assert_snapshot!(message(&files.write("negative.csv", "t,value\n0,1\n1,-1\n")), @"DIR/negative.csv:3: value: found `-1`, expected a number, at least 0 and at most 1e15, or nothing where missing (--max-bad-rows N leaves out up to N such rows)");
    assert_snapshot!(message(&files.write("backwards.csv", "t,value\n0,1\n60,1\n30,1\n")), @"DIR/backwards.csv:4: time: found a time 30 s before the row before it, expected rows in order of time: sort the file, or load it with --sort (--max-bad-rows N leaves out up to N such rows)");
    assert_snapshot!(message(&files.write("uneven.csv", "t,value\n0,1\n1,1\n2.5,1\n3.2,1\n4.6,3\n5.4,3\n")), @"DIR/uneven.csv: the rows have no constant step: the median is 1 s, but 3 of 6 rows are far from a multiple of it; is it a trace of requests (then give it as --trace with --columns arrival=COLUMN), or is the time in another unit (--time-unit ms)?");
    assert_snapshot!(message(&files.write("sparse.csv", "t,value\n0,1\n1,1\n2,1\n9000000000,1\n")), @"DIR/sparse.csv: the rows have no constant step: the median is 1 s, but 9000000001 steps would hold only 4 rows; is it a trace of requests (then give it as --trace with --columns arrival=COLUMN), or is the time in another unit (--time-unit ms)?");
}
