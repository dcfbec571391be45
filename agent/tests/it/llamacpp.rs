//! Servers that behave as llama.cpp's does: asleep, as a router, without metrics.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use evenkeel_agent::discovery::Source;

use crate::servers::{host, ok, read, request, run};

const PAGE: &str = "llamacpp:requests_processing 0\nllamacpp:requests_deferred 0\n";

fn bad_request(message: &str) -> Vec<u8> {
    let body = format!("{{\"error\":{{\"code\":400,\"message\":\"{message}\",\"type\":\"invalid_request_error\"}}}}");
    format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A server whose answers depend on the path that is asked for.
fn server(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    let answer = Arc::new(answer);
    host(move |mut stream, _| {
        while let Some(request) = request(&mut stream) {
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            if stream.write_all(&answer(&path)).is_err() {
                return;
            }
        }
    })
}

/// Runs the agent in front of a host with these words in its line.
fn telemetry(host: SocketAddr, words: &str, for_ms: u64) -> (Option<[f32; 2]>, String) {
    let folder = tempfile::tempdir().unwrap();
    let (list, file) = (folder.path().join("hosts"), folder.path().join("telemetry"));
    std::fs::write(&list, format!("{host} {words}\n")).unwrap();
    let page = run(vec![Source::List(list)], &file, for_ms, 1 << 20);
    let reading = read(&file, host);
    (reading.map(|reading| [reading.telemetry.running, reading.telemetry.waiting]), page)
}

#[test]
fn a_sleeping_server_is_not_woken() {
    let woken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&woken);
    let asleep = server(move |path| {
        if path == "/props" {
            return ok("{\"total_slots\": 4, \"is_sleeping\": true}");
        }
        counted.fetch_add(1, Ordering::Relaxed);
        ok(PAGE)
    });
    let (load, page) = telemetry(asleep, "sleeps=60", 400);
    assert_eq!(woken.load(Ordering::Relaxed), 0, "{page}");
    assert_eq!(load, Some([0.0, 0.0]), "{page}");
    assert!(page.contains("state=\"resting\",reason=\"\"} 1"), "{page}");
}

#[test]
fn a_server_that_is_idle_is_let_fall_asleep_and_read_again_once_it_is_awake() {
    let (asked, is_asleep) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, sleeping) = (Arc::clone(&asked), Arc::clone(&is_asleep));
    let idle = server(move |path| {
        if path == "/props" {
            return ok(&format!("{{\"total_slots\": 4, \"is_sleeping\": {}}}", sleeping.load(Ordering::Relaxed)));
        }
        counted.fetch_add(1, Ordering::Relaxed);
        ok(PAGE)
    });
    let later = Arc::clone(&asked);
    let watcher = std::thread::spawn(move || {
        // Idle for two seconds it is left alone; then it sleeps, and somebody wakes it.
        std::thread::sleep(std::time::Duration::from_millis(2600));
        let before = later.load(Ordering::Relaxed);
        is_asleep.store(true, Ordering::Relaxed);
        std::thread::sleep(std::time::Duration::from_secs(2));
        let during = later.load(Ordering::Relaxed);
        is_asleep.store(false, Ordering::Relaxed);
        (before, during)
    });
    let (load, page) = telemetry(idle, "sleeps=600", 6500);
    let (before, during) = watcher.join().unwrap();
    assert!(before >= 50, "{before} pages while it was awake");
    assert_eq!(before, during, "asked while it should sleep: {page}");
    assert!(asked.load(Ordering::Relaxed) > during, "not asked once it was awake: {page}");
    assert_eq!(load, Some([0.0, 0.0]));
}

#[test]
fn a_router_s_loaded_models_are_added_and_no_other_is_loaded() {
    let loaded_by_asking = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&loaded_by_asking);
    let router = server(move |path| {
        match path {
        "/models" => ok(
            "{\"data\": [{\"id\": \"a\", \"status\": {\"value\": \"loaded\"}}, {\"id\": \"org/b\", \"status\": {\"value\": \"loaded\"}},
              {\"id\": \"c\", \"status\": {\"value\": \"unloaded\"}}]}",
        ),
        "/metrics" => bad_request("model name is missing from the request"),
        "/metrics?model=a&autoload=false" => ok("llamacpp:requests_processing 2\nllamacpp:requests_deferred 1\n"),
        "/metrics?model=org%2Fb&autoload=false" => ok("llamacpp:requests_processing 3\nllamacpp:requests_deferred 0\n"),
        _ => {
            counted.fetch_add(1, Ordering::Relaxed);
            bad_request("unexpected")
        }
    }
    });
    let (load, page) = telemetry(router, "path=/metrics", 300);
    assert_eq!(load, Some([5.0, 1.0]), "{page}");
    assert_eq!(loaded_by_asking.load(Ordering::Relaxed), 0);
    assert!(page.contains(&format!("evenkeel_agent_engines{{host=\"{router}\"}} 2")), "{page}");
}

#[test]
fn a_model_that_is_not_loaded_runs_nothing() {
    let router = server(|path| {
        if path == "/metrics?model=a&autoload=false" {
            bad_request("model is not loaded")
        } else {
            bad_request("unexpected")
        }
    });
    let (load, page) = telemetry(router, "path=/metrics?model=a", 300);
    assert_eq!(load, Some([0.0, 0.0]), "{page}");
    assert!(page.contains(&format!("evenkeel_agent_failures_total{{host=\"{router}\"}} 0")), "{page}");
}

#[test]
fn slots_are_the_batch_limit() {
    let busy =
        server(|path| if path == "/props" { ok("{\"total_slots\": 6, \"is_sleeping\": false}") } else { ok(PAGE) });
    let (_, page) = telemetry(busy, "", 300);
    assert!(page.contains(&format!("evenkeel_agent_batch_limit{{host=\"{busy}\"}} 6")), "{page}");
}
