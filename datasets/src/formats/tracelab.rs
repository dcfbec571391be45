//! `TraceLab`'s rounds of coding agents: JSON lines, a call of a language model each.
//!
//! A round has its `session_id`, `input_tokens_total` (all of the prompt), `prefix_tokens` (what of it
//! the provider's prompt cache held), `output_tokens`, and `timing_events`: what came in
//! (`user_message`, `tool_result`), then what the model gave (`reasoning`, `text`, `tool_call`), each at
//! its end. The round arrives with the last of what came in; it is answered with the last of what was
//! given. The rounds of a session follow one another in the file, sessions in any order.

use super::timed::{Account, Timed};
use crate::row::{Context, Fault, TIME, TOKENS, identity};
use crate::{Reason, Request, input::quoted, input::time};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Tokens of the blocks that stand for the prefixes which rounds share.
pub(crate) const BLOCK_TOKENS: u32 = 512;
/// Sessions that are kept in mind; of more, those with the lowest keys are forgotten.
const SESSIONS_MAX: usize = 1 << 16;
/// Blocks of one prompt.
const BLOCKS_MAX: usize = u16::MAX as usize;

/// Reads rounds.
#[derive(Default)]
pub(crate) struct TraceLab {
    pub(crate) account: Account,
    sessions: BTreeMap<u64, Session>,
    next_block: u64,
}

/// A session after its latest round.
#[derive(Default)]
struct Session {
    end_ns: i64,
    blocks: Vec<u64>,
}

#[derive(Deserialize)]
struct Round {
    session_id: Option<String>,
    input_tokens_total: Option<u64>,
    prefix_tokens: Option<u64>,
    output_tokens: Option<u64>,
    #[serde(default)]
    timing_events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    event_type: String,
    timestamp: Option<String>,
}

/// Begin and end of a round.
struct Span {
    arrival_ns: i64,
    end_ns: Option<i64>,
}

impl TraceLab {
    pub(crate) fn new() -> Self {
        let mut account = Account { time: "dates with their zone", ..Account::default() };
        account.assumed.extend([
            "a round arrives with the last user message or tool result before the model's first output".to_owned(),
            "a round is answered with its last output, as far as the trace saw it".to_owned(),
            format!(
                "a round's prompt repeats prefix_tokens of the session's prompt before, in blocks of {BLOCK_TOKENS} \
                 tokens; what a cache had dropped by then counts as new"
            ),
        ]);
        Self { account, ..Self::default() }
    }

    /// Reads a line.
    pub(crate) fn line(&mut self, line: &[u8], context: &mut Context) -> Result<Option<Timed>, Fault> {
        let round: Round = serde_json::from_slice(line)
            .map_err(|error| Fault::new("line", line, format!("a JSON object of one round ({error})")))?;
        let Some(prompt) = round.input_tokens_total else {
            context.count(Reason::Protocol, || "a round without input_tokens_total".to_owned());
            return Ok(None);
        };
        let tokens = |name: &'static str, value: u64| {
            u32::try_from(value).map_err(|_| Fault::new(name, value.to_string().as_bytes(), TOKENS))
        };
        let prompt = tokens("input_tokens_total", prompt)?;
        let output = tokens("output_tokens", round.output_tokens.unwrap_or(0))?;
        let prefix = tokens("prefix_tokens", round.prefix_tokens.unwrap_or(0))?.min(prompt);
        let span = span(&round.timing_events)?;
        let mut request = Request::new(0.0, prompt, output);
        if let Some(end_ns) = span.end_ns {
            request.service_s = ((end_ns - span.arrival_ns) as f64 / 1e9) as f32;
        }
        let mut blocks = Vec::new();
        if let Some(id) = &round.session_id {
            self.account.see("session", "session_id", id);
            request.session = identity(id.as_bytes());
            blocks = self.follow(&mut request, prefix, &span);
        }
        self.account.see("arrival", "timing_events", round.timing_events.len());
        self.account.see("prompt tokens", "input_tokens_total", prompt);
        self.account.see("output tokens", "output_tokens", output);
        self.account.see("prefix blocks", "prefix_tokens", prefix);
        Ok(Some(Timed { arrival_ns: span.arrival_ns, request, blocks }))
    }

    /// Gives a round its place in its session: the think time before it, and the blocks of its prompt.
    fn follow(&mut self, request: &mut Request, prefix: u32, span: &Span) -> Vec<u64> {
        let session = self.sessions.entry(request.session).or_default();
        // Rounds of agents that run side by side overlap, and wait for nothing here.
        if session.end_ns > 0 && span.arrival_ns >= session.end_ns {
            request.think_s = ((span.arrival_ns - session.end_ns) as f64 / 1e9) as f32;
        }
        session.end_ns = session.end_ns.max(span.end_ns.unwrap_or(span.arrival_ns));
        let count = (request.prompt_tokens.div_ceil(BLOCK_TOKENS) as usize).min(BLOCKS_MAX);
        session.blocks.truncate(count.min((prefix / BLOCK_TOKENS) as usize));
        while session.blocks.len() < count {
            session.blocks.push(self.next_block);
            self.next_block += 1;
        }
        let blocks = session.blocks.clone();
        if self.sessions.len() > SESSIONS_MAX {
            self.sessions.pop_first();
        }
        blocks
    }
}

/// When a round arrived, and when it was answered.
fn span(events: &[Event]) -> Result<Span, Fault> {
    let mut arrival_ns: Option<i64> = None;
    let mut end_ns: Option<i64> = None;
    for event in events {
        let Some(text) = &event.timestamp else { continue };
        let written = time::written(text.as_bytes());
        let time_ns = written.ok_or_else(|| Fault::new("timing_events.timestamp", text.as_bytes(), TIME))?.time_ns;
        match event.event_type.as_str() {
            "user_message" | "tool_result" if end_ns.is_none() => arrival_ns = arrival_ns.max(Some(time_ns)),
            "reasoning" | "text" | "tool_call" => end_ns = end_ns.max(Some(time_ns)),
            _ => {}
        }
    }
    // A round that goes on without new input arrives with the first of its outputs at the latest.
    let arrival_ns = arrival_ns.or(end_ns).ok_or_else(|| Fault {
        field: "timing_events".into(),
        found: events.first().map_or_else(|| "no event".to_owned(), |event| quoted(event.event_type.as_bytes())),
        expected: "an event user_message, tool_result, reasoning, text or tool_call with its timestamp".into(),
    })?;
    Ok(Span { arrival_ns, end_ns: end_ns.filter(|&end_ns| end_ns > arrival_ns) })
}
