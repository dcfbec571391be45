//! Which columns of a series' file hold what, told by what stands in them, not by their place.

use super::quantity::{self, Marks};
use crate::formats::moment;
use crate::formats::profile::order_of;
use crate::formats::sniff::is_missing;
use crate::formats::units::unit_in_name;
use crate::input::date::DayOrder;
use crate::input::number;
use crate::{ColumnMap, DataError, Format, LoadOptions, TimeUnit};
use csv::ByteRecord;
use std::path::Path;

/// Share of a column's fields that must be of its kind.
const SHARE_MIN: f64 = 0.9;

/// Where the time of a row stands.
#[derive(Clone, Debug)]
pub(super) enum TimeAt {
    /// In one column.
    Column(usize),
    /// A date, or the number of a day, and the hour or time of the day.
    DayAndClock(usize, usize),
}

/// Which columns hold what.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) time: TimeAt,
    /// Nanoseconds in a unit of times that are numbers.
    pub(super) unit_ns: i64,
    pub(super) order: DayOrder,
    pub(super) has_dates: bool,
    pub(super) values: Vec<(usize, String)>,
    pub(super) labels: Vec<usize>,
    pub(super) missing: Option<usize>,
    pub(super) marks: Marks,
    /// What was found, in sentences.
    pub(super) notes: Vec<String>,
}

/// What the fields of a column are.
#[derive(Clone, Debug, Default)]
struct Column {
    name: String,
    present: usize,
    dates: usize,
    clocks: usize,
    plain: usize,
    numbers: usize,
    /// Plain numbers, in order.
    values: Vec<f64>,
    sample: String,
}

impl Column {
    fn of(index: usize, header: Option<&ByteRecord>, sample: &[ByteRecord]) -> Self {
        let name = match header {
            Some(header) => String::from_utf8_lossy(header.get(index).unwrap_or_default().trim_ascii()).into_owned(),
            None => format!("value{index}"),
        };
        let mut column = Self { name, ..Self::default() };
        for field in sample.iter().filter_map(|record| record.get(index)).map(<[u8]>::trim_ascii) {
            if is_missing(field) || is_infinite(field) {
                continue;
            }
            column.present += 1;
            if column.sample.is_empty() {
                column.sample = String::from_utf8_lossy(field).into_owned();
            }
            let is_date = moment::written(field, DayOrder::MonthFirst).or(moment::written(field, DayOrder::DayFirst));
            column.dates += usize::from(is_date.is_some());
            column.clocks += usize::from(clock_s(field).is_some());
            if let Some(value) = number::float(field) {
                column.plain += 1;
                column.values.push(value);
            }
            column.numbers += usize::from(is_date.is_none() && quantity::looks_like_number(field));
        }
        column
    }

    fn is(&self, count: usize) -> bool {
        count > 0 && count as f64 >= SHARE_MIN * self.present as f64
    }

    /// A row number, as tables are written with.
    fn is_index(&self, header: Option<&ByteRecord>) -> bool {
        let name = self.name.to_ascii_lowercase();
        let is_named =
            header.is_some() && (matches!(&*name, "" | "index" | "id" | "row" | "#") || name.starts_with("unnamed"));
        let counts = self.values.windows(2).all(|pair| pair[1] - pair[0] == 1.0);
        is_named
            && self.is(self.plain)
            && counts
            && self.values.first().is_some_and(|first| (0.0..=1.0).contains(first))
    }

    fn is_epoch(&self) -> bool {
        self.is(self.plain) && self.values.iter().all(|value| (1e8..1e19).contains(value))
    }

    fn is_named_time(&self) -> bool {
        const WORDS: [&str; 12] =
            ["time", "timestamp", "ts", "t", "date", "datetime", "zeit", "datum", "period", "bucket", "epoch", "heure"];
        let name = self.name.to_lowercase();
        name.split(|c: char| !c.is_alphanumeric()).any(|word| WORDS.contains(&word))
            || name.ends_with("time")
            || name.ends_with("timestamp")
    }

    fn is_named(&self, names: &[&str]) -> bool {
        names.contains(&&*self.name.to_lowercase())
    }

    fn is_label(&self) -> bool {
        const NAMES: [&str; 14] = [
            "instance",
            "host",
            "pod",
            "replica",
            "node",
            "job",
            "container",
            "region",
            "zone",
            "shard",
            "service",
            "model",
            "worker",
            "backend",
        ];
        self.present > 0 && !self.is(self.dates) && (!self.is(self.numbers) || self.is_named(&NAMES))
    }

    /// Whether rows are in order of this column, at one distance mostly.
    fn has_step(&self) -> bool {
        let steps: Vec<f64> = self.values.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.iter().all(|step| *step >= 0.0) || steps.iter().all(|step| *step <= 0.0)
    }
}

pub(super) fn is_infinite(field: &[u8]) -> bool {
    let field = field.trim_ascii().to_ascii_lowercase();
    matches!(field.strip_prefix(b"+").or(field.strip_prefix(b"-")).unwrap_or(&field), b"inf" | b"infinity")
}

/// Seconds since midnight of `16:00`, `16:00:00`, or an hour from 0 to 23.
pub(super) fn clock_s(field: &[u8]) -> Option<i64> {
    if let Some(hour) = number::float(field).filter(|hour| hour.fract() == 0.0 && (0.0..=24.0).contains(hour)) {
        return Some(hour as i64 * 3600);
    }
    let mut parts = field.splitn(3, |&byte| byte == b':');
    let [hour, minute] = [parts.next()?, parts.next()?].map(|part| number::digits(part.trim_ascii()));
    let second = parts.next().map_or(Some(0), |part| number::digits(part.split(|&byte| byte == b'.').next()?));
    let (hour, minute, second) = (hour?, minute?, second?);
    (hour < 24 && minute < 60 && second <= 60).then_some((hour * 3600 + minute * 60 + second) as i64)
}

/// Decides which columns hold what.
pub(super) fn layout(
    header: Option<&ByteRecord>,
    sample: &[ByteRecord],
    delimiter: u8,
    options: &LoadOptions,
    path: &Path,
) -> Result<Layout, DataError> {
    let width = sample.iter().map(ByteRecord::len).max().unwrap_or(0).max(header.map_or(0, ByteRecord::len));
    let columns: Vec<Column> = (0..width).map(|index| Column::of(index, header, sample)).collect();
    let map = options.columns.as_ref();
    let find = |name: &str| find(&columns, name, path);
    let mut notes = Vec::new();
    let time = match map.filter(|map| !map.arrival.is_empty()) {
        Some(map) => TimeAt::Column(find(&map.arrival)?),
        None => time_at(&columns, header).ok_or_else(|| no_time(&columns, path))?,
    };
    let (unit_ns, order, has_dates) = time_kind(&time, &columns, sample, options, path, &mut notes)?;
    let missing = match map.and_then(|map| map.missing.as_deref()) {
        Some(name) => Some(find(name)?),
        None => columns.iter().position(|column| column.is_named(&["ismissing", "missing"])),
    };
    let is_taken = |index: usize| {
        Some(index) == missing
            || match time {
                TimeAt::Column(time) => time == index,
                TimeAt::DayAndClock(day, clock) => day == index || clock == index,
            }
    };
    let free: Vec<usize> = (0..width).filter(|&index| !is_taken(index)).collect();
    let labels: Vec<usize> = free.iter().copied().filter(|&index| columns[index].is_label()).collect();
    let values = values(map, &columns, &free, header, &labels, path, &mut notes)?;
    let fields = sample.iter().flat_map(|record| values.iter().filter_map(|(index, _)| record.get(*index)));
    let marks = quantity::marks(fields.map(<[u8]>::trim_ascii), delimiter).ok_or_else(|| DataError::Unit {
        path: path.to_owned(),
        field: values[0].1.clone(),
        found: format!("`{}` may be a thousand and some, or one and some", columns[values[0].0].sample),
        advice:
            "write the file with points for decimals, or with semicolons between the columns where commas are decimals"
                .to_owned(),
    })?;
    if marks == Marks::Comma {
        notes.push("commas are decimal".to_owned());
    }
    Ok(Layout { time, unit_ns, order, has_dates, values, labels, missing, marks, notes })
}

fn find(columns: &[Column], name: &str, path: &Path) -> Result<usize, DataError> {
    columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        DataError::WrongFormat {
            path: path.to_owned(),
            asked: Format::Series,
            found: format!("there is no column `{name}`, the columns are {}", names.join(", ")),
            advice: "name one of these".to_owned(),
        }
    })
}

/// The column of the time: dates first, then times since 1970, then what is called a time, then
/// numbers in order in the first column.
fn time_at(columns: &[Column], header: Option<&ByteRecord>) -> Option<TimeAt> {
    let is_clock = |column: &Column| {
        let is_named = column.is_named(&["hour", "time", "stunde", "uhrzeit", "heure", "hour_of_day"]);
        column.is(column.clocks) && !column.is(column.dates) && (is_named || column.sample.contains(':'))
    };
    let clock = columns.iter().position(is_clock);
    let day = columns.iter().position(|column| column.is(column.dates));
    if let Some(day) = day {
        let has_clock = columns[day].sample.contains(':');
        return Some(match clock.filter(|_| !has_clock) {
            Some(clock) => TimeAt::DayAndClock(day, clock),
            None => TimeAt::Column(day),
        });
    }
    let is_day = |column: &Column| column.is_named(&["day", "tag", "jour"]) && column.is(column.plain);
    if let Some((day, clock)) = columns.iter().position(is_day).zip(clock) {
        return Some(TimeAt::DayAndClock(day, clock));
    }
    let candidates = || (0..columns.len()).filter(|&index| !columns[index].is_index(header));
    let is_plain = |index: usize| columns[index].is(columns[index].plain);
    let column = candidates()
        .find(|&index| columns[index].is_epoch() && columns[index].is_named_time())
        .or_else(|| candidates().find(|&index| is_plain(index) && columns[index].is_named_time()))
        .or_else(|| candidates().find(|&index| columns[index].is_epoch() && columns[index].has_step()))
        .or_else(|| {
            candidates()
                .next()
                .filter(|&index| index == 0 && header.is_none() && is_plain(index) && columns[index].has_step())
        });
    column.map(TimeAt::Column)
}

fn no_time(columns: &[Column], path: &Path) -> DataError {
    let shown: Vec<String> =
        columns.iter().take(12).map(|column| format!("`{}` (such as {})", column.name, column.sample)).collect();
    DataError::WrongFormat {
        path: path.to_owned(),
        asked: Format::Series,
        found: format!("no column is known for a time; the columns are {}", shown.join(", ")),
        advice: "name the column of the time with --columns time=COLUMN, and the unit of its numbers with --time-unit"
            .to_owned(),
    }
}

/// The unit or the order of the time's fields.
fn time_kind(
    time: &TimeAt,
    columns: &[Column],
    sample: &[ByteRecord],
    options: &LoadOptions,
    path: &Path,
    notes: &mut Vec<String>,
) -> Result<(i64, DayOrder, bool), DataError> {
    let (&index, clock) = match time {
        TimeAt::Column(index) => (index, None),
        TimeAt::DayAndClock(index, clock) => (index, Some(*clock)),
    };
    let column = &columns[index];
    let name = match clock {
        Some(clock) => format!("`{}` and `{}`", column.name, columns[clock].name),
        None => format!("`{}`", column.name),
    };
    if column.is(column.dates) || column.plain == 0 {
        let texts = sample.iter().filter_map(|record| record.get(index));
        let order = order_of(texts, &column.name, options, path)?;
        let is_named_utc = ["utc", "gmt"].iter().any(|zone| column.name.to_ascii_lowercase().contains(zone));
        let has_zone = is_named_utc && options.time_zone.is_none()
            || moment::written(column.sample.as_bytes(), order).is_some_and(|written| written.has_zone);
        let zone = match (&options.time_zone, has_zone) {
            (_, true) => "with their zone".to_owned(),
            (Some(zone), false) => format!("on the clock of {zone}"),
            (None, false) => "taken as UTC (--time-zone NAME says otherwise)".to_owned(),
        };
        notes.push(format!("time: {name}, dates such as {}, {zone}", column.sample));
        return Ok((TimeUnit::Seconds.nanoseconds(), order, !has_zone));
    }
    if clock.is_some() {
        notes.push(format!("time: {name}, days and hours from a zero of their own"));
        return Ok((TimeUnit::Seconds.nanoseconds(), DayOrder::default(), false));
    }
    let (unit, why) = if let Some(unit) = options.asked_time_unit() {
        (unit, "as the options say")
    } else if column.is_epoch() {
        let first = column.values.iter().copied().fold(f64::INFINITY, f64::min);
        let unit = match first {
            ..1e10 => TimeUnit::Seconds,
            1e10..1e13 => TimeUnit::Milliseconds,
            1e13..1e16 => TimeUnit::Microseconds,
            _ => TimeUnit::Nanoseconds,
        };
        (unit, "since 1970, by the size of the numbers")
    } else if let Some(unit) = unit_in_name(&column.name) {
        (unit, "as the column's name says")
    } else {
        (TimeUnit::Seconds, "assumed (--time-unit says otherwise)")
    };
    notes.push(format!("time: {name}, numbers such as {}, in {}, {why}", column.sample, unit.name()));
    Ok((unit.nanoseconds(), DayOrder::default(), false))
}

/// The columns of values.
fn values(
    map: Option<&ColumnMap>,
    columns: &[Column],
    free: &[usize],
    header: Option<&ByteRecord>,
    labels: &[usize],
    path: &Path,
    notes: &mut Vec<String>,
) -> Result<Vec<(usize, String)>, DataError> {
    if let Some(map) = map.filter(|map| !map.values.is_empty()) {
        return map.values.iter().map(|name| Ok((find(columns, name, path)?, name.clone()))).collect();
    }
    let mut values = Vec::new();
    for &index in free {
        let column = &columns[index];
        if labels.contains(&index) {
            notes.push(format!("label: `{}`, such as {}", column.name, column.sample));
        } else if column.is_index(header) {
            let name = if column.name.is_empty() { "the column without a name" } else { &column.name };
            notes.push(format!("not used: {name}, which numbers the rows"));
        } else if column.present == 0 || column.is(column.numbers) {
            values.push((index, column.name.clone()));
        } else {
            notes.push(format!("not used: `{}`, such as {}", column.name, column.sample));
        }
    }
    if values.iter().all(|(index, _)| columns[*index].present == 0) {
        let found: Vec<&str> = columns.iter().map(|column| &*column.sample).collect();
        return Err(DataError::WrongFormat {
            path: path.to_owned(),
            asked: Format::Series,
            found: format!("its first row is {}", found.join(",")),
            advice: "a rate series is a CSV of a time and one or several numbers".to_owned(),
        });
    }
    Ok(values)
}
