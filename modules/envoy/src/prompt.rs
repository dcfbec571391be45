//! Facts about a request before a host is chosen.

use evenkeel_runtime::telemetry_file::host_key as key_of;

use crate::config::Options;
use crate::envoy::ContextView;
use crate::fields::HeaderName;

/// Bytes of a request for each token of its prompt, roughly, where nothing better is known.
pub(crate) const BYTES_PER_TOKEN: u32 = 4;

/// Prompts longer than any model takes are as long as this.
const TOKENS_MAX: u32 = 0x7FFF_FFFF;

/// The request, as far as headers tell.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestFacts {
    /// Length of the prompt in tokens, 0 where unknown.
    pub(crate) prompt_tokens: u32,
    /// Key of the session or prefix, 0 where there is none.
    pub(crate) key: u64,
    /// Key of the class, 0 where there is none.
    pub(crate) class: u64,
    /// Tokens that may be generated at most, 0 where unknown.
    pub(crate) max_tokens: u32,
}

impl RequestFacts {
    /// From the configured headers; without one for the tokens, guessed from the content
    /// length.
    pub(crate) fn of(context: ContextView<'_>, options: &Options) -> Self {
        let header = |name: &Option<HeaderName>| name.as_ref().and_then(|name| context.header(name.as_bytes()));
        let key = |name| header(name).filter(|value| !value.is_empty()).map_or(0, key_of);
        let prompt_tokens = match &options.tokens {
            Some(_) => header(&options.tokens).map_or(0, number),
            None => context.header(b"content-length").map_or(0, number) / BYTES_PER_TOKEN,
        };
        Self {
            prompt_tokens,
            key: key(&options.key),
            class: key(&options.class),
            max_tokens: header(&options.max_tokens).map_or(0, number),
        }
    }

    /// Tokens that will probably be generated, 0 where unknown: `class_mean` is what requests
    /// of its class generate, `service_mean` what all do.
    pub(crate) fn expected_output_tokens(&self, class_mean: Option<u32>, service_mean: f32) -> u32 {
        let expected = class_mean.unwrap_or(0);
        if self.max_tokens == 0 {
            return expected;
        }
        let unbounded = if expected == 0 { service_mean as u32 } else { expected };
        if unbounded > self.max_tokens { self.max_tokens } else { expected }
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
    fn no_more_is_expected_than_may_be_generated() {
        let expected = |max_tokens, class_mean| {
            RequestFacts { max_tokens, ..RequestFacts::default() }.expected_output_tokens(class_mean, 200.0)
        };
        assert_eq!(expected(0, None), 0, "the service's mean");
        assert_eq!(expected(0, Some(300)), 300);
        assert_eq!(expected(16, None), 16);
        assert_eq!(expected(16, Some(300)), 16);
        assert_eq!(expected(1000, None), 0, "the service's mean");
        assert_eq!(expected(1000, Some(300)), 300);
    }

    #[test]
    fn what_is_no_number_counts_as_none() {
        for text in ["", "-1", "+1", " 1", "1e9", "0x10", "many", "1.5", "\u{0}"] {
            assert_eq!(number(text.as_bytes()), 0, "{text:?}");
        }
        assert_eq!(number(b"321"), 321);
        assert_eq!(number(&[b'9'; 1000]), TOKENS_MAX);
    }
}
