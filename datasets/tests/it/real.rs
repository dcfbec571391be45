//! The loaders on the real files, where these are present.

use crate::support::{load, real};
use evenkeel_datasets::stats::{BIN_S, SeriesStats, TraceStats};
use evenkeel_datasets::{Format, LoadOptions, load_series_with_report, load_trace};

#[test]
fn azure_2023_code() {
    let Some(path) = real("llm_requests/azure2023_code.csv.gz") else { return };
    let trace = load(&path);
    assert_eq!(trace.requests.len(), 8819);
    assert_eq!((trace.duration_s() / 60.0 * 10.0).round(), 573.0);
    assert_eq!((trace.requests[0].prompt_tokens, trace.requests[8818].output_tokens), (4808, 173));
}

#[test]
fn mooncake_conversation() {
    let Some(path) = real("llm_requests/mooncake_conversation_trace.jsonl.gz") else { return };
    let trace = load(&path);
    assert_eq!(trace.requests.len(), 12031);
    assert_eq!(trace.prefix_blocks.iter().max(), Some(&182_789));
    let blocks = |tokens: u32| tokens.div_ceil(512) as usize;
    assert!(trace.requests.iter().all(|r| trace.prefix(r).len() <= blocks(r.prompt_tokens) + 1));
}

#[test]
fn servegen_windows() {
    let Some(path) = real("llm_windows/servegen_m-large_traces.tar.zst") else { return };
    if real("llm_windows/servegen_m-large_datasets.tar.zst").is_none() {
        return;
    }
    let hour_s = 3600.0;
    let options =
        LoadOptions { start_s: 34.0 * hour_s, end_s: 36.0 * hour_s, rate_scale: 0.1, ..LoadOptions::default() };
    let trace = load_trace(path, None, &options).unwrap();
    let Some(series) = real("series/servegen_m-large_total_10min.csv.gz") else { return };
    let (series, _) = load_series_with_report(series, &LoadOptions::default()).unwrap();
    let expected = series[0].slice(34 * 6, 36 * 6).mean() * 0.1;
    let rate = trace.mean_rate_per_s();
    assert!((rate / expected - 1.0).abs() < 0.1, "{rate} requests/s instead of {expected}");
    let mean = trace.requests.iter().map(|r| f64::from(r.prompt_tokens)).sum::<f64>() / trace.requests.len() as f64;
    assert!((300.0..5000.0).contains(&mean), "{mean} prompt tokens");
}

/// File, series, length with missing points, step, missing values, irregular and duplicate rows.
#[test]
fn every_series() {
    let files = [
        ("servegen_m-large_total_10min", 1, 2016, 600.0, 0, 0),
        ("servegen_m-large_clients_10min", 8, 2016, 600.0, 0, 0),
        ("servegen_m-mid_clients_10min", 18, 2016, 600.0, 0, 0),
        ("nab_twitter_AMZN_5min", 1, 15831, 300.0, 0, 0),
        ("nab_twitter_GOOG_5min", 1, 15842, 300.0, 0, 0),
        ("nab_twitter_IBM_5min", 1, 15893, 300.0, 0, 0),
        ("nab_aws_elb_request_count_5min", 1, 4040, 300.0, 8, 0),
        ("nab_nyc_taxi_30min", 1, 10320, 1800.0, 0, 0),
        ("nasa_http_jul95_1min", 1, 39692, 60.0, 0, 0),
        ("nasa_http_aug95_1min", 1, 44640, 60.0, 0, 0),
        ("appserver_cluster_hourly_2015_2018", 1, 33034, 3600.0, 17, 0),
        ("river_webtraffic_R1_15min", 2, 5856, 900.0, 6256, 0),
        ("river_webtraffic_R2_15min", 2, 5856, 900.0, 1330, 0),
        ("river_webtraffic_R3_15min", 2, 5856, 900.0, 7634, 0),
    ];
    for (name, count, len, step_s, missing, irregular) in files {
        let Some(path) = real(&format!("series/{name}.csv.gz")) else { continue };
        let (series, report) = load_series_with_report(path, &LoadOptions::default()).unwrap();
        let found = (series.len(), series[0].len(), series[0].step_s, report.missing, report.irregular_rows);
        assert_eq!(found, (count, len, step_s, missing, irregular), "{name} {report:?}");
    }
}

#[test]
fn the_split_of_a_real_trace_is_in_order() {
    let Some(path) = real("llm_requests/azure2023_code.csv.gz") else { return };
    let trace = load_trace(path, Some(Format::Azure), &LoadOptions::default()).unwrap();
    let parts = trace.split(&evenkeel_datasets::Split::default());
    assert_eq!(parts.iter().map(|part| part.requests.len()).sum::<usize>(), trace.requests.len());
    assert!(parts[0].start_epoch_s < parts[1].start_epoch_s && parts[1].start_epoch_s < parts[2].start_epoch_s);
}

#[test]
fn summaries_of_real_files() {
    let Some(path) = real("llm_requests/mooncake_conversation_trace.jsonl.gz") else { return };
    insta::assert_snapshot!(TraceStats::new(&load(&path), BIN_S), @"
    mooncake_conversation_trace
      rows              12031 requests
      span              58 min 57 s
      mean rate         3.40 requests/s
      peak rate         4.12 requests/s in 1 min, 1.21 times the mean
      inter-arrival CV  3.03
      prefix blocks     36.6 % were seen before in the trace
      autocorrelation   strongest 0.39 at 5 min 54 s
                               mean        p50        p90        p99        max
      prompt (tokens)         12035       6909      27367      85401     126195
      output (tokens)         342.6        350        597       1120       2000
    ");
    let Some(path) = real("series/nab_nyc_taxi_30min.csv.gz") else { return };
    let (series, _) = load_series_with_report(path, &LoadOptions::default()).unwrap();
    insta::assert_snapshot!(SeriesStats::new(&series[0]), @"
    nab_nyc_taxi_30min
      rows              10320 values, one every 30 min
      span              215 d from 2014-07-01 00:00:00 UTC
      missing           none
      mean              15138
      peak              39197, 2.59 times the mean
      CV of the values  0.4584
      autocorrelation   day 0.80, week 0.92, strongest 0.92 at 7 d
                               mean        p50        p90        p99        max
      values                  15138      16778      23595      26900      39197
    ");
}
