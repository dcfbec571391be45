//! Distributions of prompt and output lengths.

use super::archive::{self, Member};
use crate::input::number;
use crate::random::{self, Pcg64Mcg};
use crate::row::Fault;
use crate::{BadRow, DataError, LoadOptions};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// The lengths of every client that has some.
pub(super) type ByClient = BTreeMap<u64, ClientLengths>;

/// A client's distributions, from their windows' begin on.
#[derive(Clone, Default)]
pub(super) struct ClientLengths {
    /// Begin, the parts of the prompt, and the output.
    windows: Vec<(f64, Vec<Distribution>, Distribution)>,
}

/// Token counts and their cumulative weights.
#[derive(Clone)]
struct Distribution(Vec<(f64, u32)>);

impl ClientLengths {
    pub(super) fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Prompt and output tokens of a request at `time_s`; a window in which the client was idle
    /// is bridged by the one before, or else the one after.
    pub(super) fn draw(&self, time_s: f64, rng: &mut Pcg64Mcg) -> (u32, u32) {
        let after = self.windows.partition_point(|&(begin_s, ..)| begin_s <= time_s);
        let (_, prompt, output) = &self.windows[after.saturating_sub(1)];
        let prompt = prompt.iter().fold(0_u32, |sum, part| sum.saturating_add(part.draw(rng)));
        (prompt, output.draw(rng))
    }
}

impl Distribution {
    fn draw(&self, rng: &mut Pcg64Mcg) -> u32 {
        let total = self.0.last().map_or(0.0, |last| last.0);
        let at = random::uniform(rng) * total;
        let index = self.0.partition_point(|&(cumulative, _)| cumulative <= at);
        self.0.get(index).or(self.0.last()).map_or(0, |entry| entry.1)
    }
}

/// One window as it is written: dictionaries in strings.
#[derive(Deserialize)]
#[allow(clippy::struct_field_names, reason = "the names are the file's")]
struct Window<'a> {
    #[serde(borrow, default)]
    input_tokens: Cow<'a, str>,
    /// The parts of a multimodal prompt.
    #[serde(borrow, default)]
    text_tokens: Cow<'a, str>,
    #[serde(borrow, default)]
    image_tokens: Cow<'a, str>,
    #[serde(borrow, default)]
    audio_tokens: Cow<'a, str>,
    #[serde(borrow, default)]
    video_tokens: Cow<'a, str>,
    #[serde(borrow)]
    output_tokens: Cow<'a, str>,
}

impl Window<'_> {
    /// The parts of a prompt that have a distribution.
    fn prompt(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let parts = [
            (&self.input_tokens, "input_tokens"),
            (&self.text_tokens, "text_tokens"),
            (&self.image_tokens, "image_tokens"),
            (&self.audio_tokens, "audio_tokens"),
            (&self.video_tokens, "video_tokens"),
        ];
        parts.into_iter().filter(|(text, _)| text.len() > 2).map(|(text, name)| (&**text, name))
    }
}

/// The distributions in an archive that matter within the options' range of time, which ends at
/// `end_s` at the latest. A client's file with a fault counts as a bad row; that client then
/// borrows another's lengths.
pub(super) fn read(
    path: &Path,
    options: &LoadOptions,
    end_s: f64,
    dropped_rows: &mut u64,
) -> Result<ByClient, DataError> {
    let allowed = options.max_bad_rows;
    let mut clients = ByClient::new();
    archive::members(path, "dataset.json", |id, member| {
        match client(member, options.start_s, end_s) {
            Ok(lengths) => drop(clients.insert(id, lengths)),
            Err(_) if *dropped_rows < allowed => *dropped_rows += 1,
            Err(first) => return Err(DataError::BadRows { allowed, first: Box::new(first) }),
        }
        Ok(())
    })?;
    Ok(clients)
}

fn client(member: &Member<'_>, start_s: f64, end_s: f64) -> Result<ClientLengths, BadRow> {
    let windows: BTreeMap<&str, Window<'_>> = serde_json::from_slice(member.content).map_err(|error| {
        let line = member.content.split(|&byte| byte == b'\n').nth(error.line().saturating_sub(1));
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message);
        let fault = Fault::new(
            format!("column {}", error.column()),
            line.unwrap_or_default(),
            format!(
                "JSON of the form {{\"0\": {{\"input_tokens\": \"{{…}}\", \"output_tokens\": \"{{…}}\"}}}} ({message})"
            ),
        );
        member.bad_row(error.line() as u64, fault)
    })?;
    let mut windows = windows
        .into_iter()
        .map(|(t, window)| {
            let begin_s = number::float(t.as_bytes()).ok_or_else(|| {
                member.bad_row(line_of(member, t), Fault::new("window", t.as_bytes(), "its begin in seconds"))
            })?;
            Ok((begin_s, window))
        })
        .collect::<Result<Vec<_>, BadRow>>()?;
    windows.retain(|(_, window)| window.prompt().next().is_some() && window.output_tokens.len() > 2);
    windows.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Parse what covers the range: from the last window that begins before it.
    let first = windows.partition_point(|(begin_s, _)| *begin_s <= start_s).saturating_sub(1);
    let last = windows.partition_point(|(begin_s, _)| *begin_s < end_s).max(first + 1).min(windows.len());
    let parse = |text: &str, field| distribution(text, field).map_err(|f| member.bad_row(line_of(member, text), f));
    let parsed = windows[first.min(last)..last].iter().map(|(begin_s, window)| {
        let prompt = window.prompt().map(|(text, name)| parse(text, name)).collect::<Result<Vec<_>, BadRow>>()?;
        Ok((*begin_s, prompt, parse(&window.output_tokens, "output_tokens")?))
    });
    Ok(ClientLengths { windows: parsed.collect::<Result<_, BadRow>>()? })
}

/// `{tokens: probability, …}`
fn distribution(text: &str, field: &'static str) -> Result<Distribution, Fault> {
    let fault = |found: &str| Fault::new(field, found.as_bytes(), "{tokens: probability, …}");
    let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(|| fault(text))?;
    let mut cumulative = 0.0;
    let mut entries = Vec::new();
    for pair in inner.split(',') {
        let (tokens, probability) = pair.split_once(':').ok_or_else(|| fault(pair))?;
        let tokens = number::tokens(tokens.as_bytes()).ok_or_else(|| fault(pair))?;
        let probability = number::float(probability.as_bytes()).filter(|&p| p >= 0.0).ok_or_else(|| fault(pair))?;
        cumulative += probability;
        entries.push((cumulative, tokens));
    }
    if cumulative > 0.0 { Ok(Distribution(entries)) } else { Err(fault(text)) }
}

/// The line of a member on which `text`, borrowed from it, begins.
fn line_of(member: &Member<'_>, text: &str) -> u64 {
    let offset = (text.as_ptr() as usize).wrapping_sub(member.content.as_ptr() as usize);
    let before = member.content.get(..offset).unwrap_or_default();
    memchr::memchr_iter(b'\n', before).count() as u64 + 1
}
