//! One row on its way from a format's parser to a request.

use crate::work::Seen;
use crate::{DataError, Format, Include, LeftOut, LoadOptions, Reason, Request, Where, input::quoted};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use evenkeel_numbers::fnv;

/// What a parser fills in. It is reused from row to row; parsers set every field they know and
/// leave the others at [`Row::clear`]'s values.
pub(crate) struct Row {
    /// Arrival in nanoseconds, on the source's clock.
    pub(crate) arrival_ns: i64,
    pub(crate) request: Request,
    /// The prefix blocks of the request.
    pub(crate) blocks: Vec<u64>,
    /// Whether the row is no work; the other fields then mean nothing.
    pub(crate) is_left_out: bool,
}

impl Row {
    pub(crate) fn new() -> Self {
        Self { arrival_ns: 0, request: Request::new(0.0, 0, 0), blocks: Vec::new(), is_left_out: false }
    }

    pub(crate) fn clear(&mut self) {
        self.arrival_ns = 0;
        self.request = Request::new(0.0, 0, 0);
        self.blocks.clear();
        self.is_left_out = false;
    }
}

/// Why a row cannot be used.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) field: Cow<'static, str>,
    pub(crate) found: String,
    pub(crate) expected: Cow<'static, str>,
}

impl Fault {
    /// The bytes of a field are not what was expected.
    pub(crate) fn new(
        field: impl Into<Cow<'static, str>>,
        found: &[u8],
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { field: field.into(), found: quoted(found), expected: expected.into() }
    }

    /// The fault as that of a whole file.
    pub(crate) fn of_file(self, path: &Path, asked: Format) -> DataError {
        DataError::WrongFormat {
            path: path.to_owned(),
            asked,
            found: format!("{}: found {}", self.field, self.found),
            advice: format!("expected {}", self.expected),
        }
    }
}

/// What is expected of a token count.
pub(crate) const TOKENS: &str = "a whole number of tokens, at least 0";
/// What is expected of a duration.
pub(crate) const DURATION: &str = "a duration, at least 0";
/// What is expected of a time.
pub(crate) const TIME: &str = "a time: ISO 8601 (2024-05-10 00:00:00.5) or a number";

/// What parsers of all rows of a file share.
pub(crate) struct Context {
    pub(crate) upstreams: Upstreams,
    include: Include,
    wanted: Where,
    left_out: [(u64, String); Reason::ALL.len()],
    /// Requests to paths of language models, and one of the paths.
    pub(crate) inference: (u64, String),
}

impl Context {
    pub(crate) fn new(options: &LoadOptions) -> Self {
        Self {
            upstreams: Upstreams::default(),
            include: options.include,
            wanted: options.wanted.clone(),
            left_out: std::array::from_fn(|_| (0, String::new())),
            inference: (0, String::new()),
        }
    }

    /// Judges whether a row is work that is asked for; counts it and marks the row where not.
    /// Returns whether it is.
    pub(crate) fn admits(&mut self, seen: &Seen<'_>, row: &mut Row) -> bool {
        if let Some(reason) = seen.verdict(self.include, &self.wanted) {
            self.leave_out(reason, row, || seen.sample());
            return false;
        }
        if seen.is_inference_path() {
            self.inference.0 += 1;
            if self.inference.1.is_empty() {
                self.inference.1 = String::from_utf8_lossy(seen.path).into_owned();
            }
        }
        true
    }

    /// Counts a row that is left out, and marks it.
    pub(crate) fn leave_out(&mut self, reason: Reason, row: &mut Row, sample: impl FnOnce() -> String) {
        row.is_left_out = true;
        self.count(reason, sample);
    }

    /// Counts a request that is left out.
    pub(crate) fn count(&mut self, reason: Reason, sample: impl FnOnce() -> String) {
        let (rows, first) = &mut self.left_out[reason as usize];
        if *rows == 0 {
            *first = sample();
        }
        *rows += 1;
    }

    /// Counts requests that are left out.
    pub(crate) fn count_all(&mut self, reason: Reason, count: u64) {
        self.left_out[reason as usize].0 += count;
    }

    pub(crate) fn include(&self) -> Include {
        self.include
    }

    /// Rows left out so far, by reason.
    pub(crate) fn left_out(&self) -> Vec<LeftOut> {
        let all = Reason::ALL.into_iter().zip(&self.left_out);
        let some = all.filter(|(_, (rows, _))| *rows > 0);
        some.map(|(reason, (rows, sample))| LeftOut { reason, rows: *rows, sample: sample.clone() }).collect()
    }
}

/// A number that is equal for equal identifiers, never 0.
pub(crate) fn identity(bytes: &[u8]) -> u64 {
    fnv::hash(bytes).max(1)
}

/// Longer texts are no address.
const ADDRESS_BYTES_MAX: usize = 512;

/// The addresses of upstream hosts, each kept once.
#[derive(Default)]
pub(crate) struct Upstreams {
    pub(crate) names: Vec<String>,
    indices: BTreeMap<Vec<u8>, u16>,
}

impl Upstreams {
    /// The index of an address; `-` and nothing stand for none.
    pub(crate) fn index(&mut self, address: &[u8]) -> Result<u16, Fault> {
        if address.is_empty() || address == b"-" {
            return Ok(Request::NO_UPSTREAM);
        }
        if let Some(&index) = self.indices.get(address) {
            return Ok(index);
        }
        if self.names.len() >= usize::from(Request::NO_UPSTREAM) || address.len() > ADDRESS_BYTES_MAX {
            let expected = "at most 65535 different addresses of at most 512 bytes";
            return Err(Fault::new("upstream", address, expected));
        }
        let index = self.names.len() as u16;
        self.names.push(String::from_utf8_lossy(address).into_owned());
        self.indices.insert(address.to_vec(), index);
        Ok(index)
    }
}
