//! Bodies of responses, in every form that is read.

use evenkeel_runtime::body::{ResponseBody, ResponseKind, ResponseReader};

/// Reads a body in pieces of so many bytes; returns what it says and the number of bytes up
/// to the first token, rounded up to a piece.
pub(crate) fn read(kind: ResponseKind, body: &[u8], bytes: usize) -> (ResponseBody, Option<usize>) {
    let (mut reader, mut fed, mut first_token) = (ResponseReader::new(kind), 0, None);
    for piece in body.chunks(bytes.max(1)) {
        fed += piece.len();
        if reader.feed(piece) {
            assert_eq!(first_token, None, "said twice");
            first_token = Some(fed);
        }
    }
    (reader.body(), first_token)
}

/// Reads a body whole, and checks that no cut changes what is found, nor in which piece the
/// first token is.
fn cut_and_read(kind: ResponseKind, body: &str) -> (ResponseBody, Option<usize>) {
    let (whole, _) = read(kind, body.as_bytes(), body.len());
    let (by_bytes, first_token) = read(kind, body.as_bytes(), 1);
    assert_eq!(by_bytes, whole, "byte by byte: {body}");
    for at in 1..body.len() {
        let (first, second) = body.as_bytes().split_at(at);
        let mut reader = ResponseReader::new(kind);
        let news = (reader.feed(first), reader.feed(second));
        assert_eq!(reader.body(), whole, "cut at {at}: {body}");
        let expected = first_token.map_or((false, false), |end| (end <= at, end > at));
        assert_eq!(news, expected, "cut at {at}: {body}");
    }
    (whole, first_token)
}

/// What a JSON response says.
fn json(body: &str) -> ResponseBody {
    let (found, first_token) = cut_and_read(ResponseKind::Json, body);
    assert_eq!((first_token, found.content_events), (None, 0));
    found
}

/// What a stream says, and the text up to which it has no token.
fn events(body: &str) -> (ResponseBody, Option<String>) {
    let (found, first_token) = cut_and_read(ResponseKind::Events, body);
    let (with_returns, _) = read(ResponseKind::Events, body.replace('\n', "\r\n").as_bytes(), 7);
    assert_eq!(with_returns, found, "with CRLF: {body}");
    let (with_returns, _) = read(ResponseKind::Events, body.replace('\n', "\r").as_bytes(), 7);
    assert_eq!(with_returns, found, "with CR: {body}");
    (found, first_token.map(|end| String::from_utf8_lossy(&body.as_bytes()[..end]).into_owned()))
}

/// What is said of a complete response: output, prompt and cached tokens.
fn said(output: u32, prompt: Option<u32>, cached: Option<u32>) -> ResponseBody {
    ResponseBody {
        output_tokens: Some(output),
        prompt_tokens: prompt,
        cached_tokens: cached,
        is_complete: true,
        ..ResponseBody::default()
    }
}

#[test]
fn json_of_openai() {
    let chat = r#"{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"{\"usage\":{\"completion_tokens\":1}}","tool_calls":[]},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":12,"completion_tokens": 1234,"total_tokens":1246,"prompt_tokens_details":{"cached_tokens":8},"completion_tokens_details":{"reasoning_tokens":5}}}"#;
    assert_eq!(json(chat), said(1234, Some(12), Some(8)));
    let vllm = r#"{"choices":[{"text":"hello"}],"usage":{"prompt_tokens":5,"total_tokens":7,"completion_tokens":2,"prompt_tokens_details":null},"kv_transfer_params":null}"#;
    assert_eq!(json(vllm), said(2, Some(5), None));
    let responses = r#"{"object":"response","error":null,"output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],
        "usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":4},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":123}}"#;
    assert_eq!(json(responses), said(87, Some(36), Some(4)));
    let embedding =
        r#"{"object":"list","data":[{"embedding":[0.1,-2e-3]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    assert_eq!(json(embedding), ResponseBody { output_tokens: None, ..said(0, Some(8), None) });
}

#[test]
fn json_of_others() {
    let anthropic = r#"{"type":"message","content":[{"type":"text","text":"Hi"}],"usage":{"input_tokens":10,"cache_creation_input_tokens":5,"cache_read_input_tokens":85,"output_tokens":25}}"#;
    assert_eq!(json(anthropic), said(25, Some(100), Some(85)));
    let llama = r#"{"index":0,"content":" Hi","tokens":[],"stop":true,"tokens_predicted":16,"tokens_evaluated":20,"generation_settings":{"n_predict":16,"tokens_predicted":3},
        "tokens_cached":35,"timings":{"cache_n":12,"prompt_n":8,"prompt_ms":20.5,"predicted_n":16,"predicted_ms":100.25}}"#;
    assert_eq!(json(llama), said(16, Some(20), Some(12)));
    let llama_chat =
        r#"{"choices":[{"message":{"content":"Hi"}}],"timings":{"cache_n":12,"prompt_n":8,"predicted_n":16}}"#;
    assert_eq!(json(llama_chat), said(16, Some(20), Some(12)));
    let tgi = r#"{"generated_text":"Hi","details":{"finish_reason":"length","generated_tokens":20,"seed":null,"prefill":[{"id":1,"text":"a"}],"tokens":[{"id":5,"text":"Hi","logprob":-0.5}]}}"#;
    assert_eq!(json(tgi), said(20, None, None));
    assert_eq!(json(&format!("[{tgi}]")), said(20, None, None));
    let sglang = r#"{"text":"Hi","meta_info":{"id":"x","prompt_tokens":7,"completion_tokens":3,"cached_tokens":1,"finish_reason":{"type":"length","length":16}}}"#;
    assert_eq!(json(sglang), said(3, Some(7), Some(1)));
}

#[test]
fn json_errors_and_ends() {
    let nothing = ResponseBody::default();
    assert!(json(r#"{"error":{"message":"no","type":"invalid_request_error","code":400}}"#).is_error);
    assert!(json(r#"{"error":"Input validation error","error_type":"validation"}"#).is_error);
    assert!(json(r#"{"object":"error","message":"no"}"#).is_error);
    assert!(json(r#"{"type":"error","error":{"type":"overloaded_error"}}"#).is_error);
    for body in [r#"{"error":null,"type":"message"}"#, r#"{"error":"","text":"error"}"#, r#"{"error":false}"#] {
        assert!(!json(body).is_error, "{body}");
    }
    assert_eq!(json(r#"{"usage":{"completion_tokens":7"#), nothing);
    assert_eq!(json(r#"{"usage":{"completion_tokens":7}"#), ResponseBody { output_tokens: Some(7), ..nothing });
    for body in ["", "7", "{", r#"{"usage":null"#, r#"{"usage":{"completion_tokens":null"#, r#"{"completion_tokens":7"#]
    {
        assert_eq!(json(body), nothing, "{body}");
    }
    for body in ["{}", "{} trailing {\"usage\":{\"completion_tokens\":7}}", r#"{"usage":{"completion_tokens":-7}}"#] {
        assert_eq!(json(body), ResponseBody { is_complete: true, ..nothing }, "{body}");
    }
}

/// A chunk of a chat completion whose delta is this.
fn chunk(delta: &str) -> String {
    format!(
        "data: {{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}]}}\n\n"
    )
}

const DONE: &str = "data: [DONE]\n\n";

#[test]
fn streams_of_chat_completions() {
    let role =
        chunk(r#"{"role":"assistant","content":""}"#) + ": ping\n\n" + &chunk("{}") + &chunk(r#"{"content":null}"#);
    let stream = format!("{role}{}{}{}", chunk(r#"{"content":"Hi"}"#), chunk(r#"{"content":" you"}"#), chunk("{}"));
    let (found, first) = events(&(stream.clone() + DONE));
    assert_eq!(found, ResponseBody { is_counted: true, content_events: 2, ..said(2, None, None) });
    assert_eq!(first, Some(stream[..=stream.find("Hi").expect("it is there")].to_owned()));
    // Without its end mark, a stream is not complete.
    assert!(!events(&stream).0.is_complete);
    // What the engine says is worth more than the count, whether at the end or all along.
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":77,\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\n";
    let (found, _) = events(&(stream.clone() + usage + DONE));
    assert_eq!(found, ResponseBody { content_events: 2, ..said(77, Some(9), Some(0)) });
    let continuous = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"completion_tokens\":3}}\n\n";
    assert_eq!(events(&continuous.repeat(2)).0.output_tokens, Some(3));
    // llama.cpp's timings stand in the last chunk.
    let timings =
        "data: {\"choices\":[{\"delta\":{}}],\"timings\":{\"cache_n\":4,\"prompt_n\":5,\"predicted_n\":50}}\n\n";
    assert_eq!(events(&(stream + timings + DONE)).0, ResponseBody { content_events: 2, ..said(50, Some(9), Some(4)) });
}

#[test]
fn content_is_more_than_text() {
    for delta in [
        r#"{"reasoning_content":"hm"}"#,
        r#"{"reasoning":"hm","content":null}"#,
        r#"{"refusal":"no"}"#,
        r#"{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\""}}]}"#,
        r#"{"content":"\u00e9"}"#,
    ] {
        assert_eq!(events(&chunk(delta)).0.content_events, 1, "{delta}");
    }
    for delta in
        [r#"{"tool_calls":[{"function":{"arguments":""}}]}"#, r#"{"content":""}"#, r#"{"audio":{"id":"x"}}"#, "null"]
    {
        assert_eq!(events(&chunk(delta)).0, ResponseBody::default(), "{delta}");
    }
    // Two choices in one event are one event.
    assert_eq!(events("data: {\"choices\":[{\"text\":\"a\"},{\"text\":\"b\"}]}\n\n").0.content_events, 1);
}

#[test]
fn streams_of_the_responses_api() {
    let stream = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"error\":null,\"usage\":null}}\n\n\
        event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"\"}\n\n\
        event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n\
        event: response.output_text.done\ndata: {\"type\":\"response.output_text.done\",\"text\":\"\"}\n\n";
    let completed = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"usage\":{\"output_tokens\":1}}],\"usage\":{\"input_tokens\":20,\"input_tokens_details\":{\"cached_tokens\":16},\"output_tokens\":30}}}\n\n";
    let (found, first) = events(&format!("{stream}{completed}"));
    assert_eq!(found, ResponseBody { content_events: 1, ..said(30, Some(20), Some(16)) });
    assert!(first.as_ref().is_some_and(|text| text.ends_with("\"delta\":\"H")), "{first:?}");
    let failed = "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\"}}}\n\n";
    let (found, _) = events(failed);
    assert!(found.is_error && found.is_complete);
}

#[test]
fn streams_of_anthropic() {
    let stream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":90,\"output_tokens\":1}}}\n\n\
        event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
        event: ping\ndata: {\"type\": \"ping\"}\n\n\
        event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}\n\n\
        event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"xx\"}}\n\n\
        event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n\
        event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\"}}\n\n";
    let end = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":15}}\n\n\
        event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let (found, first) = events(&format!("{stream}{end}"));
    assert_eq!(found, ResponseBody { content_events: 3, ..said(15, Some(100), Some(90)) });
    assert!(first.as_ref().is_some_and(|text| text.ends_with("\"thinking\":\"h")), "{first:?}");
    let (found, _) = events("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n");
    assert!(found.is_error && !found.is_complete);
}

#[test]
fn streams_of_engines_of_their_own() {
    let llama = "data: {\"index\":0,\"content\":\" Hi\",\"tokens\":[5],\"stop\":false,\"tokens_predicted\":1,\"tokens_evaluated\":20}\n\n\
        data: {\"content\":\"\",\"stop\":true,\"tokens_predicted\":16,\"tokens_evaluated\":20,\"timings\":{\"cache_n\":0,\"prompt_n\":20,\"predicted_n\":16}}\n\n";
    assert_eq!(events(llama).0, ResponseBody { content_events: 1, ..said(16, Some(20), Some(0)) });
    assert!(events("error: {\"code\":500,\"message\":\"no\"}\n\n").0.is_error);
    // TGI sends one token in each event, also such as have no text of their own.
    let tgi = "data:{\"index\":1,\"token\":{\"id\":5,\"text\":\"\",\"logprob\":-1.5,\"special\":false},\"generated_text\":null,\"details\":null}\n\n\
        data:{\"index\":2,\"token\":{\"id\":6,\"text\":\"!\",\"logprob\":-0.5,\"special\":false},\"generated_text\":\"Hi!\",\"details\":{\"finish_reason\":\"length\",\"generated_tokens\":2,\"input_length\":9}}\n\n";
    assert_eq!(events(tgi).0, ResponseBody { content_events: 2, ..said(2, Some(9), None) });
    assert!(events("data:{\"error\":\"Request failed\",\"error_type\":\"generation\"}\n\n").0.is_error);
    let sglang = "data: {\"text\":\"Hi\",\"meta_info\":{\"prompt_tokens\":7,\"completion_tokens\":1,\"cached_tokens\":2}}\n\n\
        data: {\"text\":\"Hi you\",\"meta_info\":{\"prompt_tokens\":7,\"completion_tokens\":4,\"cached_tokens\":2}}\n\n";
    assert_eq!(events(&format!("{sglang}{DONE}")).0, ResponseBody { content_events: 2, ..said(4, Some(7), Some(2)) });
    assert_eq!(events("data: {\"text_output\":\"Hi\"}\n\n").0.output_tokens, Some(1));
}

#[test]
fn frames_of_all_kinds_are_read() {
    let text = "data: {\"choices\":[{\"text\":\"a\"}]}";
    let once = ResponseBody { content_events: 1, is_counted: true, ..said(1, None, None) };
    for stream in [
        format!("\u{FEFF}{text}\n\n{DONE}"),
        format!("id: 7\nretry: 100\n: data: {{}}\n{text}\n\n{DONE}"),
        format!("{}\n\n{DONE}", text.replace("[{", "\ndata: [{")),
        format!("{text}\n\ndata:[DONE]"),
        // No empty line between events.
        format!("{text}\n{DONE}"),
        // A broken event does not spoil the next.
        format!("data: {{\"a\":\"\n\n{text}\n\n{DONE}"),
        format!("datas: {{}}\ndatabases of the world: x\ndata\n{text}\n\n{DONE}"),
    ] {
        assert_eq!(events(&stream).0, once, "{stream}");
    }
    for stream in
        ["data: [DONE", "data: DONE\n\n", "event: errors\n\n", "event: err\n\nor\n\n", "x: [DONE]\n\n", ": [DONE]\n\n"]
    {
        assert_eq!(events(stream).0, ResponseBody::default(), "{stream}");
    }
}

#[test]
fn kinds_go_by_type_and_encoding() {
    let of = |kind: &str, encoding: &str| ResponseKind::of(kind.as_bytes(), encoding.as_bytes());
    assert_eq!(of("Application/JSON; charset=utf-8", ""), Some(ResponseKind::Json));
    assert_eq!(of("application/problem+json", "identity"), Some(ResponseKind::Json));
    assert_eq!(of("text/event-stream;charset=utf-8", " "), Some(ResponseKind::Events));
    for (kind, encoding) in [
        ("application/json", "gzip"),
        ("text/event-stream", "br"),
        ("text/html", ""),
        ("application/grpc", ""),
        ("", ""),
    ] {
        assert_eq!(of(kind, encoding), None, "{kind} {encoding}");
    }
}
