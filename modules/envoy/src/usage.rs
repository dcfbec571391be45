//! Number of tokens of a response, from its body: that of its `usage`, or, in a stream
//! that has none, the number of its events.
//!
//! The body is looked at as it passes, piece by piece; of what was before, only the last
//! few bytes are kept.

use memchr::memmem;

use crate::http_filter::media_type;
use crate::prompt;

/// Stands before the number, in chat completions and completions alike.
const NAME: &[u8] = b"\"completion_tokens\"";

/// Begins an event that is not the end of the stream: servers send one for each token.
const EVENT: &[u8] = b"data: {";

/// Bytes of a piece that are kept for the next: room for the name and its number.
const KEPT_BYTES: usize = 48;

/// Counts one response's tokens.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// The end of what was before.
    kept: Vec<u8>,
    said: Option<u32>,
    events: u32,
}

impl Usage {
    /// For a response of this content type; `None` if it is not one that has tokens.
    pub(crate) fn of(content_type: &[u8]) -> Option<Self> {
        let kind = media_type(content_type);
        let kinds: [&[u8]; 2] = [b"application/json", b"text/event-stream"];
        kinds.iter().any(|known| kind.eq_ignore_ascii_case(known)).then(Self::default)
    }

    /// Looks at the next piece of the body.
    pub(crate) fn read(&mut self, piece: &[u8]) {
        // Across the border first, then the piece itself.
        let mut border = std::mem::take(&mut self.kept);
        let seen = border.len();
        border.extend_from_slice(&piece[..piece.len().min(KEPT_BYTES)]);
        self.look(&border, seen, border.len() == seen + piece.len());
        if piece.len() > KEPT_BYTES {
            self.look(piece, KEPT_BYTES, true);
            border.clear();
            border.extend_from_slice(&piece[piece.len() - KEPT_BYTES..]);
        }
        let surplus = border.len().saturating_sub(KEPT_BYTES);
        border.drain(..surplus);
        self.kept = border;
    }

    /// Tokens so far; 0 if there is no telling.
    pub(crate) fn tokens(&self) -> u32 {
        self.said.unwrap_or(self.events)
    }

    /// Looks at some bytes, of which so many have been looked at before. Unless they are the
    /// last there are, a number that they end with is left to the next look.
    fn look(&mut self, bytes: &[u8], seen: usize, are_last: bool) {
        let new = memmem::find_iter(bytes, EVENT).filter(|at| at + EVENT.len() > seen);
        self.events = self.events.saturating_add(u32::try_from(new.count()).unwrap_or(u32::MAX));
        let Some(at) = memmem::rfind(bytes, NAME) else { return };
        let Some(value) = bytes[at + NAME.len()..].trim_ascii_start().strip_prefix(b":") else { return };
        let value = value.trim_ascii_start();
        let end = value.iter().position(|byte| !byte.is_ascii_digit());
        if end.is_some() || are_last {
            let (digits, _) = value.split_at(end.unwrap_or(value.len()));
            if !digits.is_empty() {
                self.said = Some(prompt::number(digits));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens of a body that comes in pieces of so many bytes.
    fn tokens(body: &str, bytes: usize) -> u32 {
        let mut usage = Usage::default();
        body.as_bytes().chunks(bytes).for_each(|piece| usage.read(piece));
        usage.tokens()
    }

    #[test]
    fn usage_is_found_however_the_body_is_cut() {
        let padding = "x".repeat(200);
        let body = format!(
            r#"{{"choices":[{{"text":"{padding}"}}],"usage":{{"prompt_tokens":12,"completion_tokens": 1234,"total_tokens":1246}}}}"#
        );
        for bytes in 1..=body.len() {
            assert_eq!(tokens(&body, bytes), 1234, "{bytes}");
        }
    }

    #[test]
    fn events_are_counted_once_however_the_stream_is_cut() {
        let event = |text| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
        let stream: String = (0..40).map(event).chain(["data: [DONE]\n\n".into()]).collect();
        for bytes in 1..=stream.len() {
            assert_eq!(tokens(&stream, bytes), 40, "{bytes}");
        }
        let with_usage = stream + "data: {\"choices\":[],\"usage\":{\"completion_tokens\":77}}\n\n";
        assert_eq!(tokens(&with_usage, 100), 77);
    }

    #[test]
    fn what_is_no_number_says_nothing() {
        for body in [r#""completion_tokens""#, r#""completion_tokens":"#, r#""completion_tokens":null"#, "", "{}"] {
            assert_eq!(tokens(body, 7), 0, "{body}");
        }
        assert!(Usage::of(b"Application/JSON; charset=utf-8").is_some());
        assert!(Usage::of(b"text/event-stream").is_some());
        assert!(Usage::of(b"text/html").is_none());
    }
}
