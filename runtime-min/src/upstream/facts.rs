//! What a proxy knows of a request before it is placed.

use crate::affinity::Keys;

/// Facts of a request: claims of a client, all of them. 0 stands for what is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Prompt length in tokens, without what is told in bytes.
    pub prompt_tokens: u32,
    /// Text of the prompt in bytes, whose tokens nobody has counted.
    pub text_bytes: u32,
    /// Most tokens that the answer may have.
    pub output_tokens_max: u32,
    /// Keys of the prompt's prefixes, and of the session that it goes on from.
    pub keys: Keys,
    /// Key of requests whose answers are of a length, such as a model's name.
    pub class: u64,
}
