//! Readers against a naive reading of the whole document with `serde_json`.

use evenkeel_runtime::body::{RequestReader, ResponseKind, ResponseReader};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::body_request;

/// What a naive reading finds in a request: text bytes, token ids, images, audio.
#[derive(Debug, Default, PartialEq, Eq)]
struct Naive {
    text_bytes: u64,
    token_ids: u64,
    images: u32,
    audios: u32,
}

impl Naive {
    fn of(body: &Value) -> Self {
        let mut found = Self::default();
        for (name, value) in body.as_object().into_iter().flatten() {
            match name.as_str() {
                "messages" | "prompt" | "input" | "instructions" | "system" | "query" | "documents" => {
                    found.prompt(value, true);
                }
                "tools" => found.verbatim(value),
                "image_data" => found.images += value.as_array().map_or(1, Vec::len) as u32,
                _ => {}
            }
        }
        found
    }

    fn prompt(&mut self, value: &Value, counts_numbers: bool) {
        match value {
            Value::String(text) => self.text_bytes += text.len() as u64,
            Value::Number(_) => self.token_ids += u64::from(counts_numbers),
            Value::Array(items) => items.iter().for_each(|item| self.prompt(item, counts_numbers)),
            Value::Object(part) => self.part(part),
            _ => {}
        }
    }

    fn part(&mut self, part: &Map<String, Value>) {
        let has = |names: &[&str]| names.iter().any(|name| part.contains_key(*name));
        let is = |name: &str| part.get("type").and_then(Value::as_str) == Some(name);
        if has(&["image_url"]) || is("image") || is("image_url") {
            self.images += 1;
        } else if has(&["input_audio"]) || is("input_audio") {
            self.audios += 1;
        }
        for (name, value) in part {
            match name.as_str() {
                "content" | "text" | "output" => self.prompt(value, false),
                "tool_calls" | "input" => match value {
                    Value::String(_) => self.prompt(value, false),
                    Value::Array(_) | Value::Object(_) => self.verbatim(value),
                    _ => {}
                },
                _ => {}
            }
        }
    }

    /// Compact JSON, without escapes.
    fn verbatim(&mut self, value: &Value) {
        self.text_bytes += match value {
            Value::String(text) => text.len() as u64 + 2,
            Value::Array(items) => {
                for item in items {
                    self.verbatim(item);
                }
                2 + items.len().saturating_sub(1) as u64
            }
            Value::Object(members) => {
                members.values().for_each(|item| self.verbatim(item));
                let names: usize = members.keys().map(|name| name.len() + 3).sum();
                (2 + names + members.len().saturating_sub(1)) as u64
            }
            other => other.to_string().len() as u64,
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z ]{0,12}", "[\"\\\\\n\t/é€😀\u{1}]{0,6}", "[ -~]{0,80}"]
}

/// A part of a message; one medium at most, as engines have it.
fn part() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(|text| json!({"type": "text", "text": text, "cache_control": {"type": "image"}})),
        text().prop_map(|url| json!({"type": "image_url", "image_url": {"url": url, "detail": "low"}})),
        text().prop_map(|url| json!({"image_url": url})),
        text().prop_map(|data| json!({"type": "image", "source": {"type": "base64", "data": data}})),
        text().prop_map(|data| json!({"type": "input_audio", "input_audio": {"data": data}})),
        (text(), value()).prop_map(|(name, input)| json!({"type": "tool_use", "id": name, "input": input})),
        text().prop_map(|text| json!({"type": "tool_result", "content": [{"type": "text", "text": text}, 5, null]})),
    ]
}

/// Any value, small.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((text(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Something that a prompt may be.
fn prompt() -> impl Strategy<Value = Value> {
    let content = prop_oneof![
        text().prop_map(Value::from),
        Just(Value::Null),
        proptest::collection::vec(part(), 0..4).prop_map(Value::from),
    ];
    let message = (text(), content, proptest::option::of(value())).prop_map(|(role, content, calls)| {
        let mut message = json!({"role": role, "content": content, "reasoning_content": "not text"});
        if let Some(calls) = calls {
            message["tool_calls"] = calls;
        }
        message
    });
    prop_oneof![
        text().prop_map(Value::from),
        proptest::collection::vec(any::<u32>(), 0..20).prop_map(Value::from),
        proptest::collection::vec(text(), 0..5).prop_map(Value::from),
        proptest::collection::vec(message, 0..5).prop_map(Value::from),
    ]
}

const PROMPTS: [&str; 7] = ["messages", "prompt", "input", "instructions", "system", "query", "documents"];

fn member() -> impl Strategy<Value = (String, Value)> {
    prop_oneof![
        4 => (proptest::sample::select(&PROMPTS[..]), prompt()).prop_map(|(name, value)| (name.to_owned(), value)),
        1 => value().prop_filter("a definition", |value| !matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null))
            .prop_map(|value| ("tools".to_owned(), value)),
        1 => proptest::collection::vec(text(), 0..4).prop_map(|images| ("image_data".to_owned(), Value::from(images))),
        1 => ("[a-z]{8}", value()),
        1 => (1u32..).prop_map(|most| ("max_tokens".to_owned(), Value::from(most))),
    ]
}

/// A character as `\u` escapes.
pub(crate) fn escaped(character: char) -> String {
    let units: Vec<_> = character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect();
    units.concat()
}

/// JSON with whitespace wherever it may be, and every other character escaped.
fn written_otherwise(value: &Value, out: &mut String) {
    let string = |text: &str, out: &mut String| {
        out.push('"');
        for (at, character) in text.chars().enumerate() {
            let escapes = at % 2 == 0 || (character as u32) < 32 || matches!(character, '"' | '\\');
            if escapes {
                *out += &escaped(character);
            } else {
                out.push(character);
            }
        }
        out.push_str("\"\t");
    };
    match value {
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.push_str("[ ");
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { " ,\n" } else { "" });
                written_otherwise(item, out);
            }
            out.push_str(" ] ");
        }
        Value::Object(members) => {
            out.push_str("{\r\n");
            for (at, (name, item)) in members.iter().enumerate() {
                out.push_str(if at > 0 { " ,\n" } else { "" });
                string(name, out);
                out.push_str(" : ");
                written_otherwise(item, out);
            }
            out.push_str(" } ");
        }
        other => *out += &(other.to_string() + " "),
    }
}

proptest! {
    #[test]
    fn requests_are_read_as_a_tree_would_be(
        members in proptest::collection::vec(member(), 0..6),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
    ) {
        let body = Value::Object(members.into_iter().collect());
        let text = body.to_string();
        let whole = body_request::read(&text);
        let found = Naive {
            text_bytes: whole.text_bytes,
            token_ids: whole.token_ids,
            images: whole.images,
            audios: whole.audios,
        };
        prop_assert_eq!(found, Naive::of(&body), "{}", text);
        prop_assert_eq!(u64::from(whole.max_tokens), body.get("max_tokens").and_then(Value::as_u64).unwrap_or(0));
        // Cut anywhere, it says the same; written otherwise, too.
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut reader = RequestReader::new();
        cuts.windows(2).for_each(|cut| _ = reader.feed(&text.as_bytes()[cut[0]..cut[1]]));
        prop_assert_eq!(reader.body(Some(text.len() as u64)), whole);
        let mut other = String::new();
        written_otherwise(&body, &mut other);
        let is_data = text.contains("image") || text.contains("audio");
        let (read, mut whole) = (body_request::read(&other), whole);
        if is_data {
            // The data of media is hashed as it is written.
            whole.prefix_keys = read.prefix_keys;
        }
        prop_assert_eq!(read, whole, "{}", other);
    }

    #[test]
    fn streams_are_counted_as_lines_would_be(
        contents in proptest::collection::vec(proptest::option::of(text()), 0..12),
        usage in proptest::option::of((any::<u32>(), any::<u32>())),
        fillers in proptest::collection::vec(value(), 1..3),
        bytes in 1usize..80,
    ) {
        let mut stream = String::new();
        for (content, filler) in contents.iter().zip(fillers.iter().cycle()) {
            let event = json!({"id": filler, "choices": [{"logprobs": filler, "delta": {"role": "assistant", "content": content}, "index": 0}]});
            stream += &["data: ", &event.to_string(), "\n\n"].concat();
        }
        if let Some((prompt, output)) = usage {
            let event = json!({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": output}});
            stream += &["data: ", &event.to_string(), "\n\n"].concat();
        }
        stream += "data: [DONE]\n\n";
        let expected = contents.iter().flatten().filter(|content| !content.is_empty()).count() as u32;
        let mut reader = ResponseReader::new(ResponseKind::Events);
        let firsts = stream.as_bytes().chunks(bytes).filter(|piece| reader.feed(piece)).count();
        let found = reader.body();
        prop_assert_eq!(found.content_events, expected, "{}", stream);
        prop_assert_eq!(firsts, usize::from(expected > 0));
        prop_assert_eq!(found.prompt_tokens, usage.map(|(prompt, _)| prompt));
        prop_assert_eq!(found.output_tokens, usage.map(|(_, output)| output).or((expected > 0).then_some(expected)));
        prop_assert!(found.is_complete && !found.is_error);
        // Fed whole, events of one shape are passed over; fed in small pieces, all are scanned.
        let mut whole = ResponseReader::new(ResponseKind::Events);
        prop_assert_eq!(whole.feed(stream.as_bytes()), expected > 0);
        prop_assert_eq!(whole.body(), found);
    }
}
