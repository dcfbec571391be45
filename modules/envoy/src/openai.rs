//! The prompt in the body of an OpenAI-style request: its length, and a key for its
//! beginning.
//!
//! The body may be cut off: what is there is read in one pass, without building a tree, and
//! nothing is refused; whatever is not understood counts as no prompt. The key stands for
//! the first text of the prompt, so that requests with the same system prompt, and turns of
//! the same conversation, have the same.

use evenkeel_runtime::telemetry_file::host_key as key_of;

use crate::prompt::BYTES_PER_TOKEN;

/// Text that makes the key: a system prompt, or the first turn of a conversation.
const KEY_BYTES: usize = 1024;

/// What a body tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PromptFacts {
    /// Length of the prompt, roughly.
    pub(crate) tokens: u32,
    /// Key of its beginning; 0 if there is no prompt.
    pub(crate) key: u64,
}

/// Reads the beginning of a body. `body_bytes` is the whole body's length, or that of the
/// beginning where it is not known: what is missing is taken to be prompt.
pub(crate) fn read(beginning: &[u8], body_bytes: usize) -> PromptFacts {
    let mut scan = Scan { rest: beginning, text_bytes: 0, numbers: 0, first: Vec::with_capacity(KEY_BYTES) };
    scan.values();
    if scan.text_bytes == 0 && scan.numbers == 0 {
        return PromptFacts::default();
    }
    let unseen = body_bytes.saturating_sub(beginning.len());
    let bytes = u32::try_from(scan.text_bytes + unseen).unwrap_or(u32::MAX);
    PromptFacts { tokens: (bytes / BYTES_PER_TOKEN).saturating_add(scan.numbers).max(1), key: key_of(&scan.first) }
}

/// Members whose strings, at any depth, are prompt.
const PROMPT_MEMBERS: [&[u8]; 4] = [b"prompt", b"content", b"text", b"input"];

struct Scan<'b> {
    rest: &'b [u8],
    text_bytes: usize,
    /// Tokens given as numbers.
    numbers: u32,
    first: Vec<u8>,
}

impl<'b> Scan<'b> {
    /// Goes through all tokens. Which member a value belongs to is all that is remembered:
    /// the last name before it.
    fn values(&mut self) {
        let mut is_prompt = false;
        while let Some((byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            match byte {
                b'"' => {
                    let string = self.string();
                    if self.rest.trim_ascii_start().starts_with(b":") {
                        is_prompt = PROMPT_MEMBERS.contains(&string);
                    } else if is_prompt {
                        self.add(string);
                    }
                }
                b'0'..=b'9' | b'-' => {
                    let end = self.rest.iter().position(|byte| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n'));
                    let (digits, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                    self.rest = rest;
                    if is_prompt {
                        self.numbers = self.numbers.saturating_add(1);
                        let room = KEY_BYTES.saturating_sub(self.first.len());
                        self.first.extend([*byte].iter().chain(digits).chain(b" ").take(room));
                    }
                }
                _ => {}
            }
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

    fn facts(body: &str) -> PromptFacts {
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
            assert_eq!(facts(&body).tokens, 100, "{body}");
        }
        assert_eq!(facts(r#"{"max_tokens":7,"prompt":[1,2,3,44],"n":2}"#).tokens, 4);
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
    fn what_is_cut_off_is_counted_by_its_length() {
        let body = format!(r#"{{"prompt":"{}"}}"#, "y".repeat(100_000));
        let cut = read(&body.as_bytes()[..65_536], body.len());
        assert!(cut.tokens.abs_diff(25_000) < 10, "{cut:?}");
        assert_eq!(cut.key, facts(&body).key);
    }

    #[test]
    fn nothing_is_refused_and_nothing_invented() {
        for body in
            ["", "{", "\"", "\\", "[[[[", r#"{"prompt"#, r#"{"prompt":"#, r#"{"prompt":""#, r#"{"a":"\"#, "\u{0}"]
        {
            assert_eq!(facts(body), PromptFacts::default(), "{body:?}");
        }
        assert_eq!(facts(r#"{"model":"prompt","user":"content"}"#), PromptFacts::default());
        assert_eq!(facts(r#"{"prompt":"a\"b","user":"long name"}"#).tokens, 1);
    }
}
