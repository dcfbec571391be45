//! The rows of a series' file, as they were read.

use super::layout::{Layout, TimeAt, clock_s, is_infinite};
use super::quantity::{self, VALUE_MAX};
use crate::formats::moment::Moments;
use crate::formats::sniff::is_missing;
use crate::input::number;
use crate::row::{Fault, TIME};
use crate::stream::difference_s;
use crate::{LoadOptions, ValueUnit};
use csv::ByteRecord;
use std::collections::BTreeMap;

/// Different combinations of labels that are kept apart.
const GROUPS_MAX: usize = 100_000;
const DAY_NS: i64 = 86_400 * 1_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;

/// The file as it was read: times, and a column of values a series.
pub(super) struct Table {
    pub(super) times_ns: Vec<i64>,
    /// Row-major: one value a column.
    values: Vec<f64>,
    /// Number of each row's combination of labels; empty where there are no labels.
    row_groups: Vec<u32>,
    pub(super) groups: BTreeMap<Vec<u8>, u32>,
    pub(super) names: Vec<String>,
    /// Units that stand behind the numbers.
    pub(super) units: Vec<Option<ValueUnit>>,
    pub(super) infinite: u64,
    /// Line of each row, in the file's order.
    pub(super) lines: Vec<u64>,
    layout: Layout,
    moments: Moments,
    /// Time of the row before, by combination of labels.
    latest_ns: Vec<Option<i64>>,
    /// Rows against the order of time, which is what a file of the newest first consists of.
    falls: usize,
    first_fall: Option<(usize, i64)>,
}

impl Table {
    pub(super) fn new(layout: Layout, options: &LoadOptions) -> Result<Self, crate::DataError> {
        let names: Vec<String> = layout.values.iter().map(|(_, name)| name.clone()).collect();
        Ok(Self {
            times_ns: Vec::new(),
            values: Vec::new(),
            row_groups: Vec::new(),
            groups: BTreeMap::new(),
            units: vec![None; names.len()],
            names,
            infinite: 0,
            lines: Vec::new(),
            moments: Moments::new(layout.unit_ns, layout.order, options.zone()?),
            layout,
            latest_ns: vec![None],
            falls: 0,
            first_fall: None,
        })
    }

    pub(super) fn group(&self, row: usize) -> usize {
        self.row_groups.get(row).map_or(0, |&group| group as usize)
    }

    pub(super) fn value(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.names.len() + column]
    }

    /// Appends one row.
    pub(super) fn push(&mut self, record: &ByteRecord) -> Result<(), Fault> {
        let group = self.group_of(record)?;
        let time_ns = self.time_ns(record, group)?;
        let is_ignored = match self.layout.missing {
            Some(index) => number::float(field(record, index)?).is_some_and(|mark| mark != 0.0),
            None => false,
        };
        let begin = self.values.len();
        for column in 0..self.names.len() {
            match self.number(record, column, is_ignored) {
                Ok(value) => self.values.push(value),
                Err(fault) => {
                    self.values.truncate(begin);
                    return Err(fault);
                }
            }
        }
        if let Some(before_ns) = self.latest_ns[group].replace(time_ns).filter(|&before_ns| time_ns < before_ns) {
            self.falls += 1;
            self.first_fall.get_or_insert((self.times_ns.len(), before_ns));
        }
        self.times_ns.push(time_ns);
        if !self.layout.labels.is_empty() {
            self.row_groups.push(group as u32);
        }
        Ok(())
    }

    fn group_of(&mut self, record: &ByteRecord) -> Result<usize, Fault> {
        if self.layout.labels.is_empty() {
            return Ok(0);
        }
        let mut key = Vec::new();
        for &index in &self.layout.labels {
            key.extend_from_slice(field(record, index)?.trim_ascii());
            key.push(0);
        }
        let next = self.groups.len();
        if next >= GROUPS_MAX && !self.groups.contains_key(&key) {
            return Err(Fault::new("labels", &key, "at most 100000 combinations of labels"));
        }
        let group = *self.groups.entry(key).or_insert(next as u32) as usize;
        if group >= self.latest_ns.len() {
            self.latest_ns.resize(group + 1, None);
        }
        Ok(group)
    }

    fn time_ns(&mut self, record: &ByteRecord, group: usize) -> Result<i64, Fault> {
        let previous_ns = self.latest_ns[group];
        match self.layout.time {
            TimeAt::Column(index) => {
                let time = field(record, index)?;
                self.moments.time_ns(time.trim_ascii(), previous_ns).ok_or_else(|| Fault::new("time", time, TIME))
            }
            TimeAt::DayAndClock(day, clock) => {
                let (day, clock) = (field(record, day)?.trim_ascii(), field(record, clock)?.trim_ascii());
                let day_ns = match number::float(day) {
                    Some(number) if number.abs() < 1e5 => Some(number as i64 * DAY_NS),
                    Some(_) => None,
                    None => self.moments.time_ns(day, previous_ns),
                };
                let day_ns = day_ns.ok_or_else(|| Fault::new("time", day, "a date, or the number of a day"))?;
                let clock_s =
                    clock_s(clock).ok_or_else(|| Fault::new("time", clock, "an hour, or a time of the day"))?;
                Ok(day_ns.saturating_add(clock_s * SECOND_NS))
            }
        }
    }

    fn number(&mut self, record: &ByteRecord, column: usize, is_ignored: bool) -> Result<f64, Fault> {
        let (index, name) = &self.layout.values[column];
        let field = field(record, *index)?.trim_ascii();
        if is_infinite(field) {
            self.infinite += 1;
            return Ok(f64::NAN);
        }
        if is_missing(field) || is_ignored {
            return Ok(f64::NAN);
        }
        let quantity = quantity::parse(field, self.layout.marks).filter(|q| (0.0..=VALUE_MAX).contains(&q.value));
        let quantity = quantity.ok_or_else(|| {
            Fault::new(name.clone(), field, "a number, at least 0 and at most 1e15, or nothing where missing")
        })?;
        if quantity.unit.is_some() {
            self.units[column] = quantity.unit;
        }
        Ok(quantity.value)
    }

    /// Puts the rows in order of time; where they may not be, the row and by how many seconds it
    /// is early.
    pub(super) fn order(&mut self, sort: bool, notes: &mut Vec<String>) -> Result<(), (usize, f64)> {
        let steps = self.times_ns.len().saturating_sub(self.latest_ns.len());
        if self.falls > 0 && self.falls * 10 >= steps * 9 {
            notes.push("rows come newest first and were turned round".to_owned());
        } else if let Some((row, before_ns)) = self.first_fall {
            let back_s = difference_s(before_ns, self.times_ns[row]);
            // Where clocks go back, an hour is there twice: merging the two would be wrong.
            let is_clock_change =
                self.layout.has_dates && self.moments.zone.is_none() && (1500.0..3600.0).contains(&back_s);
            if !sort || is_clock_change {
                return Err((row, back_s));
            }
        }
        if !self.times_ns.is_sorted() {
            self.sort();
        }
        Ok(())
    }

    /// Whether the dates are on an unknown clock.
    pub(super) fn has_local_dates(&self) -> bool {
        self.layout.has_dates && self.moments.zone.is_none()
    }

    /// Sorts the rows by time, equal ones in the file's order.
    fn sort(&mut self) {
        let width = self.names.len();
        let mut order: Vec<usize> = (0..self.times_ns.len()).collect();
        order.sort_by_key(|&row| self.times_ns[row]);
        self.values = order.iter().flat_map(|&row| &self.values[row * width..(row + 1) * width]).copied().collect();
        if !self.row_groups.is_empty() {
            self.row_groups = order.iter().map(|&row| self.row_groups[row]).collect();
        }
        self.times_ns.sort_unstable();
    }
}

fn field(record: &ByteRecord, index: usize) -> Result<&[u8], Fault> {
    record.get(index).ok_or_else(|| Fault {
        field: format!("column {}", index + 1).into(),
        found: format!("{} columns", record.len()),
        expected: format!("at least {}", index + 1).into(),
    })
}
