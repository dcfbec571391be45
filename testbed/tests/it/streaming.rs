//! Server-sent events.

use crate::support::{Answer, host, quick_options, run, send};
use evenkeel_testbed::emulator::{EmulatorOptions, StreamHead};

/// The data of each event; checks that nothing else is there.
fn events(answer: &Answer) -> Vec<&str> {
    let events = answer.text().strip_suffix("\n\n").expect("the last event is complete").split("\n\n");
    events.map(|event| event.strip_prefix("data: ").expect("one data line an event")).collect()
}

#[test]
fn streams_end_with_a_reason_the_usage_and_a_mark() {
    run(async {
        for stream_head in [StreamHead::AtOnce, StreamHead::FirstToken] {
            let host = host(EmulatorOptions { stream_head, ..quick_options() }).await;
            let body = r#"{"prompt": "go", "max_tokens": 40, "ignore_eos": true, "stream": true,
                           "stream_options": {"include_usage": true}}"#;
            let answer = send(host.address(), "POST", "/v1/completions", &[], body).await.unwrap();
            assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
            let mut events = events(&answer);
            assert_eq!(events.pop(), Some("[DONE]"));
            let chunks: Vec<serde_json::Value> =
                events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
            let [texts @ .., last, usage] = chunks.as_slice() else { panic!("{chunks:?}") };
            assert!(texts.len() > 2, "40 steps of a millisecond come in several events: {texts:?}");
            let words: usize =
                texts.iter().map(|chunk| chunk["choices"][0]["text"].as_str().unwrap().split(' ').count() - 1).sum();
            assert_eq!(words, 40);
            assert_eq!(last["choices"][0]["finish_reason"], "length");
            assert_eq!(usage["usage"]["completion_tokens"], 40);
            assert_eq!(usage["choices"], serde_json::json!([]));
            assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));
        }
    });
}

#[test]
fn chats_begin_with_a_role() {
    run(async {
        let host = host(quick_options()).await;
        let body = r#"{"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, "ignore_eos": true,
                       "stream": true}"#;
        let answer = send(host.address(), "POST", "/v1/chat/completions", &[], body).await.unwrap();
        let events = events(&answer);
        let chunk = |index: usize| serde_json::from_str::<serde_json::Value>(events[index]).unwrap();
        assert_eq!(chunk(0)["object"], "chat.completion.chunk");
        assert_eq!(chunk(0)["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(chunk(1)["choices"][0]["delta"]["content"], " the");
        assert_eq!(chunk(events.len() - 2)["choices"][0]["finish_reason"], "length");
        assert_eq!(events.last(), Some(&"[DONE]"));
    });
}
