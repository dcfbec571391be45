//! Rate series: CSV of a time and one or several values.
//!
//! The time is the first column (or the one that a [`ColumnMap`] names): ISO 8601, or a number of
//! seconds, since 1970 or since any other zero. All other columns that hold numbers are values,
//! except one called `isMissing` or `missing`, whose 1 says that the row's values are to be
//! ignored. The step is the median distance of two rows; every row goes to the nearest point of
//! that grid, rows that share one are averaged, and points without a row become gaps.

use super::columns::time_ns;
use super::sniff::{Sniffed, is_missing, sniff};
use crate::input::{Input, number, stem};
use crate::row::{Fault, TIME};
use crate::series::gaps_of;
use crate::stream::{csv_failure, csv_reader, difference_s, seconds};
use crate::{BadRow, ColumnMap, DataError, Format, LoadOptions, Series, SeriesReport};
use csv::ByteRecord;
use std::path::Path;

/// Rows whose distance from the grid exceeds this share of the step are irregular.
const OFF_GRID: f64 = 0.01;
/// Above this share of rows far from the grid there is no constant step.
const FAR_ROWS_MAX: f64 = 0.1;
/// Points of the grid a row may stand for, before the step is called wrong.
const POINTS_PER_ROW_MAX: f64 = 1000.0;

/// The file as it was read: times, and a column of values a series.
#[derive(Default)]
struct Table {
    times_ns: Vec<i64>,
    /// Row-major: one value a column.
    values: Vec<f32>,
    names: Vec<String>,
    dropped_rows: u64,
}

/// Which columns hold what.
struct Layout {
    time: usize,
    unit_ns: i64,
    values: Vec<(usize, String)>,
    missing: Option<usize>,
}

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
    let mut table = read(input, options)?;
    if !table.times_ns.is_sorted() {
        sort(&mut table);
    }
    let step_ns = step_ns(&table.times_ns).ok_or_else(|| DataError::Empty {
        path: path.to_owned(),
        what: "two rows of different times, from which to tell the step",
    })?;
    grid(&table, step_ns, path, options)
}

fn read(input: Input, options: &LoadOptions) -> Result<Table, DataError> {
    let kind = input.kind();
    let path = input.path().to_owned();
    let mut reader = csv_reader(input);
    let mut record = ByteRecord::new();
    let fail = |reader: &csv::Reader<Input>, error| csv_failure(reader, kind, error);
    reader.read_byte_record(&mut record).map_err(|error| fail(&reader, error))?;
    let header = record.clone();
    let is_headless = options.columns.is_none() && header.get(0).is_some_and(|field| time_ns(field, 1).is_some());
    let mut is_left = is_headless || reader.read_byte_record(&mut record).map_err(|error| fail(&reader, error))?;
    if !is_left {
        return Err(DataError::Empty { path, what: "rows after its header" });
    }
    let layout = layout(&header, is_headless, &record, options.columns.as_ref(), &path)?;
    let mut table = Table { names: layout.values.iter().map(|(_, name)| name.clone()).collect(), ..Table::default() };
    while is_left {
        if let Err(fault) = push(&mut table, &layout, &record, options.sort) {
            table.dropped_rows += 1;
            if table.dropped_rows > options.max_bad_rows {
                let line = record.position().map_or(0, csv::Position::line);
                let Fault { field, found, expected } = fault;
                let file = path.display().to_string();
                let first = BadRow { file, line, field: field.into(), found, expected: expected.into() };
                return Err(DataError::BadRows { allowed: options.max_bad_rows, first: Box::new(first) });
            }
        }
        is_left = reader.read_byte_record(&mut record).map_err(|error| fail(&reader, error))?;
    }
    Ok(table)
}

/// Decides which columns hold what, by the map or else by the header and the first row.
fn layout(
    header: &ByteRecord,
    is_headless: bool,
    first: &ByteRecord,
    map: Option<&ColumnMap>,
    path: &Path,
) -> Result<Layout, DataError> {
    let text = |field: &[u8]| String::from_utf8_lossy(field.trim_ascii()).into_owned();
    let wrong = |found: String, advice: &str| DataError::WrongFormat {
        path: path.to_owned(),
        asked: Format::Series,
        found,
        advice: advice.to_owned(),
    };
    let find = |name: &str| {
        header.iter().position(|field| text(field).eq_ignore_ascii_case(name)).ok_or_else(|| {
            let names: Vec<_> = header.iter().map(text).collect();
            wrong(format!("there is no column `{name}`, the columns are {}", names.join(", ")), "name one of these")
        })
    };
    let time = map.map_or(Ok(0), |map| find(&map.arrival))?;
    let missing = match map.and_then(|map| map.missing.as_deref()) {
        Some(name) => Some(find(name)?),
        None => find("isMissing").or_else(|_| find("missing")).ok(),
    };
    let values = match map {
        Some(map) if !map.values.is_empty() => {
            map.values.iter().map(|name| Ok((find(name)?, name.clone()))).collect::<Result<Vec<_>, DataError>>()?
        }
        _ => {
            let is_value = |&(index, field): &(usize, &[u8])| {
                index != time && Some(index) != missing && (is_missing(field) || number::float(field).is_some())
            };
            let name = |index: usize| if is_headless { format!("value{index}") } else { text(&header[index]) };
            let columns = first.iter().enumerate().filter(is_value).filter(|&(index, _)| index < header.len());
            columns.map(|(index, _)| (index, name(index))).collect()
        }
    };
    if values.is_empty() {
        let found = format!("its first row is {}", first.iter().map(text).collect::<Vec<_>>().join(","));
        return Err(wrong(found, "a rate series is a CSV of a time and one or several numbers"));
    }
    let unit_ns = map.map_or(1_000_000_000, |map| map.unit.nanoseconds());
    Ok(Layout { time, unit_ns, values, missing })
}

/// Appends one row.
fn push(table: &mut Table, layout: &Layout, record: &ByteRecord, sort: bool) -> Result<(), Fault> {
    let field = |index: usize| {
        record.get(index).ok_or_else(|| Fault {
            field: format!("column {}", index + 1).into(),
            found: format!("{} columns", record.len()),
            expected: format!("at least {}", index + 1).into(),
        })
    };
    let time = field(layout.time)?;
    let time_ns = time_ns(time, layout.unit_ns).ok_or_else(|| Fault::new("time", time, TIME))?;
    if let Some(&before_ns) = table.times_ns.last().filter(|&&before_ns| time_ns < before_ns && !sort) {
        return Err(Fault {
            field: "time".into(),
            found: format!("a time {} s before the row before it", difference_s(before_ns, time_ns)),
            expected: "rows in order of time: sort the file, or load it with --sort".into(),
        });
    }
    let is_ignored = match layout.missing {
        Some(index) => number::float(field(index)?).is_some_and(|mark| mark != 0.0),
        None => false,
    };
    let begin = table.values.len();
    for (index, name) in &layout.values {
        let value = field(*index).and_then(|field| match number::float(field).filter(|&value| value >= 0.0) {
            _ if is_missing(field) || is_ignored => Ok(f32::NAN),
            Some(value) => Ok(value as f32),
            None => Err(Fault::new(name.clone(), field, "a number, at least 0, or nothing where missing")),
        });
        match value {
            Ok(value) => table.values.push(value),
            Err(fault) => {
                table.values.truncate(begin);
                return Err(fault);
            }
        }
    }
    table.times_ns.push(time_ns);
    Ok(())
}

/// Sorts the rows by time, equal ones in the file's order.
fn sort(table: &mut Table) {
    let width = table.names.len();
    let mut order: Vec<usize> = (0..table.times_ns.len()).collect();
    order.sort_by_key(|&row| table.times_ns[row]);
    table.values = order.iter().flat_map(|&row| &table.values[row * width..(row + 1) * width]).copied().collect();
    table.times_ns.sort_unstable();
}

/// The median distance of rows of different times.
fn step_ns(times_ns: &[i64]) -> Option<i64> {
    let steps = times_ns.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    let mut steps: Vec<i64> = steps.filter(|&step_ns| step_ns > 0).collect();
    let middle = steps.len() / 2;
    (!steps.is_empty()).then(|| *steps.select_nth_unstable(middle).1)
}

/// Puts the rows on the grid.
fn grid(
    table: &Table,
    step_ns: i64,
    path: &Path,
    options: &LoadOptions,
) -> Result<(Vec<Series>, SeriesReport), DataError> {
    let rows = table.times_ns.len();
    let width = table.names.len();
    let origin_ns = table.times_ns[0];
    let point = |time_ns: i64| difference_s(time_ns, origin_ns) / (seconds(step_ns));
    let far = table.times_ns.iter().filter(|&&time_ns| (point(time_ns) - point(time_ns).round()).abs() > 0.25).count();
    let points = point(table.times_ns[rows - 1]).round() + 1.0;
    let irregular = |found: String| DataError::NoStep { path: path.to_owned(), step_s: seconds(step_ns), found };
    if far as f64 > FAR_ROWS_MAX * rows as f64 {
        return Err(irregular(format!("{far} of {rows} rows are far from a multiple of it")));
    }
    if points > POINTS_PER_ROW_MAX * rows as f64 {
        return Err(irregular(format!("{points} steps would hold only {rows} rows")));
    }
    let points = points as usize;
    let mut sums = vec![0.0_f64; points * width];
    let mut counts = vec![0_u32; points * width];
    let mut report = SeriesReport { rows: rows as u64, dropped_rows: table.dropped_rows, ..SeriesReport::default() };
    for (row, &time_ns) in table.times_ns.iter().enumerate() {
        let at = point(time_ns);
        report.irregular_rows += u64::from((at - at.round()).abs() > OFF_GRID);
        report.duplicate_rows += u64::from(row > 0 && point(table.times_ns[row - 1]).round() == at.round());
        for column in 0..width {
            let value = table.values[row * width + column];
            if !value.is_nan() {
                sums[at.round() as usize * width + column] += f64::from(value);
                counts[at.round() as usize * width + column] += 1;
            }
        }
    }
    let series = table.names.iter().enumerate().map(|(column, name)| {
        let value = |point: usize| match counts[point * width + column] {
            0 => f32::NAN,
            count => (sums[point * width + column] / f64::from(count)) as f32,
        };
        let values: Vec<f32> = (0..points).map(value).collect();
        let series = Series {
            name: if width == 1 { stem(path) } else { format!("{}/{name}", stem(path)) },
            start_epoch_s: seconds(origin_ns),
            step_s: seconds(step_ns),
            gaps: gaps_of(&values),
            values,
        };
        let begin = (options.start_s / series.step_s).ceil() as usize;
        series.slice(begin, (options.end_s / series.step_s).ceil() as usize)
    });
    let series: Vec<Series> = series.collect();
    report.missing = series.iter().map(|series| series.missing() as u64).sum();
    Ok((series, report))
}
