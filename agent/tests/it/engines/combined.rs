//! Pages with metrics of several engines, mappings, hostile pages.

use std::fmt::Write as _;

use evenkeel_agent::engines::Rules;
use evenkeel_agent::page::Page;

use super::{NAN, expect, load, read_with, told};

#[test]
fn metrics_of_two_engines_are_not_added() {
    expect(
        load(&["sglang:num_running_reqs 3\nvllm:num_requests_running 2\nnum_requests_running 9\n"]),
        [2.0, NAN, NAN, NAN],
    );
}

#[test]
fn a_mapping_of_one_metric_leaves_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mapping.json");
    std::fs::write(&path, "{\"waiting\": {\"name\": \"my_queue\", \"label\": \"pool=\\\"a\\\"\"}}").unwrap();
    let rules = Rules::with_mapping(&path).unwrap();
    let page = "my_queue{pool=\"a\"} 7\nmy_queue{pool=\"b\"} 90\nvllm:num_requests_running 3\nvllm:num_requests_waiting 1\n\
        vllm:kv_cache_usage_perc 0.5\n";
    expect(told(&read_with(&rules, &[page])), [3.0, 7.0, 0.5, NAN]);
    // Where the page has not the mapped metric, the engine's own serves.
    expect(told(&read_with(&rules, &["vllm:num_requests_waiting 1\n"])), [NAN, 1.0, NAN, NAN]);
}

#[test]
fn a_mapping_scales() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mapping.json");
    let text = "{\"running\": \"my_active\", \"kv_use\": {\"name\": \"my_percent\", \"scale\": 0.01},
                 \"step\": {\"sum\": \"my_us_sum\", \"count\": \"my_us_count\", \"scale\": 1e-6}}";
    std::fs::write(&path, text).unwrap();
    let rules = Rules::with_mapping(&path).unwrap();
    let pages = [
        "my_active 1\nmy_percent 40\nmy_us_sum 0\nmy_us_count 0\n",
        "my_active 2\nmy_percent 50\nmy_us_sum 2e6\nmy_us_count 100\n",
    ];
    expect(told(&read_with(&rules, &pages)), [2.0, NAN, 0.5, 0.02]);
}

#[test]
fn garbage_is_skipped() {
    let garbage = "\n{}\n} 1\nvllm:num_requests_running\nvllm:num_requests_running{ 1\nvllm:num_requests_running{a=\"} 1\n\
        vllm:num_requests_running x\n\u{fffd}\u{0}";
    expect(load(&[garbage]), [NAN; 4]);
    let rules = Rules::default();
    assert!(!Page::parse(&[0xFF; 10_000], &rules).is_metrics());
    assert!(!Page::parse(b"<html>vllm:num_requests_running 1</html>", &rules).is_metrics());
    assert!(!Page::parse(b"[{\"iter\": 1, \"numActiveRequests\": 3}]", &rules).is_metrics());
}

#[test]
fn series_without_end_cost_little_and_are_counted() {
    let mut page = String::new();
    for series in 0..20_000 {
        let _ = writeln!(page, "vllm:num_requests_running{{engine=\"{series}\"}} 1");
    }
    let begin = std::time::Instant::now();
    let parsed = Page::parse(page.as_bytes(), &Rules::default());
    assert_eq!(parsed.dropped, 20_000 - 128);
    assert!(begin.elapsed() < std::time::Duration::from_secs(1), "{:?}", begin.elapsed());
    let labels: Vec<String> = (0..5000).map(|label| format!("l{label}=\"{label}\"")).collect();
    let labels = labels.join(",");
    expect(load(&[&format!("vllm:num_requests_running{{{labels}}} 4\n")]), [4.0, NAN, NAN, NAN]);
}
