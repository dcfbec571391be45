//! What a proxy knows of a request before it is placed.

use crate::affinity::PrefixKeys;

/// Facts of a request: claims of a client, all of them. 0 stands for what is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Prompt length in tokens.
    pub prompt_tokens: u32,
    /// Most tokens that the answer may have.
    pub output_tokens_max: u32,
    /// Keys of the prompt's prefixes, at [`PREFIX_TOKENS`](crate::affinity::PREFIX_TOKENS).
    pub prefix_keys: PrefixKeys,
    /// Key of the session that the request goes on from.
    pub session: u64,
    /// Key of requests whose answers are of a length, such as a model's name.
    pub class: u64,
}

impl Facts {
    /// Whether hosts may be found that have some of the prompt cached.
    #[inline]
    pub(crate) fn has_keys(&self) -> bool {
        // Prompts that have a longer prefix have all shorter ones.
        self.session != 0 || self.prefix_keys.iter().any(|key| *key != 0)
    }
}
