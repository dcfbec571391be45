//! Indents JSON. What is not JSON comes out as it is, give or take spaces.

/// Columns that a line may take.
const COLUMNS: usize = 76;
/// Spaces for each level of nesting.
const INDENT: usize = 2;

/// The text with a line for each entry; lists and objects that fit a line stay on it.
pub(super) fn pretty(json: &str) -> String {
    let compact = compact(json);
    let mut text = String::with_capacity(compact.len() * 2);
    let (mut depth, mut line_begin, mut at) = (0_usize, 0, 0);
    let mut in_string = InString::default();
    while let Some(c) = compact[at..].chars().next() {
        let rest = &compact[at..];
        at += c.len_utf8();
        let quoted = in_string.next(c);
        let mut break_line = false;
        match c {
            '{' | '[' if !quoted => {
                let room = COLUMNS.saturating_sub(text.len() - line_begin);
                if let Some(whole) = closed_within(rest, room) {
                    text.push_str(whole);
                    at += whole.len() - 1;
                    continue;
                }
                text.push(c);
                depth += 1;
                break_line = true;
            }
            '}' | ']' if !quoted => {
                depth = depth.saturating_sub(1);
                line_begin = new_line(&mut text, depth);
                text.push(c);
            }
            ',' if !quoted => {
                text.push(c);
                // The space behind it gives way to the line break.
                at += usize::from(compact[at..].starts_with(' '));
                break_line = true;
            }
            _ => text.push(c),
        }
        if break_line {
            line_begin = new_line(&mut text, depth);
        }
    }
    text
}

fn new_line(text: &mut String, depth: usize) -> usize {
    text.push('\n');
    let begin = text.len();
    // Beyond some depth nobody reads it; stay linear in the text's length.
    text.extend(std::iter::repeat_n(' ', INDENT * depth.min(COLUMNS / 4)));
    begin
}

/// One space behind colons and commas, none elsewhere outside of strings.
fn compact(json: &str) -> String {
    let mut in_string = InString::default();
    let mut compact = String::with_capacity(json.len());
    for c in json.chars() {
        let quoted = in_string.next(c);
        if quoted || !c.is_ascii_whitespace() {
            compact.push(c);
        }
        if !quoted && matches!(c, ':' | ',') {
            compact.push(' ');
        }
    }
    compact
}

/// The list or object that `text` begins with, if it ends within `room` bytes.
fn closed_within(text: &str, room: usize) -> Option<&str> {
    let mut in_string = InString::default();
    let mut depth = 0;
    for (index, c) in text.char_indices().take_while(|(index, _)| *index < room) {
        match c {
            _ if in_string.next(c) => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&text[..=index]);
        }
    }
    None
}

/// Follows a text and knows whether it is inside of a string.
#[derive(Default)]
struct InString {
    open: bool,
    escaped: bool,
}

impl InString {
    /// Whether the next character belongs to a string, its quotes included.
    fn next(&mut self, c: char) -> bool {
        let was_open = self.open;
        if self.escaped {
            self.escaped = false;
        } else if c == '"' {
            self.open = !self.open;
        } else if c == '\\' {
            self.escaped = self.open;
        }
        was_open || self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ones_stay_on_their_line() {
        assert_eq!(pretty(r#"{"a":1,  "b":[1,2]}"#), r#"{"a": 1, "b": [1, 2]}"#);
        assert_eq!(pretty("{}"), "{}");
    }

    #[test]
    fn long_ones_are_indented() {
        let long = "x".repeat(70);
        let text = pretty(&format!(r#"{{"a":"{long}","b":{{"c":[1,2],"d":"e, {{f}} \" g"}}}}"#));
        assert_eq!(
            text,
            format!("{{\n  \"a\": \"{long}\",\n  \"b\": {{\"c\": [1, 2], \"d\": \"e, {{f}} \\\" g\"}}\n}}")
        );
    }

    #[test]
    fn what_is_not_json_does_no_harm() {
        for text in ["", "}}}", "[[[", "\"", "\\", "{\"a\\", "é{é[é,é"] {
            pretty(text);
        }
        assert!(pretty(&"[".repeat(100_000)).len() < 5_000_000);
    }
}
