//! Requests whose format has no row each: results of benchmarks, spans, sessions.

use crate::row::{Fault, Row, TOKENS, identity};
use crate::{FieldUse, Request, input::quoted};
use std::fmt::Display;

/// A request and its arrival on the source's clock.
#[derive(Clone, Debug)]
pub(crate) struct Timed {
    pub(crate) arrival_ns: i64,
    pub(crate) request: Request,
    /// Its prefix blocks, mostly none.
    pub(crate) blocks: Vec<u64>,
}

impl Timed {
    /// A request without prefix blocks.
    pub(crate) fn new(arrival_ns: i64, request: Request) -> Self {
        Self { arrival_ns, request, blocks: Vec::new() }
    }

    /// Puts the request into a row.
    pub(crate) fn fill(self, row: &mut Row) {
        row.arrival_ns = self.arrival_ns;
        row.request = self.request;
        row.request.prefix_len = self.blocks.len().min(usize::from(u16::MAX)) as u16;
        row.blocks = self.blocks;
        row.blocks.truncate(usize::from(u16::MAX));
    }
}

/// What a format without named columns says about itself.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The unit of times, and the reason for it.
    pub(crate) time: &'static str,
    pub(crate) fields: Vec<FieldUse>,
    pub(crate) assumed: Vec<String>,
}

impl Account {
    /// Counts a field that held something.
    pub(crate) fn see(&mut self, meaning: &'static str, name: &str, value: impl Display) {
        match self.fields.iter_mut().find(|field| field.meaning == meaning && field.name == name) {
            Some(field) => field.rows += 1,
            None => self.fields.push(FieldUse {
                meaning,
                name: name.to_owned(),
                rows: 1,
                sample: quoted(value.to_string().as_bytes()),
            }),
        }
    }

    pub(crate) fn has(&self, meaning: &str) -> bool {
        self.fields.iter().any(|field| field.meaning == meaning)
    }
}

/// The values of one request of a benchmark's result, each with its name there.
#[derive(Debug, Default)]
pub(crate) struct Measured<'a> {
    pub(crate) start_s: (&'a str, Option<f64>),
    pub(crate) whole_s: (&'a str, Option<f64>),
    pub(crate) first_byte_s: (&'a str, Option<f64>),
    pub(crate) prompt: (&'a str, Option<f64>),
    pub(crate) output: (&'a str, Option<f64>),
    pub(crate) session: (&'a str, Option<String>),
}

impl Measured<'_> {
    /// The request; what it was made of goes to `account`.
    pub(crate) fn request(self, account: &mut Account) -> Result<Timed, Fault> {
        let wrong = |name: &str, found: String, expected: &'static str| Fault {
            field: name.to_owned().into(),
            found,
            expected: expected.into(),
        };
        let (name, start_s) = self.start_s;
        let found = || start_s.map_or_else(|| "nothing".to_owned(), |start_s| start_s.to_string());
        let start_s = start_s.filter(|start_s| start_s.is_finite() && start_s.abs() < 1e10);
        let start_s = start_s.ok_or_else(|| wrong(name, found(), "the time of the request's start in seconds"))?;
        account.see("arrival", name, start_s);
        let mut seconds = |meaning, (name, value): (&str, Option<f64>)| match value {
            None => Ok(f32::NAN),
            Some(value) if (0.0..1e7).contains(&value) => {
                account.see(meaning, name, value);
                Ok(value as f32)
            }
            Some(value) => Err(wrong(name, value.to_string(), "a duration, from 0 to 10 million seconds")),
        };
        let service_s = seconds("response time", self.whole_s)?;
        let first_byte_s = seconds("first byte", self.first_byte_s)?;
        let mut tokens = |meaning, (name, value): (&str, Option<f64>)| match value {
            None => Ok(0),
            Some(value) if value >= 0.0 && value <= f64::from(u32::MAX) && value.fract() == 0.0 => {
                account.see(meaning, name, value);
                Ok(value as u32)
            }
            Some(value) => Err(wrong(name, value.to_string(), TOKENS)),
        };
        let prompt = tokens("prompt tokens", self.prompt)?;
        let output = tokens("output tokens", self.output)?;
        let mut request = Request { service_s, first_byte_s, ..Request::new(0.0, prompt, output) };
        if let (name, Some(session)) = self.session {
            account.see("session", name, &session);
            request.session = identity(session.as_bytes());
        }
        Ok(Timed::new((start_s * 1e9) as i64, request))
    }
}
