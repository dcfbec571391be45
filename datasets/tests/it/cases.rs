//! Logs and series rebuilt from public reports, where these are present: each is read right, or
//! refused with advice that works.

use crate::support::{advised, cases};
use evenkeel_datasets::stats::{BIN_S, TraceStats};
use evenkeel_datasets::{
    LoadOptions, Reason, Request, Series, SeriesUnit, ServiceSeen, Trace, Understanding, load_series, load_trace,
    load_trace_with_report,
};
use std::path::Path;

fn read(folder: &Path, name: &str) -> (Trace, Understanding) {
    load_trace_with_report(folder.join(name), None, &LoadOptions::default()).unwrap()
}

/// What is read when the advice of the refusal is followed.
fn read_as_advised(folder: &Path, name: &str, expected: &str) -> Trace {
    let path = folder.join(name);
    let message = load_trace(&path, None, &LoadOptions::default()).unwrap_err().to_string();
    assert!(message.contains(expected), "{message}");
    load_trace(&path, None, &advised(&message)).unwrap()
}

fn mean(trace: &Trace, value: impl Fn(&Request) -> f64) -> f64 {
    trace.requests.iter().map(value).sum::<f64>() / trace.requests.len() as f64
}

fn is_near(found: f64, expected: f64, share: f64) -> bool {
    (found / expected - 1.0).abs() < share
}

#[test]
fn units_are_not_taken_by_look_alike() {
    let Some(folder) = cases("logs") else { return };
    let (trace, _) = read(&folder, "l01_bailian_blksz_16.jsonl");
    assert!(is_near(trace.mean_rate_per_s(), 0.87, 0.02), "{}", trace.mean_rate_per_s());
    assert_eq!(trace.prefix_block_tokens, 16);
    let (trace, _) = read(&folder, "l31_epoch_seconds.jsonl");
    assert!(is_near(trace.mean_rate_per_s(), 0.512, 0.01) && trace.start_epoch_s == Some(1_764_000_002.0));
    let (trace, _) = read(&folder, "l32_mooncake_ms_control.jsonl");
    assert!(is_near(trace.mean_rate_per_s(), 0.51, 0.01) && trace.prefix_block_tokens == 512);
    let trace = read_as_advised(&folder, "l34_csv_ms.csv", "--columns arrival=ts,prompt=in_tokens,output=out_tokens");
    assert!((0.05..20.0).contains(&trace.mean_rate_per_s()) && trace.start_epoch_s.is_some() && trace.has_tokens());
}

#[test]
fn fields_are_found_under_their_names() {
    let Some(folder) = cases("logs") else { return };
    for name in ["l06_envoy_ai_gateway_genai.json", "l06_envoy_ai_gateway_otel.json"] {
        let (trace, understanding) = read(&folder, name);
        assert_eq!((trace.requests.len(), trace.upstreams.len()), (1500, 2), "{name}");
        assert_eq!(understanding.service, ServiceSeen::LanguageModel, "{name}");
        assert!(is_near(mean(&trace, |r| f64::from(r.output_tokens)), 254.0, 0.02), "{name}");
    }
    // Milliseconds are not overwritten by whole seconds.
    for (name, hosts) in [("l02_json_analytics.log", 2..9), ("l20_msec_and_time_local.json", 2..3)] {
        let options = LoadOptions { without_tokens: true, ..LoadOptions::default() };
        let trace = load_trace(folder.join(name), None, &options).unwrap();
        assert!(trace.requests.iter().any(|r| r.arrival_s.fract() > 0.01), "{name}");
        assert!(hosts.contains(&trace.upstreams.len()), "{name}: {:?}", trace.upstreams);
    }
    for name in ["l02_json_analytics.log", "l04_time_local.json", "l04b_at_timestamp.json", "l23_istio_text.log"] {
        let trace = read_as_advised(&folder, name, "--without-tokens");
        assert!(trace.requests.len() >= 50 && trace.requests.iter().all(|r| r.service_s > 0.0), "{name}");
    }
}

#[test]
fn what_is_no_work_is_left_out_and_counted() {
    let Some(folder) = cases("logs") else { return };
    for (name, failures) in
        [("l03_nginx_502_host.json", 532), ("l03b_nginx_llm_502_host.json", 478), ("l33_no_live_upstreams.json", 305)]
    {
        let (trace, understanding) = read(&folder, name);
        assert_eq!(understanding.left_out(Reason::Failure), failures, "{name}");
        assert_eq!(trace.upstreams.len(), 2, "{name}: {:?}", trace.upstreams);
        let include = LoadOptions { include: "failures,no-tokens".parse().unwrap(), ..LoadOptions::default() };
        assert_eq!(load_trace(folder.join(name), None, &include).unwrap().requests.len(), 1500, "{name}");
    }
    let (trace, understanding) = read(&folder, "l26_probes_in_llm_log.json");
    assert_eq!(understanding.left_out(Reason::Probe), 762);
    assert!(is_near(mean(&trace, |r| f64::from(r.output_tokens)), 160.0, 0.03));
    let (trace, understanding) = read(&folder, "l05_nginx_retries.json");
    assert_eq!((trace.requests.len(), understanding.left_out(Reason::Failure)), (6, 3));
    let hosts = ["10.0.0.1:8000", "10.0.0.2:8000", "[2001:db8::10]:8000", "unix:/run/llm.sock"];
    assert!(trace.upstreams.iter().all(|host| hosts.contains(&&**host)), "{:?}", trace.upstreams);
}

#[test]
fn wrappers_lists_and_results_are_read() {
    let Some(folder) = cases("logs") else { return };
    for name in ["l09_cri.log", "l09_docker.json"] {
        let (trace, understanding) = read(&folder, name);
        assert_eq!((trace.requests.len(), trace.upstreams.len()), (50, 2), "{name}");
        assert!(understanding.wrapper.is_some());
    }
    let (trace, _) = read(&folder, "l24_unquoted.json");
    assert_eq!((trace.requests.len(), trace.upstreams.len()), (300, 2));
    assert!(trace.requests.iter().any(|r| r.service_s == 0.3) && trace.requests.iter().any(|r| r.service_s.is_nan()));
    let (trace, _) = read(&folder, "l10_aiperf_profile_export.jsonl");
    assert_eq!((trace.requests.len(), trace.requests[1].arrival_s, trace.requests[0].service_s), (20, 0.5, 0.9002));
    let (trace, _) = read(&folder, "l10_vllm_bench.json");
    assert_eq!((trace.requests.len(), trace.requests[2].first_byte_s), (3, 0.09));
    let (trace, _) = read(&folder, "l27_azure_lmm.csv");
    assert_eq!(trace.requests.len(), 600);
}

#[test]
fn sessions_are_kept() {
    let Some(folder) = cases("logs") else { return };
    let (trace, _) = read(&folder, "l17_mooncake_multiturn.jsonl");
    let stats = TraceStats::new(&trace, BIN_S);
    assert_eq!((trace.requests.len(), stats.sessions), (180, Some(60)));
    let turns = trace.requests.iter().filter(|r| r.think_s == 2.5).count();
    assert_eq!(turns, 120);
    assert!(trace.requests.is_sorted_by(|a, b| a.arrival_s <= b.arrival_s));
}

fn one(folder: &Path, name: &str, options: &LoadOptions) -> Series {
    load_series(folder.join(name), options).unwrap().remove(0)
}

#[test]
fn series_are_read_whatever_wrote_them() {
    let Some(folder) = cases("series") else { return };
    let plain = LoadOptions::default();
    let (s, unknown) = (SeriesUnit::PerSecond, SeriesUnit::Unknown);
    for (name, step_s, start_epoch_s, len, mean, unit) in [
        ("s01_grafana_ms.csv", 60.0, 1.764e9, 599, 59.33, s),
        ("s02_grafana_excel.csv", 60.0, 1.764e9, 598, 59.28, s),
        ("s03_grafana_units.csv", 60.0, 1.764e9, 599, 59.30, s),
        ("s03b_grafana_K.csv", 60.0, 1.764e9, 599, 59_356.0, unknown),
        ("s04_long_format.csv", 60.0, 1.764e9, 150, 197.4, unknown),
        ("s06_cloudwatch.csv", 60.0, 1.764e9, 595, 59.4, unknown),
        ("s07_thousands.csv", 60.0, 1.764e9, 599, 2373.1, unknown),
        ("s08_decimal_comma.csv", 60.0, 1.764e9, 599, 59.3, s),
        ("s09_counter.csv", 60.0, 1.764e9, 598, 59.39, s),
        ("s10_utc_suffix.csv", 60.0, 1.764e9, 599, 59.34, unknown),
        ("s10b_us.csv", 60.0, 1.764e9, 599, 59.25, unknown),
        ("s11_newest_first.csv", 60.0, 1_764_136_920.0, 599, 23.65, s),
        ("s12_pandas_index.csv", 60.0, 1.764e9, 599, 59.38, unknown),
        ("s13_nan_inf.csv", 60.0, 1.764e9, 599, 59.34, unknown),
        ("s14_dash_missing.csv", 60.0, 1.764e9, 599, 59.28, s),
        ("s15_epoch_sci.csv", 60.0, 1.764e9, 599, 59.31, unknown),
        ("s17_cloudwatch_sum_per_min.csv", 300.0, 1.764e9, 599, 3.0188, s),
        ("s17_same_per_second.csv", 300.0, 1.764e9, 599, 3.0188, s),
    ] {
        let series = one(&folder, name, &plain);
        assert_eq!(
            (series.step_s, series.start_epoch_s, series.len(), series.unit),
            (step_s, start_epoch_s, len, unit),
            "{name}"
        );
        assert!(is_near(series.mean(), mean, 0.003), "{name}: {}", series.mean());
    }
    assert_eq!(one(&folder, "s13_nan_inf.csv", &plain).missing(), 14);
    assert_eq!(load_series(folder.join("s14_dash_missing.csv"), &plain).unwrap().len(), 2);
}

#[test]
fn hours_that_clocks_skip_or_repeat_take_a_zone() {
    let Some(folder) = cases("series") else { return };
    for (name, hours) in [("s05_dst_autumn.csv", 48.0), ("s05b_dst_spring.csv", 48.0)] {
        let path = folder.join(name);
        let message = load_series(&path, &LoadOptions::default()).unwrap_err().to_string();
        let options = advised(&message);
        assert_eq!(options.time_zone.as_deref(), Some("Europe/Berlin"), "{message}");
        let series = one(&folder, name, &options);
        assert!((series.duration_s() / 3600.0 - hours).abs() < 0.1, "{name}: {} h", series.duration_s() / 3600.0);
        assert_eq!(series.missing(), 0, "{name}");
    }
}
