//! Lengths of texts in tokens, from what engines count.
//!
//! A balancer sees bytes; tokenizers differ, and so do languages. What an engine says of a prompt
//! (`usage.prompt_tokens`) is held against the prompt's bytes, for the upstream and for each class
//! of its requests, and the next one's tokens are told by it.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Facts, Upstream};
use crate::affinity::Lengths;
use crate::body::request::BYTES_PER_TOKEN;
use crate::clock::elapsed_s;
use crate::math;
use crate::slot::AtomicF32;

/// Least and most bytes of a token that are believed.
pub const BYTES_PER_TOKEN_RANGE: (f32, f32) = (0.5, 16.0);

/// Half-life of what was learned, in seconds without another word.
pub(crate) const HALF_LIFE_S: f32 = 600.0;

/// Weight of an engine's word.
const WEIGHT: f32 = 1.0 / 8.0;

/// Of shorter texts, what templates put around them is too large a part.
const TEXT_BYTES_MIN: u32 = 256;

/// Bytes of text for a token, over all requests.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct TextLength {
    /// Logarithm of it over [`BYTES_PER_TOKEN`].
    error: AtomicF32,
    reserved: u32,
    /// When an engine last said something of it.
    told_us: AtomicU64,
}

impl TextLength {
    fn error(&self, now_us: u64) -> f32 {
        self.error.load() * kept(elapsed_s(self.told_us.load(Relaxed), now_us))
    }

    fn learn(&self, sample: f32, now_us: u64) {
        let before = self.error(now_us);
        self.error.store(bounded(before + (sample - before) * WEIGHT));
        self.told_us.store(now_us, Relaxed);
    }
}

impl Upstream<'_> {
    /// The tokens of a prompt: those that are known, and its text at what a token of such requests has
    /// in bytes.
    pub fn prompt_tokens(&self, facts: &Facts, now_us: u64) -> u32 {
        if facts.text_bytes == 0 {
            return facts.prompt_tokens;
        }
        // From floating point to integers, Rust saturates.
        let text = (facts.text_bytes as f32 / self.bytes_per_token(facts.class, now_us)) as u32;
        facts.prompt_tokens.saturating_add(text.max(1))
    }

    /// Bytes of text for a token in prompts of a class, as engines have counted them;
    /// [`BYTES_PER_TOKEN`] where nothing is known.
    pub fn bytes_per_token(&self, class: u64, now_us: u64) -> f32 {
        BYTES_PER_TOKEN * math::exp(self.text_error(class, now_us))
    }

    /// Learns from a prompt that an engine has counted. Says nothing of texts whose tokens are known
    /// already, or that other things than text stand beside.
    pub fn counted(&self, facts: &Facts, prompt_tokens: u32, now_us: u64) {
        if facts.prompt_tokens != 0 || facts.text_bytes < TEXT_BYTES_MIN || prompt_tokens == 0 {
            return;
        }
        let ratio = facts.text_bytes as f32 / prompt_tokens as f32;
        let sample = bounded(math::ln_called(ratio / BYTES_PER_TOKEN));
        let before = self.text_error(facts.class, now_us);
        self.classes.note_text(facts.class, bounded(before + (sample - before) * WEIGHT), now_us);
        self.header.text.learn(sample, now_us);
    }

    /// A class drifts to the upstream, and that to what is usual.
    fn text_error(&self, class: u64, now_us: u64) -> f32 {
        let all = self.header.text.error(now_us);
        let of_class = self.classes.text(class, now_us).map_or(all, |(error, age_s)| all + (error - all) * kept(age_s));
        bounded(of_class)
    }

    /// Lengths of a prompt of so many tokens, and of its beginnings: these are so many bytes of its text.
    pub(super) fn lengths(&self, facts: &Facts, tokens: u32, now_us: u64) -> Lengths {
        let all = Lengths::of(tokens);
        if facts.text_bytes == 0 { all } else { all.with_text_of(self.bytes_per_token(facts.class, now_us)) }
    }
}

fn kept(age_s: f32) -> f32 {
    math::decay(core::f32::consts::LN_2 * age_s / HALF_LIFE_S)
}

/// Within the range, also if it is no number.
fn bounded(error: f32) -> f32 {
    let (least, most) = BYTES_PER_TOKEN_RANGE;
    error.max(math::ln_called(least / BYTES_PER_TOKEN)).min(math::ln_called(most / BYTES_PER_TOKEN))
}
