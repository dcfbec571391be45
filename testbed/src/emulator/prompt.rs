//! How many tokens a prompt has, and its prefix blocks.
//!
//! Text counts four bytes a token, about what tokenisers make of English. A block's id is a
//! hash of everything up to its end, as in vLLM's prefix cache, so that two prompts share a
//! block only where they share all before it.

use evenkeel_numbers::random::GOLDEN;

/// Bytes of text that count as a token.
pub const BYTES_PER_TOKEN: usize = 4;

/// A prompt as the hosts see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Its length in tokens.
    pub tokens: u32,
    /// Ids of its whole blocks, from the start.
    pub prefix: Vec<u64>,
}

impl Prompt {
    /// Of text.
    pub fn of_text(text: &str, block_tokens: u32) -> Self {
        Self::of_bytes(text.as_bytes(), BYTES_PER_TOKEN, block_tokens)
    }

    /// Of token ids.
    pub fn of_ids(ids: &[u32], block_tokens: u32) -> Self {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        Self::of_bytes(&bytes, size_of::<u32>(), block_tokens)
    }

    fn of_bytes(bytes: &[u8], bytes_per_token: usize, block_tokens: u32) -> Self {
        let tokens = bytes.len().div_ceil(bytes_per_token).min(u32::MAX as usize) as u32;
        let mut hash = 0xCBF2_9CE4_8422_2325;
        let mut prefix = Vec::new();
        if block_tokens > 0 {
            let blocks = bytes.chunks_exact(bytes_per_token * block_tokens as usize);
            prefix.extend(blocks.map(|block| {
                hash = mix(hash, block);
                hash
            }));
        }
        Self { tokens, prefix }
    }
}

/// Eight bytes at a time: multiplication spreads upwards, the rotation back down.
fn mix(mut hash: u64, block: &[u8]) -> u64 {
    for chunk in block.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(GOLDEN).rotate_left(29);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::Prompt;

    #[test]
    fn prompts_share_the_blocks_that_they_begin_with() {
        let common = "a".repeat(4 * 32);
        let one = Prompt::of_text(&format!("{common}one more thing"), 16);
        let other = Prompt::of_text(&format!("{common}{}", "b".repeat(200)), 16);
        assert_eq!((one.tokens, one.prefix.len()), (36, 2));
        assert_eq!(one.prefix, other.prefix[..2]);
        assert_ne!(Prompt::of_text(&format!("b{common}"), 16).prefix[1], one.prefix[1]);
        assert_eq!(Prompt::of_text("", 16), Prompt::default());
    }

    #[test]
    fn ids_count_one_each() {
        let prompt = Prompt::of_ids(&[1, 2, 3, 4, 5], 2);
        assert_eq!((prompt.tokens, prompt.prefix.len()), (5, 2));
        assert_ne!(prompt.prefix, Prompt::of_ids(&[1, 2, 3, 5, 5], 2).prefix);
    }
}
