//! `evenkeel-agent check` and the log, as a person sees them.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::servers::{answering, host, ok, read_request};

/// Runs the command: its output, and true if it ended well.
fn check(arguments: &[&str]) -> (String, bool) {
    let command = Command::new(env!("CARGO_BIN_EXE_evenkeel-agent")).arg("check").args(arguments).output().unwrap();
    assert_eq!(String::from_utf8(command.stderr).unwrap(), "");
    (String::from_utf8(command.stdout).unwrap(), command.status.success())
}

#[test]
fn what_was_understood_is_shown_with_its_metrics() {
    let engine = host(|mut stream, _| {
        for number in 1_u32.. {
            let page = format!(
                "vllm:num_requests_running{{engine=\"0\"}} 5.0\nvllm:num_requests_running{{engine=\"1\"}} 4.0\n\
                 vllm:num_requests_waiting{{engine=\"0\"}} 2.0\nvllm:kv_cache_usage_perc{{engine=\"0\"}} 0.25\n\
                 vllm:kv_cache_usage_perc{{engine=\"1\"}} NaN\n\
                 vllm:cache_config_info{{engine=\"0\",block_size=\"16\",num_gpu_blocks=\"100\"}} 1\n\
                 vllm:inter_token_latency_seconds_sum {}\nvllm:inter_token_latency_seconds_count {}\n",
                f64::from(number) * 0.5,
                number * 25,
            );
            if !read_request(&mut stream) || stream.write_all(&ok(&page)).is_err() {
                return;
            }
        }
    });
    let (text, success) = check(&[&format!("http://{engine}/metrics")]);
    assert!(success, "{text}");
    for expected in [
        "  vLLM, 2 engines, ",
        "  running                         9  vllm:num_requests_running\n",
        "  waiting                         2  vllm:num_requests_waiting\n",
        "  KV cache in use            25.0 %  vllm:kv_cache_usage_perc\n",
        "  KV cache              1600 tokens  vllm:cache_config_info\n",
        "  step                     20.00 ms  vllm:inter_token_latency_seconds\n",
        "  Dropped: 1 number of the page",
        "  Missing: to prefill, batch limit.\n",
        "  To do: ",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing:\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn what_is_not_usable_fails_and_says_what_to_do() {
    let good = answering(ok("tgi_batch_current_size 1\ntgi_queue_size 0\n"));
    let idle = answering(ok("# HELP python_info x\npython_info{version=\"3.12\"} 1.0\n"));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (text, success) = check(&[&good.to_string()]);
    assert!(success && text.contains("TGI, 1 engine"), "{text}");
    let (text, success) = check(&[&idle.to_string()]);
    assert!(!success && text.contains("send it a") && text.contains("--mapping"), "{text}");
    let (text, success) =
        check(&[&good.to_string(), &nobody.to_string(), "ftp://a:1", "nobody-is-called-so.invalid:1"]);
    assert!(!success && text.contains("TGI, 1 engine"), "the others are shown all the same: {text}");
    assert!(text.contains("Nothing usable: no connection: Connection refused"), "{text}");
    assert_eq!(text.matches("Nothing usable").count(), 3, "{text}");
}

#[test]
fn a_list_of_hosts_is_checked_as_the_agent_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("hosts");
    let good = answering(ok("sglang:num_running_reqs 1\n"));
    std::fs::write(&list, format!("10.9.8.7:8000 metrics={good}\n")).unwrap();
    let (text, success) = check(&["--hosts", list.to_str().unwrap()]);
    assert!(success && text.contains("SGLang, 1 engine"), "{text}");
    let (text, success) = check(&["--hosts", folder.path().join("none").to_str().unwrap()]);
    assert!(!success && text.contains("No such file"), "{text}");
}

#[test]
fn failures_are_told_once_with_their_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (list, file) = (folder.path().join("hosts"), folder.path().join("telemetry"));
    let denied = answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec());
    let idle = answering(ok("# TYPE python_info gauge\npython_info 1\n"));
    std::fs::write(&list, format!("{denied}\nwhat is this\n{idle}\n")).unwrap();
    let mut agent = Command::new(env!("CARGO_BIN_EXE_evenkeel-agent"))
        .args(["--interval-ms", "20", "--discovery-ms", "50", "--back-off-max-ms", "40", "--hosts"])
        .arg(&list)
        .arg("--hosts")
        .arg(folder.path().join("none"))
        .arg("--output")
        .arg(&file)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(900));
    agent.kill().unwrap();
    let log = String::from_utf8(agent.wait_with_output().unwrap().stderr).unwrap();
    for expected in [
        format!("{denied}: http://{denied}/metrics: status 403; give --bearer-token-file FILE"),
        format!("{idle}: http://{idle}/metrics has no metrics of an engine's load: taken for an engine that has not served yet"),
        "line 2: \"what is this\": expected HOST:PORT".to_owned(),
        "No such file or directory (os error 2); expected a file with HOST:PORT a line; no host is known from there yet"
            .to_owned(),
    ] {
        assert_eq!(log.matches(&expected).count(), 1, "{expected:?}:\n{log}");
    }
    assert_eq!(log.lines().count(), 4, "{log}");
}

#[test]
fn what_the_agent_cannot_start_with_is_said_once() {
    let agent = Command::new(env!("CARGO_BIN_EXE_evenkeel-agent"))
        .args(["--hosts", "/nowhere/hosts", "--mapping", "/nowhere/mapping.json"])
        .output()
        .unwrap();
    let said = String::from_utf8(agent.stderr).unwrap();
    assert_eq!(said, "evenkeel-agent: mapping /nowhere/mapping.json: No such file or directory (os error 2)\n");
    assert!(!agent.status.success());
}
