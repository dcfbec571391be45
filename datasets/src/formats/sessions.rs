//! Turns of conversations: when each arrives, and what of the conversation its prompt holds.

use crate::row::{Fault, Row, identity};
use crate::{Format, Request};
use std::collections::BTreeMap;

/// Conversations that are kept in mind; of more, those with the lowest keys are forgotten.
const SESSIONS_MAX: usize = 1 << 20;
/// Blocks that a conversation may come to.
const BLOCKS_MAX: usize = u16::MAX as usize;

/// What is known of the conversations so far.
pub(crate) enum Sessions {
    /// Each turn holds only what is new, as in `AIPerf`'s and Dynamo's traces: a turn's prompt is
    /// what the session had come to, and the turn's own.
    Growing(BTreeMap<u64, Session>),
    /// Each turn names the turn before it, as in Qwen-Bailian's traces: prompts are whole.
    Chained(BTreeMap<i64, u64>),
}

/// A conversation after its latest turn.
#[derive(Default)]
pub(crate) struct Session {
    arrival_ns: i64,
    tokens: u32,
    blocks: Vec<u64>,
}

impl Sessions {
    /// The kind of conversation that a format has.
    pub(crate) fn of(format: Format) -> Option<Self> {
        match format {
            Format::Mooncake => Some(Self::Growing(BTreeMap::new())),
            Format::Bailian => Some(Self::Chained(BTreeMap::new())),
            _ => None,
        }
    }

    /// Gives a turn its place. `time_ns` is its arrival, if the row has one; else it follows the
    /// session's turn before by `think_s`. `chat` is the turn's identifier and that of the turn before.
    pub(crate) fn place(
        &mut self,
        time_ns: Option<i64>,
        think_s: f32,
        chat: [&[u8]; 2],
        row: &mut Row,
    ) -> Result<(), Fault> {
        match self {
            Self::Chained(roots) => {
                row.arrival_ns = time_ns.ok_or_else(|| Fault::new("timestamp", b"", crate::row::TIME))?;
                row.request.session = chained(roots, chat);
                Ok(())
            }
            Self::Growing(sessions) => grow(sessions, time_ns, think_s, row),
        }
    }
}

/// The session of a turn: that of the turn before, or a new one.
fn chained(roots: &mut BTreeMap<i64, u64>, [chat, parent]: [&[u8]; 2]) -> u64 {
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.trim().parse::<i64>().ok();
    let before = number(parent).filter(|&parent| parent >= 0);
    let session = match before {
        Some(before) => roots.get(&before).copied().unwrap_or_else(|| identity(parent)),
        None => identity(chat),
    };
    if let Some(chat) = number(chat) {
        roots.insert(chat, session);
        if roots.len() > SESSIONS_MAX {
            roots.pop_first();
        }
    }
    session
}

fn grow(sessions: &mut BTreeMap<u64, Session>, time_ns: Option<i64>, think_s: f32, row: &mut Row) -> Result<(), Fault> {
    let key = row.request.session;
    let before = (key != Request::NO_SESSION).then(|| sessions.get(&key)).flatten();
    row.arrival_ns = match (time_ns, before) {
        (Some(time_ns), _) => time_ns,
        (None, Some(before)) => {
            row.request.think_s = if think_s.is_nan() { 0.0 } else { think_s };
            before.arrival_ns.saturating_add((f64::from(row.request.think_s) * 1e9) as i64)
        }
        (None, None) => {
            let expected = "a time in ms, which the first turn of every session must have";
            return Err(Fault::new("timestamp", b"", expected));
        }
    };
    if key == Request::NO_SESSION {
        return Ok(());
    }
    if let Some(before) = before {
        row.request.prompt_tokens = row.request.prompt_tokens.saturating_add(before.tokens);
        let mut blocks = before.blocks.clone();
        blocks.append(&mut row.blocks);
        blocks.truncate(BLOCKS_MAX);
        row.request.prefix_len = blocks.len() as u16;
        row.blocks = blocks;
    }
    let session = Session {
        arrival_ns: row.arrival_ns,
        tokens: row.request.prompt_tokens.saturating_add(row.request.output_tokens),
        blocks: row.blocks.clone(),
    };
    sessions.insert(key, session);
    if sessions.len() > SESSIONS_MAX {
        sessions.pop_first();
    }
    Ok(())
}
