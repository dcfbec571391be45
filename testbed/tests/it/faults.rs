//! What goes wrong on command, as clients see it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use evenkeel_testbed::emulator::admin;
use evenkeel_testbed::emulator::faults::Fault;
use tokio::time::{sleep, timeout};

use crate::support::{SHORT, complete, get, host, hosts, quick_options, run, send};

#[test]
fn a_slow_host_takes_its_time() {
    run(async {
        let host = host(quick_options()).await;
        let body = r#"{"prompt": "x", "max_tokens": 50, "ignore_eos": true}"#;
        let took = async || {
            let begin = Instant::now();
            complete(host.address(), body).await.unwrap();
            begin.elapsed().as_secs_f64()
        };
        let before_s = took().await;
        host.command(Fault::Slow(5.0));
        let slow_s = took().await;
        host.command(Fault::Heal);
        let after_s = took().await;
        assert!(slow_s > 3.0 * before_s && slow_s > 3.0 * after_s, "{before_s}, {slow_s}, {after_s}");
    });
}

#[test]
fn a_host_that_hangs_goes_on_where_it_stopped() {
    run(async {
        let host = host(quick_options()).await;
        let address = host.address();
        let under_way =
            tokio::spawn(
                async move { complete(address, r#"{"prompt": "x", "max_tokens": 60, "ignore_eos": true}"#).await },
            );
        sleep(Duration::from_millis(20)).await;
        host.command(Fault::Hang);
        let waiting = tokio::spawn(async move { complete(address, SHORT).await });
        assert!(timeout(Duration::from_millis(100), get(address, "/health")).await.is_err());
        assert!(!under_way.is_finished() && !waiting.is_finished());
        host.command(Fault::Heal);
        assert_eq!(under_way.await.unwrap().unwrap().status, 200);
        assert_eq!(waiting.await.unwrap().unwrap().status, 200);
    });
}

#[test]
fn a_crash_breaks_connections_and_refuses_new_ones_until_the_restart() {
    run(async {
        let host = host(quick_options()).await;
        let address = host.address();
        let under_way = tokio::spawn(async move {
            complete(address, r#"{"prompt": "x", "max_tokens": 5000, "ignore_eos": true, "stream": true}"#).await
        });
        sleep(Duration::from_millis(50)).await;
        host.command(Fault::Crash);
        let broken = under_way.await.unwrap();
        assert!(broken.is_err() || !broken.unwrap().is_whole);
        sleep(Duration::from_millis(20)).await;
        assert!(complete(address, SHORT).await.unwrap_err().contains("refused"));
        host.command(Fault::Restart { warm_up_s: 0.2, slowness: 20.0 });
        sleep(Duration::from_millis(100)).await;
        let begin = Instant::now();
        assert_eq!(complete(address, SHORT).await.unwrap().status, 200);
        assert!(begin.elapsed() > Duration::from_millis(30), "four steps of 20 ms while caches are cold");
        sleep(Duration::from_millis(200)).await;
        let begin = Instant::now();
        assert_eq!(complete(address, SHORT).await.unwrap().status, 200);
        assert!(begin.elapsed() < Duration::from_millis(40), "warm again");
    });
}

#[test]
fn failures_come_in_the_shares_asked_for() {
    run(async {
        let host = host(quick_options()).await;
        host.command(Fault::Status { code: 503, share: 0.5 });
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(complete(host.address(), SHORT).await.unwrap().status.as_u16());
        }
        assert_eq!(statuses, [200, 503, 200, 503]);
        host.command(Fault::Heal);
        host.command(Fault::Truncate { share: 1.0 });
        for body in [SHORT, r#"{"prompt": "x", "max_tokens": 40, "ignore_eos": true, "stream": true}"#] {
            let answer = complete(host.address(), body).await.unwrap();
            assert!(!answer.is_whole, "{}", answer.text());
        }
        host.command(Fault::Heal);
        host.command(Fault::HalfClose);
        assert!(complete(host.address(), SHORT).await.is_err());
        host.command(Fault::Heal);
        host.command(Fault::Refuse);
        sleep(Duration::from_millis(20)).await;
        assert!(complete(host.address(), SHORT).await.is_err());
        host.command(Fault::Heal);
        sleep(Duration::from_millis(100)).await;
        assert_eq!(complete(host.address(), SHORT).await.unwrap().status, 200);
    });
}

#[test]
fn faults_are_commanded_by_port_or_index_and_shown() {
    run(async {
        let hosts =
            hosts(evenkeel_testbed::emulator::EmulatorOptions { speeds: vec![1.0, 2.0], ..quick_options() }).await;
        let port = hosts[1].address().port();
        let admin = admin::start(hosts, SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let post = async |path: &str| send(admin, "POST", path, &[], "").await.unwrap();
        assert_eq!(post(&format!("/hosts/{port}/slow?factor=4")).await.json()["slowness"], 4.0);
        assert_eq!(post("/hosts/0/crash").await.json()["is_up"], false);
        let shown = get(admin, "/hosts").await.json();
        assert_eq!((&shown[0]["is_up"], &shown[1]["slowness"]), (&false.into(), &4.0.into()));
        assert_eq!(shown[1]["speed"], 2.0);
        for (path, expected) in [
            ("/hosts/7/crash", "there is no host 7"),
            ("/hosts/0/melt", "there is no command"),
            ("/hosts/0/slow?factor=x", "expected a number"),
        ] {
            let answer = post(path).await;
            assert_eq!(answer.status, 400);
            assert!(answer.json()["error"].as_str().unwrap().contains(expected), "{}", answer.text());
        }
    });
}
