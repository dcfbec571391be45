//! What is kept of a response's body while it is read.

use super::fields::{Count, EventType, Place, of_body, of_call, of_choice, of_delta, of_inner, of_type, of_usage};
use crate::body::json::{Interest, Visitor};

/// What has been found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub(super) output_tokens: Option<u32>,
    pub(super) cached_tokens: Option<u32>,
    pub(super) content_events: u32,
    pub(super) is_error: bool,
    pub(super) is_complete: bool,
    /// The present event has been counted.
    has_content: bool,
    /// How many bytes were left in the piece when the last content began.
    content_left: Option<usize>,
    /// Findings other than content.
    findings: u32,
    prompt: Option<u32>,
    /// What Anthropic's and llama.cpp's prompts do not include.
    cache_read: u32,
    cache_written: u32,
    processed: Option<u32>,
    reused: u32,
}

impl Facts {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Takes the end of an event.
    pub(super) fn event_ended(&mut self) {
        self.has_content = false;
    }

    /// Takes an event that is known to have content and nothing else.
    pub(super) fn content_event(&mut self) {
        self.content();
        self.event_ended();
    }

    /// Whether the present event is not counted yet.
    pub(super) fn is_event_new(&self) -> bool {
        !self.has_content
    }

    /// Where an event's content begins, if it has content and nothing else, by what is left of
    /// the event; `scan` scans all of it.
    pub(super) fn lone_content(&mut self, scan: impl FnOnce(&mut Self)) -> Option<usize> {
        let findings = self.findings;
        self.content_left = None;
        scan(self);
        self.content_left.filter(|_| self.findings == findings)
    }

    fn end(&mut self) {
        self.findings = self.findings.wrapping_add(1);
        self.is_complete = true;
    }

    pub(super) fn fail(&mut self) {
        self.findings = self.findings.wrapping_add(1);
        self.is_error = true;
    }

    /// Tokens of the prompt, cached ones included.
    pub(super) fn prompt_tokens(&self) -> Option<u32> {
        let said = self.prompt.map(|tokens| tokens.saturating_add(self.cache_read).saturating_add(self.cache_written));
        said.or(self.processed.map(|tokens| tokens.saturating_add(self.reused)))
    }

    fn content(&mut self) {
        if !self.has_content {
            self.has_content = true;
            self.content_events = self.content_events.saturating_add(1);
        }
    }

    fn count(&mut self, count: Count, tokens: u32) {
        self.findings = self.findings.wrapping_add(1);
        match count {
            Count::Output => self.output_tokens = Some(tokens),
            Count::Prompt => self.prompt = Some(tokens),
            Count::Cached => self.cached_tokens = Some(tokens),
            Count::CacheRead => (self.cache_read, self.cached_tokens) = (tokens, Some(tokens)),
            Count::CacheWritten => self.cache_written = tokens,
            Count::Processed => self.processed = Some(tokens),
            Count::Reused => (self.reused, self.cached_tokens) = (tokens, Some(tokens)),
        }
    }
}

impl Visitor for Facts {
    type Place = Place;

    const ROOT: Place = Place::Body;

    fn member(&mut self, inside: &mut Place, name: &[u8]) -> Place {
        match inside {
            Place::Body => of_body(name),
            Place::Inner => of_inner(name),
            Place::Choices => of_choice(name),
            Place::Delta => of_delta(name),
            Place::Calls => of_call(name),
            Place::Usage | Place::UsageDetails => of_usage(name),
            Place::Token if name == b"id" => Place::TokenId,
            _ => Place::Ignored,
        }
    }

    #[inline]
    fn item(&mut self, inside: Place) -> Place {
        inside
    }

    fn open(&mut self, place: Place, _inside: Place, is_list: bool) -> Place {
        match (place, is_list) {
            (Place::Error, _) => {
                self.fail();
                Place::Ignored
            }
            // A list of documents is read as these are.
            (Place::Body | Place::Choices | Place::Calls, _)
            | (Place::Delta | Place::Usage | Place::UsageDetails | Place::Inner | Place::Token, false) => place,
            _ => Place::Ignored,
        }
    }

    fn string(&mut self, place: Place, _inside: &mut Place) -> Interest {
        match place {
            Place::Content | Place::Delta | Place::Error => Interest::Begin,
            Place::Type | Place::Object => Interest::Short,
            Place::GeneratedText => {
                self.end();
                Interest::Skip
            }
            _ => Interest::Skip,
        }
    }

    fn piece(&mut self, place: Place, piece: &[u8]) {
        if place == Place::Error {
            self.fail();
            return;
        }
        self.content_left = Some(piece.len());
        self.content();
    }

    fn short(&mut self, place: Place, _inside: &mut Place, value: &[u8]) {
        match (place, of_type(value)) {
            (Place::Type, EventType::End) => self.end(),
            (Place::Type, EventType::Failed) => {
                self.end();
                self.fail();
            }
            (Place::Type | Place::Object, EventType::Error) => self.fail(),
            _ => {}
        }
    }

    fn string_end(&mut self, _place: Place) {}

    fn number(&mut self, place: Place, value: Option<u64>) {
        match (place, value) {
            (Place::Count(count), Some(tokens)) => self.count(count, u32::try_from(tokens).unwrap_or(u32::MAX)),
            (Place::TokenId, Some(_)) => self.content(),
            _ => {}
        }
    }

    fn literal(&mut self, place: Place, _inside: &mut Place, first: u8) {
        match place {
            Place::Stop if first == b't' => self.end(),
            Place::Error if first == b't' => self.fail(),
            _ => {}
        }
    }

    #[inline]
    fn is_verbatim(_place: Place) -> bool {
        false
    }
}
