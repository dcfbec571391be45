//! Lengths of texts in tokens, from what engines count.
//!
//! A balancer sees bytes; tokenizers differ, and so do languages. What an engine says of a prompt
//! (`usage.prompt_tokens`) is held against the prompt's bytes, for the upstream and for each class
//! of its requests, and the next one's tokens are told by it.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::body::request::BYTES_PER_TOKEN;
use crate::classes::Classes;
use crate::clock::elapsed_s;
use crate::math;
use crate::slot::AtomicF32;

/// Least and most bytes of a token that are believed.
pub const BYTES_PER_TOKEN_RANGE: (f32, f32) = (0.5, 16.0);

/// Half-life of what was learned, in seconds without another word.
const HALF_LIFE_S: f32 = 600.0;

/// Weight of an engine's word.
const WEIGHT: f32 = 1.0 / 8.0;

/// Of shorter texts, what templates put around them is too large a part.
const TEXT_BYTES_MIN: u32 = 256;

/// Bytes of text for a token, over all requests of an upstream. Zeros stand for nothing known.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct TextLength {
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
}

/// What is known of an upstream's texts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Texts<'m> {
    pub(crate) all: &'m TextLength,
    pub(crate) classes: Classes<'m>,
}

impl Texts<'_> {
    /// Bytes of text for a token in prompts of a class.
    pub(crate) fn bytes_per_token(&self, class: u64, now_us: u64) -> f32 {
        BYTES_PER_TOKEN * math::exp(self.error(class, now_us))
    }

    /// Tokens of a text; at least one, unless it is empty.
    pub(crate) fn tokens(&self, class: u64, text_bytes: u32, now_us: u64) -> u32 {
        if text_bytes == 0 {
            return 0;
        }
        // From floating point to integers, Rust saturates.
        ((text_bytes as f32 / self.bytes_per_token(class, now_us)) as u32).max(1)
    }

    /// Takes an engine's word for a text's tokens.
    pub(crate) fn learn(&self, class: u64, text_bytes: u32, tokens: u32, now_us: u64) {
        if text_bytes < TEXT_BYTES_MIN || tokens == 0 {
            return;
        }
        let told = bounded(math::ln_called(text_bytes as f32 / tokens as f32 / BYTES_PER_TOKEN));
        let towards = |before: f32| bounded(before + (told - before) * WEIGHT);
        self.classes.note_text(class, towards(self.error(class, now_us)), now_us);
        self.all.error.store(towards(self.all.error(now_us)));
        self.all.told_us.store(now_us, Relaxed);
    }

    /// Logarithm of the bytes of a token over what is usual. Without a word from engines, a class drifts
    /// to the upstream, and that to what is usual.
    fn error(&self, class: u64, now_us: u64) -> f32 {
        let all = self.all.error(now_us);
        bounded(self.classes.text(class, now_us).map_or(all, |(error, age_s)| all + (error - all) * kept(age_s)))
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
