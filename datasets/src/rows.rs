//! Where the rows of a trace come from.

use crate::DataError;
use crate::formats::columns::Columns;
use crate::formats::lines::Lines;
use crate::formats::mapper::Mapper;
use crate::formats::otel;
use crate::formats::servegen::ServeGen;
use crate::formats::timed::{Account, Timed};
use crate::formats::tracelab::TraceLab;
use crate::formats::weka::Weka;
use crate::input::{LineReader, Records};
use crate::row::{Context, Fault, Row};
use std::collections::VecDeque;

/// Where rows come from.
pub(crate) enum Rows {
    Lines(LineReader, Box<Lines>),
    Records(Box<Records>, Box<Columns>),
    /// Spans, several a line, of which those that are not handed out yet wait.
    Spans(LineReader, VecDeque<Timed>),
    /// Lines of nested objects, a request each.
    Rounds(LineReader, Box<TraceLab>),
    /// Requests of a file that was read as a whole.
    Ready(std::vec::IntoIter<Timed>, Account),
    Sessions(Box<Weka>),
    Generated(Box<ServeGen>),
}

/// What came of trying to read a row.
pub(crate) enum Outcome {
    Good,
    Bad { line: u64, fault: Fault },
    End,
}

impl Rows {
    /// Reads one row into `row`; errors are those of the file, not of the row.
    pub(crate) fn read(&mut self, row: &mut Row, context: &mut Context) -> Result<Outcome, DataError> {
        row.clear();
        let fault = match self {
            Self::Lines(reader, parser) => loop {
                match reader.next_line() {
                    None => return Ok(Outcome::End),
                    Some(line) => {
                        if let Some(result) = parser.parse(line?, row, context) {
                            break result.err();
                        }
                    }
                }
            },
            Self::Records(records, parser) => match records.next_record()? {
                None => return Ok(Outcome::End),
                Some(record) => parser.parse(record, row, context).err(),
            },
            Self::Spans(reader, waiting) => loop {
                if let Some(timed) = waiting.pop_front() {
                    timed.fill(row);
                    break None;
                }
                match reader.next_line() {
                    None => return Ok(Outcome::End),
                    Some(line) => {
                        let line = line?.trim_ascii();
                        if line.is_empty() {
                            continue;
                        }
                        if let Err(fault) = otel::line(line, context, waiting) {
                            break Some(fault);
                        }
                    }
                }
            },
            Self::Rounds(reader, rounds) => loop {
                let Some(line) = reader.next_line() else { return Ok(Outcome::End) };
                let line = line?.trim_ascii();
                if line.is_empty() {
                    continue;
                }
                match rounds.line(line, context) {
                    Err(fault) => break Some(fault),
                    Ok(None) => {}
                    Ok(Some(timed)) => {
                        timed.fill(row);
                        break None;
                    }
                }
            },
            Self::Ready(requests, _) => match requests.next() {
                None => return Ok(Outcome::End),
                Some(timed) => {
                    timed.fill(row);
                    None
                }
            },
            Self::Sessions(sessions) => match sessions.next()? {
                None => return Ok(Outcome::End),
                Some(Err(fault)) => Some(fault),
                Some(Ok(timed)) => {
                    timed.fill(row);
                    None
                }
            },
            Self::Generated(_) => None,
        };
        Ok(fault.map_or(Outcome::Good, |fault| Outcome::Bad { line: self.line(), fault }))
    }

    /// Line of the row read last.
    pub(crate) fn line(&self) -> u64 {
        match self {
            Self::Lines(reader, _) | Self::Spans(reader, _) | Self::Rounds(reader, _) => reader.line(),
            Self::Records(records, _) => records.line(),
            Self::Ready(..) | Self::Sessions(_) | Self::Generated(_) => 0,
        }
    }

    /// What the fields were taken for, where the format has named ones.
    pub(crate) fn mapper(&self) -> Option<&Mapper> {
        match self {
            Self::Lines(_, lines) => Some(&lines.mapper),
            Self::Records(_, columns) => Some(&columns.mapper),
            _ => None,
        }
    }

    /// What a format without named columns says about itself.
    pub(crate) fn account(&self) -> Option<&Account> {
        match self {
            Self::Rounds(_, rounds) => Some(&rounds.account),
            Self::Ready(_, account) => Some(account),
            Self::Sessions(sessions) => Some(&sessions.plan().account),
            _ => None,
        }
    }

    pub(crate) fn empty(&self, path: &str) -> DataError {
        let what = match self {
            Self::Lines(..) => "usable lines",
            Self::Records(..) => "usable rows after its header",
            Self::Spans(..) => "spans of requests",
            Self::Rounds(..) => "rounds",
            Self::Ready(..) | Self::Sessions(_) | Self::Generated(_) => "requests",
        };
        DataError::Empty { path: path.into(), what }
    }
}
