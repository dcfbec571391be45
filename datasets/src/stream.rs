//! Reading a trace request by request.

use crate::formats::servegen::ServeGen;
use crate::formats::sniff::{Sniffed, delimiter, sniff};
use crate::formats::{azure, burstgpt, columns::Columns, envoy, mooncake, nginx_combined, nginx_json};
use crate::input::{Input, LineReader};
use crate::row::{Fault, LineParser, RecordParser, Row, Upstreams};
use crate::{BadRow, DataError, Format, LoadOptions, Request, random};
use std::path::Path;

/// Times before this many seconds cannot be meant since 1970: they count from the source's zero.
const EPOCH_S_MIN: i64 = 100_000_000;

/// Opens a trace to be read request by request, in memory that does not grow with the file.
///
/// The format is recognised by content when `None`. Requests come in the file's order, which for
/// access logs is that of completion; their arrivals count from the file's first row (plus
/// [`LoadOptions::start_s`]), so that in access logs some may be negative.
/// [`load_trace`](crate::load_trace) sorts them.
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
    upstreams: Upstreams,
    thinning: random::Pcg64Mcg,
    origin_ns: Option<i64>,
    latest_ns: i64,
    dropped_rows: u64,
    finished: bool,
}

/// Where rows come from.
enum Rows {
    Lines(LineReader, Box<dyn LineParser>),
    Records { reader: csv::Reader<Input>, record: csv::ByteRecord, parser: Box<dyn RecordParser>, kind: &'static str },
    Generated(Box<ServeGen>),
}

/// What came of trying to read a row.
enum Outcome {
    Good,
    Bad { line: u64, fault: Fault },
    End,
}

impl TraceStream {
    fn open(path: &Path, format: Option<Format>, options: &LoadOptions) -> Result<Self, DataError> {
        let input = Input::open(path)?;
        let format = settle(&input, format, options)?;
        options.check(format)?;
        let mut dropped_rows = 0;
        let lines = |input, parser| Rows::Lines(LineReader::new(input), parser);
        let rows = match format {
            Format::Mooncake => lines(input, Box::new(mooncake::Mooncake)),
            Format::NginxCombined => lines(input, Box::<nginx_combined::NginxCombined>::default()),
            Format::NginxJson => lines(input, Box::new(nginx_json::NginxJson)),
            Format::EnvoyJson => lines(input, Box::new(envoy::EnvoyJson)),
            Format::ServeGen => {
                let generator = ServeGen::open(path, options)?;
                dropped_rows = generator.dropped_rows();
                Rows::Generated(Box::new(generator))
            }
            Format::Azure | Format::BurstGpt | Format::Csv | Format::Series => records(input, format, options)?,
        };
        Ok(Self {
            rows,
            format,
            options: options.clone(),
            path: path.display().to_string(),
            row: Row::new(),
            upstreams: Upstreams::default(),
            thinning: random::generator(options.seed, 2),
            origin_ns: None,
            latest_ns: i64::MIN,
            dropped_rows,
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
        if self.format == Format::Mooncake { mooncake::BLOCK_TOKENS } else { 0 }
    }

    /// The upstream hosts seen so far.
    pub fn upstreams(&self) -> &[String] {
        &self.upstreams.names
    }

    /// Rows that were left out because they could not be read.
    pub fn dropped_rows(&self) -> u64 {
        self.dropped_rows
    }

    /// Whether rows may come in another order than that of arrival.
    pub fn is_unordered(&self) -> bool {
        let is_log = matches!(self.format, Format::NginxCombined | Format::NginxJson | Format::EnvoyJson);
        is_log || self.options.sort
    }

    /// Stops leaving out what is beyond the options' start and end.
    pub(crate) fn keep_all_times(&mut self) {
        self.options.start_s = 0.0;
        self.options.end_s = f64::INFINITY;
    }

    /// Counts a bad row, or fails when there are too many.
    fn drop_row(&mut self, line: u64, fault: Fault) -> Result<(), DataError> {
        self.dropped_rows += 1;
        if self.dropped_rows <= self.options.max_bad_rows {
            return Ok(());
        }
        let Fault { field, found, expected } = fault;
        let first =
            BadRow { file: self.path.clone(), line, field: field.into_owned(), found, expected: expected.into_owned() };
        Err(DataError::BadRows { allowed: self.options.max_bad_rows, first: Box::new(first) })
    }

    /// The next request within the options' limits.
    fn advance(&mut self) -> Result<Option<Request>, DataError> {
        loop {
            let line = match self.rows.read(&mut self.row, &mut self.upstreams)? {
                Outcome::Good => self.rows.line(),
                Outcome::Bad { line, fault } => {
                    self.drop_row(line, fault)?;
                    continue;
                }
                Outcome::End if self.origin_ns.is_none() => return Err(self.rows.empty(&self.path)),
                Outcome::End => return Ok(None),
            };
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
}

impl Iterator for TraceStream {
    type Item = Result<Request, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        if let Rows::Generated(generator) = &mut self.rows {
            return generator.next().map(Ok);
        }
        let result = self.advance().transpose();
        self.finished = !matches!(result, Some(Ok(_)));
        result
    }
}

impl Rows {
    /// Reads one row into `row`; errors are those of the file, not of the row.
    fn read(&mut self, row: &mut Row, upstreams: &mut Upstreams) -> Result<Outcome, DataError> {
        row.clear();
        let fault = match self {
            Self::Lines(reader, parser) => loop {
                match reader.next_line() {
                    None => return Ok(Outcome::End),
                    Some(line) => {
                        let line = line?;
                        if !line.trim_ascii_start().is_empty() {
                            break parser.parse(line, row, upstreams).err();
                        }
                    }
                }
            },
            Self::Records { reader, record, parser, kind } => match reader.read_byte_record(record) {
                Ok(false) => return Ok(Outcome::End),
                Ok(true) => parser.parse(record, row, upstreams).err(),
                Err(error) => return Err(csv_failure(reader, kind, error)),
            },
            Self::Generated(_) => None,
        };
        Ok(fault.map_or(Outcome::Good, |fault| Outcome::Bad { line: self.line(), fault }))
    }

    /// Line of the row read last.
    fn line(&self) -> u64 {
        match self {
            Self::Lines(reader, _) => reader.line(),
            Self::Records { record, .. } => record.position().map_or(0, csv::Position::line),
            Self::Generated(_) => 0,
        }
    }

    fn empty(&self, path: &str) -> DataError {
        let what = match self {
            Self::Lines(..) => "usable lines",
            Self::Records { .. } => "usable rows after its header",
            Self::Generated(_) => "requests",
        };
        DataError::Empty { path: path.into(), what }
    }
}

/// The format to read: the one asked for if the content does not contradict it, else the one
/// that the content looks like.
fn settle(input: &Input, asked: Option<Format>, options: &LoadOptions) -> Result<Format, DataError> {
    let Sniffed { format: looks_like, found } = sniff(input.head());
    let path = || input.path().to_owned();
    let is_csv = |format| matches!(format, Format::Azure | Format::BurstGpt | Format::Series | Format::Csv);
    let asked = asked.or(options.columns.is_some().then_some(Format::Csv));
    match (asked, looks_like) {
        (None, None) => Err(DataError::UnknownFormat { path: path(), found }),
        (None, Some(Format::Series)) | (Some(Format::Series), _) => Err(DataError::NotATrace { path: path(), found }),
        (None, Some(format)) => Ok(format),
        (Some(Format::Csv), None | Some(_)) if looks_like.is_none_or(is_csv) => match options.columns {
            Some(_) => Ok(Format::Csv),
            None => Err(DataError::Option {
                option: "columns",
                found: "none".to_owned(),
                expected: "arrival=COLUMN,… with the format csv, which has no columns of its own",
            }),
        },
        (Some(asked), Some(format)) if asked != format => Err(DataError::WrongFormat {
            path: path(),
            asked,
            found,
            advice: match format {
                Format::Series => "it looks like a rate series: give it as --series".to_owned(),
                format => format!("it looks like `{format}`: use --format {format}, or leave --format out"),
            },
        }),
        (Some(asked), None) if input.head().contains(&0) => Err(DataError::WrongFormat {
            path: path(),
            asked,
            found,
            advice: "is it compressed by something other than gzip and zstd? Unpack it first".to_owned(),
        }),
        (Some(asked), _) => Ok(asked),
    }
}

/// A reader of CSV records behind their header.
pub(crate) fn csv_reader(input: Input) -> csv::Reader<Input> {
    let first = input.head().split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    let delimiter = delimiter(first.unwrap_or_default());
    csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(input)
}

/// A failure of the CSV reader: since rows may be of any length and content, it is the file's.
pub(crate) fn csv_failure(reader: &csv::Reader<Input>, kind: &'static str, error: csv::Error) -> DataError {
    let lines = reader.position().line().saturating_sub(1);
    let source = match error.into_kind() {
        csv::ErrorKind::Io(source) => source,
        other => std::io::Error::other(format!("{other:?}")),
    };
    crate::input::read_failure(reader.get_ref().path(), kind, lines, source)
}

fn records(input: Input, format: Format, options: &LoadOptions) -> Result<Rows, DataError> {
    let kind = input.kind();
    let mut reader = csv_reader(input);
    let mut header = csv::ByteRecord::new();
    reader.read_byte_record(&mut header).map_err(|error| csv_failure(&reader, kind, error))?;
    let map = match (format, &options.columns) {
        (Format::Azure, _) => azure::columns(),
        (Format::BurstGpt, _) => burstgpt::columns(&header),
        (_, columns) => columns.clone().unwrap_or_default(),
    };
    let parser = Box::new(Columns::new(&map, &header, reader.get_ref(), format)?);
    Ok(Rows::Records { reader, record: header, parser, kind })
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
