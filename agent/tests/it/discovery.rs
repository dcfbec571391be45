//! Hosts come and go.

use std::time::Duration;

use evenkeel_agent::discovery::Source;

use crate::servers::{healthy, read, run};

#[test]
fn hosts_that_leave_the_list_are_forgotten_and_new_ones_found() {
    let folder = tempfile::tempdir().unwrap();
    let (list, file) = (folder.path().join("hosts"), folder.path().join("telemetry"));
    let (a, b) = (healthy(1), healthy(2));
    std::fs::write(&list, format!("# one\n{a}   # inline\n\n")).unwrap();
    let changed = list.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(250));
        std::fs::write(&changed, "nonsense\n").unwrap();
        std::thread::sleep(Duration::from_millis(150));
        std::fs::write(&changed, format!("{b}\n")).unwrap();
    });
    let page = run(vec![Source::List(list)], &file, 700, 1 << 20);
    assert_eq!(read(&file, a), None, "{page}");
    assert_eq!(read(&file, b).map(|reading| reading.telemetry.running), Some(2.0), "{page}");
    assert!(page.contains("evenkeel_agent_hosts 1\n"), "{page}");
    let failures = page.lines().find_map(|line| line.strip_prefix("evenkeel_agent_discovery_failures_total "));
    assert!(failures.unwrap().parse::<u32>().unwrap() >= 1, "{page}");
}

#[test]
fn endpoints_of_envoy_and_names_are_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let (eds, file) = (folder.path().join("eds.json"), folder.path().join("telemetry"));
    let (a, b, c) = (healthy(1), healthy(2), healthy(3));
    let response = serde_json::json!({"version_info": "1", "resources": [{
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": "llm",
        "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": a.port()}}}},
            {"endpoint": {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": b.port()}}}},
        ]}],
    }]});
    std::fs::write(&eds, response.to_string()).unwrap();
    run(vec![Source::Eds(eds), Source::Dns(format!("localhost:{}", c.port()))], &file, 300, 1 << 20);
    for (host, running) in [(a, 1.0), (b, 2.0), (c, 3.0)] {
        assert_eq!(read(&file, host).map(|reading| reading.telemetry.running), Some(running), "{host}");
    }
}

#[test]
fn metrics_may_be_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (list, file) = (folder.path().join("hosts"), folder.path().join("telemetry"));
    let metrics = healthy(7);
    std::fs::write(&list, format!("10.9.8.7:8000 metrics={metrics} path=/prometheus\n")).unwrap();
    run(vec![Source::List(list)], &file, 200, 1 << 20);
    let reading = read(&file, "10.9.8.7:8000".parse().unwrap());
    assert_eq!(reading.map(|reading| reading.telemetry.running), Some(7.0));
}

#[test]
fn mistakes_in_a_list_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("hosts");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (text, expected) in [
        ("127.0.0.1:1\nlocalhost\n", "line 2: found \"localhost\""),
        ("127.0.0.1:1 path=x\n", "expected HOST:PORT"),
        ("127.0.0.1:99999\n", "line 1"),
    ] {
        std::fs::write(&list, text).unwrap();
        let error = runtime.block_on(Source::List(list.clone()).hosts()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
