//! One row on its way from a format's parser to a request.

use crate::{Request, input::quoted};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a parser fills in. It is reused from row to row; parsers set every field they know and
/// leave the others at [`Row::clear`]'s values.
pub(crate) struct Row {
    /// Arrival in nanoseconds, on the source's clock.
    pub(crate) arrival_ns: i64,
    pub(crate) request: Request,
    /// The prefix blocks of the request.
    pub(crate) blocks: Vec<u64>,
}

impl Row {
    pub(crate) fn new() -> Self {
        Self { arrival_ns: 0, request: Request::new(0.0, 0, 0), blocks: Vec::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.arrival_ns = 0;
        self.request = Request::new(0.0, 0, 0);
        self.blocks.clear();
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
}

/// What is expected of a token count.
pub(crate) const TOKENS: &str = "a whole number of tokens, at least 0";
/// What is expected of a duration.
pub(crate) const DURATION: &str = "a duration, at least 0";
/// What is expected of a time.
pub(crate) const TIME: &str = "a time: ISO 8601 (2024-05-10 00:00:00.5) or a number";

/// Parser of formats that have a row a line.
pub(crate) trait LineParser: Send {
    fn parse(&mut self, line: &[u8], row: &mut Row, upstreams: &mut Upstreams) -> Result<(), Fault>;
}

/// Parser of CSV rows.
pub(crate) trait RecordParser: Send {
    fn parse(&mut self, record: &csv::ByteRecord, row: &mut Row, upstreams: &mut Upstreams) -> Result<(), Fault>;
}

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
        if self.names.len() >= usize::from(Request::NO_UPSTREAM) {
            let expected = "at most 65535 different addresses";
            return Err(Fault::new("upstream", address, expected));
        }
        let index = self.names.len() as u16;
        self.names.push(String::from_utf8_lossy(address).into_owned());
        self.indices.insert(address.to_vec(), index);
        Ok(index)
    }
}
