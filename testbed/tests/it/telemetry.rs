//! Metrics and load reports.

use crate::support::{complete, get, host, quick_options, run, send};
use evenkeel_runtime::orca;
use evenkeel_testbed::emulator::EmulatorOptions;
use evenkeel_testbed::emulator::orca::Metrics;

/// Value of a sample, whatever its labels.
fn value(page: &str, name: &str) -> f64 {
    let sample = page.lines().find(|line| line.starts_with(&format!("{name}{{")));
    let sample = sample.unwrap_or_else(|| panic!("{name} is missing:\n{page}"));
    sample.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn metrics_count_in_the_names_of_both_engines() {
    run(async {
        let host = host(quick_options()).await;
        let prompt = "abcd".repeat(64);
        let body = format!(r#"{{"prompt": "{prompt}", "max_tokens": 21, "ignore_eos": true}}"#);
        complete(host.address(), &body).await.unwrap();
        complete(host.address(), &body).await.unwrap();
        let answer = get(host.address(), "/metrics").await;
        assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
        let page = answer.text();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.ends_with('}') && value.parse::<f64>().is_ok(), "{line}");
        }
        assert_eq!(value(page, "vllm:num_requests_running"), 0.0);
        assert_eq!(value(page, "vllm:num_requests_waiting"), 0.0);
        assert_eq!(value(page, "vllm:kv_cache_usage_perc"), 0.0);
        assert_eq!(value(page, "vllm:prompt_tokens_total"), 128.0);
        assert_eq!(value(page, "vllm:generation_tokens_total"), 42.0);
        assert_eq!(value(page, "vllm:prefix_cache_hits_total"), 63.0, "the second prompt, but for its last token");
        assert_eq!(value(page, "vllm:inter_token_latency_seconds_count"), 40.0);
        let step_s = value(page, "vllm:inter_token_latency_seconds_sum") / 40.0;
        assert!((step_s - 1.01e-3).abs() < 2e-5, "{step_s}");
        assert_eq!(value(page, "sglang:num_running_reqs"), 0.0);
        assert_eq!(value(page, "sglang:num_queue_reqs"), 0.0);
        assert_eq!(value(page, "sglang:token_usage"), 0.0);
    });
}

#[test]
fn wall_time_is_told_where_time_is_compressed() {
    run(async {
        let host = host(EmulatorOptions { time_scale: 4.0, ..quick_options() }).await;
        let body = r#"{"prompt": "x", "max_tokens": 101, "ignore_eos": true}"#;
        let begin = std::time::Instant::now();
        complete(host.address(), body).await.unwrap();
        let took_s = begin.elapsed().as_secs_f64();
        assert!((0.025..0.08).contains(&took_s), "100 ms of service time took {took_s} s");
        let page = get(host.address(), "/metrics").await;
        let step_s = value(page.text(), "vllm:inter_token_latency_seconds_sum") / 100.0;
        assert!((step_s - 0.2525e-3).abs() < 1e-5, "{step_s}");
    });
}

#[test]
fn reports_come_with_responses_that_ask_in_both_forms() {
    run(async {
        let host = host(EmulatorOptions { orca: Metrics::Full, ..quick_options() }).await;
        for format in ["text", "json"] {
            for body in [r#"{"prompt": "x", "max_tokens": 2}"#, r#"{"prompt": "x", "max_tokens": 2, "stream": true}"#] {
                let headers = [("endpoint-load-metrics-format", format)];
                let answer = send(host.address(), "POST", "/v1/completions", &headers, body).await.unwrap();
                let value = answer.header("endpoint-load-metrics").unwrap();
                assert!(value.starts_with(&format.to_uppercase()), "{value}");
                let telemetry = orca::parse(value.as_bytes()).unwrap_or_else(|| panic!("{value}"));
                assert!(telemetry.waiting == 0.0 && telemetry.step_s > 0.0, "{value}");
            }
        }
        let answer = complete(host.address(), r#"{"prompt": "x", "max_tokens": 2}"#).await.unwrap();
        assert_eq!(answer.header("endpoint-load-metrics"), None);
    });
}
