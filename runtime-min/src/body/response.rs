//! The body of a response: how many tokens it has, when the first came, and how it ended.
//!
//! Read are JSON and server-sent events of OpenAI's completions, chat completions and
//! responses, Anthropic's messages, llama.cpp's `/completion`, TGI's `/generate` and
//! `/generate_stream`, SGLang's `/generate` and Triton's `/generate_stream`. The forms are told
//! apart by their members' names.
//!
//! Tokens are what the engine says: in `usage`, in llama.cpp's `timings` and `tokens_*`, in
//! TGI's `details`, in SGLang's `meta_info`; the last word counts. Where a stream says nothing
//! of its output, its events that carry generated content are counted instead: an engine that
//! sends several tokens in an event is then undercounted.

mod fields;
mod shape;
mod visit;

use self::fields::Place;
use self::shape::Shape;
use self::visit::Facts;
use super::events::{Events, Line};
use super::json::Scanner;
use super::{is_identity, is_json, media_type};

/// What kind of body a response has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// One JSON document.
    Json,
    /// Server-sent events, of which each holds a JSON document.
    Events,
}

impl ResponseKind {
    /// The kind of a response with these header values, empty where one is missing; `None` for
    /// what is not read: other types, gRPC among them, and compressed bodies.
    pub fn of(content_type: &[u8], content_encoding: &[u8]) -> Option<Self> {
        let kind = media_type(content_type);
        if !is_identity(content_encoding) {
            None
        } else if kind.eq_ignore_ascii_case(b"text/event-stream") {
            Some(Self::Events)
        } else if is_json(kind) {
            Some(Self::Json)
        } else {
            None
        }
    }
}

/// What a response's body says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseBody {
    /// Tokens generated: what the engine said, else the number of events with content; `None`
    /// if there is neither.
    pub output_tokens: Option<u32>,
    /// The output is counted by events, since the engine did not say it.
    pub is_counted: bool,
    /// Tokens of the prompt, cached ones included, if the engine said so.
    pub prompt_tokens: Option<u32>,
    /// Of these, tokens that came from a cache, if the engine said so.
    pub cached_tokens: Option<u32>,
    /// Events that carry generated content; 0 for one JSON document.
    pub content_events: u32,
    /// The engine reported an error inside of the body.
    pub is_error: bool,
    /// The body came to its own end: the end mark of a stream, or a document's last byte.
    pub is_complete: bool,
}

/// Reads one response's body, piece by piece.
#[derive(Clone, Copy, Debug)]
pub struct ResponseReader {
    kind: ResponseKind,
    scanner: Scanner<Place>,
    facts: Facts,
    events: Events,
    shape: Shape,
    /// The document's last byte has been seen.
    has_ended: bool,
}

impl ResponseReader {
    /// A reader before the first byte of a body of this kind.
    pub fn new(kind: ResponseKind) -> Self {
        let scanner = Scanner::new(Place::Body);
        Self { kind, scanner, facts: Facts::new(), events: Events::new(), shape: Shape::new(), has_ended: false }
    }

    /// Looks at the next piece. Returns whether the first generated content is in it: the
    /// first token is there. That is said once, and for streams alone; roles, empty texts,
    /// comments and pings are no content.
    pub fn feed(&mut self, piece: &[u8]) -> bool {
        let had_content = self.facts.content_events > 0;
        match self.kind {
            ResponseKind::Json => self.document(piece),
            ResponseKind::Events => {
                let mut stream = Stream { scanner: &mut self.scanner, facts: &mut self.facts, shape: &mut self.shape };
                self.events.feed(piece, |line| stream.line(line));
            }
        }
        self.kind == ResponseKind::Events && !had_content && self.facts.content_events > 0
    }

    /// What the body says so far. May be asked at any time.
    pub fn body(&self) -> ResponseBody {
        let facts = &self.facts;
        let content_events = if self.kind == ResponseKind::Events { facts.content_events } else { 0 };
        let counted = (content_events > 0).then_some(content_events);
        ResponseBody {
            output_tokens: facts.output_tokens.or(counted),
            is_counted: facts.output_tokens.is_none() && counted.is_some(),
            prompt_tokens: facts.prompt_tokens(),
            cached_tokens: facts.cached_tokens,
            content_events,
            is_error: facts.is_error,
            is_complete: match self.kind {
                ResponseKind::Json => self.has_ended,
                ResponseKind::Events => facts.is_complete,
            },
        }
    }

    fn document(&mut self, piece: &[u8]) {
        // What follows the document is not part of it.
        if !self.has_ended {
            (_, self.has_ended) = self.scanner.feed(&mut self.facts, piece);
        }
    }
}

/// What takes the lines of a stream.
struct Stream<'r> {
    scanner: &'r mut Scanner<Place>,
    facts: &'r mut Facts,
    shape: &'r mut Shape,
}

impl Stream<'_> {
    fn line(&mut self, line: Line<'_>) {
        match line {
            Line::Data(data) => self.data(data),
            Line::Done => self.facts.is_complete = true,
            Line::Error => self.facts.fail(),
            Line::EventEnd => {
                self.scanner.reset(Place::Body);
                self.facts.event_ended();
            }
        }
    }

    fn data(&mut self, mut data: &[u8]) {
        if self.scanner.is_fresh(Place::Body) && self.facts.is_event_new() {
            if self.shape.matches(data) {
                self.facts.content_event();
                return;
            }
            let (mut taken, mut has_ended) = (0, false);
            let content = self.facts.lone_content(|facts| (taken, has_ended) = self.scanner.feed(facts, data));
            if has_ended {
                self.facts.event_ended();
                if let (Some(left), true) = (content, taken == data.len()) {
                    self.shape.learn(data, left);
                }
            }
            data = data.get(taken..).unwrap_or_default();
        }
        while !data.is_empty() {
            let (taken, has_ended) = self.scanner.feed(self.facts, data);
            data = data.get(taken..).unwrap_or_default();
            if has_ended {
                self.facts.event_ended();
            }
        }
    }
}
