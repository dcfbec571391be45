//! Mooncake's traces (FAST'25): JSON lines with the time in milliseconds, the token counts and the
//! hashes of the prompt's 512-token blocks, equal where prompts share a prefix.

use super::json;
use crate::input::number;
use crate::row::{Fault, LineParser, Row, TOKENS, Upstreams};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Tokens a block stands for.
pub(crate) const BLOCK_TOKENS: u32 = 512;

pub(crate) struct Mooncake;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    timestamp: &'a RawValue,
    #[serde(borrow)]
    input_length: &'a RawValue,
    #[serde(borrow)]
    output_length: &'a RawValue,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

impl LineParser for Mooncake {
    fn parse(&mut self, line: &[u8], row: &mut Row, _upstreams: &mut Upstreams) -> Result<(), Fault> {
        let fields: Line<'_> = serde_json::from_slice(line).map_err(|error| malformed(line, &error))?;
        row.arrival_ns = json::time_ns("timestamp", fields.timestamp.get().as_bytes(), 1_000_000)?;
        let tokens = |name, value: &RawValue| {
            let bytes = value.get().as_bytes();
            number::tokens(bytes).ok_or_else(|| Fault::new(name, bytes, TOKENS))
        };
        row.request.prompt_tokens = tokens("input_length", fields.input_length)?;
        row.request.output_tokens = tokens("output_length", fields.output_length)?;
        row.request.prefix_len = u16::try_from(fields.hash_ids.len()).map_err(|_| Fault {
            field: "hash_ids".into(),
            found: format!("{} blocks", fields.hash_ids.len()),
            expected: "at most 65535".into(),
        })?;
        row.blocks = fields.hash_ids;
        Ok(())
    }
}

fn malformed(line: &[u8], error: &serde_json::Error) -> Fault {
    let message = error.to_string();
    // The parser saw one line only, so that its line number would mislead.
    let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
    let expected = format!("a JSON object as in Mooncake's traces ({message})");
    Fault { field: format!("column {}", error.column()).into(), ..Fault::new("", line, expected) }
}
