//! Bodies of requests, in every form that is read.

use evenkeel_runtime::body::request::PREFIX_BYTES;
use evenkeel_runtime::body::{RequestBody, RequestReader, is_request_read};
use evenkeel_runtime::telemetry_file::host_key;

use crate::body_properties::escaped;

/// Reads a body in one piece.
pub(crate) fn read(body: &str) -> RequestBody {
    let mut reader = RequestReader::new();
    reader.feed(body.as_bytes());
    reader.body(Some(body.len() as u64))
}

/// Reads a body in one piece, and checks that no cut changes what is found.
fn cut_and_read(body: &str) -> RequestBody {
    let (whole, bytes) = (read(body), body.as_bytes());
    for at in 0..=bytes.len() {
        let mut reader = RequestReader::new();
        reader.feed(&bytes[..at]);
        reader.feed(&bytes[at..]);
        assert_eq!(reader.body(None), whole, "cut at {at}: {body}");
    }
    let mut reader = RequestReader::new();
    for byte in bytes {
        reader.feed(&[*byte]);
    }
    assert_eq!(reader.body(None), whole, "byte by byte: {body}");
    whole
}

/// Checks what is found in a body: text, token ids, images, audio.
fn holds(body: &str, text: &str, token_ids: u64, images: u32, audios: u32) {
    let found = cut_and_read(body);
    let found = (found.text_bytes, found.token_ids, found.images, found.audios, found.truncated);
    assert_eq!(found, (text.len() as u64, token_ids, images, audios, false), "{body}");
}

#[test]
fn completions() {
    holds(r#"{"model":"m","prompt":"Once upon","max_tokens":16}"#, "Once upon", 0, 0, 0);
    holds(r#"{"prompt":["Once","upon"],"suffix":" end"}"#, "Onceupon end", 0, 0, 0);
    holds(r#"{"prompt":[1,22,333, 4444],"n":2}"#, "", 4, 0, 0);
    holds(r#"{"prompt":[[1,2],[3]]}"#, "", 3, 0, 0);
    holds(r#"{"prompt_token_ids":[9,8]}"#, "", 2, 0, 0);
}

#[test]
fn chat_completions() {
    holds(
        r#"{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi","name":"Al"}]}"#,
        "Be brief.HiAl",
        0,
        0,
        0,
    );
    // Parts; images by data and by address; detail, type and format are no text.
    holds(
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"See"},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo=","detail":"high"}},
            {"image_url":"https://example.org/a.png"},
            {"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}},
            {"type":"file","file":{"file_data":"data:application/pdf;base64,JVBERi0="}},
            {"type":"video_url","video_url":{"url":"https://example.org/v.mp4"}}]}]}"#,
        "See",
        0,
        3,
        1,
    );
    // Calls of tools and their results; reasoning of earlier turns is dropped by templates.
    holds(
        r#"{"messages":[{"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[ {"id": "c1"} ]},
            {"role":"tool","tool_call_id":"c1","content":"12 degrees"}]}"#,
        r#"[{"id":"c1"}]12 degrees"#,
        0,
        0,
        0,
    );
    holds(
        r#"{"messages":[{"role":"user","content":"Hi"}], "response_format":{"type":"json_schema","json_schema":{"name":"x"}},
            "tools":[ {"type" : "function", "strict": true, "n": -1.5e3, "e": "\"\u00e9" } ]}"#,
        r#"Hi[{"type":"function","strict":true,"n":-1.5e3,"e":""é"}]"#,
        0,
        0,
        0,
    );
}

#[test]
fn responses() {
    holds(
        r#"{"model":"m","input":"Hi","instructions":"Be brief.","text":{"format":{"type":"text"}}}"#,
        "HiBe brief.",
        0,
        0,
        0,
    );
    holds(
        r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"See"},{"type":"input_image","image_url":"data:image/png;base64,AAAA"}]},
            {"type":"reasoning","summary":[{"text":"thought"}],"encrypted_content":"xxxx"},
            {"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\":1}"},
            {"type":"function_call_output","call_id":"c","output":"ok"}]}"#,
        r#"Seef{"a":1}ok"#,
        0,
        1,
        0,
    );
}

#[test]
fn embeddings_rerank_and_score() {
    holds(r#"{"model":"e","input":["one","two"]}"#, "onetwo", 0, 0, 0);
    holds(r#"{"input":[[1,2,3],[4,5]]}"#, "", 5, 0, 0);
    holds(r#"{"inputs":["one","two"],"truncate":true}"#, "onetwo", 0, 0, 0);
    holds(r#"{"model":"r","query":"what","documents":["a","b",{"text":"c","id":"x"}],"top_n":2}"#, "whatabc", 0, 0, 0);
    holds(r#"{"query":"what","texts":["a","b"],"raw_scores":false}"#, "whatab", 0, 0, 0);
    holds(r#"{"text_1":"a","text_2":["b","c"]}"#, "abc", 0, 0, 0);
}

#[test]
fn anthropic_messages() {
    holds(
        r#"{"model":"c","max_tokens":99,"system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral"}}],
            "messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}},{"type":"text","text":"See"}]},
            {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"xx"},{"type":"tool_use","id":"t","name":"f","input":{"a": [1, true]}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"ok"},{"type":"image","source":{"type":"url","url":"https://example.org/a.png"}}]}]}]}"#,
        r#"Be brief.Seef{"a":[1,true]}ok"#,
        0,
        2,
        0,
    );
}

#[test]
fn engines_of_their_own() {
    // llama.cpp
    holds(r#"{"prompt":"Hi","n_predict":5,"cache_prompt":true}"#, "Hi", 0, 0, 0);
    holds(r#"{"prompt":[12,"some text",34]}"#, "some text", 2, 0, 0);
    holds(
        r#"{"prompt":{"prompt_string":"See <__media__>","multimodal_data":["iVBO","AAAA"]}}"#,
        "See <__media__>",
        0,
        2,
        0,
    );
    holds(r#"{"input_prefix":"a","input_suffix":"b","input_extra":[{"filename":"f","text":"c"}]}"#, "abc", 0, 0, 0);
    // TGI, SGLang, Triton, vLLM
    holds(r#"{"inputs":"Hi","parameters":{"max_new_tokens":5,"stop":["x"]}}"#, "Hi", 0, 0, 0);
    holds(r#"{"text":["a","b"],"image_data":["https://example.org/a.png","AAAA"],"audio_data":"BBBB"}"#, "ab", 0, 2, 1);
    holds(r#"{"input_ids":[[1,2],[3]],"sampling_params":{"max_new_tokens":5}}"#, "", 3, 0, 0);
    holds(r#"{"text_input":"Hi","max_tokens":5,"bad_words":"no"}"#, "Hi", 0, 0, 0);
    holds(r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"add_generation_prompt":true}"#, "Hi", 0, 0, 0);
    holds(r#"{"model":"m","tokens":[1,2,3]}"#, "", 3, 0, 0);
}

#[test]
fn limits_and_options_have_several_names() {
    for (body, most) in [
        (r#"{"max_tokens": 512}"#, 512),
        (r#"{"max_completion_tokens":7}"#, 7),
        (r#"{"max_output_tokens":7}"#, 7),
        (r#"{"n_predict":7}"#, 7),
        (r#"{"parameters":{"max_new_tokens":7}}"#, 7),
        (r#"{"sampling_params":{"max_new_tokens":7}}"#, 7),
        (r#"{"max_tokens":100,"max_completion_tokens":7}"#, 7),
        (r#"{"max_completion_tokens":7,"max_tokens":null}"#, 7),
        (r#"{"n_predict":-1}"#, 0),
        (r#"{"max_tokens":1.5}"#, 0),
        (r#"{"max_tokens":"7"}"#, 0),
        (r#"{"max_tokens":99999999999999999999999999}"#, u32::MAX),
        (r#"{"messages":[{"max_tokens":7}],"logit_bias":{"max_tokens":7}}"#, 0),
    ] {
        assert_eq!(cut_and_read(body).max_tokens, most, "{body}");
    }
    let of = |body| (cut_and_read(body).choices, cut_and_read(body).is_stream);
    assert_eq!(of(r#"{"n":3,"stream":true}"#), (3, true));
    assert_eq!(of(r#"{"n":0,"stream":false}"#), (1, false));
    assert_eq!(of(r#"{"n":null,"stream":null,"stream_options":{"include_usage":true}}"#), (1, false));
    assert_eq!(of(r#"{"sampling_params":{"n":2}}"#), (2, false));
}

#[test]
fn names_are_hashed_without_escapes() {
    let found = cut_and_read(r#"{"model":"org\/m-8b","user":"al"}"#);
    assert_eq!((found.model_hash, found.session_hash), (host_key(b"org/m-8b"), host_key(b"al")));
    let found = cut_and_read(r#"{"prompt_cache_key":"k","user":"al","metadata":{"user_id":"x"}}"#);
    assert_eq!((found.model_hash, found.session_hash), (0, host_key(b"k")));
    assert_eq!(cut_and_read(r#"{"metadata":{"user_id":"x","user":"y"}}"#).session_hash, host_key(b"x"));
    assert_eq!(cut_and_read(r#"{"messages":[{"model":"m","user":"u"}],"user":"","model":null}"#).session_hash, 0);
    for (body, model) in [
        (r#"{"model":"org\/m-8b:v1"}"#, Some("org/m-8b:v1")),
        (r#"{"model":"a\r\nx-admin: 1"}"#, None),
        (r#"{"model":""}"#, None),
        (r#"{"model":7}"#, None),
        (r#"{"model":"a","model":"b"}"#, Some("b")),
    ] {
        let mut reader = RequestReader::new();
        body.as_bytes().chunks(3).for_each(|piece| _ = reader.feed(piece));
        assert_eq!(reader.model(), model.map(str::as_bytes), "{body}");
    }
    let mut reader = RequestReader::new();
    reader.feed(format!(r#"{{"model":"{}"}}"#, "m".repeat(129)).as_bytes());
    assert_eq!(reader.model(), None);
}

/// A message as clients write it: the role first.
fn message(role: &str, content: &str) -> String {
    format!(r#"{{"role":"{role}","content":{}}}"#, serde_json::Value::from(content))
}

/// A conversation of turns by user and assistant.
fn conversation(system: &str, turns: &[String]) -> String {
    let roles = ["user", "assistant"].into_iter().cycle();
    let turns = turns.iter().zip(roles).map(|(text, role)| message(role, text));
    let messages: Vec<_> = std::iter::once(message("system", system)).chain(turns).collect();
    format!(r#"{{"messages":[{}]}}"#, messages.join(","))
}

#[test]
fn prefix_keys_are_shared_as_far_as_the_text_is() {
    let system = "You are helpful. ".repeat(20);
    let turn = |word: &str| format!("{word} and so on. ").repeat(60);
    let turns: Vec<_> = ["one", "two", "three", "four"].map(turn).into();
    let keys = |turns: &[String]| read(&conversation(&system, turns)).prefix_keys;
    let all = keys(&turns);
    assert!(all[..3].iter().all(|key| *key != 0) && all[3..] == [0, 0], "{all:?}");
    // The next turn of a conversation has the keys of the one before.
    assert_eq!(keys(&turns[..3])[..2], all[..2]);
    assert_eq!(keys(&turns[..1])[..2], all[..2]);
    // Another conversation under the same system text shares its first 64 tokens alone.
    let others = [turn("ten"), turn("two"), turn("three"), turn("four")];
    assert_eq!(keys(&others)[0], all[0]);
    assert!(keys(&others).iter().zip(all).skip(1).take(2).all(|(other, key)| *other != key));
    // Roles are part of the text.
    let with_roles = conversation(&system, &turns).replace("\"user\"", "\"tool\"");
    assert_eq!(read(&with_roles).prefix_keys[0], all[0]);
    assert_ne!(read(&with_roles).prefix_keys[1], all[1]);
}

#[test]
fn prefix_keys_depend_on_neither_escapes_nor_parts() {
    let text = "Schöne Grüße 😀 \"aus\" \\ Köln\n".repeat(20);
    let keys = |message: &str| cut_and_read(&format!(r#"{{"messages":[{message}]}}"#)).prefix_keys;
    let as_string = keys(&message("user", &text));
    assert!(as_string[0] != 0 && as_string[1] == 0, "{as_string:?}");
    let (first, second) = text.split_at(text.find("Köln").expect("it is there"));
    let parts = serde_json::json!([{"type": "text", "text": first}, {"text": second}]);
    assert_eq!(keys(&format!(r#"{{"role":"user","content":{parts}}}"#)), as_string);
    let escaped: String = text.chars().map(escaped).collect();
    assert_eq!(keys(&format!(r#" {{ "role": "\u0075ser" , "content" : "{escaped}" }} "#)), as_string);
}

#[test]
fn prefix_keys_see_images_and_tokens() {
    let with_image = |data: &str| {
        let text = "x".repeat(2000);
        read(&format!(
            r#"{{"prompt":{{"prompt_string":"{text}","multimodal_data":["{data}"]}},"suffix":"{text}{text}"}}"#
        ))
    };
    let (one, other) = (with_image("AAAA"), with_image("BBBB"));
    assert_eq!(one.prefix_keys[..2], other.prefix_keys[..2]);
    assert_ne!(one.prefix_keys[2], other.prefix_keys[2]);
    assert_eq!(one.text_bytes, 6000);
    // Each token counts as four bytes, so that the keys are those of 64 tokens and so on.
    let ids = |count: u64| (0..count).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    let of = |count| read(&format!(r#"{{"prompt":[{}]}}"#, ids(count))).prefix_keys;
    for (which, bytes) in PREFIX_BYTES.iter().enumerate() {
        assert_eq!(of(bytes / 4 - 1)[which], 0);
        assert_eq!(of(bytes / 4)[which], of(bytes / 4 + 5)[which]);
        assert_ne!(of(bytes / 4)[which], 0);
    }
}

#[test]
fn what_was_not_seen_is_taken_to_be_like_what_was() {
    let cut = |body: &str, seen: usize| {
        let mut reader = RequestReader::new();
        assert!(reader.feed(&body.as_bytes()[..seen]));
        let found = reader.body(Some(body.len() as u64));
        assert!(found.truncated);
        (found, reader.body(None))
    };
    let body = format!(r#"{{"prompt":"{}","max_tokens":7}}"#, "y".repeat(200_000));
    let (found, without_length) = cut(&body, 65_536);
    assert!(found.text_bytes.abs_diff(200_000) < 200, "{found:?}");
    assert_eq!((without_length.text_bytes, found.max_tokens), (65_536 - 11, 0));
    assert_eq!(read(&body).max_tokens, 7);
    // Token ids, five digits and a comma each.
    let ids = vec!["12345"; 50_000].join(",");
    let (found, _) = cut(&format!(r#"{{"prompt":[{ids}]}}"#), 65_536);
    assert!(found.token_ids.abs_diff(50_000) < 50, "{found:?}");
    // An image that goes on is no text; behind one, text is counted as if there were no image.
    let image = "QUJD".repeat(50_000);
    let body = format!(
        r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":"See"}},{{"image_url":{{"url":"{image}"}}}}]}}]}}"#
    );
    let (found, _) = cut(&body, 65_536);
    assert_eq!((found.text_bytes, found.images), (3, 1));
    let body = format!(r#"{{"image_data":"{}","text":"{}"}}"#, &image[..40_000], "y".repeat(100_000));
    let (found, _) = cut(&body, 65_536);
    assert!(found.text_bytes.abs_diff(100_000) < 500, "{found:?}");
}

#[test]
fn prompts_are_measured_in_tokens() {
    let body = RequestBody { text_bytes: 400, token_ids: 7, images: 2, audios: 1, ..RequestBody::default() };
    assert_eq!(body.prompt_tokens(4.0, 1000, 300), 100 + 7 + 2000 + 300);
    assert_eq!(body.prompt_tokens(2.5, 0, 0), 160 + 7);
    for nonsense in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert_eq!(body.prompt_tokens(nonsense, 0, 0), 107);
    }
    assert_eq!(body.prompt_tokens(f32::MIN_POSITIVE, 0, 0), u32::MAX);
    assert_eq!(RequestBody { text_bytes: 1, ..RequestBody::default() }.prompt_tokens(4.0, 1, 1), 1);
    assert_eq!(RequestBody::default().prompt_tokens(4.0, 1, 1), 0);
}

#[test]
fn bodies_are_read_by_type_and_encoding() {
    for kind in ["application/json", "Application/JSON; charset=utf-8", "", "application/x+json", "text/plain"] {
        assert!(is_request_read(kind.as_bytes(), b""), "{kind}");
        assert!(is_request_read(kind.as_bytes(), b"identity"), "{kind}");
        assert!(!is_request_read(kind.as_bytes(), b"gzip"), "{kind}");
    }
    for kind in ["multipart/form-data; boundary=x", "application/grpc", "json", "image/png"] {
        assert!(!is_request_read(kind.as_bytes(), b""), "{kind}");
    }
    assert_eq!(read("prompt=Hi&max_tokens=7"), RequestBody { choices: 1, truncated: true, ..RequestBody::default() });
}
