//! Kinds of fault in logs and traces, each on made-up files: read right, or refused with advice
//! that works.

use crate::support::{Files, advised};
use evenkeel_datasets::stats::{BIN_S, TraceStats};
use evenkeel_datasets::{
    DataError, Format, LoadOptions, Reason, Request, ServiceSeen, TimeUnit, Trace, Understanding, load_trace,
    load_trace_with_report,
};
use std::fmt::Write as _;
use std::path::Path;

fn read(path: &Path) -> (Trace, Understanding) {
    load_trace_with_report(path, None, &LoadOptions::default()).unwrap()
}

fn with(change: impl FnOnce(&mut LoadOptions)) -> LoadOptions {
    let mut options = LoadOptions::default();
    change(&mut options);
    options
}

fn lines(count: u32, line: impl Fn(u32) -> String) -> String {
    (0..count).fold(String::new(), |mut text, row| {
        let _ = writeln!(text, "{}", line(row));
        text
    })
}

/// A trace in Mooncake's form: a request every `step` units.
fn mooncake(step: f64, block: u32, start: f64) -> String {
    lines(200, |row| {
        let prompt = 300 + row * 37 % 4000;
        let blocks: Vec<String> = (0..prompt.div_ceil(block)).map(|block| (block + row).to_string()).collect();
        let time = start + f64::from(row) * step;
        format!(
            r#"{{"timestamp": {time}, "input_length": {prompt}, "output_length": 20, "hash_ids": [{}]}}"#,
            blocks.join(",")
        )
    })
}

#[test]
fn times_that_fit_several_units_are_refused_until_one_is_named() {
    let files = Files::new();
    // Seconds with fractions under the names of a format in whole milliseconds.
    let path = files.write("seconds.jsonl", mooncake(1.17, 512, 0.0));
    let message = load_trace(&path, None, &LoadOptions::default()).unwrap_err().to_string();
    assert!(
        message.contains("timestamp") && message.contains("--time-unit s") && message.contains("1.17"),
        "{message}"
    );
    let trace = load_trace(&path, None, &advised(&message)).unwrap();
    assert!((trace.mean_rate_per_s() * 1.17 - 1.0).abs() < 0.01, "{}", trace.mean_rate_per_s());
    // Whole milliseconds, as the format has them.
    let (trace, _) = read(&files.write("ms.jsonl", mooncake(300.0, 512, 0.0)));
    assert!((trace.duration_s() - 199.0 * 0.3).abs() < 1e-6);
    for (factor, unit) in [(1.0, "seconds"), (1e3, "milliseconds"), (1e6, "microseconds")] {
        let path = files.write("epoch.jsonl", mooncake(2.0 * factor, 512, 1.764e9 * factor));
        let (trace, understanding) = read(&path);
        assert!((trace.duration_s() - 398.0).abs() < 1e-3, "{unit}: {}", trace.duration_s());
        assert!(understanding.time.starts_with(unit), "{}", understanding.time);
    }
    let asked = with(|options| options.time_unit = Some(TimeUnit::Milliseconds));
    assert!((load_trace(&path, None, &asked).unwrap().duration_s() - 0.2328).abs() < 0.001);
}

#[test]
fn block_sizes_are_measured_by_the_prompts() {
    let files = Files::new();
    for block in [16, 64, 256, 512] {
        let (trace, understanding) = read(&files.write("blocks.jsonl", mooncake(300.0, block, 0.0)));
        assert_eq!(trace.prefix_block_tokens, block);
        assert!(understanding.assumed.iter().any(|line| line.contains(&format!("{block} tokens"))));
    }
    let path =
        files.write("odd.jsonl", mooncake(300.0, 300, 0.0).replace("\"hash_ids\": [", "\"hash_ids\": [9,8,7,6,5,"));
    let message = load_trace(&path, None, &LoadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("--block-tokens N"), "{message}");
    assert_eq!(load_trace(&path, None, &advised(&message)).unwrap().prefix_block_tokens, 16);
}

#[test]
fn chains_of_chats_are_sessions() {
    let files = Files::new();
    let text = lines(100, |row| {
        let (chat, turn) = (row, row % 4);
        let parent = if turn == 0 { -1 } else { i64::from(row) - 1 };
        format!(
            r#"{{"chat_id": {chat}, "parent_chat_id": {parent}, "timestamp": {}.25, "input_length": 160, "output_length": 9, "type": "text", "turn": {}, "hash_ids": [1,2,3,4,5,6,7,8,9,10]}}"#,
            row * 2,
            turn + 1
        )
    });
    let (trace, understanding) = read(&files.write("chats.jsonl", text));
    assert_eq!((understanding.format, trace.prefix_block_tokens), (Format::Bailian, 16));
    assert_eq!(TraceStats::new(&trace, BIN_S).sessions, Some(25));
    assert!((trace.mean_rate_per_s() - 0.5).abs() < 0.01);
}

#[test]
fn turns_with_delays_follow_one_another_and_grow() {
    let files = Files::new();
    let text = r#"{"session_id": "a", "timestamp": 0, "input_length": 1000, "output_length": 100, "hash_ids": [1, 2]}
{"session_id": "a", "delay": 1500, "input_length": 50, "output_length": 10, "hash_ids": [3]}
{"session_id": "b", "timestamp": 500, "input_length": 10, "output_length": 10, "hash_ids": [9]}
"#;
    let (trace, understanding) = read(&files.write("turns.jsonl", text));
    let turns: Vec<_> = trace.requests.iter().map(|r| (r.arrival_s, r.prompt_tokens)).collect();
    assert_eq!(turns, [(0.0, 1000), (0.5, 10), (1.5, 1150)]);
    assert_eq!(trace.prefix(&trace.requests[2]), [1, 2, 3]);
    assert_eq!(trace.requests[2].think_s, 1.5);
    assert_eq!(trace.requests[0].session, trace.requests[2].session);
    assert!(understanding.assumed.iter().any(|line| line.contains("delay")));
    let orphan =
        files.write("orphan.jsonl", r#"{"session_id": "a", "delay": 5, "input_length": 1, "output_length": 1}"#);
    let message = load_trace(orphan, None, &LoadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("timestamp") && message.contains("first turn"), "{message}");
}

#[test]
fn envoys_values_under_nginxs_names_are_milliseconds() {
    let files = Files::new();
    // Logged when they are done, so that times of the start are not in order.
    let mut rows: Vec<(u32, u32)> = (0..300).map(|row| (row * 400, 100 + row * 7919 % 3000)).collect();
    rows.sort_by_key(|(start_ms, took_ms)| start_ms + took_ms);
    let text = rows.iter().fold(String::new(), |mut text, (start_ms, took_ms)| {
        let (minute, ms) = (start_ms / 60_000, start_ms % 60_000);
        let time = format!("2025-11-24T16:{minute:02}:{:02}.{:03}Z", ms / 1000, ms % 1000);
        let _ = writeln!(
            text,
            r#"{{"time":"{time}","request_time":{took_ms},"status":200,"upstream_addr":"10.0.0.1:8000","prompt_tokens":"10","output_tokens":"5"}}"#
        );
        text
    });
    let (trace, understanding) = read(&files.write("envoy_as_nginx.json", text));
    assert_eq!(trace.requests.len(), 300);
    assert!((trace.requests[10].arrival_s - 4.0).abs() < 1e-6, "{}", trace.requests[10].arrival_s);
    assert!(trace.requests.iter().all(|r| (0.1..3.2).contains(&r.service_s)));
    assert!(understanding.assumed.iter().any(|line| line.contains("ms")), "{understanding}");
}

#[test]
fn a_time_to_the_millisecond_wins_wherever_it_stands() {
    let files = Files::new();
    let row = |order: bool, row: u32| {
        let fine = format!(r#""msec":"{}.{:03}""#, 1_764_000_000 + row / 4, row % 4 * 250);
        let coarse = r#""time_iso8601":"2025-11-24T16:00:00+00:00""#;
        let (a, b) = if order { (fine.as_str(), coarse) } else { (coarse, fine.as_str()) };
        format!(
            r#"{{{a},"request_time":"0.100",{b},"status":"200","upstream":"10.0.0.{}:80","upstream_response_time":"0.090"}}"#,
            row % 3
        )
    };
    for order in [true, false] {
        let (trace, _) = read(&files.write("times.json", lines(60, |index| row(order, index))));
        assert_eq!((trace.requests[1].arrival_s, trace.upstreams.len()), (0.25, 3));
    }
}

fn nginx(row: u32, status: u16, request: &str, tokens: (&str, &str)) -> String {
    let (prompt, output) = tokens;
    format!(
        r#"{{"msec":{}.500,"request_time":0.250,"status":{status},"request":"{request}","upstream_addr":"10.0.0.{}:80","upstream_response_time":"0.240","upstream_header_time":"0.100","prompt_tokens":"{prompt}","output_tokens":"{output}"}}"#,
        1_764_000_000 + row,
        row % 2
    )
}

#[test]
fn failures_probes_and_answers_without_tokens_are_counted_not_read() {
    let files = Files::new();
    let text = lines(100, |row| match row % 10 {
        0 => nginx(row, 502, "POST /v1/completions HTTP/1.1", ("7", "0")),
        1 => nginx(row, 200, "GET /healthz HTTP/1.1", ("", "")),
        2 => nginx(row, 200, "POST /v1/tokenize HTTP/1.1", ("", "")),
        3 => nginx(row, 101, "GET /ws HTTP/1.1", ("", "")),
        _ => nginx(row, 200, "POST /v1/completions HTTP/1.1", ("100", "20")),
    });
    let path = files.write("mixed.json", &text);
    let (trace, understanding) = read(&path);
    assert_eq!(trace.requests.len(), 60);
    for reason in [Reason::Failure, Reason::Probe, Reason::NoTokens, Reason::Protocol] {
        assert_eq!(understanding.left_out(reason), 10, "{reason:?}");
    }
    let shown = understanding.to_string();
    assert!(shown.contains("10 probes (the first: status 200, method GET, path /healthz"), "{shown}");
    let all = with(|options| options.include = "all".parse().unwrap());
    assert_eq!(load_trace(&path, None, &all).unwrap().requests.len(), 100);
    // Reading without keeping comes to the same.
    let (stats, again) =
        TraceStats::of_file_with_report(&path, None, &LoadOptions::default(), BIN_S, &mut |_, _| {}).unwrap();
    assert_eq!((stats.rows, again.left_out), (60, understanding.left_out));
    let wanted = with(|options| options.wanted = "path=/v1/completions,status=2xx".parse().unwrap());
    let (trace, understanding) = load_trace_with_report(&path, None, &wanted).unwrap();
    assert_eq!((trace.requests.len(), understanding.left_out(Reason::NotAskedFor)), (60, 40));
    let nothing = with(|options| options.wanted = "path=/v2/*".parse().unwrap());
    assert!(matches!(load_trace(&path, None, &nothing), Err(DataError::AllLeftOut { rows: 100, .. })));
}

#[test]
fn tcp_sessions_are_no_requests() {
    let files = Files::new();
    let text = lines(40, |row| {
        let time = format!("2025-11-24T16:00:{row:02}.000Z");
        if row % 2 == 0 {
            format!(
                r#"[{time}] "- - -" 0 - - - "-" 105 432 393000 - "-" "-" "-" "-" "10.0.1.1:5432" outbound|5432 10.0.0.5:1 - - - -"#
            )
        } else {
            format!(
                r#"[{time}] "POST /api/answer HTTP/2" 200 - via_upstream - "-" 105 432 1526 451 "-" "x" "r" "svc:8000" "10.0.1.2:8000" outbound|8000 10.0.0.5:1 - - - -"#
            )
        }
    });
    let (trace, understanding) = read(&files.write("istio.log", &text));
    assert_eq!((trace.requests.len(), understanding.left_out(Reason::Protocol)), (20, 20));
    assert_eq!((understanding.format, trace.upstreams), (Format::EnvoyText, vec!["10.0.1.2:8000".to_owned()]));
    assert_eq!((trace.requests[0].service_s, trace.requests[0].first_byte_s), (1.526, 0.451));
    // Envoy's own default has neither details nor reasons.
    let text = text.replace(" via_upstream - \"-\"", "");
    let (trace, _) = read(&files.write("envoy.log", text.replace(" 0 - - - \"-\"", " 0 -")));
    assert_eq!((trace.requests.len(), trace.requests[0].service_s), (20, 1.526));
}

#[test]
fn language_models_without_tokens_are_never_taken_for_other_services_unasked() {
    let files = Files::new();
    let text = lines(50, |row| nginx(row, 200, "POST /v1/chat/completions HTTP/1.1", ("", "")));
    let path = files.write("model.json", text);
    let message = load_trace(&path, None, &LoadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("/v1/chat/completions") && message.contains("--without-tokens"), "{message}");
    let (trace, understanding) = load_trace_with_report(&path, None, &advised(&message)).unwrap();
    assert_eq!((trace.requests.len(), understanding.service), (50, ServiceSeen::WithoutTokens));
    // The other advice: the tokens are there, under a name of their own.
    let text = lines(50, |row| {
        nginx(row, 200, "POST /v1/completions HTTP/1.1", ("", ""))
            .replace("\"prompt_tokens\"", "\"in\":12,\"usage\":{\"out\":\"34\"},\"x\"")
    });
    let path = files.write("named.json", text);
    assert!(matches!(load_trace(&path, None, &LoadOptions::default()), Err(DataError::WithoutTokens { .. })));
    let named = with(|options| options.columns = Some("prompt=in,output=usage.out".parse().unwrap()));
    let trace = load_trace(&path, None, &named).unwrap();
    assert_eq!((trace.requests[0].prompt_tokens, trace.requests[0].output_tokens), (12, 34));
    assert!(trace.requests[0].service_s > 0.0);
}

#[test]
fn json_lines_of_no_known_format_take_a_map() {
    let files = Files::new();
    let text = lines(40, |row| {
        format!(
            r#"{{"req":{{"ts_ms":{},"in_tokens":{}}},"completion_tokens":7,"took":0.5,"node":"n{}"}}"#,
            1_764_000_000_000_u64 + u64::from(row) * 1500,
            row + 1,
            row % 2
        )
    });
    let path = files.write("own.jsonl", text);
    let message = load_trace(&path, None, &LoadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("--columns arrival=req.ts_ms,prompt=req.in_tokens,output=completion_tokens"), "{message}");
    let mut options = advised(&message);
    let trace = load_trace(&path, None, &options).unwrap();
    assert_eq!((trace.requests[1].arrival_s, trace.requests[1].prompt_tokens), (1.5, 2));
    let map = "arrival=req.ts_ms,prompt=req.in_tokens,output=completion_tokens,service=took,upstream=node";
    options.columns = Some(map.parse().unwrap());
    let trace = load_trace(&path, None, &options).unwrap();
    assert_eq!((trace.requests[0].service_s, trace.upstreams.len()), (0.5, 2));
    options.columns = Some("arrival=when".parse().unwrap());
    let message = load_trace(&path, None, &options).unwrap_err().to_string();
    assert!(message.contains("no field `when`") && message.contains("req.ts_ms"), "{message}");
}

#[test]
fn durations_that_contradict_the_span_are_refused_until_their_unit_is_named() {
    let files = Files::new();
    let text = lines(200, |row| format!("{},{},{},{}", 1_764_000_000 + row, 100, 20, 900.5 + f64::from(row % 7)));
    let path = files.write("took.csv", format!("ts,in_tokens,out_tokens,took\n{text}"));
    let columns = Some("arrival=ts,prompt=in_tokens,output=out_tokens,service=took".parse().unwrap());
    let options = LoadOptions { columns, ..LoadOptions::default() };
    let message = load_trace(&path, None, &options).unwrap_err().to_string();
    assert!(message.contains("took") && message.contains("--duration-unit ms"), "{message}");
    let trace = load_trace(&path, None, &LoadOptions { columns: options.columns, ..advised(&message) }).unwrap();
    assert!((0.9..0.91).contains(&trace.requests[0].service_s));
}

#[test]
fn spans_of_generative_ai_are_requests() {
    let files = Files::new();
    let span = |start: u64, attributes: &str, status: u8| {
        format!(
            r#"{{"name":"chat m","startTimeUnixNano":"{start}","endTimeUnixNano":"{}","status":{{"code":{status}}},"attributes":[{attributes}]}}"#,
            start + 2_000_000_000
        )
    };
    let tokens = r#"{"key":"gen_ai.usage.input_tokens","value":{"intValue":"100"}},{"key":"gen_ai.usage.output_tokens","value":{"intValue":"20"}},{"key":"gen_ai.conversation.id","value":{"stringValue":"c1"}}"#;
    let at = 1_764_000_000_000_000_000;
    let spans = [
        span(at, tokens, 0),
        span(at + 500_000_000, tokens, 1),
        span(at + 600_000_000, tokens, 2),
        span(at + 700_000_000, r#"{"key":"http.method","value":{"stringValue":"GET"}}"#, 0),
    ];
    let line = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#, spans.join(","));
    let (trace, understanding) = read(&files.write("spans.jsonl", line));
    assert_eq!((understanding.format, trace.requests.len()), (Format::Otel, 2));
    assert_eq!((trace.requests[1].arrival_s, trace.requests[1].service_s), (0.5, 2.0));
    assert_ne!(trace.requests[0].session, Request::NO_SESSION);
    assert_eq!((understanding.left_out(Reason::Failure), understanding.left_out(Reason::Protocol)), (1, 1));
    // A span a line, as consoles print it.
    let flat = r#"{"name":"chat m","start_time":"2025-11-24T16:00:00.500Z","end_time":"2025-11-24T16:00:01Z","attributes":{"gen_ai.usage.input_tokens":5,"gen_ai.usage.output_tokens":6}}"#;
    let (trace, _) = read(&files.write("flat.jsonl", flat));
    assert_eq!((trace.requests[0].prompt_tokens, trace.requests[0].service_s), (5, 0.5));
}

#[test]
fn servegen_is_read_as_its_repository_lies() {
    let files = Files::new();
    let folder = files.path("mm-image");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("chunk-0-trace.csv"), "0,5,1,Gamma,1,0.2\n600,5,1,Gamma,1,0.2\n").unwrap();
    let lengths = r#"{"0":{"text_tokens":"{100: 1.0}","image_tokens":"{1000: 1.0}","output_tokens":"{7: 1.0}"}}"#;
    std::fs::write(folder.join("chunk-0-dataset.json"), lengths).unwrap();
    let (trace, understanding) = read(&folder);
    assert_eq!(understanding.format, Format::ServeGen);
    assert!(trace.requests.iter().all(|r| (r.prompt_tokens, r.output_tokens) == (1100, 7)));
    assert!((trace.requests.len() as f64 / 6000.0 - 1.0).abs() < 0.1);
    // Numbers that would become endless loops or all memory.
    for wrong in ["0,1e300,1,Gamma,1,1\n", "1e300,5,1,Gamma,1,1\n"] {
        std::fs::write(folder.join("chunk-0-trace.csv"), wrong).unwrap();
        assert!(matches!(load_trace(&folder, None, &LoadOptions::default()), Err(DataError::BadRows { .. })));
    }
    std::fs::write(folder.join("chunk-0-trace.csv"), "0,900000,1,Gamma,1,1\n600,900000,1,Gamma,1,1\n").unwrap();
    let message = load_trace(&folder, None, &LoadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("--end SECONDS") && message.contains("--rate-scale"), "{message}");
    let part = with(|options| options.rate_scale = 1e-5);
    assert!(!load_trace(&folder, None, &part).unwrap().requests.is_empty());
}

#[test]
fn rows_that_never_end_are_refused() {
    let files = Files::new();
    let mut text = "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-12 00:00:05,1,1\n\"2024".to_owned();
    text.extend(std::iter::repeat_n("2024-05-12 00:00:05,1,1\n", 800_000));
    let message = load_trace(files.write("quote.csv", &text), None, &LoadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("quote.csv:3") && message.contains("never closed"), "{message}");
    let row =
        |text: &str| format!("{{\"timestamp\": 0, \"input_length\": 1, \"output_length\": 1, \"x\": \"{text}\"}}\n");
    let long = row("short") + &row(&"y".repeat(17 << 20));
    let message = load_trace(files.write("long.jsonl", long), None, &LoadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("long.jsonl:2") && message.contains("16777216"), "{message}");
}

#[test]
fn bad_rows_are_counted_by_kind() {
    let files = Files::new();
    let text = lines(100, |row| match row {
        10 | 20 | 30 => nginx(row, 200, "POST /a HTTP/1.1", ("x", "1")),
        40 => "garbage".to_owned(),
        50 => r#"{"msec":"soon","request_time":1.0}"#.to_owned(),
        _ => nginx(row, 200, "POST /a HTTP/1.1", ("5", "1")),
    });
    let path = files.write("bad.json", text);
    let (trace, understanding) =
        load_trace_with_report(&path, None, &with(|options| options.max_bad_rows = 5)).unwrap();
    assert_eq!((trace.requests.len(), trace.dropped_rows), (95, 5));
    let kinds: Vec<_> = understanding.bad_rows.iter().map(|kind| (kind.rows, kind.first.line)).collect();
    assert_eq!(kinds, [(3, 11), (1, 41), (1, 51)]);
    assert!(load_trace(&path, None, &with(|options| options.max_bad_rows = 4)).is_err());
}

#[test]
fn container_logs_are_unwrapped_and_their_noise_left_out() {
    let files = Files::new();
    let inner = |row| nginx(row, 200, "POST /a HTTP/1.1", ("5", "1"));
    let cri = lines(30, |row| match row {
        0 => "2025-11-24T16:00:00.1Z stdout F {\"level\":\"info\",\"msg\":\"starting\"}".to_owned(),
        5 => "2025-11-24T16:00:00.1Z stderr F 2025/11/24 16:00:00 [warn] 7#7: a warning".to_owned(),
        6 => {
            let line = inner(row);
            let (head, tail) = line.split_at(40);
            format!("2025-11-24T16:00:00.1Z stdout P {head}\n2025-11-24T16:00:00.2Z stdout F {tail}")
        }
        _ => format!("2025-11-24T16:00:00.1Z stdout F {}", inner(row)),
    });
    let options = with(|options| options.max_bad_rows = 1);
    let (trace, understanding) = load_trace_with_report(files.write("cri.log", cri), None, &options).unwrap();
    assert_eq!((trace.requests.len(), understanding.format), (28, Format::NginxJson));
    let docker = lines(30, |row| {
        let log = serde_json::to_string(&format!("{}\n", inner(row))).unwrap();
        format!(r#"{{"log":{log},"stream":"stdout","time":"2025-11-24T16:00:00.1Z"}}"#)
    });
    let (trace, understanding) = read(&files.write("docker.json", docker));
    assert_eq!((trace.requests.len(), understanding.wrapper), (30, Some("Docker")));
}

#[test]
fn the_account_names_fields_samples_and_what_was_not_used() {
    let files = Files::new();
    let text = lines(20, |row| {
        nginx(row, 200, "POST /a HTTP/1.1", ("5", "1")).replace("\"request\"", "\"ttft_seconds\":0.2,\"request\"")
    });
    let (_, understanding) = read(&files.write("log.json", text));
    insta::assert_snapshot!(understanding, @"
    read as nginx-json
      time    seconds, since 1970, by the size of the numbers
      service a language model (there are token counts)
      completion        msec                   in 20 rows, such as `1764000000.500`
      whole duration    request_time           in 20 rows, such as `0.250`
      response time     upstream_response_time in 20 rows, such as `0.240`
      first byte        upstream_header_time   in 20 rows, such as `0.100`
      host              upstream_addr          in 20 rows, such as `10.0.0.0:80`
      prompt tokens     prompt_tokens          in 20 rows, such as `5`
      output tokens     output_tokens          in 20 rows, such as `1`
      status            status                 in 20 rows, such as `200`
      request line      request                in 20 rows, such as `POST /a HTTP/1.1`
      assumed: no prefix blocks: prompts are taken to share nothing
      not used: ttft_seconds           in 20 rows, such as `0.2`
    ");
}
