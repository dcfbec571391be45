//! What is kept of a request's body while it is read.

use super::fields::{Medium, Place, medium_of_type, of_body, of_options, of_part};
use crate::body::chain::{Chain, NameHash, Prefix};
use crate::body::json::{Interest, Visitor};

/// Most bytes of a model's name that are kept.
pub const MODEL_BYTES_MAX: usize = 128;

/// Bytes that no UTF-8 has: marks in the rendered prompt.
const MESSAGE: &[u8] = &[0xFF];
const ROLE: &[u8] = &[0xFE];

/// What has been found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) text_bytes: u64,
    pub(super) token_ids: u64,
    /// Bytes of strings that are data or addresses.
    pub(super) media_bytes: u64,
    pub(super) images: u32,
    pub(super) audios: u32,
    pub(super) max_tokens: u32,
    pub(super) choices: u32,
    pub(super) is_stream: bool,
    pub(super) prefix: Prefix,
    /// Data of the present string, if it is no text.
    media: Option<Chain>,
    model: NameHash,
    model_bytes: [u8; MODEL_BYTES_MAX],
    /// Length of the name; more than there is room for if it is longer.
    model_len: usize,
    cache_key: NameHash,
    user: NameHash,
    metadata_user: NameHash,
}

impl Facts {
    pub(super) fn new() -> Self {
        Self {
            text_bytes: 0,
            token_ids: 0,
            media_bytes: 0,
            images: 0,
            audios: 0,
            max_tokens: 0,
            choices: 0,
            is_stream: false,
            prefix: Prefix::new(),
            media: None,
            model: NameHash::new(),
            model_bytes: [0; MODEL_BYTES_MAX],
            model_len: 0,
            cache_key: NameHash::new(),
            user: NameHash::new(),
            metadata_user: NameHash::new(),
        }
    }

    pub(super) fn is_in_media(&self) -> bool {
        self.media.is_some()
    }

    pub(super) fn model_hash(&self) -> u64 {
        self.model.key()
    }

    pub(super) fn model(&self) -> Option<&[u8]> {
        let name = self.model_bytes.get(..self.model_len)?;
        (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then_some(name)
    }

    /// The first of the keys, in order of how much each says of what is cached.
    pub(super) fn session_hash(&self) -> u64 {
        let keys = [self.cache_key, self.user, self.metadata_user].map(|name| name.key());
        keys.into_iter().find(|key| *key != 0).unwrap_or(0)
    }

    fn text(&mut self, piece: &[u8]) {
        self.text_bytes = self.text_bytes.saturating_add(piece.len() as u64);
        self.prefix.push(piece);
    }

    fn count(&mut self, medium: Medium) {
        let count = match medium {
            Medium::Image => &mut self.images,
            Medium::Audio => &mut self.audios,
        };
        *count = count.saturating_add(1);
    }

    /// Counts a part as what it is, once.
    fn count_part(&mut self, part: &mut Place, medium: Medium) {
        if *part == Place::Part {
            *part = Place::CountedPart;
            self.count(medium);
        }
    }

    fn name_model(&mut self, piece: &[u8]) {
        self.model.push(piece);
        let end = self.model_len.saturating_add(piece.len());
        if let Some(room) = self.model_bytes.get_mut(self.model_len..end) {
            room.iter_mut().zip(piece).for_each(|(place, byte)| *place = *byte);
        }
        self.model_len = end;
    }
}

impl Visitor for Facts {
    type Place = Place;

    const ROOT: Place = Place::Body;

    fn member(&mut self, inside: &mut Place, name: &[u8]) -> Place {
        match *inside {
            Place::Body => of_body(name),
            Place::Part | Place::CountedPart => {
                let (place, medium) = of_part(name);
                if let Some(medium) = medium {
                    self.count_part(inside, medium);
                }
                place
            }
            Place::Options => of_options(name),
            Place::Metadata if name == b"user_id" => Place::MetadataUser,
            Place::Media => Place::Media,
            _ => Place::Ignored,
        }
    }

    #[inline]
    fn item(&mut self, inside: Place) -> Place {
        inside
    }

    fn open(&mut self, place: Place, _inside: Place, is_list: bool) -> Place {
        match (place, is_list) {
            (Place::Prompt, false) => {
                self.prefix.push(MESSAGE);
                Place::Part
            }
            (Place::Content, false) => Place::Part,
            (Place::Body | Place::Options | Place::Metadata | Place::Media | Place::Verbatim, false)
            | (Place::Prompt | Place::Content | Place::Verbatim | Place::Media | Place::Images | Place::Audios, true) => {
                place
            }
            _ => Place::Ignored,
        }
    }

    fn string(&mut self, place: Place, _inside: &mut Place) -> Interest {
        match place {
            Place::Prompt => {
                self.prefix.push(MESSAGE);
                Interest::Text
            }
            Place::Role => {
                self.prefix.push(ROLE);
                Interest::Text
            }
            Place::Content | Place::Verbatim => Interest::Text,
            Place::Model => {
                (self.model, self.model_len) = (NameHash::new(), 0);
                Interest::Text
            }
            Place::CacheKey => {
                self.cache_key = NameHash::new();
                Interest::Text
            }
            Place::User => {
                self.user = NameHash::new();
                Interest::Text
            }
            Place::MetadataUser => {
                self.metadata_user = NameHash::new();
                Interest::Text
            }
            Place::PartType => Interest::Short,
            Place::Images | Place::Audios | Place::Media => {
                match place {
                    Place::Images => self.count(Medium::Image),
                    Place::Audios => self.count(Medium::Audio),
                    _ => {}
                }
                self.media = Some(Chain::new());
                Interest::Bytes
            }
            _ => Interest::Skip,
        }
    }

    #[inline]
    fn piece(&mut self, place: Place, piece: &[u8]) {
        match place {
            Place::Role => self.prefix.push(piece),
            Place::Model => self.name_model(piece),
            Place::CacheKey => self.cache_key.push(piece),
            Place::User => self.user.push(piece),
            Place::MetadataUser => self.metadata_user.push(piece),
            Place::Media | Place::Images | Place::Audios => {
                self.media_bytes = self.media_bytes.saturating_add(piece.len() as u64);
                if let Some(chain) = &mut self.media {
                    chain.push(piece);
                }
            }
            _ => self.text(piece),
        }
    }

    fn short(&mut self, _place: Place, inside: &mut Place, value: &[u8]) {
        if let Some(medium) = medium_of_type(value) {
            self.count_part(inside, medium);
        }
    }

    fn string_end(&mut self, place: Place) {
        match place {
            Place::Role => self.prefix.push(ROLE),
            Place::Media | Place::Images | Place::Audios => {
                if let Some(chain) = self.media.take() {
                    self.prefix.mix(chain.key());
                }
            }
            _ => {}
        }
    }

    fn number(&mut self, place: Place, value: Option<u64>) {
        let Some(value) = value else { return };
        let small = u32::try_from(value).unwrap_or(u32::MAX);
        match place {
            Place::Prompt => {
                self.token_ids = self.token_ids.saturating_add(1);
                self.prefix.push(&small.to_le_bytes());
            }
            Place::MaxTokens if small > 0 => {
                self.max_tokens = if self.max_tokens == 0 { small } else { self.max_tokens.min(small) };
            }
            Place::Choices => self.choices = small,
            _ => {}
        }
    }

    fn literal(&mut self, place: Place, _inside: &mut Place, first: u8) {
        if place == Place::Stream {
            self.is_stream = first == b't';
        }
    }

    #[inline]
    fn is_verbatim(place: Place) -> bool {
        place == Place::Verbatim
    }
}
