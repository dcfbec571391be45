//! Reading a trace request by request.

use crate::formats::bench;
use crate::formats::columns::Columns;
use crate::formats::lines::Lines;
use crate::formats::role::Role;
use crate::formats::servegen::ServeGen;
use crate::formats::tracelab::{self, TraceLab};
use crate::formats::weka::Weka;
use crate::formats::{guidellm, inference_perf};
use crate::input::{Input, LineReader, Progress};
use crate::recognise::settle;
use crate::row::{Context, Fault, Row};
use crate::rows::{Outcome, Rows};
use crate::{BadRow, BadRows, DataError, Format, LoadOptions, Reason, Request, ServiceSeen, Understanding, random};
use std::collections::VecDeque;
use std::path::Path;

/// Times before this many seconds cannot be meant since 1970: they count from the source's zero.
const EPOCH_S_MIN: i64 = 100_000_000;

/// Opens a trace to be read request by request, in memory that does not grow with the file.
///
/// The format is recognised by content when `None`. Requests come in the file's order, which for
/// access logs is that of completion; their arrivals count from the file's first row (plus
/// [`LoadOptions::start_s`]), so that in access logs some may be negative.
/// [`load_trace`](crate::load_trace) sorts them.
///
/// Rows that are no work are left out and counted, except for one kind: answers without tokens
/// where others have them, which only the end of the file shows.
pub fn stream_trace(
    path: impl AsRef<Path>,
    format: Option<Format>,
    options: &LoadOptions,
) -> Result<TraceStream, DataError> {
    TraceStream::open(path.as_ref(), format, options)
}

/// The requests of a file; see [`stream_trace`].
pub struct TraceStream {
    rows: Rows,
    format: Format,
    options: LoadOptions,
    path: String,
    row: Row,
    context: Context,
    thinning: random::Pcg64Mcg,
    origin_ns: Option<i64>,
    latest_ns: i64,
    dropped_rows: u64,
    bad_rows: Vec<BadRows>,
    requests: u64,
    with_tokens: u64,
    progress: Progress,
    finished: bool,
}

impl TraceStream {
    fn open(path: &Path, format: Option<Format>, options: &LoadOptions) -> Result<Self, DataError> {
        let mut dropped_rows = 0;
        let mut context = Context::new(options);
        let is_sessions = || format.map_or_else(|| Weka::is_folder(path), |format| format == Format::Weka);
        let (rows, format, progress) = if path.is_dir() && is_sessions() {
            options.check(Format::Weka)?;
            (Rows::Sessions(Box::new(Weka::open(path, options)?)), Format::Weka, Progress::default())
        } else if path.is_dir() {
            if let Some(asked) = format.filter(|&format| format != Format::ServeGen) {
                return Err(DataError::WrongFormat {
                    path: path.to_owned(),
                    asked,
                    found: "it is a folder".to_owned(),
                    advice: "give a file, a folder of ServeGen's repository, or one of agents' sessions".to_owned(),
                });
            }
            options.check(Format::ServeGen)?;
            let generator = ServeGen::open(path, options)?;
            dropped_rows = generator.dropped_rows();
            (Rows::Generated(Box::new(generator)), Format::ServeGen, Progress::default())
        } else {
            let input = Input::open(path)?;
            let format = settle(&input, format, options)?;
            options.check(format)?;
            let progress = input.progress();
            let rows = match format {
                Format::ServeGen => {
                    let generator = ServeGen::open(path, options)?;
                    dropped_rows = generator.dropped_rows();
                    Rows::Generated(Box::new(generator))
                }
                Format::Azure | Format::BurstGpt | Format::Lake | Format::Csv | Format::Series => {
                    let (records, columns) = Columns::open(input, format, options)?;
                    Rows::Records(Box::new(records), Box::new(columns))
                }
                Format::VllmBench => ready(bench::requests(input, &mut context)?),
                Format::GuideLlm => ready(guidellm::requests(input, &mut context)?),
                Format::InferencePerf => ready(inference_perf::requests(input, &mut context)?),
                Format::Weka => Rows::Sessions(Box::new(Weka::open(path, options)?)),
                Format::TraceLab => Rows::Rounds(LineReader::new(input), Box::new(TraceLab::new())),
                Format::Otel => Rows::Spans(LineReader::new(input), VecDeque::new()),
                _ => {
                    let lines = Lines::new(format, input.whole_lines(), options, path)?;
                    Rows::Lines(LineReader::new(input), Box::new(lines))
                }
            };
            (rows, format, progress)
        };
        Ok(Self {
            rows,
            format,
            options: options.clone(),
            path: path.display().to_string(),
            row: Row::new(),
            context,
            thinning: random::generator(options.seed, 2),
            origin_ns: None,
            latest_ns: i64::MIN,
            dropped_rows,
            bad_rows: Vec::new(),
            requests: 0,
            with_tokens: 0,
            progress,
            finished: false,
        })
    }

    /// The format that was given or recognised.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Unix time from which arrivals count, once a request was read; `None` before that and where
    /// the source has a clock of its own.
    pub fn origin_epoch_s(&self) -> Option<f64> {
        let origin_ns = self.origin_ns.filter(|&origin_ns| origin_ns / 1_000_000_000 >= EPOCH_S_MIN)?;
        Some(seconds(origin_ns) + self.options.start_s)
    }

    /// The prefix blocks of the request read last; its `prefix_begin` is 0.
    pub fn prefix_blocks(&self) -> &[u64] {
        &self.row.blocks
    }

    /// Tokens a prefix block stands for; 0 where the format has none.
    pub fn prefix_block_tokens(&self) -> u32 {
        match self.rows.mapper() {
            Some(mapper) if self.format == Format::Mooncake && mapper.block_tokens() == 0 => 512,
            Some(mapper) => mapper.block_tokens(),
            None => match &self.rows {
                Rows::Sessions(sessions) => sessions.plan().block_tokens,
                Rows::Rounds(..) => tracelab::BLOCK_TOKENS,
                _ => 0,
            },
        }
    }

    /// The upstream hosts seen so far.
    pub fn upstreams(&self) -> &[String] {
        &self.context.upstreams.names
    }

    /// Rows that were left out because they could not be read.
    pub fn dropped_rows(&self) -> u64 {
        self.dropped_rows
    }

    /// The share of the file that has been read, from 0 to 1.
    pub fn progress(&self) -> f64 {
        match &self.rows {
            Rows::Generated(generator) => generator.progress(),
            Rows::Sessions(sessions) => sessions.progress(),
            _ => self.progress.share(),
        }
    }

    /// Whether rows may come in another order than that of arrival.
    pub fn is_unordered(&self) -> bool {
        let is_log = matches!(
            self.format,
            Format::NginxCombined
                | Format::NginxJson
                | Format::EnvoyJson
                | Format::EnvoyText
                | Format::AiPerf
                | Format::Otel
                | Format::TraceLab
                | Format::Weka
                | Format::Json
        );
        let has_sessions =
            || self.rows.mapper().is_some_and(|mapper| mapper.has(Role::Delay) || mapper.has(Role::Done));
        is_log || self.options.sort || has_sessions()
    }

    /// An account of how the file was understood, as far as it was read.
    pub fn understanding(&self) -> Understanding {
        let is_model = self.with_tokens > 0;
        let service = match self.context.inference.0 {
            _ if is_model => ServiceSeen::LanguageModel,
            rows if rows * 2 > self.requests && rows > 0 => ServiceSeen::WithoutTokens,
            _ => ServiceSeen::Other,
        };
        let mapper = self.rows.mapper();
        let (time, [fields, unused], mut assumed) = match (mapper, self.rows.account()) {
            (Some(mapper), _) => (mapper.time().to_owned(), mapper.uses(), mapper.assumed().to_vec()),
            (None, Some(account)) => {
                (account.time.to_owned(), [account.fields.clone(), Vec::new()], account.assumed.clone())
            }
            (None, None) => (self.own_time().to_owned(), [Vec::new(), Vec::new()], Vec::new()),
        };
        let has = |role: Role| match (mapper, self.rows.account()) {
            (Some(mapper), _) => Some(mapper.has(role)),
            (None, Some(account)) if !account.fields.is_empty() => Some(account.has(role.meaning())),
            _ => None,
        };
        assumed.extend(missing(has, is_model).into_iter().map(str::to_owned));
        Understanding {
            format: self.format,
            wrapper: if let Rows::Lines(_, lines) = &self.rows { lines.wrapper() } else { None },
            time,
            service,
            requests: self.requests,
            fields,
            assumed,
            unused,
            left_out: self.context.left_out(),
            bad_rows: self.bad_rows.clone(),
        }
    }

    fn own_time(&self) -> &'static str {
        match self.format {
            Format::ServeGen => "seconds from the windows' own zero, drawn by seed",
            _ => "nanoseconds since 1970, by the format",
        }
    }

    /// Requests to paths of language models, and one of these paths.
    pub(crate) fn inference(&self) -> (u64, &str) {
        (self.context.inference.0, &self.context.inference.1)
    }

    /// Counts requests that were left out after they were read.
    pub(crate) fn leave_out(&mut self, reason: Reason, count: u64) {
        self.context.count_all(reason, count);
        self.requests -= count;
    }

    /// Stops leaving out what is beyond the options' start and end.
    pub(crate) fn keep_all_times(&mut self) {
        self.options.start_s = 0.0;
        self.options.end_s = f64::INFINITY;
    }

    /// How many requests are to be expected, where that is known beforehand.
    pub(crate) fn expected_requests(&self) -> Option<f64> {
        if let Rows::Generated(generator) = &self.rows { Some(generator.expected_requests()) } else { None }
    }

    /// Counts a bad row, or fails when there are too many.
    fn drop_row(&mut self, line: u64, fault: Fault) -> Result<(), DataError> {
        self.dropped_rows += 1;
        let Fault { field, found, expected } = fault;
        let first =
            BadRow { file: self.path.clone(), line, field: field.into_owned(), found, expected: expected.into_owned() };
        if self.dropped_rows <= self.options.max_bad_rows {
            BadRows::count(&mut self.bad_rows, first);
            return Ok(());
        }
        Err(DataError::BadRows { allowed: self.options.max_bad_rows, first: Box::new(first) })
    }

    /// The next request within the options' limits.
    fn advance(&mut self) -> Result<Option<Request>, DataError> {
        loop {
            let line = match self.rows.read(&mut self.row, &mut self.context)? {
                Outcome::Good => self.rows.line(),
                Outcome::Bad { line, fault } => {
                    self.drop_row(line, fault)?;
                    continue;
                }
                Outcome::End if self.origin_ns.is_none() => return Err(self.nothing()),
                Outcome::End => return Ok(None),
            };
            if self.row.is_left_out {
                continue;
            }
            let arrival_ns = self.row.arrival_ns;
            if arrival_ns < self.latest_ns && !self.is_unordered() {
                let fault = backwards(self.latest_ns, arrival_ns);
                self.drop_row(line, fault)?;
                continue;
            }
            self.latest_ns = self.latest_ns.max(arrival_ns);
            let origin_ns = *self.origin_ns.get_or_insert(arrival_ns);
            let since_origin_s = difference_s(arrival_ns, origin_ns);
            if since_origin_s >= self.options.end_s {
                if self.is_unordered() {
                    continue;
                }
                return Ok(None);
            }
            let arrival_s = since_origin_s - self.options.start_s;
            if self.options.start_s > 0.0 && arrival_s < 0.0 {
                continue;
            }
            if self.options.rate_scale < 1.0 && random::uniform(&mut self.thinning) >= self.options.rate_scale {
                continue;
            }
            return Ok(Some(Request { arrival_s, ..self.row.request }));
        }
    }

    /// There is no request in the file: every row was left out, or there is none.
    fn nothing(&self) -> DataError {
        let left_out = self.context.left_out();
        match left_out.iter().max_by_key(|left_out| left_out.rows) {
            Some(most) => DataError::AllLeftOut {
                path: self.path.clone().into(),
                rows: left_out.iter().map(|left_out| left_out.rows).sum(),
                sample: most.sample.clone(),
            },
            None => self.rows.empty(&self.path),
        }
    }
}

impl Iterator for TraceStream {
    type Item = Result<Request, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let result = if let Rows::Generated(generator) = &mut self.rows {
            generator.next().map(Ok)
        } else {
            self.advance().transpose()
        };
        match &result {
            Some(Ok(request)) => {
                self.requests += 1;
                self.with_tokens += u64::from(request.prompt_tokens > 0 || request.output_tokens > 0);
            }
            _ => self.finished = true,
        }
        result
    }
}

fn ready((requests, account): bench::Results) -> Rows {
    Rows::Ready(requests.into_iter(), account)
}

/// What a file lacks, and what stands for it. `has` says whether a field was there, where that is known.
fn missing(has: impl Fn(Role) -> Option<bool>, is_model: bool) -> Vec<&'static str> {
    let lacks = |role: Role| has(role) == Some(false);
    let mut missing = Vec::new();
    if lacks(Role::Upstream) {
        missing.push("no field names the host that answered: the hosts' speeds cannot be told from this file");
    }
    if lacks(Role::Service) && lacks(Role::Took) {
        missing.push("no response times: the simulator's own model of a host stands for them");
    }
    if is_model && lacks(Role::FirstByte) {
        missing.push("no times to the first byte");
    }
    if is_model && lacks(Role::Blocks) {
        missing.push("no prefix blocks: prompts are taken to share nothing");
    }
    missing
}

fn backwards(latest_ns: i64, arrival_ns: i64) -> Fault {
    let back_s = difference_s(latest_ns, arrival_ns);
    Fault {
        field: "arrival".into(),
        found: format!("a time {back_s} s before the row before it"),
        expected: "rows in order of arrival: sort the file, or load it with --sort".into(),
    }
}

/// Nanoseconds in seconds, to the last digit that these have.
pub(crate) fn seconds(time_ns: i64) -> f64 {
    time_ns.div_euclid(1_000_000_000) as f64 + time_ns.rem_euclid(1_000_000_000) as f64 / 1e9
}

/// The difference of two times in seconds.
pub(crate) fn difference_s(later_ns: i64, earlier_ns: i64) -> f64 {
    (i128::from(later_ns) - i128::from(earlier_ns)) as f64 / 1e9
}
