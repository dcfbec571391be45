//! What is known of a request before a host is chosen.

use evenkeel_runtime::telemetry_file::host_key as key_of;

use crate::config::Options;
use crate::envoy::ContextView;

/// Bytes of a request for each token of its prompt, roughly, where nothing better is known.
pub(crate) const BYTES_PER_TOKEN: u32 = 4;

/// Prompts longer than any model takes are as long as this.
const TOKENS_MAX: u32 = 0x7FFF_FFFF;

/// The prompt, as far as headers tell.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Prompt {
    /// Its length in tokens, 0 where unknown.
    pub(crate) tokens: u32,
    /// Key of the session or prefix, 0 where there is none.
    pub(crate) key: u64,
}

impl Prompt {
    /// From the configured headers; without one for the tokens, guessed from the content
    /// length.
    pub(crate) fn of(context: ContextView<'_>, options: &Options) -> Self {
        let tokens = match &options.tokens {
            Some(name) => context.header(name.as_bytes()).map_or(0, number),
            None => context.header(b"content-length").map_or(0, number) / BYTES_PER_TOKEN,
        };
        let key = options.key.as_ref().and_then(|name| context.header(name.as_bytes()));
        Self { tokens, key: key.filter(|key| !key.is_empty()).map_or(0, key_of) }
    }
}

/// A decimal number; 0 for what is none, and the largest for what is too large.
pub(crate) fn number(text: &[u8]) -> u32 {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let add = |number: u32, digit: &u8| number.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
    text.iter().fold(0, add).min(TOKENS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_counts_as_none() {
        for text in ["", "-1", "+1", " 1", "1e9", "0x10", "many", "1.5", "\u{0}"] {
            assert_eq!(number(text.as_bytes()), 0, "{text:?}");
        }
        assert_eq!(number(b"321"), 321);
        assert_eq!(number(&[b'9'; 1000]), TOKENS_MAX);
    }
}
