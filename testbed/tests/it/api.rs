//! The shapes of `OpenAI`'s interface.

use crate::support::{complete, get, host, quick_options, run, send};

#[test]
fn completions_have_the_shape_that_clients_expect() {
    run(async {
        let host = host(quick_options()).await;
        let prompt = "abcd".repeat(10);
        let body = format!(r#"{{"model": "m", "prompt": "{prompt}", "max_tokens": 7, "ignore_eos": true, "seed": 1}}"#);
        let answer = complete(host.address(), &body).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-testbed-host"), Some(host.address().to_string().as_str()));
        assert_eq!(answer.header("x-output-tokens"), Some("7"));
        let json = answer.json();
        assert_eq!(json["object"], "text_completion");
        assert!(json["id"].as_str().unwrap().starts_with("cmpl-"));
        assert_eq!(json["choices"][0]["finish_reason"], "length");
        assert_eq!(json["choices"][0]["text"].as_str().unwrap().split_whitespace().count(), 7);
        assert_eq!(json["usage"]["prompt_tokens"], 10);
        assert_eq!(json["usage"]["completion_tokens"], 7);
        assert_eq!(json["usage"]["total_tokens"], 17);
    });
}

#[test]
fn chats_have_the_shape_that_clients_expect() {
    run(async {
        let host = host(quick_options()).await;
        let body = r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
                       "max_completion_tokens": 3, "min_tokens": 3}"#;
        let json = send(host.address(), "POST", "/v1/chat/completions", &[], body).await.unwrap().json();
        assert_eq!(json["object"], "chat.completion");
        assert_eq!(json["choices"][0]["message"]["role"], "assistant");
        assert_eq!(json["choices"][0]["message"]["content"].as_str().unwrap().split_whitespace().count(), 3);
        assert_eq!(json["usage"]["completion_tokens"], 3);
    });
}

#[test]
fn generation_may_end_by_itself_and_then_always_at_the_same_place() {
    run(async {
        let host = host(quick_options()).await;
        let body = r#"{"prompt": "tell me a story of a ship that was never late", "max_tokens": 100000}"#;
        let [one, other] = [complete(host.address(), body).await, complete(host.address(), body).await];
        let (one, other) = (one.unwrap().json(), other.unwrap().json());
        assert_eq!(one["choices"][0]["finish_reason"], "stop");
        assert_eq!(one["usage"], other["usage"]);
        assert_ne!(one["id"], other["id"]);
    });
}

#[test]
fn bad_requests_are_explained() {
    run(async {
        let host = host(quick_options()).await;
        for (body, expected) in [
            ("{", "EOF"),
            ("{}", "prompt: missing"),
            (r#"{"prompt": "x", "max_tokens": 0}"#, "expected at least 1"),
            (r#"{"prompt": ["x", "y"]}"#, "expected 1"),
            (r#"{"prompt": 7}"#, "did not match"),
        ] {
            let answer = complete(host.address(), body).await.unwrap();
            assert_eq!(answer.status, 400, "{body}");
            let json = answer.json();
            let message = json["error"]["message"].as_str().unwrap();
            assert!(message.contains(expected), "{body}: {message}");
        }
        assert_eq!(get(host.address(), "/v1/completions").await.status, 405);
        assert_eq!(get(host.address(), "/v2").await.status, 404);
    });
}

#[test]
fn hosts_tell_their_health_and_their_model() {
    run(async {
        let host = host(quick_options()).await;
        assert_eq!(get(host.address(), "/health").await.status, 200);
        assert_eq!(get(host.address(), "/v1/models").await.json()["data"][0]["id"], "emulated");
    });
}
