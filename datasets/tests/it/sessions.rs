//! Formats whose requests stand no row each: results of benchmarks, and sessions of agents.

use crate::support::{Files, gzip};
use evenkeel_datasets::stats::{BIN_S, TraceStats};
use evenkeel_datasets::{
    DataError, Format, Include, LoadOptions, Reason, Request, Trace, Understanding, load_trace, load_trace_with_report,
};
use std::path::Path;

fn read(path: &Path) -> (Trace, Understanding) {
    load_trace_with_report(path, None, &LoadOptions::default()).unwrap()
}

fn refused(path: &Path, format: Option<Format>) -> String {
    load_trace(path, format, &LoadOptions::default()).unwrap_err().to_string()
}

/// Arrival, tokens, response time and time to the first byte.
fn short(trace: &Trace) -> Vec<(f64, u32, u32, f32, f32)> {
    let of = |r: &Request| (r.arrival_s, r.prompt_tokens, r.output_tokens, r.service_s, r.first_byte_s);
    trace.requests.iter().map(of).collect()
}

fn thinks(trace: &Trace) -> Vec<Option<f32>> {
    trace.requests.iter().map(|r| Some(r.think_s).filter(|s| !s.is_nan())).collect()
}

/// A report of two benchmarks in the words of newer releases; the second has an errored request.
const GUIDELLM: &str = r#"{
  "metadata": {"version": 1, "guidellm_version": "0.5.0"},
  "args": {"target": "http://localhost:8000"},
  "benchmarks": [
    {"type_": "generative_benchmark", "metrics": {"request_totals": {"successful": 2, "incomplete": 0, "errored": 0}},
     "requests": {"successful": [
      {"request_id": "a", "output": "text with \"quotes\" and {braces}", "request_start_time": 1764000000.5,
       "request_end_time": 1764000002.5, "request_latency": 2.0, "prompt_tokens": 128, "output_tokens": 64,
       "time_to_first_token_ms": 250.0, "info": {"conversation_id": "c1", "turn_index": 0}},
      {"request_id": "b", "request_start_time": 1764000000.0, "request_latency": 1.5, "prompt_tokens": 100,
       "output_tokens": 32, "time_to_first_token_ms": null, "info": {"conversation_id": "c1"}}],
      "incomplete": [], "errored": []}},
    {"metrics": {"request_totals": {"successful": 1, "incomplete": 0, "errored": 1}},
     "requests": {"successful": [{"request_start_time": 1764000010.0, "request_latency": 1.0, "prompt_tokens": 8,
       "output_tokens": 4, "time_to_first_token_ms": 20.0, "info": {}}],
      "incomplete": null, "errored": [{"request_start_time": 1764000011.0, "request_latency": 0.0, "info": {}}]}}
  ]
}"#;

#[test]
fn guidellm_reports_are_read() {
    let files = Files::new();
    let (trace, understanding) = read(&files.write("benchmarks.json.gz", gzip(GUIDELLM.as_bytes())));
    assert_eq!(understanding.format, Format::GuideLlm);
    let rows = short(&trace);
    assert_eq!((rows[1], rows[2]), ((0.5, 128, 64, 2.0, 0.25), (10.0, 8, 4, 1.0, 0.02)));
    assert!(rows[0].4.is_nan() && rows[0].1 == 100);
    assert_eq!(trace.start_epoch_s, Some(1_764_000_000.0));
    assert!(trace.requests[0].session != Request::NO_SESSION && trace.requests[0].session == trace.requests[1].session);
    let failures: Vec<_> = understanding.left_out.iter().map(|left| (left.reason, left.rows)).collect();
    assert_eq!(failures, [(Reason::Failure, 1)]);
    let said = understanding.to_string();
    assert!(said.contains("2 benchmarks") && said.contains("request_latency"), "{said}");
    let options = LoadOptions {
        include: Include { failures: true, no_tokens: true, ..Include::default() },
        ..LoadOptions::default()
    };
    let path = files.write("all.json", GUIDELLM);
    assert_eq!(load_trace(&path, None, &options).unwrap().requests.len(), 4);
    // A sample of what there was.
    let sampled = GUIDELLM.replacen("\"successful\": 2", "\"successful\": 500", 1);
    let (_, understanding) = read(&files.write("sampled.json", sampled));
    assert!(understanding.to_string().contains("a sample of 3 of 501 requests"), "{understanding}");
}

#[test]
fn guidellm_reports_of_older_releases_are_read() {
    let files = Files::new();
    let text = r#"{"benchmarks": [{"type_": "generative_benchmark", "request_totals": {"successful": 1, "incomplete": 0, "errored": 0, "total": 1},
        "requests": {"successful": [{"type_": "generative_text_response", "prompt": "p", "output": "o", "prompt_tokens": 50, "output_tokens": 9,
        "start_time": 1744728129.5, "end_time": 1744728130.0, "first_token_time": 1744728129.6, "time_to_first_token_ms": 100.0}]}}]}"#;
    let (trace, _) = read(&files.write("old.json", text));
    assert_eq!(short(&trace), [(0.0, 50, 9, 0.5, 0.1)]);
    let message = refused(&files.write("no.json", text.replace("1744728129.5", "\"soon\"")), None);
    assert!(message.contains("guidellm") && message.contains("line 2") || message.contains("line 3"), "{message}");
    let message =
        refused(&files.write("count.json", text.replace("\"prompt_tokens\": 50", "\"prompt_tokens\": -50")), None);
    assert!(message.contains("prompt_tokens") && message.contains("-50"), "{message}");
}

/// The two forms that `info` has had.
const INFERENCE_PERF: &str = r#"[
  {"start_time": 1000.5, "end_time": 1002.5, "request": "{\"prompt\": \"x\"}", "response": "…",
   "info": {"input_tokens": 300, "output_tokens": 3, "output_token_times": [1000.75, 1001.5, 1002.5]}, "error": null},
  {"start_time": 1000.0, "end_time": 1004.0, "request": "{}", "response": "…",
   "info": {"request_metrics": {"text": {"input_tokens": 290}}, "input_tokens": 290,
            "response_metrics": {"output_tokens": 40, "chunk_times": [1, 2], "output_token_times": [1000.25, 1003.0],
                                 "server_usage": {"prompt_tokens": 305, "completion_tokens": 41, "total_tokens": 346}}},
   "error": null},
  {"start_time": 1001.0, "end_time": 1001.1, "request": "{}", "response": null, "info": {"input_tokens": 7},
   "error": {"error_type": "ClientConnectorError", "error_msg": "refused"}}
]"#;

#[test]
fn inference_perf_results_are_read() {
    let files = Files::new();
    let (trace, understanding) = read(&files.write("per_request_lifecycle_metrics.json", INFERENCE_PERF));
    assert_eq!(understanding.format, Format::InferencePerf);
    assert_eq!(short(&trace), [(0.0, 305, 41, 4.0, 0.25), (0.5, 300, 3, 2.0, 0.25)]);
    assert_eq!(trace.start_epoch_s, None);
    let said = understanding.to_string();
    assert!(said.contains("ClientConnectorError") && said.contains("server_usage.completion_tokens"), "{said}");
    let torn = files.write("torn.json", &INFERENCE_PERF[..400]);
    let message = refused(&torn, None);
    assert!(message.contains("inference-perf") && message.contains("EOF"), "{message}");
    let backwards = files.write("backwards.json", INFERENCE_PERF.replace("1002.5,", "900.0,"));
    let message = refused(&backwards, None);
    assert!(message.contains("end_time") && message.contains("duration"), "{message}");
}

fn round(session: &str, [total, prefix, output]: [u32; 3], events: &[(&str, &str)]) -> String {
    let event = |(kind, time): &(&str, &str)| {
        format!(r#"{{"event_type":"{kind}","timestamp":"2026-06-01T05:{time}Z","content_chars":1}}"#)
    };
    let events: Vec<String> = events.iter().map(event).collect();
    format!(
        r#"{{"provider":"claude","session_id":"{session}","round_index":0,"model":"m","input_tokens_total":{total},"prefix_tokens":{prefix},"output_tokens":{output},"timing_events":[{}],"tools":[]}}"#,
        events.join(",")
    ) + "\n"
}

#[test]
fn rounds_of_tracelab_follow_one_another() {
    let files = Files::new();
    let text = [
        round(
            "s1",
            [2048, 0, 90],
            &[("user_message", "40:20.000"), ("reasoning", "40:29.000"), ("tool_call", "40:30.000")],
        ),
        // The results of two tools; the later one lets the round begin.
        round(
            "s1",
            [4096, 2048, 10],
            &[("tool_result", "40:31.000"), ("tool_result", "40:50.500"), ("text", "40:52.000")],
        ),
        // Another session, earlier in time.
        round(
            "s2",
            [600, 0, 5],
            &[("user_message", "40:00.000"), ("text", "40:01.000"), ("usage_report", "40:01.500")],
        ),
        // A conversation that was compacted.
        round("s1", [1024, 512, 7], &[("user_message", "45:52.000"), ("text", "45:53.000")]),
    ];
    let (trace, understanding) = read(&files.write("llm_round_trace.jsonl", text.concat()));
    assert_eq!((understanding.format, trace.prefix_block_tokens), (Format::TraceLab, 512));
    let rows: Vec<_> =
        short(&trace).into_iter().map(|(at, prompt, output, took, _)| (at, prompt, output, took)).collect();
    assert_eq!(rows, [(0.0, 600, 5, 1.0), (20.0, 2048, 90, 10.0), (50.5, 4096, 10, 1.5), (352.0, 1024, 7, 1.0)]);
    assert_eq!(thinks(&trace), [None, None, Some(20.5), Some(300.0)]);
    let blocks = |at: usize| trace.prefix(&trace.requests[at]);
    assert_eq!((blocks(1).len(), blocks(2).len(), blocks(3).len()), (4, 8, 2));
    assert_eq!(blocks(2)[..4], *blocks(1));
    assert!(blocks(3)[0] == blocks(2)[0] && blocks(3)[1] != blocks(2)[1]);
    assert!(blocks(0).iter().all(|block| !blocks(2).contains(block)));
    assert_eq!(TraceStats::new(&trace, BIN_S).sessions, Some(2));
    let odd = files.write("odd.jsonl", text[0].replace("40:20.000", "noon") + &text[1]);
    let message = refused(&odd, None);
    assert!(message.contains("timing_events.timestamp") && message.contains("noon"), "{message}");
    let kept = LoadOptions { max_bad_rows: 1, ..LoadOptions::default() };
    assert_eq!(load_trace(&odd, None, &kept).unwrap().requests.len(), 1);
}

/// A session of three requests and a subagent of two, its times from the session's begin.
fn session(id: &str, scope: &str) -> String {
    format!(
        r#"{{"id": "{id}", "models": ["m"], "block_size": 64, "hash_id_scope": "{scope}", "tool_tokens": 100,
  "requests": [
    {{"t": 100.0, "type": "s", "model": "m", "in": 128, "out": 10, "hash_ids": [1, 2], "api_time": 5.0, "ttft": 0.5}},
    {{"t": 110.0, "type": "n", "model": "m", "in": 192, "out": 20, "hash_ids": [1, 2, 3], "api_time": 4.0, "think_time": 5.0}},
    {{"type": "subagent", "t": 115.0, "agent_id": "x", "status": "completed", "requests": [
      {{"t": 116.0, "type": "n", "in": 64, "out": 1, "hash_ids": [1], "api_time": 3.0}},
      {{"t": 118.0, "type": "n", "in": 64, "out": 2, "hash_ids": [9], "api_time": 1.0}}]}},
    {{"t": 200.0, "type": "s", "model": "m", "in": 256, "out": 30, "hash_ids": [1, 2, 3, 4]}}
  ]}}
"#
    )
}

#[test]
fn sessions_of_agents_begin_one_after_another() {
    let files = Files::new();
    // Objects over several lines, behind one another.
    let path = files.write("sessions.jsonl", session("one", "local") + &session("two", "local"));
    let (trace, understanding) = read(&path);
    assert_eq!((understanding.format, trace.prefix_block_tokens), (Format::Weka, 64));
    let rows: Vec<_> =
        short(&trace).into_iter().map(|(at, prompt, output, took, _)| (at, prompt, output, took)).collect();
    assert_eq!(rows[..4], [(0.0, 128, 10, 5.0), (10.0, 192, 20, 4.0), (16.0, 64, 1, 3.0), (18.0, 64, 2, 1.0)]);
    // The longest session takes 100 s, so that the second of two begins after 50 s.
    assert_eq!(rows[4], (50.0, 128, 10, 5.0));
    assert_eq!((trace.requests.len(), trace.requests[9].arrival_s), (10, 150.0));
    // The subagent's second request did not wait for the first; the last one waited for the second.
    assert_eq!(thinks(&trace)[..4], [None, Some(5.0), None, None]);
    assert_eq!(thinks(&trace)[8], Some(86.0));
    assert_eq!(TraceStats::new(&trace, BIN_S).sessions, Some(4));
    let blocks = |at: usize| trace.prefix(&trace.requests[at]);
    assert_eq!(blocks(1)[..2], *blocks(0));
    assert_eq!(blocks(2)[0], blocks(0)[0], "a subagent shares its session's blocks");
    assert!(!blocks(4).contains(&blocks(0)[0]), "another session does not");
    let said = understanding.to_string();
    assert!(said.contains("2 sessions begin evenly spread") && said.contains("hash_id_scope local"), "{said}");
}

#[test]
fn sessions_lie_in_folders_and_may_share_blocks() {
    let files = Files::new();
    let folder = files.path("traces");
    std::fs::create_dir(&folder).unwrap();
    // Times of the subagent's requests from the subagent's own begin.
    let relative = session("b", "global").replace("\"t\": 116.0", "\"t\": 1.0").replace("\"t\": 118.0", "\"t\": 3.0");
    std::fs::write(folder.join("trace_0002.json"), relative).unwrap();
    std::fs::write(
        folder.join("trace_0001.json.gz"),
        gzip(session("a", "global").replace("116.0", "1.0").replace("118.0", "3.0").as_bytes()),
    )
    .unwrap();
    std::fs::write(folder.join("manifest.txt"), "not a session").unwrap();
    let (trace, understanding) = read(&folder);
    assert_eq!((understanding.format, trace.requests.len()), (Format::Weka, 10));
    assert_eq!(trace.requests[2].arrival_s, 16.0);
    assert_eq!(trace.prefix(&trace.requests[0]), [1, 2]);
    assert!(understanding.to_string().contains("subagent's begin"), "{understanding}");
    let whole = TraceStats::new(&trace, BIN_S);
    let streamed = TraceStats::of_file(&folder, None, &LoadOptions::default(), BIN_S).unwrap();
    assert_eq!((streamed.rows, streamed.sessions, streamed.span_s), (whole.rows, whole.sessions, whole.span_s));
    assert_eq!(streamed.repeated_blocks, whole.repeated_blocks);
}

#[test]
fn odd_sessions_are_refused() {
    let files = Files::new();
    let with = |from: &str, to: &str| files.write("odd.json", session("a", "local").replace(from, to));
    for (from, to, expected) in [
        ("\"t\": 110.0", "\"t\": -1.0", "t: found `-1`"),
        ("\"t\": 110.0", "\"t\": 1e300", "t: found"),
        ("\"block_size\": 64", "\"block_size\": 0", "block_size: found `0`"),
        ("\"in\": 192", "\"in\": 1.5", "in: found `1.5`"),
        ("\"api_time\": 4.0", "\"api_time\": -4.0", "api_time: found `-4`"),
        ("\"requests\": [\n", "\"requests\": 7, \"other\": [\n", "expected sessions"),
    ] {
        let message = refused(&with(from, to), Some(Format::Weka));
        assert!(message.contains(expected), "{to}: {message}");
    }
    let two = files.write(
        "two.json",
        session("a", "local") + &session("b", "local").replace("\"block_size\": 64", "\"block_size\": 16"),
    );
    let message = refused(&two, None);
    assert!(message.contains("block_size") && message.contains("--block-tokens"), "{message}");
    let empty = files.path("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(matches!(
        load_trace(&empty, None, &LoadOptions::default()),
        Err(DataError::Io { .. } | DataError::Empty { .. })
    ));
}

#[test]
fn ingested_windows_are_read() {
    let files = Files::new();
    let text = "arrival_s,window,prompt_tokens,output_tokens,service_s,first_byte_s,class,session,upstream
0.000000,0,120,30,2.5,0.5,chat,u1#0,10.0.0.1:8000
1.500000,0,80,10,,,code,\"u,2#0\",
3600.250000,1,150,20,1.25,,chat,u1#1,10.0.0.2:8000
";
    let (trace, understanding) = read(&files.write("service.requests.csv.gz", gzip(text.as_bytes())));
    assert_eq!(understanding.format, Format::Lake);
    let rows: Vec<_> = short(&trace).into_iter().map(|(at, prompt, output, ..)| (at, prompt, output)).collect();
    assert_eq!(rows, [(0.0, 120, 30), (1.5, 80, 10), (3600.25, 150, 20)]);
    assert_eq!((trace.requests[0].service_s, trace.upstreams.len()), (2.5, 2));
    assert_eq!(TraceStats::new(&trace, BIN_S).sessions, Some(3));
    assert!(understanding.to_string().contains("one behind another"), "{understanding}");
}
