//! The books of a host's scrapes, and the log's lines about them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::discovery::Host;
use crate::page::Page;
use crate::probe::Probe;
use crate::reading::{Load, Reader};
use crate::scrape::ScrapeError;

/// The state in which a host was last found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not asked yet.
    #[default]
    New,
    /// It says how busy it is.
    Serving,
    /// Its page says nothing of an engine's load yet, as before the first request.
    Idle,
    /// It sleeps, or its model is not loaded.
    Resting,
    /// It is left alone, so that it may go to sleep.
    LeftAlone,
    /// It gives no page, for this reason.
    Failing(&'static str),
}

impl State {
    /// A word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Serving => "serving",
            Self::Idle => "idle",
            Self::Resting => "resting",
            Self::LeftAlone => "left_alone",
            Self::Failing(_) => "failing",
        }
    }

    /// The kind of its failure, or nothing.
    pub fn reason(self) -> &'static str {
        if let Self::Failing(kind) = self { kind } else { "" }
    }
}

/// A failure of the same kind is told again after so long.
const TOLD_AGAIN: Duration = Duration::from_mins(10);

/// A host's books.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The state in which it was last found.
    pub state: State,
    /// Pages read.
    pub pages: u64,
    /// Scrapes that failed.
    pub failures: u64,
    /// Those in a row, up to now.
    pub failures_in_a_row: u32,
    /// Numbers in pages that no host could mean.
    pub dropped: u64,
    /// Bytes of the last page.
    pub page_bytes: usize,
    /// The duration of the last scrape.
    pub took: Duration,
    /// The time of the last page, in microseconds of the monotonic clock; 0 for never.
    pub measured_us: u64,
    /// The load that the last page reported.
    pub load: Load,
    /// Seconds per output token, and when they were measured, in microseconds of the monotonic clock.
    pub step: Option<(f64, u64)>,
    told: BTreeMap<&'static str, Instant>,
    /// Set if the log's last line about the host is of a failure.
    has_told_failure: bool,
}

impl Account {
    /// A page was read.
    pub fn page(&mut self, host: &Host, probe: &Probe, page: &Page, reader: &Reader, measured_us: u64) {
        self.recovered(host);
        self.pages += 1;
        self.page_bytes = probe.page_bytes;
        self.measured_us = measured_us;
        self.dropped += page.dropped;
        self.load = reader.load;
        self.step = reader.step_s.zip(reader.step_age_us.map(|age_us| measured_us.saturating_sub(age_us)));
        let is_known = self.load.is_known() || reader.step_source().is_some();
        self.state = if is_known { State::Serving } else { State::Idle };
        if self.state == State::Idle && self.tells("idle") {
            eprintln!(
                "evenkeel-agent: {}: {} has no metrics of an engine's load: taken for an engine that has not served yet; \
                 if it has, `evenkeel-agent check` says what is there",
                host.address,
                probe.url()
            );
        }
    }

    /// Nothing runs there.
    pub fn resting(&mut self, host: &Host, measured_us: u64) {
        self.recovered(host);
        let idle = self.load.running.map(|found| crate::reading::Found { value: 0.0, ..found });
        self.load = Load { running: idle, waiting: idle, ..Load::default() };
        (self.state, self.measured_us, self.step) = (State::Resting, measured_us, None);
    }

    /// It was not asked.
    pub fn left_alone(&mut self, host: &Host) {
        self.recovered(host);
        self.state = State::LeftAlone;
    }

    /// It gave no page.
    pub fn failed(&mut self, host: &Host, url: &str, error: &ScrapeError) {
        self.failures += 1;
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.state = State::Failing(error.kind());
        if self.tells(error.kind()) {
            self.has_told_failure = true;
            eprintln!("evenkeel-agent: {}: {url}: {error}", host.address);
        }
    }

    fn recovered(&mut self, host: &Host) {
        if std::mem::take(&mut self.has_told_failure) {
            eprintln!(
                "evenkeel-agent: {}: read again, after {} failures in a row",
                host.address, self.failures_in_a_row
            );
        }
        self.failures_in_a_row = 0;
    }

    /// Returns true if a line of this kind is due: the first, and again after a while.
    fn tells(&mut self, kind: &'static str) -> bool {
        let now = Instant::now();
        let is_due = self.told.get(kind).is_none_or(|told| now.duration_since(*told) > TOLD_AGAIN);
        if is_due {
            self.told.insert(kind, now);
        }
        is_due
    }
}
