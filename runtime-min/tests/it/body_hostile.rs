//! Bodies that mean harm, or nothing: read to the end in bounded memory, without a panic.

use evenkeel_runtime::body::request::READ_BYTES_MAX;
use evenkeel_runtime::body::{RequestBody, RequestReader, ResponseBody, ResponseKind, ResponseReader};
use proptest::prelude::*;

/// What is found in a request that is fed in pieces of so many bytes.
fn request(body: &[u8], bytes: usize) -> RequestBody {
    let mut reader = RequestReader::new();
    body.chunks(bytes).for_each(|piece| _ = reader.feed(piece));
    reader.body(Some(body.len() as u64))
}

fn response(kind: ResponseKind, body: &[u8], bytes: usize) -> ResponseBody {
    let mut reader = ResponseReader::new(kind);
    body.chunks(bytes).for_each(|piece| _ = reader.feed(piece));
    reader.body()
}

/// Reads bytes in all ways and at several cuts; the results must not depend on the cut.
fn read_in_all_ways(body: &[u8]) {
    let whole = body.len().max(1);
    for bytes in [1, 2, 3, 7, 8, 9, 64] {
        assert_eq!(request(body, bytes), request(body, whole), "{bytes}");
        for kind in [ResponseKind::Json, ResponseKind::Events] {
            assert_eq!(response(kind, body, bytes), response(kind, body, whole), "{bytes}");
        }
    }
}

#[test]
fn readers_are_small() {
    assert!(size_of::<RequestReader>() <= 640, "{}", size_of::<RequestReader>());
    assert!(size_of::<ResponseReader>() <= 768, "{}", size_of::<ResponseReader>());
}

#[test]
fn nesting_is_followed_to_a_depth_and_passed_over_beyond() {
    for depth in [1, 60, 61, 62, 63, 64, 65, 66, 127, 128, 10_000] {
        let nested = format!(r#"{{"prompt":{}"x"{},"max_tokens":7}}"#, "[".repeat(depth), "]".repeat(depth));
        let found = request(nested.as_bytes(), nested.len());
        // The body's own object is one of the 64.
        assert_eq!((found.text_bytes, found.max_tokens), (u64::from(depth < 64), 7), "{depth}");
        let objects = format!(r#"{{"tools":{}1{},"max_tokens":7}}"#, r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert_eq!(request(objects.as_bytes(), 5).max_tokens, 7, "{depth}");
        let (open, close) = (r#"{"a":["b",1,"#.repeat(depth / 2), r#"],"c":2 }"#.repeat(depth / 2));
        read_in_all_ways(format!(r#"{{"tools":{open}3{close},"prompt":"x"}}"#).as_bytes());
    }
    for open in ["[", "{", r#"{"a":"#, r#"{"messages":[{"content":"#] {
        read_in_all_ways(open.repeat(5000).as_bytes());
    }
    for close in ["]", "}", "]}", "}\"prompt\":\"x\""] {
        read_in_all_ways(close.repeat(50).as_bytes());
    }
}

#[test]
fn nothing_is_looked_at_beyond_the_bound() {
    let mut reader = RequestReader::new();
    let piece = [b'x'; 4096];
    reader.feed(br#"{"prompt":""#);
    let mut fed = 11;
    while reader.feed(&piece) {
        fed += piece.len() as u64;
        assert!(fed <= READ_BYTES_MAX);
    }
    let found = reader.body(None);
    assert_eq!(found.text_bytes, READ_BYTES_MAX - 11);
    assert!(!reader.feed(br#"","max_tokens":7}"#));
    assert_eq!(reader.body(None), found);
    // A length that no body has.
    assert_eq!(reader.body(Some(u64::MAX)).prompt_tokens(4.0, 0, 0), u32::MAX);
    assert_eq!(reader.body(Some(0)), found);
}

#[test]
fn odd_strings_and_numbers_are_read() {
    let digits = "9".repeat(5000);
    for body in [
        format!(r#"{{"max_tokens":{digits},"n":{digits},"prompt":[{digits}]}}"#),
        format!(r#"{{"max_tokens":-{digits}e{digits}.{digits}}}"#),
        format!(r#"{{"{digits}":"{digits}","usage":{{"completion_tokens":{digits}}}}}"#),
        r#"{"prompt":"\u12","max_tokens":7}"#.into(),
        r#"{"prompt":"\ud800\ud800\udc00\udc00\u00","model":"\"}"#.into(),
        r#"{"pro\u006dpt":"x","max_tok\u0065ns":7}"#.into(),
        r#"{"prompt":"\"#.into(),
        r#"{"model":"\ud83d"#.into(),
        r#"{"a":truefalse nul,"b" "c":: ,,"prompt":"x"}"#.into(),
        "data: {\"choices\":[{\"delta\":{\"content\":\"\\".into(),
        "data".repeat(3000),
        "\r\n\r\r\n\n".repeat(30),
    ] {
        read_in_all_ways(body.as_bytes());
    }
    let found = request(r#"{"pro\u006dpt":"x\ud800","max_tok\u0065ns":7,"n":99999999999}"#.as_bytes(), 3);
    assert_eq!((found.text_bytes, found.max_tokens, found.choices), (4, 7, u32::MAX));
    read_in_all_ways(b"{\"prompt\":\"\xFF\xFE\xC3\",\"model\":\"\xF0\x9F\",\"\x80\":1}");
    read_in_all_ways(b"\xEF\xBB\xEF\xBB\xBFdata: {\"\xFF\":\"\\\xFF\"}\n\n\0\0");
}

/// Pieces that the readers know, so that random bodies reach deep.
const WORDS: [&str; 36] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u",
    "\\ud83d",
    "\\ude00",
    "12",
    "-1.5e9",
    "true",
    "null",
    " ",
    "\n",
    "\r",
    "data: ",
    "event: error",
    "[DONE]",
    "\"prompt\":",
    "\"messages\":[{",
    "\"role\":\"user\",",
    "\"content\":",
    "\"text\":\"a\"",
    "\"tools\":[",
    "\"image_url\":{\"url\":\"",
    "\"type\":\"image\"",
    "\"model\":\"m\"",
    "\"choices\":[{",
    "\"delta\":{",
    "\"usage\":{",
    "\"completion_tokens\":",
    "\"error\":",
    "é",
];

proptest! {
    #[test]
    fn random_bytes_are_read(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_in_all_ways(&body);
    }

    #[test]
    fn random_words_are_read(words in proptest::collection::vec(0..WORDS.len(), 0..60)) {
        let body: String = words.iter().map(|word| WORDS[*word]).collect();
        read_in_all_ways(body.as_bytes());
    }
}
