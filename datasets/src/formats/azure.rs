//! Azure's LLM inference traces, 2023 and 2024.
//!
//! CSV with the header `TIMESTAMP,ContextTokens,GeneratedTokens`. The times are UTC, to 100 ns in
//! 2023 (`2023-11-16 18:17:03.9799600`), to 1 µs and with a zone in 2024
//! (`2024-05-10 00:00:00.009930+00:00`, without a fraction where that is 0).

use crate::ColumnMap;

pub(crate) fn columns() -> ColumnMap {
    ColumnMap {
        arrival: "TIMESTAMP".to_owned(),
        prompt: Some("ContextTokens".to_owned()),
        output: Some("GeneratedTokens".to_owned()),
        ..ColumnMap::default()
    }
}
