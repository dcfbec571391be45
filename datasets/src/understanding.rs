//! An account of how a file was read: what stood for what, what was assumed, what was left out.

use crate::{BadRow, Format};
use serde::Serialize;
use std::fmt;

/// How a trace was understood, to be shown to whoever gave it (`Display`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Understanding {
    /// The format that the file was read in.
    pub format: Format,
    /// The wrapper around each line, such as `CRI`, where there is one.
    pub wrapper: Option<&'static str>,
    /// The unit of times, and the reason for taking it to be that.
    pub time: String,
    /// The kind of service that the requests went to.
    pub service: ServiceSeen,
    /// Rows that became requests.
    pub requests: u64,
    /// The fields that were used.
    pub fields: Vec<FieldUse>,
    /// Stand-ins for what the file does not hold: a sentence each.
    pub assumed: Vec<String>,
    /// Fields that look useful and were not used.
    pub unused: Vec<FieldUse>,
    /// Rows that were left out because they are no work, by reason.
    pub left_out: Vec<LeftOut>,
    /// Rows that could not be read, by kind.
    pub bad_rows: Vec<BadRows>,
}

/// The kind of service that a trace's requests went to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum ServiceSeen {
    /// A language model: there are token counts.
    LanguageModel,
    /// A language model by its paths (`/v1/completions`), but without token counts.
    WithoutTokens,
    /// A service that answers requests without tokens, such as a web server.
    #[default]
    Other,
}

/// A field of a file and its use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldUse {
    /// The meaning given to it; empty for a field that was not used.
    pub meaning: &'static str,
    /// Its name in the file.
    pub name: String,
    /// Rows in which it held something.
    pub rows: u64,
    /// A value of it.
    pub sample: String,
}

/// Why a row is no work of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Reason {
    /// The request failed: an error status, an aborted or cancelled request.
    Failure,
    /// A health check, a scrape of metrics, a list of models, a CORS preflight.
    Probe,
    /// Not a request and its answer: a TCP session, a WebSocket, another kind of span.
    Protocol,
    /// An answer without tokens in a trace whose other answers have some.
    NoTokens,
    /// Not asked for by `--where`.
    NotAskedFor,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Failure, Self::Probe, Self::Protocol, Self::NoTokens, Self::NotAskedFor];

    /// The name used by `--include`; empty for what that option cannot take in.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failure => "failures",
            Self::Probe => "probes",
            Self::Protocol => "protocols",
            Self::NoTokens => "no-tokens",
            Self::NotAskedFor => "",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Failure => "failed requests",
            Self::Probe => "probes",
            Self::Protocol => "rows of other protocols or kinds",
            Self::NoTokens => "answers without tokens, where others have them",
            Self::NotAskedFor => "rows that --where does not ask for",
        }
    }
}

/// Rows that were left out for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The reason.
    pub reason: Reason,
    /// Their number.
    pub rows: u64,
    /// What the first of them showed, such as its path or status.
    pub sample: String,
}

/// Rows that could not be read for one kind of reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadRows {
    /// Their number.
    pub rows: u64,
    /// The first of them.
    pub first: BadRow,
}

/// Kinds of bad rows that are kept apart.
const KINDS_MAX: usize = 32;

impl BadRows {
    /// Counts a bad row under its kind: what was expected of which field.
    pub(crate) fn count(kinds: &mut Vec<Self>, bad: BadRow) {
        let is_same = |kind: &Self| {
            let is_place = |field: &str| field.starts_with("column ");
            kind.first.expected == bad.expected
                && (kind.first.field == bad.field || is_place(&kind.first.field) && is_place(&bad.field))
        };
        match kinds.iter().position(is_same) {
            Some(index) => kinds[index].rows += 1,
            None if kinds.len() < KINDS_MAX => kinds.push(Self { rows: 1, first: bad }),
            None => kinds[KINDS_MAX - 1].rows += 1,
        }
    }
}

impl Understanding {
    /// Rows left out for a reason.
    pub fn left_out(&self, reason: Reason) -> u64 {
        self.left_out.iter().find(|left_out| left_out.reason == reason).map_or(0, |left_out| left_out.rows)
    }
}

impl fmt::Display for ServiceSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LanguageModel => "a language model (there are token counts)",
            Self::WithoutTokens => "a language model by its paths, but there are no token counts",
            Self::Other => "a service without tokens",
        })
    }
}

impl fmt::Display for Understanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrapper = self.wrapper.map_or(String::new(), |wrapper| format!(", each line wrapped by {wrapper}"));
        writeln!(f, "read as {}{wrapper}", self.format)?;
        writeln!(f, "  time    {}", self.time)?;
        writeln!(f, "  service {}", self.service)?;
        let width = |fields: &[FieldUse]| fields.iter().map(|field| field.name.chars().count()).max().unwrap_or(0);
        let name_width = width(&self.fields).max(width(&self.unused)).min(40);
        for field in &self.fields {
            let FieldUse { meaning, name, rows, sample } = field;
            writeln!(f, "  {meaning:<18}{name:<name_width$} in {rows} rows, such as {sample}")?;
        }
        for assumed in &self.assumed {
            writeln!(f, "  assumed: {assumed}")?;
        }
        for field in &self.unused {
            let FieldUse { name, rows, sample, .. } = field;
            writeln!(f, "  not used: {name:<name_width$} in {rows} rows, such as {sample}")?;
        }
        for LeftOut { reason, rows, sample } in &self.left_out {
            let first = if sample.is_empty() { String::new() } else { format!(" (the first: {sample})") };
            let advice = match reason.name() {
                "" => String::new(),
                name => format!("; --include {name} takes them in"),
            };
            writeln!(f, "  left out: {rows} {}{first}{advice}", reason.what())?;
        }
        for BadRows { rows, first } in &self.bad_rows {
            writeln!(f, "  unreadable: {rows} rows, the first {first}")?;
        }
        Ok(())
    }
}
