//! Mooncake's traces (FAST'25): JSON lines with the time in milliseconds, the token counts and the
//! hashes of the prompt's 512-token blocks, equal where prompts share a prefix.

use super::json;
use crate::row::{Fault, LineParser, Row, Upstreams};
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
        let fields: Line<'_> = serde_json::from_slice(line).map_err(|error| json::fault(line, &error))?;
        row.arrival_ns = json::time_ns("timestamp", json::bytes(Some(fields.timestamp)), 1_000_000)?;
        row.request.prompt_tokens = json::tokens("input_length", Some(fields.input_length))?;
        row.request.output_tokens = json::tokens("output_length", Some(fields.output_length))?;
        row.request.prefix_len = u16::try_from(fields.hash_ids.len()).map_err(|_| Fault {
            field: "hash_ids".into(),
            found: format!("{} blocks", fields.hash_ids.len()),
            expected: "at most 65535".into(),
        })?;
        row.blocks = fields.hash_ids;
        Ok(())
    }
}
