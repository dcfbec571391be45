//! What a proxy knows of a request before it is placed.

use crate::affinity::Keys;

/// Facts of a request: claims of a client, all of them. 0 stands for what is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Prompt length in tokens.
    pub prompt_tokens: u32,
    /// Most tokens that the answer may have.
    pub output_tokens_max: u32,
    /// Keys of the prompt's prefixes, and of the session that it goes on from.
    pub keys: Keys,
    /// Key of requests whose answers are of a length, such as a model's name.
    pub class: u64,
}

impl Facts {
    /// Most tokens of the prompt that may be cached: its last one is always computed.
    pub(crate) fn cacheable(&self) -> u32 {
        if self.prompt_tokens == 0 { u32::MAX } else { self.prompt_tokens - 1 }
    }
}
