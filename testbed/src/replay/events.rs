//! Server-sent events, of which tokens are counted.
//!
//! Chunks of a response need not end where events do, so the bytes of an unfinished event are
//! kept. Of an event no more is looked at than a search for three fields: parsing each as
//! JSON would cost the replayer more than emulating it costs the hosts.

/// Takes a response's bytes apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    unfinished: Vec<u8>,
    /// Events with text in them.
    pub text_events: u32,
    /// Tokens generated, as the server counts them; 0 where it does not tell.
    pub usage_tokens: u32,
    /// Whether the stream's end was announced.
    pub is_done: bool,
}

impl Events {
    /// Takes in bytes; whether there was an event with text among them.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let before = self.text_events;
        self.unfinished.extend_from_slice(bytes);
        let mut rest = self.unfinished.as_slice();
        let (mut text_events, mut usage_tokens, mut is_done) = (0, None, false);
        while let Some(end) = find(rest, b"\n\n") {
            let event = &rest[..end];
            rest = &rest[end + 2..];
            let Some(data) = event.trim_ascii().strip_prefix(b"data:") else { continue };
            is_done |= data.trim_ascii() == b"[DONE]";
            text_events += u32::from(has_text(data, b"\"text\":\"") || has_text(data, b"\"content\":\""));
            usage_tokens = number_after(data, b"\"completion_tokens\":").or(usage_tokens);
        }
        let read = self.unfinished.len() - rest.len();
        self.unfinished.drain(..read);
        self.text_events += text_events;
        self.usage_tokens = usage_tokens.unwrap_or(self.usage_tokens);
        self.is_done |= is_done;
        self.text_events > before
    }

    /// Tokens generated: as the server counts them, else one an event.
    pub fn tokens(&self) -> u32 {
        if self.usage_tokens > 0 { self.usage_tokens } else { self.text_events }
    }
}

/// Whether the field is there and is not the empty string.
fn has_text(data: &[u8], field: &[u8]) -> bool {
    find(data, field).is_some_and(|at| data.get(at + field.len()).is_some_and(|byte| *byte != b'"'))
}

/// The number behind a field.
pub fn number_after(data: &[u8], field: &[u8]) -> Option<u32> {
    let rest = data[find(data, field)? + field.len()..].trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::Events;

    const STREAM: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\" a\"}}]}\n\n\
        : a comment\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\" b c\"}}]}\n\n\
        data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\n\
        data: [DONE]\n\n";

    #[test]
    fn events_are_counted_however_the_bytes_are_cut() {
        for size in [1, 2, 7, 50, 1000] {
            let mut events = Events::default();
            let texts = STREAM.as_bytes().chunks(size).filter(|chunk| events.push(chunk)).count();
            assert_eq!((events.text_events, events.tokens(), events.is_done), (2, 3, true), "{size}");
            assert!((1..=2).contains(&texts));
        }
    }

    #[test]
    fn without_usage_an_event_is_a_token() {
        let mut events = Events::default();
        assert!(!events.push(b"data: {\"choices\":[{\"text\":\"\"}]}\n\n"));
        assert!(events.push(b"data: {\"choices\":[{\"text\":\"x\"}]}\n\ndata: {\"te"));
        assert_eq!((events.tokens(), events.is_done), (1, false));
    }
}
