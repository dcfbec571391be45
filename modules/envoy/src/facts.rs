//! Facts of a request, on their way from the filter that reads its body to the policy.
//!
//! Envoy shows a load balancer nothing of a request but its headers. The filter therefore sets
//! one that holds what it has read; whatever a client sends in it is dropped there.

use std::fmt::Write;

use evenkeel_runtime::affinity::Keys;
use evenkeel_runtime::telemetry_file::host_key as key_of;
use evenkeel_runtime::upstream::Facts;

use crate::config::Options;
use crate::decimal;
use crate::envoy::ContextView;
use crate::fields::HeaderName;

/// Name of the header.
pub(crate) const HEADER: &[u8] = b"x-evenkeel-facts";

/// Most digits of a number in the header.
const DIGITS_MAX: usize = 16;

/// The value of the header: numbers in hexadecimal, joined by hyphens.
pub(crate) fn encode(facts: &Facts) -> String {
    let Facts { prompt_tokens, text_bytes, output_tokens_max, keys: Keys { prefixes, session }, class } = facts;
    let mut value = format!("{prompt_tokens:x}-{text_bytes:x}-{output_tokens_max:x}-{class:x}-{session:x}");
    for key in prefixes {
        // Writing to a string cannot fail.
        let _ = write!(value, "-{key:x}");
    }
    value
}

/// Reads the header; `None` for anything else than [`encode`] writes.
fn decode(value: &[u8]) -> Option<Facts> {
    let mut numbers = value.split(|byte| *byte == b'-').map(hexadecimal);
    let mut next = || numbers.next().flatten();
    let prompt_tokens = u32::try_from(next()?).ok()?;
    let text_bytes = u32::try_from(next()?).ok()?;
    let output_tokens_max = u32::try_from(next()?).ok()?;
    let (class, session) = (next()?, next()?);
    let mut keys = Keys { session, ..Keys::default() };
    for key in &mut keys.prefixes {
        *key = next()?;
    }
    numbers.next().is_none().then_some(Facts { prompt_tokens, text_bytes, output_tokens_max, keys, class })
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    // `from_str_radix` takes a sign, too.
    let is_number = (1..=DIGITS_MAX).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    u64::from_str_radix(digits, 16).ok()
}

/// The facts of the request that a host is chosen for: what headers say that the configuration
/// names, else what the filter has read in the body.
pub(crate) fn of(context: ContextView<'_>, options: &Options) -> Facts {
    let read = context.header(HEADER).and_then(decode).unwrap_or_default();
    let number = |name: &Option<HeaderName>| {
        let value = name.as_ref().and_then(|name| context.header(name.as_bytes()));
        value.map(decimal::parse).filter(|number| *number > 0)
    };
    let key = |names: &[HeaderName]| {
        let mut values = names.iter().filter_map(|name| context.header(name.as_bytes()));
        values.find(|value| !value.is_empty()).map(key_of)
    };
    let (prompt_tokens, text_bytes) = match number(&options.tokens) {
        Some(told) => (told, 0),
        None if read.prompt_tokens > 0 || read.text_bytes > 0 => (read.prompt_tokens, read.text_bytes),
        // Of a body that is not understood all is taken for text.
        None => (0, context.header(b"content-length").map_or(0, decimal::parse)),
    };
    Facts {
        prompt_tokens,
        text_bytes,
        output_tokens_max: number(&options.max_tokens).unwrap_or(read.output_tokens_max),
        keys: Keys { session: key(&options.key).unwrap_or(read.keys.session), ..read.keys },
        class: if options.class.is_none() { read.class } else { key(options.class.as_slice()).unwrap_or(0) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let facts = Facts {
            prompt_tokens: 1000,
            text_bytes: 0xABCD,
            output_tokens_max: u32::MAX,
            keys: Keys { prefixes: [u64::MAX, 1, 0x1234, 0, 0], session: 7 },
            class: 1 << 63,
        };
        for facts in [facts, Facts::default()] {
            assert_eq!(decode(encode(&facts).as_bytes()), Some(facts));
        }
        assert_eq!(encode(&facts), "3e8-abcd-ffffffff-8000000000000000-7-ffffffffffffffff-1-1234-0-0");
    }

    #[test]
    fn anything_else_is_no_facts() {
        let good = encode(&Facts { prompt_tokens: 0x10, ..Facts::default() });
        for end in 0..good.len() {
            assert_eq!(decode(&good.as_bytes()[..end]), None, "{}", &good[..end]);
        }
        for bad in [
            good.clone() + "-0",
            good.clone() + "-",
            good.replacen("10", "+1", 1),
            good.replacen("10", "100000000", 1),
            good.replacen("10", " 1", 1),
            good.replacen("10", "1g", 1),
            good.replace("-0", "-00000000000000000"),
            good.replace('-', ","),
        ] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }
}
