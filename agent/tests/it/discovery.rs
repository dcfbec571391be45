//! Hosts come and go.

use std::time::Duration;

use evenkeel_agent::discovery::dns::Addresses;
use evenkeel_agent::discovery::{Discovered, Source};

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
fn mistakes_in_a_list_are_named_and_stop_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("hosts");
    for (line, expected) in [
        ("localhost", "line 2: \"localhost\": expected HOST:PORT"),
        ("127.0.0.1:1 path=x", "\"path=x\" makes no sense; expected metrics="),
        ("127.0.0.1:99999", "line 2"),
        ("127.0.0.1:1 metrics=ftp://a:1", "expected http://HOST"),
        ("127.0.0.1:1 header=Host:a", "the agent writes it itself"),
        ("127.0.0.1:1 sleeps=0", "1 to 86400"),
        ("no-such-name.invalid:1", "no-such-name.invalid:1: "),
        ("127.0.0.1:1 metrics=no-such-name.invalid:1", "no-such-name.invalid:1: "),
    ] {
        std::fs::write(&list, format!("127.0.0.1:7\n{line}\n127.0.0.1:9\n")).unwrap();
        let found = discover(&Source::List(list.clone()));
        let ports: Vec<u16> = found.hosts.iter().map(|host| host.address.port()).collect();
        assert_eq!(ports, [7, 9], "{line}");
        assert!(!found.has_failed());
        let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
        assert!(problems.len() == 1 && problems[0].contains(expected), "{line}: {problems:?}");
    }
}

fn discover(source: &Source) -> Discovered {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(source.discover(&mut Addresses::default()));
    // A resolver that still waits for a name is not waited for.
    runtime.shutdown_background();
    found
}

#[test]
fn a_list_says_how_each_host_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("hosts");
    let line = "10.0.0.1:8000 metrics=https://localhost:8443/m?x=1 token-file=/run/t header=X-A:b sleeps=60";
    std::fs::write(&list, line).unwrap();
    let hosts = discover(&Source::List(list)).hosts;
    let [host] = hosts.as_slice() else { panic!("{hosts:?}") };
    assert_eq!(host.metrics.map(|metrics| metrics.port()), Some(8443));
    assert_eq!(
        (host.is_tls, host.name.as_deref(), host.path.as_deref()),
        (Some(true), Some("localhost"), Some("/m?x=1"))
    );
    assert_eq!(host.token_file.as_deref(), Some(std::path::Path::new("/run/t")));
    assert_eq!((host.headers.len(), host.sleeps_after_s), (1, Some(60)));
}

#[test]
fn a_missing_file_is_named_and_found_once_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("hosts");
    let found = discover(&Source::List(list.clone()));
    assert!(found.has_failed());
    let problem = found.problems[0].to_string();
    assert!(problem.contains("No such file") && problem.contains("expected a file with HOST:PORT a line"), "{problem}");
    let (host, file) = (healthy(3), folder.path().join("telemetry"));
    let late = list.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        std::fs::write(&late, host.to_string()).unwrap();
    });
    run(vec![Source::List(list)], &file, 500, 1 << 20);
    assert_eq!(read(&file, host).map(|reading| reading.telemetry.running), Some(3.0));
}

#[test]
fn a_name_that_has_no_address_any_more_keeps_those_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("hosts");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut addresses = Addresses::default();
    let source = Source::List(list.clone());
    std::fs::write(&list, "localhost:7\n").unwrap();
    let before = runtime.block_on(source.discover(&mut addresses)).hosts;
    assert!(!before.is_empty());
    std::fs::write(&list, "nobody-is-called-so.invalid:7\nlocalhost:7\n").unwrap();
    let after = runtime.block_on(source.discover(&mut addresses));
    runtime.shutdown_background();
    assert_eq!((after.hosts, after.problems.len()), (before, 1));
}
