//! Sessions and their requests: when each is sent, and what it shares with others.

use crate::formats::timed::{Account, Timed};
use crate::row::{Fault, TOKENS, identity};
use crate::{Request, input::quoted};
use serde::Deserialize;
use std::collections::VecDeque;

/// Blocks of one prompt.
const BLOCKS_MAX: usize = u16::MAX as usize;
/// A session is no longer than this: three years.
const SESSION_S_MAX: f64 = 1e8;
/// Times are written to the millisecond.
const ROUNDING_S: f64 = 1e-3;

/// A session, as it is written.
#[derive(Deserialize)]
pub(super) struct Session {
    id: Option<String>,
    hash_id_scope: Option<String>,
    requests: Vec<Entry>,
}

/// A request, or a subagent with requests of its own.
#[derive(Deserialize)]
struct Entry {
    t: f64,
    #[serde(rename = "type")]
    kind: Option<String>,
    agent_id: Option<String>,
    #[serde(rename = "in")]
    prompt: Option<f64>,
    #[serde(rename = "out")]
    output: Option<f64>,
    #[serde(default)]
    hash_ids: Vec<u64>,
    api_time: Option<f64>,
    ttft: Option<f64>,
    think_time: Option<f64>,
    requests: Option<Vec<Entry>>,
}

/// What of a session is needed to plan.
#[derive(Deserialize)]
pub(crate) struct Outline {
    block_size: Option<f64>,
    hash_id_scope: Option<String>,
    requests: Vec<OutlineEntry>,
}

#[derive(Deserialize)]
struct OutlineEntry {
    t: f64,
    #[serde(rename = "type")]
    kind: Option<String>,
    requests: Option<Vec<OutlineEntry>>,
}

/// When sessions begin, and how their numbers are meant.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) account: Account,
    pub(crate) requests: u64,
    pub(crate) block_tokens: u32,
    sessions: u64,
    longest_s: f64,
    all_s: f64,
    /// Whether the times of a subagent's requests count from the subagent's own.
    nested_is_relative: bool,
    has_nested: bool,
    has_local: bool,
    begun: u64,
}

impl Plan {
    /// Takes a session into account.
    pub(super) fn add(&mut self, outline: &Outline) -> Result<(), Fault> {
        if let Some(size) = outline.block_size {
            let is_size = (1.0..=1e6).contains(&size) && size.fract() == 0.0;
            if !is_size || self.block_tokens != 0 && f64::from(self.block_tokens) != size {
                let expected = "a whole number of tokens, the same in all sessions (--block-tokens N overrides it)";
                return Err(Fault::new("block_size", size.to_string().as_bytes(), expected));
            }
            self.block_tokens = size as u32;
        }
        self.has_local |= outline.hash_id_scope.as_deref() != Some("global");
        let (mut first_s, mut last_s) = (f64::INFINITY, 0.0_f64);
        for entry in &outline.requests {
            first_s = first_s.min(time(entry.t)?);
            last_s = last_s.max(entry.t);
            match &entry.requests {
                None => self.requests += u64::from(!is_subagent(entry.kind.as_deref())),
                Some(nested) => {
                    self.has_nested |= !nested.is_empty();
                    self.requests += nested.len() as u64;
                    for request in nested {
                        self.nested_is_relative |= time(request.t)? < entry.t - ROUNDING_S;
                    }
                }
            }
        }
        if last_s >= first_s {
            self.sessions += 1;
            self.longest_s = self.longest_s.max(last_s - first_s);
            self.all_s += last_s - first_s;
        }
        Ok(())
    }

    /// Completes the plan when all sessions are known.
    pub(super) fn settle(&mut self, asked_block_tokens: Option<u32>) {
        self.block_tokens = asked_block_tokens.unwrap_or(self.block_tokens);
        if self.block_tokens == 0 {
            self.block_tokens = 64;
            self.account.assumed.push("a prefix block stands for 64 tokens, since no block_size is written".to_owned());
        }
        let at_a_time = self.all_s / self.longest_s.max(1e-9);
        self.account.time = "seconds since the session's begin, by the format";
        self.account.assumed.push(format!(
            "{} sessions begin evenly spread over the length of the longest one ({:.0} s), {at_a_time:.1} at a time on \
             average: the file does not say when they began",
            self.sessions, self.longest_s
        ));
        if self.has_local {
            self.account.assumed.push(
                "blocks are a session's own (hash_id_scope local): what sessions share, such as a system prompt, is not \
                 seen"
                .to_owned(),
            );
        }
        if self.has_nested {
            let since = if self.nested_is_relative { "subagent's" } else { "session's" };
            self.account.assumed.push(format!(
                "times of a subagent's requests count from the {since} begin; it is a session of its own"
            ));
        }
    }

    /// Appends the requests of a session.
    pub(super) fn requests(&mut self, session: Session, requests: &mut VecDeque<Result<Timed, Fault>>) {
        let first_s = session.requests.iter().map(|entry| entry.t).fold(f64::INFINITY, f64::min);
        if !first_s.is_finite() {
            return;
        }
        let begin_s = self.longest_s * self.begun as f64 / self.sessions.max(1) as f64 - first_s;
        self.begun += 1;
        let id = session.id.unwrap_or_else(|| format!("session {}", self.begun));
        let is_global = session.hash_id_scope.as_deref() == Some("global");
        let scope = if is_global { None } else { Some(identity(id.as_bytes())) };
        let mut main = Vec::new();
        for (index, entry) in session.requests.into_iter().enumerate() {
            match entry.requests {
                None if is_subagent(entry.kind.as_deref()) => {}
                None => main.push(entry),
                Some(nested) => {
                    let agent = entry.agent_id.unwrap_or_else(|| index.to_string());
                    let begin_s = if self.nested_is_relative { begin_s + entry.t } else { begin_s };
                    self.chain(nested, &format!("{id}::{agent}"), begin_s, scope, requests);
                }
            }
        }
        self.chain(main, &id, begin_s, scope, requests);
    }

    /// Appends requests that follow one another.
    fn chain(
        &mut self,
        mut entries: Vec<Entry>,
        id: &str,
        begin_s: f64,
        scope: Option<u64>,
        requests: &mut VecDeque<Result<Timed, Fault>>,
    ) {
        entries.sort_by(|a, b| a.t.total_cmp(&b.t));
        let mut end_s: Option<f64> = None;
        for (index, entry) in entries.into_iter().enumerate() {
            let think_s = if index == 0 { None } else { think_s(&entry, end_s) };
            end_s = entry.api_time.map(|took_s| end_s.unwrap_or(f64::NEG_INFINITY).max(entry.t + took_s));
            requests.push_back(self.request(entry, id, begin_s, scope, think_s));
        }
    }

    fn request(
        &mut self,
        entry: Entry,
        id: &str,
        begin_s: f64,
        scope: Option<u64>,
        think_s: Option<f64>,
    ) -> Result<Timed, Fault> {
        let account = &mut self.account;
        let mut tokens = |meaning, name: &'static str, value: Option<f64>| {
            let count = value.filter(|value| (0.0..=f64::from(u32::MAX)).contains(value) && value.fract() == 0.0);
            let found = || value.map_or_else(String::new, |value| value.to_string());
            let count = count.ok_or_else(|| Fault::new(name, found().as_bytes(), TOKENS))?;
            account.see(meaning, name, count);
            Ok(count as u32)
        };
        let (prompt, output) =
            (tokens("prompt tokens", "in", entry.prompt)?, tokens("output tokens", "out", entry.output)?);
        let mut seconds = |meaning, name: &'static str, value: Option<f64>| match value {
            None => Ok(f32::NAN),
            Some(value) if (0.0..SESSION_S_MAX).contains(&value) => {
                account.see(meaning, name, value);
                Ok(value as f32)
            }
            Some(value) => Err(Fault::new(name, value.to_string().as_bytes(), crate::row::DURATION)),
        };
        let service_s = seconds("response time", "api_time", entry.api_time)?;
        let first_byte_s = seconds("first byte", "ttft", entry.ttft)?;
        if entry.hash_ids.len() > BLOCKS_MAX {
            let found = format!("{} blocks", entry.hash_ids.len());
            return Err(Fault { field: "hash_ids".into(), found, expected: "at most 65535 blocks".into() });
        }
        account.see("arrival", "t", entry.t);
        account.see("session", "id", id);
        if let Some(first) = entry.hash_ids.first() {
            account.see("prefix blocks", "hash_ids", format!("[{first}, …]"));
        }
        let mut blocks = entry.hash_ids;
        if let Some(scope) = scope {
            for block in &mut blocks {
                *block = within(scope, *block);
            }
        }
        let request = Request {
            service_s,
            first_byte_s,
            session: identity(id.as_bytes()),
            think_s: think_s.map_or(f32::NAN, |think_s| think_s as f32),
            ..Request::new(0.0, prompt, output)
        };
        Ok(Timed { arrival_ns: ((begin_s + time(entry.t)?) * 1e9) as i64, request, blocks })
    }
}

/// Seconds that the client waited after the answer before; none where the request did not wait for it.
fn think_s(entry: &Entry, end_s: Option<f64>) -> Option<f64> {
    match end_s {
        Some(end_s) if entry.t >= end_s - ROUNDING_S => Some((entry.t - end_s).max(0.0)),
        Some(_) => None,
        None => entry.think_time.filter(|think_s| (0.0..SESSION_S_MAX).contains(think_s)),
    }
}

/// Whether an entry is no request: a subagent of which nothing more is written.
fn is_subagent(kind: Option<&str>) -> bool {
    kind == Some("subagent")
}

fn time(t_s: f64) -> Result<f64, Fault> {
    if (0.0..SESSION_S_MAX).contains(&t_s) {
        return Ok(t_s);
    }
    let expected = "seconds since the session's begin, at least 0, at most three years";
    Err(Fault { field: "t".into(), found: quoted(t_s.to_string().as_bytes()), expected: expected.into() })
}

/// The identity of a block that is a session's own.
fn within(scope: u64, block: u64) -> u64 {
    let mix = |hash: u64, word: u64| (hash ^ word ^ (word >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31);
    mix(mix(0x94d0_49bb_1331_11eb, scope), block)
}
