//! From a log of real hosts to replays on hosts like them.

use std::fmt::Write as _;

use crate::support::{LLM_COLUMNS, fail, noise, succeed, text, write_artifact, write_llm_trace};

#[test]
fn a_log_becomes_a_fleet_to_replay_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.json");
    let mut lines = String::new();
    for index in 0..600u64 {
        // One at a time: the second host takes half as long.
        let host = index % 2;
        let spread = 0.8 + 0.4 * (noise(index) % 1000) as f64 / 1000.0;
        let took_s = 0.04 * spread / (1 + host) as f64;
        let end_s = 1_700_000_000.0 + index as f64 + took_s;
        let _ = writeln!(
            lines,
            r#"{{"msec": {end_s:.3}, "request_time": {took_s:.3}, "upstream_addr": "10.0.0.{host}:80", "upstream_response_time": "{took_s:.3}"}}"#
        );
    }
    std::fs::write(&log, lines).expect("a writable folder");
    let out = folder.path().join("own");
    let table = succeed(&["calibrate", "--trace", text(&log), "--out", text(&out)]);
    assert!(table.contains("10.0.0.1:80") && table.contains("service time at speed 1"), "{table}");
    let read = |name| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(out.join(name)).expect("it was written")).expect("JSON")
    };
    let fleet = read("fleet.json");
    assert_eq!((&fleet[0]["name"], &fleet[0]["speed"]), (&"10.0.0.0:80".into(), &1.0.into()));
    assert!(fleet[1]["speed"].as_f64().is_some_and(|speed| (speed - 2.0).abs() < 0.2), "{fleet}");
    let mean_s = read("service.json")["fifo"]["service_mean_s"].as_f64();
    assert!(mean_s.is_some_and(|mean_s| (mean_s - 0.04).abs() < 0.004), "{mean_s:?}");

    let (model, trace) = (write_artifact(folder.path()), write_llm_trace(folder.path()));
    let eval = ["eval", "--model", text(&model), "--preset", "quick", "--policies", "ext,evenkeel", "--loads", "0.5"];
    let trace = ["--format", "csv", "--columns", LLM_COLUMNS, "--trace", text(&trace)];
    let (fleet, service) = (out.join("fleet.json"), out.join("service.json"));
    let replayed = succeed(&[&eval[..], &trace, &["--fleet", text(&fleet), "--telemetry-kind", "vllm"]].concat());
    assert!(replayed.contains("2 fleet hosts") && replayed.contains("as vLLM tells"), "{replayed}");
    let refused = fail(&[&eval[..], &trace, &["--service-model", text(&service)]].concat());
    assert!(refused.contains("another kind of service"), "{refused}");
}
