//! Hosts that hang, answer garbage, or without end.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::servers::{answering, healthy, host, ok, read_request, scraped};

const PAGE_MAX: usize = 1024 * 1024;

/// The value of one of the agent's own metrics for a host.
fn of(page: &str, name: &str, host: SocketAddr) -> f64 {
    let line = format!("{name}{{host=\"{host}\"}} ");
    let value = page.lines().find_map(|found| found.strip_prefix(&line));
    value.unwrap_or_else(|| panic!("{line} is missing:\n{page}")).parse().unwrap()
}

#[test]
fn healthy_hosts_are_read_whatever_the_others_do() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let endless = host(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let bad = [
        nobody,
        host(|_stream, _| std::thread::sleep(Duration::from_secs(3))),
        host(|stream, _| drop(stream)),
        endless,
        answering(ok(&"vllm:num_requests_runing 1\n".repeat(400_000))),
        answering(b"\xFF\xFE garbage \0\r\n\r\n".to_vec()),
        answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_vec()),
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec()),
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n".to_vec()),
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec()),
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n".to_vec()),
        answering(ok("<html>not metrics</html>")),
    ];
    let good = [healthy(3), healthy(5)];
    let hosts: Vec<SocketAddr> = good.iter().chain(&bad).copied().collect();
    let (readings, page) = scraped(&hosts, 700, PAGE_MAX);
    for (reading, running) in readings.iter().zip([3.0, 5.0]) {
        assert_eq!(reading.map(|reading| reading.telemetry.running), Some(running));
    }
    for host in good {
        assert!(of(&page, "evenkeel_agent_pages_total", host) >= 15.0, "{page}");
        assert!(of(&page, "evenkeel_agent_age_seconds", host) < 0.2, "{page}");
    }
    for (host, reading) in bad.into_iter().zip(&readings[2..]) {
        assert_eq!(*reading, None, "{host}");
        let failures = of(&page, "evenkeel_agent_failures_total", host);
        // 700 ms in steps of 20, 40, 80, 160, 200, …: back-off, not hammering.
        assert!((1.0..=9.0).contains(&failures), "{host}: {failures}\n{page}");
        assert_eq!(of(&page, "evenkeel_agent_age_seconds", host), f64::INFINITY);
    }
}

#[test]
fn pages_may_come_in_chunks_or_end_with_the_connection() {
    let chunked = answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\nsglang:num_running_r\r\n7\r\neqs 6\n\n\r\n0\r\n\r\n"
            .to_vec(),
    );
    let closing = host(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\ntgi_queue_size 4\n");
    });
    let (readings, page) = scraped(&[chunked, closing], 1500, PAGE_MAX);
    assert_eq!(readings[0].map(|reading| reading.telemetry.running), Some(6.0), "{page}");
    assert_eq!(readings[1].map(|reading| reading.telemetry.waiting), Some(4.0), "{page}");
    assert_eq!(of(&page, "evenkeel_agent_failures_total", chunked), 0.0);
    assert_eq!(of(&page, "evenkeel_agent_failures_total", closing), 0.0);
}

#[test]
fn connections_are_kept_and_opened_anew_where_the_host_closes_them() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let page = ok("vllm:num_requests_running 1\n");
    let host = host(move |mut stream, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        // Three pages, and the connection is closed without a word.
        for _ in 0..3 {
            if !read_request(&mut stream) || stream.write_all(&page).is_err() {
                return;
            }
        }
    });
    let (_, own) = scraped(&[host], 500, PAGE_MAX);
    let pages = of(&own, "evenkeel_agent_pages_total", host);
    let opened = connections.load(Ordering::Relaxed) as f64;
    assert_eq!(of(&own, "evenkeel_agent_failures_total", host), 0.0, "{own}");
    assert!(pages >= 10.0 && (opened - pages / 3.0).abs() <= 1.5, "{pages} pages over {opened} connections");
}
