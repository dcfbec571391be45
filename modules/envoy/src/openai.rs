//! Facts from the body of an OpenAI-style request: the prompt's length, a key for its
//! beginning, the model, and how much it may generate.
//!
//! The body may be cut off: what is there is read in one pass, without building a tree, and
//! nothing is refused; whatever is not understood counts as no prompt. The key stands for
//! the first text of the prompt, so that requests with the same system prompt, and turns of
//! the same conversation, have the same.

use evenkeel_runtime::telemetry_file::host_key as key_of;

use crate::prompt::{BYTES_PER_TOKEN, number};

/// Text that makes the key: a system prompt, or the first turn of a conversation.
const KEY_BYTES: usize = 1024;

/// A model's name is no longer.
const MODEL_BYTES_MAX: usize = 256;

/// Facts from a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts<'b> {
    /// Length of the prompt in tokens, roughly.
    pub(crate) prompt_tokens: u32,
    /// Key of its beginning; 0 if there is no prompt.
    pub(crate) key: u64,
    /// Name of the model, in visible ASCII.
    pub(crate) model: Option<&'b [u8]>,
    /// Tokens that may be generated at most; 0 if nothing is said.
    pub(crate) max_tokens: u32,
}

/// Reads the beginning of a body. `body_bytes` is the whole body's length, or that of the
/// beginning where it is not known: what is missing is taken to be prompt.
pub(crate) fn read(beginning: &[u8], body_bytes: usize) -> Facts<'_> {
    let mut scan = Scan {
        rest: beginning,
        depth: 0,
        text_bytes: 0,
        numbers: 0,
        first: Vec::with_capacity(KEY_BYTES),
        facts: Facts::default(),
    };
    scan.values();
    if scan.text_bytes == 0 && scan.numbers == 0 {
        return scan.facts;
    }
    let unseen = body_bytes.saturating_sub(beginning.len());
    let bytes = u32::try_from(scan.text_bytes + unseen).unwrap_or(u32::MAX);
    let prompt_tokens = (bytes / BYTES_PER_TOKEN).saturating_add(scan.numbers).max(1);
    Facts { prompt_tokens, key: key_of(&scan.first), ..scan.facts }
}

/// Kind of a member of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    /// Its strings and numbers, at any depth, are prompt.
    Prompt,
    Model,
    MaxTokens,
    Other,
}

impl Member {
    /// `depth` is that of the object which it is in: 1 is the body itself.
    fn of(name: &[u8], depth: usize) -> Self {
        match name {
            b"prompt" | b"content" | b"text" | b"input" => Self::Prompt,
            b"model" if depth == 1 => Self::Model,
            b"max_tokens" | b"max_completion_tokens" | b"max_output_tokens" if depth == 1 => Self::MaxTokens,
            _ => Self::Other,
        }
    }
}

struct Scan<'b> {
    rest: &'b [u8],
    /// Objects and lists that are open.
    depth: usize,
    text_bytes: usize,
    /// Tokens given as numbers.
    numbers: u32,
    first: Vec<u8>,
    facts: Facts<'b>,
}

impl<'b> Scan<'b> {
    /// Goes through all tokens. Which member a value belongs to is all that is remembered:
    /// the last name before it.
    fn values(&mut self) {
        let mut member = Member::Other;
        while let Some((byte, rest)) = self.rest.split_first() {
            let from = self.rest;
            self.rest = rest;
            match byte {
                b'"' => {
                    let string = self.string();
                    if self.rest.trim_ascii_start().starts_with(b":") {
                        member = Member::of(string, self.depth);
                    } else {
                        self.text(member, string);
                    }
                }
                b'0'..=b'9' | b'-' => {
                    let end = rest.iter().position(|byte| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n'));
                    let (number, rest) = from.split_at(end.map_or(from.len(), |end| end + 1));
                    self.rest = rest;
                    self.number(member, number);
                }
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn text(&mut self, member: Member, text: &'b [u8]) {
        match member {
            Member::Prompt => self.add(text),
            Member::Model => {
                // It may become a header, which must not end before its time.
                let is_name = (1..=MODEL_BYTES_MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
                self.facts.model = Some(text).filter(|_| is_name);
            }
            Member::MaxTokens | Member::Other => {}
        }
    }

    fn number(&mut self, member: Member, digits: &[u8]) {
        match member {
            Member::Prompt => {
                self.numbers = self.numbers.saturating_add(1);
                let room = KEY_BYTES.saturating_sub(self.first.len());
                self.first.extend(digits.iter().chain(b" ").take(room));
            }
            Member::MaxTokens => self.facts.max_tokens = number(digits),
            Member::Model | Member::Other => {}
        }
    }

    fn add(&mut self, text: &[u8]) {
        self.text_bytes += text.len();
        // The first text alone: later turns differ, and the key must not.
        if self.first.is_empty() {
            self.first.extend(text.iter().take(KEY_BYTES));
        }
    }

    /// The string whose opening quote has been read, escapes as they are.
    fn string(&mut self) -> &'b [u8] {
        let mut escaped = false;
        let end = self.rest.iter().position(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        });
        let (string, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest.get(1..).unwrap_or_default();
        string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(body: &str) -> Facts<'_> {
        read(body.as_bytes(), body.len())
    }

    #[test]
    fn prompts_of_all_forms_are_measured() {
        let text = "x".repeat(400);
        for body in [
            format!(r#"{{"model":"m","prompt":"{text}","max_tokens":16}}"#),
            format!(r#"{{"prompt":["{text}"],"stream":true}}"#),
            format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}],"temperature":0.5}}"#),
            format!(r#"{{"messages": [{{"role": "user", "content": [{{"type": "text", "text": "{text}"}}]}}]}}"#),
            format!(r#"{{"input":"{text}"}}"#),
        ] {
            assert_eq!(facts(&body).prompt_tokens, 100, "{body}");
        }
        assert_eq!(facts(r#"{"max_tokens":7,"prompt":[1,2,3,44],"n":2}"#).prompt_tokens, 4);
    }

    #[test]
    fn the_key_stands_for_the_beginning() {
        let chat = |system: &str, turns: &[&str]| {
            let turns: Vec<String> =
                turns.iter().map(|turn| format!(r#",{{"role":"user","content":"{turn}"}}"#)).collect();
            let turns = turns.concat();
            facts(&format!(r#"{{"messages":[{{"role":"system","content":"{system}"}}{turns}]}}"#)).key
        };
        assert_eq!(chat("be brief", &["a"]), chat("be brief", &["a", "b"]));
        assert_ne!(chat("be brief", &["a"]), chat("be long", &["a"]));
        assert_ne!(facts(r#"{"prompt":[1,2]}"#).key, facts(r#"{"prompt":[1,3]}"#).key);
    }

    #[test]
    fn the_model_and_the_most_it_may_generate_are_the_bodys_own() {
        let body =
            r#"{"model":"org/m-8b:v1","messages":[{"content":"a","model":"x","max_tokens":9}],"max_tokens": 512}"#;
        let told = facts(body);
        assert_eq!((told.model, told.max_tokens, told.prompt_tokens), (Some(&b"org/m-8b:v1"[..]), 512, 1));
        assert_eq!(facts(r#"{"max_completion_tokens":7}"#).max_tokens, 7);
        for body in [r#"{"max_tokens":-1}"#, r#"{"max_tokens":1.5}"#, r#"{"max_tokens":"7"}"#, r#"{"max_tokens":null}"#]
        {
            assert_eq!(facts(body).max_tokens, 0, "{body}");
        }
        let long = format!(r#"{{"model":"{}"}}"#, "m".repeat(MODEL_BYTES_MAX + 1));
        for body in
            ["{\"model\":\"a\r\nx-admin: 1\"}", r#"{"model":""}"#, r#"{"model":"a b"}"#, r#"{"model":7}"#, &long]
        {
            assert_eq!(facts(body).model, None, "{body}");
        }
    }

    #[test]
    fn what_is_cut_off_is_counted_by_its_length() {
        let body = format!(r#"{{"prompt":"{}"}}"#, "y".repeat(100_000));
        let cut = read(&body.as_bytes()[..65_536], body.len());
        assert!(cut.prompt_tokens.abs_diff(25_000) < 10, "{cut:?}");
        assert_eq!(cut.key, facts(&body).key);
    }

    #[test]
    fn nothing_is_refused_and_nothing_invented() {
        for body in
            ["", "{", "\"", "\\", "[[[[", r#"{"prompt"#, r#"{"prompt":"#, r#"{"prompt":""#, r#"{"a":"\"#, "\u{0}"]
        {
            assert_eq!(facts(body), Facts::default(), "{body:?}");
        }
        assert_eq!(facts(r#"{"user":"prompt","name":"content"}"#), Facts::default());
        assert_eq!(facts(r#"{"prompt":"a\"b","user":"long name"}"#).prompt_tokens, 1);
    }
}
