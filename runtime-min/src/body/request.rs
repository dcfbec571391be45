//! The body of a request: how long its prompt is, what it may generate, and keys for what it
//! begins with.
//!
//! Read are OpenAI's completions, chat completions, responses and embeddings, Anthropic's
//! messages, llama.cpp's `/completion`, `/infill` and `/embedding`, TGI's `/generate`, SGLang's
//! `/generate`, Triton's `/generate`, vLLM's `/tokenize` and lists of token ids, and rerank and
//! score requests of vLLM, TEI and Cohere. The forms are told apart by the names of their
//! members alone, so that the path is not needed.
//!
//! *Text* is what the model reads: messages and system texts, as strings or as parts, inputs,
//! documents and queries, arguments and results of tools, in bytes of UTF-8 without JSON's
//! escapes; definitions of tools in full, as JSON without whitespace. Not text: the data or
//! address of images, audio and files (images and audio are counted, a video as one image),
//! names of roles, reasoning of earlier turns (chat templates drop it), schemas of answers.
//!
//! *Prefix keys* are hashes of the rendered prompt as it streams by, in the order in which the
//! body has it: a mark before each message and each separate string, the role's name, the
//! text; four bytes for a token id; the data of an image changes all keys behind it. Two
//! prompts have the same key of a length exactly if their first so many bytes are the same,
//! but for collisions of 64-bit hashes. The model is not part of it.

mod fields;
mod visit;

use self::fields::Place;
use self::visit::Facts;
pub use self::visit::MODEL_BYTES_MAX;
use super::json::Scanner;

pub use super::chain::PREFIX_BYTES;

/// Most bytes of a body that are looked at: about half a millisecond's work.
pub const READ_BYTES_MAX: u64 = 1 << 20;

/// Bytes of text for a token of a prompt, where nothing better is known.
pub const BYTES_PER_TOKEN: f32 = 4.0;

/// Tokens of an image, where nothing better is known: one of a megapixel at a token for 28 by 28
/// pixels, as Qwen2-VL has it.
pub const TOKENS_PER_IMAGE: u32 = 1300;

/// Tokens of a piece of audio, where nothing better is known: half a minute at 25 tokens a second,
/// as Qwen2-Audio has it.
pub const TOKENS_PER_AUDIO: u32 = 750;

/// What a request's body says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestBody {
    /// Bytes of the prompt's text, what was not seen included.
    pub text_bytes: u64,
    /// Tokens of the prompt that are given by number, what was not seen included.
    pub token_ids: u64,
    /// Images.
    pub images: u32,
    /// Pieces of audio.
    pub audios: u32,
    /// Most tokens that each answer may have, the smallest of those named; 0 if nothing, or
    /// no positive whole number, is said.
    pub max_tokens: u32,
    /// Answers that are asked for (`n`), at least 1.
    pub choices: u32,
    /// The answer is to be streamed.
    pub is_stream: bool,
    /// Not all of the body was seen: it ended early, or is longer than what is looked at.
    pub truncated: bool,
    /// FNV-1a of the model's name, as `telemetry_file::host_key` makes it; 0 for none.
    pub model_hash: u64,
    /// FNV-1a of `prompt_cache_key`, else of `user`, else of Anthropic's `metadata.user_id`; 0
    /// for none.
    pub session_hash: u64,
    /// Keys of the prompt's first [`PREFIX_BYTES`]; 0 where it is shorter, or was not seen.
    pub prefix_keys: [u64; PREFIX_BYTES.len()],
}

impl RequestBody {
    /// The prompt's length in tokens: ids, text at `bytes_per_token` (4 if that is no positive
    /// number), and so many tokens for each image and piece of audio. 0 only if there is
    /// nothing of these.
    pub fn prompt_tokens(&self, bytes_per_token: f32, tokens_per_image: u32, tokens_per_audio: u32) -> u32 {
        let is_usable = bytes_per_token.is_finite() && bytes_per_token > 0.0;
        let bytes_per_token = if is_usable { bytes_per_token } else { BYTES_PER_TOKEN };
        // From floating point to integers, Rust saturates.
        let text = (self.text_bytes as f64 / f64::from(bytes_per_token)) as u64;
        let text = if self.text_bytes > 0 { text.max(1) } else { 0 };
        let other = self.other_tokens(tokens_per_image, tokens_per_audio);
        u32::try_from(text.saturating_add(other.into())).unwrap_or(u32::MAX)
    }

    /// The prompt's length in tokens without its text.
    pub fn other_tokens(&self, tokens_per_image: u32, tokens_per_audio: u32) -> u32 {
        let media = |count, tokens| u64::from(count) * u64::from(tokens);
        let total = [media(self.images, tokens_per_image), media(self.audios, tokens_per_audio)]
            .into_iter()
            .fold(self.token_ids, u64::saturating_add);
        u32::try_from(total).unwrap_or(u32::MAX)
    }
}

/// Reads one request's body, piece by piece.
#[derive(Clone, Copy, Debug)]
pub struct RequestReader {
    scanner: Scanner<Place>,
    facts: Facts,
    /// Bytes that were looked at.
    seen: u64,
    has_ended: bool,
}

impl Default for RequestReader {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestReader {
    /// A reader before the first byte.
    pub fn new() -> Self {
        Self { scanner: Scanner::new(Place::Body), facts: Facts::new(), seen: 0, has_ended: false }
    }

    /// Looks at the next piece. Returns whether more would be looked at: not behind the
    /// document's end, nor beyond [`READ_BYTES_MAX`].
    ///
    /// The caller may stop earlier, as after the first 64 KiB. Members behind what it has fed
    /// are then unknown: some clients send `model` and `max_tokens` after the prompt.
    pub fn feed(&mut self, piece: &[u8]) -> bool {
        let room = READ_BYTES_MAX.saturating_sub(self.seen);
        let piece = piece.get(..usize::try_from(room).unwrap_or(usize::MAX)).unwrap_or(piece);
        if !self.has_ended {
            let (taken, ended) = self.scanner.feed(&mut self.facts, piece);
            self.seen += taken as u64;
            self.has_ended = ended;
        }
        !self.has_ended && self.seen < READ_BYTES_MAX
    }

    /// What the body says, as far as it was seen. May be asked at any time.
    ///
    /// `content_length` is the whole body's length, if it is known. What was not seen of it is
    /// taken to hold as much text, and as many token ids, as what was seen did outside of the
    /// data of images and audio; it is taken to be such data, and holds neither, if what was
    /// seen ends inside of some.
    pub fn body(&self, content_length: Option<u64>) -> RequestBody {
        let facts = &self.facts;
        let unseen = match content_length {
            Some(length) if !self.has_ended && !facts.is_in_media() => length.saturating_sub(self.seen),
            _ => 0,
        };
        let readable = u128::from(self.seen.saturating_sub(facts.media_bytes).max(1));
        let extrapolated = |count: u64| {
            let beyond = u128::from(count) * u128::from(unseen) / readable;
            count.saturating_add(u64::try_from(beyond).unwrap_or(u64::MAX))
        };
        RequestBody {
            text_bytes: extrapolated(facts.text_bytes),
            token_ids: extrapolated(facts.token_ids),
            images: facts.images,
            audios: facts.audios,
            max_tokens: facts.max_tokens,
            choices: facts.choices.max(1),
            is_stream: facts.is_stream,
            truncated: !self.has_ended,
            model_hash: facts.model_hash(),
            session_hash: facts.session_hash(),
            prefix_keys: facts.prefix.keys(),
        }
    }

    /// The model's name, if it is visible ASCII of at most [`MODEL_BYTES_MAX`] bytes and may
    /// thus stand in a header.
    pub fn model(&self) -> Option<&[u8]> {
        self.facts.model()
    }
}
