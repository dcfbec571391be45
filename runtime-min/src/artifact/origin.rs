//! The origin of an artifact, read from its metadata: what pages, metrics and logs call it by.

/// Texts of the metadata that name an artifact; empty where it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Name, as whoever made it calls it.
    pub name: &'a str,
    /// Version of the artifact.
    pub version: &'a str,
    /// Program and version that made it.
    pub made_by: &'a str,
    /// Date of its making.
    pub date: &'a str,
    /// The first trace that its policy was trained on.
    pub trace: &'a str,
    /// Further traces.
    pub more_traces: u32,
}

impl<'a> Origin<'a> {
    /// Reads a JSON object. What is no object, or is damaged, has no origin; a text that holds
    /// an escape is taken as it is written.
    pub fn read(json: &'a str) -> Self {
        let mut origin = Self::default();
        texts(json.as_bytes(), |key, text| {
            let Ok(text) = core::str::from_utf8(text) else { return };
            match key {
                b"name" => origin.name = text,
                b"version" => origin.version = text,
                b"made_by" => origin.made_by = text,
                b"date" | b"made_at" | b"trained_at" => origin.date = text,
                b"traces" if origin.trace.is_empty() => origin.trace = text,
                b"traces" => origin.more_traces += 1,
                _ => {}
            }
        });
        origin
    }
}

/// Visits each text of an object's members, and of arrays that are its members, with the
/// member's name.
fn texts<'a>(json: &'a [u8], mut visit: impl FnMut(&'a [u8], &'a [u8])) {
    let (mut rest, mut depth, mut key) = (json, 0_u32, &b""[..]);
    while let [byte, others @ ..] = rest {
        rest = others;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let Some((text, after)) = string(rest) else { return };
                rest = after;
                match after.trim_ascii_start() {
                    [b':', ..] if depth == 1 => key = text,
                    [b':', ..] => {}
                    _ if depth == 1 || depth == 2 => visit(key, text),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// The text up to the quotation mark that ends it, and what follows.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut is_escaped = false;
    let end = bytes.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    })?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_object_are_found_and_no_others() {
        let json = r#"{"made_by": "evenkeel train 0.2.0", "more": {"name": {"name": "deep"}}, "traces": ["a \"b\"", "c", "d"],
            "seed": 7, "date":"2026-12-01","name":"chat"}"#;
        let expected = Origin {
            name: "chat",
            version: "",
            made_by: "evenkeel train 0.2.0",
            date: "2026-12-01",
            trace: r#"a \"b\""#,
            more_traces: 2,
        };
        assert_eq!(Origin::read(json), expected);
    }

    #[test]
    fn what_is_no_object_has_no_origin() {
        for json in ["", "[", "{\"name\"", "{\"name\":\"open", "}}{", "7", "\"name\":\"outside\""] {
            assert_eq!(Origin::read(json), Origin::default(), "{json}");
        }
    }
}
