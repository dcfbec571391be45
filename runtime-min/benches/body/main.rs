//! Cost of reading bodies, in nanoseconds a byte and a body or event.
//!
//! `cargo bench --profile release -p evenkeel-runtime --bench body`

use std::hint::black_box;
use std::time::Instant;

use evenkeel_runtime::body::{RequestReader, ResponseKind, ResponseReader};

/// Runs of which the least counts.
const RUNS: usize = 1000;

fn main() {
    println!("{:<44} {:>9} {:>10} {:>9}", "body", "bytes", "ns", "ns/byte");
    let prose = "It was the best of times, it was the worst of times; it was the age of wisdom. ".repeat(900);
    let code = "    let (place, rest) = find(\\\"x\\\", 7);\\n".repeat(1500);
    let chat = |text: &str| {
        format!(
            r#"{{"messages":[{{"role":"system","content":"Be brief."}},{{"role":"user","content":"{text}"}}],"model":"m-8b","max_tokens":512,"stream":true}}"#
        )
    };
    let ids = (0..10_000).map(|id| (id * 7919 % 128_000).to_string()).collect::<Vec<_>>().join(",");
    let image = "iVBORw0KGgoAAAANSUhEUgAA/+9".repeat(2400);
    let part = format!(r#"[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{image}"}}}}]"#);
    request("request: chat, 2 kB of prose", &chat(&prose[..1850]));
    request("request: chat, 64 KiB of prose", &chat(&prose[..65_000]));
    request("request: chat, 60 kB of code with escapes", &chat(&code));
    request("request: token ids", &format!(r#"{{"model":"m","prompt":[{ids}]}}"#));
    request("request: an image of 64 kB", &chat("x").replace("\"x\"", &part));
    request("request: definitions of tools", &format!(r#"{{"tools":[{}]}}"#, vec![TOOL; 60].join(",")));

    let event = |content: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-6e2b1c0d9f8a4b7c\",\"object\":\"chat.completion.chunk\",\"created\":1764547200,\"model\":\"meta/m-8b\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{content}\"}},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
        )
    };
    let stream: Vec<String> = (0..200).map(|at| event(&format!(" tok{at}"))).collect();
    response("response: 200 events, one a piece", ResponseKind::Events, &stream, 200);
    response("response: 200 events, in one piece", ResponseKind::Events, &[stream.concat()], 200);
    let whole = format!(
        r#"{{"id":"x","choices":[{{"message":{{"role":"assistant","content":"{}"}}}}],"usage":{{"completion_tokens":9}}}}"#,
        &prose[..8000]
    );
    response("response: JSON, 8 kB of prose", ResponseKind::Json, &[whole], 1);
}

const TOOL: &str = r#"{"type":"function","function":{"name":"get_weather","description":"Current weather of a city","parameters":{"type":"object","properties":{"city":{"type":"string","description":"Name of the city"},"unit":{"type":"string","enum":["celsius","fahrenheit"]}},"required":["city"]}}}"#;

fn request(name: &str, body: &str) {
    let run = || {
        let mut reader = RequestReader::new();
        reader.feed(black_box(body.as_bytes()));
        black_box(reader.body(None));
    };
    show(name, body.len(), 1, run);
}

fn response(name: &str, kind: ResponseKind, pieces: &[String], events: usize) {
    let run = || {
        let mut reader = ResponseReader::new(kind);
        for piece in pieces {
            black_box(reader.feed(black_box(piece.as_bytes())));
        }
        black_box(reader.body());
    };
    show(name, pieces.iter().map(String::len).sum(), events, run);
}

/// Prints the least time of a run, and of an event where there are several.
fn show(name: &str, bytes: usize, events: usize, run: impl Fn()) {
    // `-- WORD` measures what has this word in its name.
    if std::env::args().skip(1).any(|word| !word.starts_with('-') && !name.contains(&word)) {
        return;
    }
    let time = || {
        let begin = Instant::now();
        run();
        begin.elapsed().as_nanos()
    };
    let least_ns = (0..RUNS).map(|_| time()).min().unwrap_or(0) as f64;
    print!("{name:<44} {bytes:>9} {least_ns:>10.0} {:>9.2}", least_ns / bytes as f64);
    if events > 1 {
        print!("   {:.0} ns an event", least_ns / events as f64);
    }
    println!();
}
