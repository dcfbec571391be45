//! Rate series: CSV of a time and one or several values.
//!
//! The time is the column that holds dates or, failing that, times since 1970 or numbers under a
//! name of a time. Columns of numbers are values, columns of text are labels; a column called
//! `isMissing` or `missing` says by 1 that the row's values are to be ignored. The step is the
//! median distance of two rows; every row goes to the nearest point of that grid, rows that share
//! one are averaged, rows that differ in their labels are added up, and points without a row
//! become gaps. Rates are read as rates per second where their unit is known.

mod grid;
mod layout;
pub(super) mod quantity;
mod table;

use super::moment;
use super::sniff::{Sniffed, delimiter, is_missing, sniff};
use crate::input::date::DayOrder;
use crate::input::{Input, Records, number};
use crate::row::Fault;
use crate::{BadRow, BadRows, DataError, Format, LoadOptions, Series, SeriesReport};
use csv::ByteRecord;
use std::path::Path;
use table::Table;

/// Rows that are looked at to tell the columns.
const SAMPLE_ROWS: usize = 2000;
/// Lines before the header, such as `CloudWatch`'s.
const PREAMBLE_LINES_MAX: usize = 20;

pub(crate) fn load(path: &Path, options: &LoadOptions) -> Result<(Vec<Series>, SeriesReport), DataError> {
    options.check(Format::Series)?;
    let input = Input::open(path)?;
    let Sniffed { format, found } = sniff(input.head());
    if let Some(format) = format.filter(|&format| format != Format::Series && options.columns.is_none()) {
        return Err(DataError::WrongFormat {
            path: path.to_owned(),
            asked: Format::Series,
            found,
            advice: format!("it looks like `{format}`, which is a trace of requests: give it as --trace"),
        });
    }
    let mut report = SeriesReport::default();
    let mut table = read(input, options, &mut report)?;
    if table.infinite > 0 {
        report.notes.push(format!("{} infinite values are taken as missing", table.infinite));
    }
    if let Err((row, back_s)) = table.order(options.sort, &mut report.notes) {
        let advice = if table.has_local_dates() && (1500.0..3600.0).contains(&back_s) {
            "rows in order of time: if the clocks went back here, name the zone, as in --time-zone Europe/Berlin"
        } else {
            "rows in order of time: sort the file, or load it with --sort"
        };
        let first = BadRow {
            file: path.display().to_string(),
            line: table.lines.get(row).copied().unwrap_or(0),
            field: "time".to_owned(),
            found: format!("a time {back_s} s before the row before it"),
            expected: advice.to_owned(),
        };
        return Err(DataError::BadRows { allowed: options.max_bad_rows, first: Box::new(first) });
    }
    if table.has_local_dates() {
        missing_hour(&table, path, &mut report)?;
    }
    grid::series(&table, report, path, options)
}

/// Refuses or reports an hour that is missing where clocks go forward.
fn missing_hour(table: &Table, path: &Path, report: &mut SeriesReport) -> Result<(), DataError> {
    const HOUR_NS: i64 = 3600 * 1_000_000_000;
    let mut steps: Vec<i64> =
        table.times_ns.windows(2).map(|pair| pair[1] - pair[0]).filter(|&step| step > 0).collect();
    if steps.is_empty() {
        return Ok(());
    }
    let middle = steps.len() / 2;
    let step_ns = *steps.select_nth_unstable(middle).1;
    let holes = table.times_ns.windows(2).filter(|pair| pair[1] - pair[0] > step_ns + step_ns / 2);
    let holes: Vec<i64> =
        holes.map(|pair| if pair[1] - pair[0] == step_ns + HOUR_NS { pair[1] } else { i64::MIN }).collect();
    // A Sunday, and the hour before is one of the night's: 1970 began on a Thursday.
    let is_change = |&after_ns: &i64| {
        let day = after_ns.div_euclid(24 * HOUR_NS);
        let hour = after_ns.rem_euclid(24 * HOUR_NS) / HOUR_NS;
        after_ns != i64::MIN && (day + 4).rem_euclid(7) == 0 && (1..=4).contains(&hour)
    };
    let Some(&after_ns) = holes.iter().find(|after_ns| is_change(after_ns)) else { return Ok(()) };
    let when = crate::input::time::utc(after_ns as f64 / 1e9);
    let found = format!("the hour before {} is missing, as where clocks go forward", when.trim_end_matches(" UTC"));
    if step_ns * 2 <= HOUR_NS && holes.iter().all(is_change) {
        return Err(DataError::Unit {
            path: path.to_owned(),
            field: "time".to_owned(),
            found,
            advice:
                "name the zone, as in --time-zone Europe/Berlin, or say --time-zone UTC if the rows are really missing"
                    .to_owned(),
        });
    }
    report.notes.push(format!("{found}; if the times are local, name the zone with --time-zone"));
    Ok(())
}

/// Where a file's rows begin.
struct Start {
    delimiter: u8,
    /// Lines before the header, or before the first row where there is none.
    skipped: u64,
    has_header: bool,
    /// What a line before the header calls the values.
    label: Option<String>,
}

fn start(head: &[u8], is_named: bool) -> Start {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let lines: Vec<&[u8]> =
        head.split(|&byte| byte == b'\n').take(PREAMBLE_LINES_MAX + 1).map(<[u8]>::trim_ascii).collect();
    let stated = lines.iter().find(|line| !line.is_empty()).and_then(|line| line.strip_prefix(b"sep="));
    let stated = stated.and_then(|rest| rest.first().copied());
    let first = lines.iter().position(|line| !line.is_empty() && !line.starts_with(b"sep=")).unwrap_or(0);
    let delimiter = stated.unwrap_or_else(|| delimiter(lines.get(first).copied().unwrap_or_default()));
    let is_row = |line: &[u8]| {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(line);
        let Some(Ok(record)) = reader.byte_records().next() else { return false };
        let kind = |field: &[u8]| {
            let field = field.trim_ascii();
            let is_date = moment::written(field, DayOrder::DayFirst).or(moment::written(field, DayOrder::MonthFirst));
            match is_date {
                Some(_) => 'd',
                None if is_missing(field) || layout::is_infinite(field) || quantity::looks_like_number(field) => 'n',
                None => 't',
            }
        };
        let kinds: Vec<char> = record.iter().map(kind).collect();
        let count = |kind: char| kinds.iter().filter(|&&found| found == kind).count();
        record.len() >= 2
            && (count('d') >= 1 && count('n') >= 1
                || number::float(record[0].trim_ascii()).is_some() && count('n') >= 2)
    };
    let row = (first..lines.len()).find(|&index| is_row(lines[index]));
    let (skipped, has_header) = match row {
        _ if is_named => (first, true),
        Some(row) if row > first => {
            let header = (first..row).rev().find(|&index| !lines[index].is_empty()).unwrap_or(first);
            (header, true)
        }
        Some(row) => (row, false),
        None => (first, true),
    };
    let label = lines[..skipped].iter().find_map(|line| line.strip_prefix(b"Label,"));
    let label = label.map(|label| String::from_utf8_lossy(label).trim_matches('"').to_owned());
    Start { delimiter, skipped: skipped as u64, has_header, label }
}

fn read(input: Input, options: &LoadOptions, report: &mut SeriesReport) -> Result<Table, DataError> {
    let path = input.path().to_owned();
    let start = start(input.head(), options.columns.as_ref().is_some_and(|map| !map.arrival.is_empty()));
    let mut records = Records::new(input, start.delimiter, start.skipped);
    let header = if start.has_header { records.next_record()?.cloned() } else { None };
    let mut sample: Vec<ByteRecord> = Vec::new();
    let mut lines = Vec::new();
    while sample.len() < SAMPLE_ROWS {
        let Some(record) = records.next_record()?.cloned() else { break };
        lines.push(records.line());
        sample.push(record);
    }
    if sample.is_empty() {
        return Err(DataError::Empty { path, what: "rows after its header" });
    }
    let mut layout = layout::layout(header.as_ref(), &sample, start.delimiter, options, &path)?;
    if let (Some(label), [(_, name)]) = (start.label, &mut layout.values[..])
        && name.eq_ignore_ascii_case("value")
    {
        *name = label;
    }
    report.notes.append(&mut layout.notes);
    let mut table = Table::new(layout, options)?;
    let mut take = |record: &ByteRecord, line: u64| {
        match table.push(record) {
            Ok(()) => table.lines.push(line),
            Err(fault) => {
                report.dropped_rows += 1;
                let Fault { field, found, expected } = fault;
                let file = path.display().to_string();
                let first = BadRow { file, line, field: field.into(), found, expected: expected.into() };
                if report.dropped_rows > options.max_bad_rows {
                    return Err(DataError::BadRows { allowed: options.max_bad_rows, first: Box::new(first) });
                }
                BadRows::count(&mut report.bad_rows, first);
            }
        }
        Ok(())
    };
    for (record, line) in sample.iter().zip(lines) {
        take(record, line)?;
    }
    drop(sample);
    while let Some(record) = records.next_record()?.cloned() {
        take(&record, records.line())?;
    }
    if table.times_ns.is_empty() {
        return Err(DataError::Empty { path, what: "usable rows after its header" });
    }
    Ok(table)
}
