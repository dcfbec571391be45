//! Every format on a small made-up file.

use crate::support::{Files, fixture, gzip, load, zstd};
use evenkeel_datasets::stats::{BIN_S, TraceStats};
use evenkeel_datasets::{
    ColumnMap, Format, Gap, LoadOptions, Request, Trace, load_series, load_series_with_report, load_trace, stream_trace,
};

/// Arrival in milliseconds and token counts.
fn short(trace: &Trace) -> Vec<(f64, u32, u32)> {
    let short = |r: &Request| ((r.arrival_s * 1e6).round() / 1e3, r.prompt_tokens, r.output_tokens);
    trace.requests.iter().map(short).collect()
}

/// Service and first-byte time and upstream.
fn measured(trace: &Trace) -> Vec<(Option<f32>, Option<f32>, &str)> {
    let known = |value: f32| (!value.is_nan()).then_some(value);
    let upstream = |r: &Request| trace.upstreams.get(usize::from(r.upstream)).map_or("", String::as_str);
    trace.requests.iter().map(|r| (known(r.service_s), known(r.first_byte_s), upstream(r))).collect()
}

/// Options that take in what is no work, too.
fn everything() -> LoadOptions {
    LoadOptions { include: "all".parse().unwrap(), without_tokens: true, ..LoadOptions::default() }
}

#[test]
fn azure_2023() {
    let trace = load(&fixture("azure2023.csv"));
    assert_eq!(trace.name, "azure2023");
    assert_eq!(short(&trace), [(0.0, 500, 10), (250.0, 1200, 80), (2000.0, 64, 7)]);
    assert_eq!(trace.requests[1].arrival_s, 0.2500001);
    assert_eq!(trace.start_epoch_s, Some(1_700_157_600.1));
}

#[test]
fn azure_2024() {
    let trace = load(&fixture("azure2024.csv"));
    assert_eq!(short(&trace), [(0.0, 2162, 5), (1.163, 2399, 6), (500.0, 76, 15)]);
    assert_eq!(trace.start_epoch_s, Some(1_715_472_000.0));
}

#[test]
fn mooncake() {
    let trace = load(&fixture("mooncake.jsonl"));
    assert_eq!(short(&trace), [(0.0, 1400, 52), (3000.0, 1300, 20), (3000.0, 300, 900)]);
    assert_eq!(trace.prefix(&trace.requests[1]), [0, 1, 3]);
    assert!(trace.prefix(&trace.requests[2]).is_empty());
    assert_eq!((trace.prefix_block_tokens, trace.start_epoch_s), (512, None));
}

#[test]
fn burstgpt() {
    let trace = load(&fixture("burstgpt.csv"));
    assert_eq!(short(&trace), [(0.0, 472, 18), (40000.0, 1087, 230)]);
    assert_eq!(measured(&trace), [(Some(3.5), None, ""), (Some(12.25), None, "")]);
    assert_ne!(trace.requests[0].session, Request::NO_SESSION);
    assert_eq!(trace.requests[1].session, Request::NO_SESSION);
    let all = load_trace(fixture("burstgpt.csv"), None, &everything()).unwrap();
    assert_eq!(short(&all)[2], (113_000.0, 417, 0));
    assert_eq!(short(&load(&fixture("burstgpt_old.csv"))), [(0.0, 472, 18), (40000.0, 1087, 230)]);
}

#[test]
fn nginx_combined() {
    // Half the requests that are answered go to paths of a language model, whose tokens are not logged.
    let trace = load_trace(fixture("nginx_combined.log"), None, &everything()).unwrap();
    assert_eq!(short(&trace), [(0.0, 0, 0), (0.0, 0, 0), (3000.0, 0, 0)]);
    assert!(!trace.has_tokens());
    assert_eq!(trace.start_epoch_s, Some(1_741_770_001.0));
}

#[test]
fn nginx_json() {
    let trace = load_trace(fixture("nginx.jsonl"), None, &everything()).unwrap();
    // Sorted by arrival, which is the time of the entry less the request's.
    assert_eq!(short(&trace), [(0.0, 350, 120), (1500.0, 0, 0), (2500.0, 0, 0)]);
    let expected =
        [(Some(2.99), Some(0.125), "10.0.0.1:8000"), (None, None, ""), (Some(0.625), Some(0.05), "10.0.0.2:8000")];
    assert_eq!(measured(&trace), expected);
    assert_eq!(trace.start_epoch_s, Some(1_741_770_000.5));
}

#[test]
fn envoy_json() {
    let trace = load_trace(fixture("envoy.jsonl"), None, &everything()).unwrap();
    assert_eq!(short(&trace), [(0.0, 0, 0), (250.0, 350, 120), (750.0, 0, 0)]);
    let expected =
        [(Some(0.04), Some(0.038), "10.0.0.2:8000"), (Some(3.0), Some(0.125), "10.0.0.1:8000"), (Some(0.0), None, "")];
    assert_eq!(measured(&trace), expected);
}

#[test]
fn mapped_columns() {
    let columns = "arrival=ts,prompt=in_tokens,output=out_tokens,service=took,upstream=host,unit=ms";
    let options = LoadOptions { columns: Some(columns.parse::<ColumnMap>().unwrap()), ..LoadOptions::default() };
    let trace = load_trace(fixture("mapped.csv"), None, &options).unwrap();
    assert_eq!(short(&trace), [(0.0, 350, 120), (250.0, 20, 5), (500.0, 64, 64)]);
    assert_eq!(
        measured(&trace),
        [(Some(3.0), None, "10.0.0.1"), (None, None, "10.0.0.2"), (Some(0.125), None, "10.0.0.1")]
    );
    assert_eq!(trace.start_epoch_s, Some(1_741_770_000.5));
}

#[test]
fn servegen() {
    let trace = load(&fixture("windows_traces.tar.zst"));
    let count = |begin_s, end_s| trace.slice(begin_s, end_s).requests.len() as f64;
    // 600 s at 2 + 1, at 4, and at 0.5 requests per second; the second with a CV of 2.
    assert!((count(0.0, 600.0) / 1800.0 - 1.0).abs() < 0.1, "{}", count(0.0, 600.0));
    assert!((count(600.0, 1200.0) / 2400.0 - 1.0).abs() < 0.2, "{}", count(600.0, 1200.0));
    assert!((count(1200.0, 1800.0) / 300.0 - 1.0).abs() < 0.4, "{}", count(1200.0, 1800.0));
    // Client 3 borrows the lengths of client 0.
    assert!(trace.requests.iter().all(|r| matches!(r.prompt_tokens, 100 | 200) && r.output_tokens == 10));
    assert!(trace.requests.is_sorted_by(|a, b| a.arrival_s <= b.arrival_s));
    assert_eq!(trace.start_epoch_s, None);
    let again = load(&fixture("windows_datasets.tar.zst"));
    assert_eq!(short(&trace), short(&again));
}

#[test]
fn servegen_scaled_and_cut() {
    let options = LoadOptions { start_s: 600.0, end_s: 1200.0, rate_scale: 3.0, seed: 5, ..LoadOptions::default() };
    let trace = load_trace(fixture("windows_traces.tar.zst"), Some(Format::ServeGen), &options).unwrap();
    assert!((trace.requests.len() as f64 / 7200.0 - 1.0).abs() < 0.15, "{}", trace.requests.len());
    assert!(trace.requests[0].arrival_s < 10.0 && trace.duration_s() < 600.0);
}

#[test]
fn series() {
    let (series, report) = load_series_with_report(fixture("series.csv"), &LoadOptions::default()).unwrap();
    let [a, b] = &series[..] else { panic!("{} series", series.len()) };
    assert_eq!((a.name.as_str(), b.name.as_str()), ("series/sessionsA", "series/sessionsB"));
    assert_eq!((a.step_s, a.start_epoch_s, a.len()), (900.0, 1_704_067_200.0, 8));
    assert_eq!(a.gaps, [Gap { begin: 2, len: 1 }, Gap { begin: 4, len: 2 }]);
    assert_eq!(b.gaps, [Gap { begin: 1, len: 2 }, Gap { begin: 4, len: 2 }]);
    assert_eq!(a.values[3..4], [13.0]);
    assert_eq!(a.values[6..], [15.0, 17.0]);
    insta::assert_debug_snapshot!(report, @r#"
    SeriesReport {
        rows: 7,
        dropped_rows: 0,
        irregular_rows: 0,
        duplicate_rows: 1,
        missing: 7,
        bad_rows: [],
        notes: [
            "time: `timestamp`, dates such as 2024-01-01 00:00:00, taken as UTC (--time-zone NAME says otherwise)",
            "`sessionsA`: unit not stated, values as they are (--series-unit per-second or per-step says which)",
            "`sessionsB`: unit not stated, values as they are (--series-unit per-second or per-step says which)",
        ],
    }
    "#);
}

#[test]
fn series_without_a_header() {
    let series = load_series(fixture("series_plain.csv"), &LoadOptions::default()).unwrap();
    assert_eq!(series[0].values, [1.0, 2.0, 4.0]);
    assert_eq!((series[0].step_s, series[0].start_epoch_s), (600.0, 0.0));
}

#[test]
fn series_with_chosen_columns_and_a_cut() {
    let columns = Some("time=timestamp,value=sessionsB".parse().unwrap());
    let options = LoadOptions { columns, start_s: 2700.0, end_s: 6000.0, ..LoadOptions::default() };
    let series = load_series(fixture("series.csv"), &options).unwrap();
    assert_eq!(series.len(), 1);
    assert_eq!((series[0].values[0], series[0].len()), (3.5, 4));
    assert_eq!(series[0].start_epoch_s, 1_704_067_200.0 + 2700.0);
}

#[test]
fn compression_is_told_by_content() {
    let files = Files::new();
    let content = std::fs::read(fixture("azure2023.csv")).unwrap();
    let plain = short(&load(&fixture("azure2023.csv")));
    assert_eq!(short(&load(&files.write("gzip.csv", gzip(&content)))), plain);
    assert_eq!(short(&load(&files.write("zstd.gz", zstd(&content)))), plain);
    // Archives that were appended to are one.
    let (head, tail) = content.split_at(60);
    assert_eq!(short(&load(&files.write("parts", [gzip(head), gzip(tail)].concat()))), plain);
}

#[test]
fn ranges_cut_and_thinning_thins() {
    let options = LoadOptions { start_s: 0.2, end_s: 2.0, ..LoadOptions::default() };
    let trace = load_trace(fixture("azure2023.csv"), None, &options).unwrap();
    assert_eq!(short(&trace), [(50.0, 1200, 80)]);
    assert_eq!(trace.start_epoch_s, Some(1_700_157_600.3));
    let trace =
        load_trace(fixture("nginx.jsonl"), None, &LoadOptions { start_s: 1.0, end_s: 2.0, ..everything() }).unwrap();
    assert_eq!(short(&trace), [(500.0, 0, 0)]);

    let files = Files::new();
    let rows: Vec<_> = (0..10_000).map(|i| format!("{i},1")).collect();
    let path = files.write("many.csv", format!("ts,n\n{}", rows.join("\n")));
    let columns = Some("arrival=ts".parse().unwrap());
    let options = LoadOptions { columns, rate_scale: 0.25, ..LoadOptions::default() };
    let kept = load_trace(path, None, &options).unwrap().requests.len();
    assert!((2300..2700).contains(&kept), "{kept}");
}

#[test]
fn streams_hand_out_rows_as_they_are() {
    let mut stream = stream_trace(fixture("mooncake.jsonl"), None, &LoadOptions::default()).unwrap();
    assert_eq!(stream.format(), Format::Mooncake);
    assert_eq!(stream.next().unwrap().unwrap().prefix_begin, 0);
    assert_eq!(stream.next().unwrap().unwrap().arrival_s, 3.0);
    assert_eq!(stream.prefix_blocks(), [0, 1, 3]);
    assert_eq!(stream.by_ref().count(), 1);
    assert!(stream.next().is_none());
}

#[test]
fn a_file_is_summarised_as_the_trace_in_it() {
    for name in ["nginx.jsonl", "envoy.jsonl", "nginx_combined.log", "mooncake.jsonl", "azure2023.csv", "burstgpt.csv"]
    {
        for include in ["all", "failures"] {
            let options = LoadOptions { include: include.parse().unwrap(), ..everything() };
            let of_file = TraceStats::of_file(fixture(name), None, &options, BIN_S).unwrap();
            let trace = load_trace(fixture(name), None, &options).unwrap();
            assert_eq!(of_file.to_string(), TraceStats::new(&trace, BIN_S).to_string(), "{name}");
        }
    }
    let part = LoadOptions { start_s: 1.0, ..everything() };
    let of_part = TraceStats::of_file(fixture("nginx.jsonl"), None, &part, BIN_S).unwrap();
    assert_eq!(of_part.rows, 2);
}
