//! Rows of a series on a grid of equal steps: counters to rates, labels combined, units made one.

use super::quantity;
use super::table::Table;
use crate::input::stem;
use crate::series::gaps_of;
use crate::stream::{difference_s, seconds};
use crate::{Combine, DataError, LoadOptions, Series, SeriesReport, SeriesUnit, ValueUnit};
use std::path::Path;

/// Rows whose distance from the grid exceeds this share of the step are irregular.
const OFF_GRID: f64 = 0.01;
/// Above this share of rows far from the grid there is no constant step.
const FAR_ROWS_MAX: f64 = 0.1;
/// Points of the grid a row may stand for, before the step is called wrong.
const POINTS_PER_ROW_MAX: f64 = 1000.0;
/// Values of all series together that are held in memory.
const CELLS_MAX: f64 = 1e8;
/// From so many rows on, values that never fall are a count.
const COUNTER_ROWS_MIN: usize = 50;

/// The grid of a file.
struct Grid {
    origin_ns: i64,
    step_ns: i64,
    points: usize,
}

impl Grid {
    fn point(&self, time_ns: i64) -> f64 {
        difference_s(time_ns, self.origin_ns) / seconds(self.step_ns)
    }

    fn of(table: &Table, path: &Path) -> Result<Self, DataError> {
        let times = &table.times_ns;
        let rows = times.len();
        let step_ns = step_ns(times).ok_or_else(|| DataError::Empty {
            path: path.to_owned(),
            what: "two rows of different times, from which to tell the step",
        })?;
        let mut grid = Self { origin_ns: times[0], step_ns, points: 0 };
        let irregular = |found: String| DataError::NoStep { path: path.to_owned(), step_s: seconds(step_ns), found };
        let is_far = |time_ns: &&i64| (grid.point(**time_ns) - grid.point(**time_ns).round()).abs() > 0.25;
        let far = times.iter().filter(is_far).count();
        if far as f64 > FAR_ROWS_MAX * rows as f64 {
            return Err(irregular(format!("{far} of {rows} rows are far from a multiple of it")));
        }
        let points = grid.point(times[rows - 1]).round() + 1.0;
        if points > POINTS_PER_ROW_MAX * rows as f64 || points * table.names.len() as f64 > CELLS_MAX {
            return Err(irregular(format!("{points} steps would hold only {rows} rows")));
        }
        grid.points = points as usize;
        Ok(grid)
    }
}

/// The median distance of rows of different times.
fn step_ns(times_ns: &[i64]) -> Option<i64> {
    let steps = times_ns.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    let mut steps: Vec<i64> = steps.filter(|&step_ns| step_ns > 0).collect();
    let middle = steps.len() / 2;
    (!steps.is_empty()).then(|| *steps.select_nth_unstable(middle).1)
}

/// Makes the series of a table whose rows are in order of time.
pub(super) fn series(
    table: &Table,
    mut report: SeriesReport,
    path: &Path,
    options: &LoadOptions,
) -> Result<(Vec<Series>, SeriesReport), DataError> {
    let grid = Grid::of(table, path)?;
    report.rows = table.times_ns.len() as u64;
    let mut previous: Vec<Option<i64>> = vec![None; table.groups.len().max(1)];
    for (row, &time_ns) in table.times_ns.iter().enumerate() {
        let at = grid.point(time_ns);
        report.irregular_rows += u64::from((at - at.round()).abs() > OFF_GRID);
        let before = previous[table.group(row)].replace(at.round() as i64);
        report.duplicate_rows += u64::from(before == Some(at.round() as i64));
    }
    let step_s = seconds(grid.step_ns);
    let mut columns: Vec<OnGrid> = Vec::new();
    for (column, name) in table.names.iter().enumerate() {
        let unit = unit(table, column, options, &mut report.notes);
        let mut values = combined(table, column, &grid, unit, options, &mut report, path)?;
        let (series_unit, factor) = quantity::to_series_unit(unit, step_s);
        for value in &mut values {
            *value *= factor;
        }
        if unit == Some(ValueUnit::Counter) {
            // The last point has no rate, since nothing comes after it.
            values.pop();
        }
        columns.push(OnGrid { name: name.clone(), values, unit: series_unit });
    }
    let columns = labelled(columns, options, &mut report.notes);
    let count = columns.len();
    let series = |OnGrid { name, values, unit }: OnGrid| {
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        let series = Series {
            name: if count == 1 { stem(path) } else { format!("{}/{name}", stem(path)) },
            start_epoch_s: seconds(grid.origin_ns),
            step_s,
            gaps: gaps_of(&values),
            values,
            unit,
        };
        let begin = (options.start_s / step_s).ceil() as usize;
        series.slice(begin, (options.end_s / step_s).ceil() as usize)
    };
    let all: Vec<Series> = columns.into_iter().map(series).collect();
    report.missing = all.iter().map(|series| series.missing() as u64).sum();
    Ok((all, report))
}

/// A column's values on the grid.
struct OnGrid {
    name: String,
    values: Vec<f64>,
    unit: SeriesUnit,
}

/// Combines columns whose names differ in their labels only: `rate{pod="a"}`, `rate{pod="b"}`. Levels
/// stay apart, unless the options say how they are combined.
fn labelled(columns: Vec<OnGrid>, options: &LoadOptions, notes: &mut Vec<String>) -> Vec<OnGrid> {
    let base = |name: &str| name.split_once('{').map(|(base, _)| base.trim().to_owned());
    let mut merged: Vec<(Option<String>, Vec<OnGrid>)> = Vec::new();
    for column in columns {
        let is_apart = column.unit == SeriesUnit::Level && options.combine.is_none();
        let key = base(&column.name).filter(|_| !is_apart);
        match merged.iter_mut().find(|(other, _)| key.is_some() && *other == key) {
            Some((_, columns)) => columns.push(column),
            None => merged.push((key, vec![column])),
        }
    }
    let combine = options.combine.unwrap_or(Combine::Sum);
    let one = |(key, mut columns): (Option<String>, Vec<OnGrid>)| {
        if columns.len() == 1 {
            return columns.remove(0);
        }
        let name = key.filter(|key| !key.is_empty()).unwrap_or_else(|| "all".to_owned());
        let what = if combine == Combine::Sum { "added up" } else { "combined" };
        notes.push(format!("`{name}`: {} columns that differ in their labels are {what}", columns.len()));
        let values = (0..columns[0].values.len()).map(|point| {
            let values = columns.iter().map(|column| column.values.get(point).copied().unwrap_or(f64::NAN));
            match combine {
                // A sum of some of them would be short.
                Combine::Sum => values.sum(),
                Combine::Mean => values.sum::<f64>() / columns.len() as f64,
                Combine::Max => values.fold(f64::NAN, f64::max),
            }
        });
        OnGrid { name, values: values.collect(), unit: columns[0].unit }
    };
    merged.into_iter().map(one).collect()
}

/// The unit of a column, and the reason for it in the notes.
fn unit(table: &Table, column: usize, options: &LoadOptions, notes: &mut Vec<String>) -> Option<ValueUnit> {
    let name = &table.names[column];
    let mut told = |unit: ValueUnit, why: &str| {
        let what = match unit {
            ValueUnit::PerSecond => "per second",
            ValueUnit::PerMinute => "per minute, read as per second",
            ValueUnit::PerHour => "per hour, read as per second",
            ValueUnit::PerStep => "per step, read as per second",
            ValueUnit::Counter => "a count that only grows, read as its rate per second",
            ValueUnit::Level => "a level",
        };
        notes.push(format!("`{name}`: {what} ({why})"));
        Some(unit)
    };
    if let Some(unit) = options.value_unit {
        return told(unit, "as --series-unit says");
    }
    let by_name = quantity::unit_of_name(name);
    if by_name.is_none() && table.is_counter(column, is_named_counter(name)) {
        return told(ValueUnit::Counter, "by its name or since it never falls");
    }
    if let Some(unit) = table.units[column] {
        return told(unit, "by the unit behind its numbers");
    }
    if let Some(unit) = by_name {
        return told(unit, "by its name");
    }
    if name.to_ascii_lowercase().ends_with("count") && table.is_whole(column) {
        return told(ValueUnit::PerStep, "by its name, and since its values are whole");
    }
    notes.push(format!(
        "`{name}`: unit not stated, values as they are (--series-unit per-second or per-step says which)"
    ));
    None
}

fn is_named_counter(name: &str) -> bool {
    let name = name.split('{').next().unwrap_or(name).trim().to_ascii_lowercase();
    ["_total", "_count", "_sum", "_bucket", "counter"].iter().any(|end| name.ends_with(end))
}

/// The values of a column on the grid, those of one point combined over the labels.
fn combined(
    table: &Table,
    column: usize,
    grid: &Grid,
    unit: Option<ValueUnit>,
    options: &LoadOptions,
    report: &mut SeriesReport,
    path: &Path,
) -> Result<Vec<f64>, DataError> {
    let groups = table.groups.len().max(1);
    if groups > 1 && unit == Some(ValueUnit::Level) && options.combine.is_none() {
        return Err(DataError::Unit {
            path: path.to_owned(),
            field: table.names[column].clone(),
            found: format!("a level in rows of {groups} labels, which may be added up or averaged"),
            advice: "say which with --combine sum, --combine mean or --combine max".to_owned(),
        });
    }
    let combine = options.combine.unwrap_or(Combine::Sum);
    let mut sums = vec![f64::NAN; grid.points];
    let mut present = vec![0_u32; grid.points];
    // Points at which a label has no value between others of its own: their sum would be short.
    let mut is_short = vec![false; grid.points];
    for group in 0..groups {
        let values = of_group(table, column, grid, group, unit, options);
        let first = values.iter().position(|value| !value.is_nan()).unwrap_or(0);
        let last = values.iter().rposition(|value| !value.is_nan()).unwrap_or(0);
        for point in first..last {
            is_short[point] |= values[point].is_nan();
        }
        for (point, value) in values.into_iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            let before = sums[point];
            sums[point] = match combine {
                _ if before.is_nan() => value,
                Combine::Max => before.max(value),
                Combine::Sum | Combine::Mean => before + value,
            };
            present[point] += 1;
        }
    }
    if groups > 1 {
        // The file may end within a point.
        if let [.., before, end] = present[..] {
            is_short[grid.points - 1] |= end < before;
        }
        let short = is_short.iter().filter(|is_short| **is_short).count();
        if combine == Combine::Sum {
            for (sum, _) in sums.iter_mut().zip(&is_short).filter(|(_, is_short)| **is_short) {
                *sum = f64::NAN;
            }
        }
        let what = match combine {
            Combine::Sum => "added up",
            Combine::Mean => "averaged",
            Combine::Max => "reduced to the largest",
        };
        report.notes.push(format!(
            "`{}`: rows of {groups} labels are {what} (--combine says otherwise); {short} points at which some have none are {}",
            table.names[column],
            if combine == Combine::Sum { "missing" } else { "made of the others" }
        ));
    }
    if combine == Combine::Mean {
        for (sum, &count) in sums.iter_mut().zip(&present) {
            *sum /= f64::from(count.max(1));
        }
    }
    Ok(sums)
}

/// The values of one group of labels; rows that share a point are averaged.
fn of_group(
    table: &Table,
    column: usize,
    grid: &Grid,
    group: usize,
    unit: Option<ValueUnit>,
    options: &LoadOptions,
) -> Vec<f64> {
    let mut sums = vec![0.0_f64; grid.points];
    let mut counts = vec![0_u32; grid.points];
    let rows = (0..table.times_ns.len()).filter(|&row| table.group(row) == group);
    for row in rows {
        let value = table.value(row, column);
        let point = grid.point(table.times_ns[row]).round() as usize;
        if value.is_nan() {
            continue;
        }
        // Without labels, --combine is about rows of the same time.
        match options.combine.filter(|_| table.groups.len() < 2) {
            Some(Combine::Max) if counts[point] > 0 => sums[point] = sums[point].max(value),
            Some(Combine::Max) => sums[point] = value,
            _ => sums[point] += value,
        }
        counts[point] += 1;
    }
    let is_mean = !matches!(options.combine.filter(|_| table.groups.len() < 2), Some(Combine::Sum | Combine::Max));
    let value = |(sum, count): (f64, u32)| match count {
        0 => f64::NAN,
        count if is_mean => sum / f64::from(count),
        _ => sum,
    };
    let values: Vec<f64> = sums.into_iter().zip(counts).map(value).collect();
    if unit == Some(ValueUnit::Counter) { rates(&values, seconds(grid.step_ns)) } else { values }
}

/// The rate of a counter from each point to the next that is there; a fall is a restart from 0.
fn rates(counts: &[f64], step_s: f64) -> Vec<f64> {
    let mut rates = vec![f64::NAN; counts.len()];
    let mut before: Option<(usize, f64)> = None;
    for (point, &count) in counts.iter().enumerate().filter(|(_, count)| !count.is_nan()) {
        if let Some((begin, earlier)) = before {
            let grown = if count >= earlier { count - earlier } else { count };
            let rate = grown / ((point - begin) as f64 * step_s);
            rates[begin..point].fill(rate);
        }
        before = Some((point, count));
    }
    rates
}

impl Table {
    /// Whether a column holds a count that only grows, restarts aside.
    fn is_counter(&self, column: usize, is_named: bool) -> bool {
        let groups = self.groups.len().max(1);
        let (mut rises, mut falls, mut restarts) = (0_usize, 0_usize, 0_usize);
        let mut before: Vec<Option<f64>> = vec![None; groups];
        for row in 0..self.times_ns.len() {
            let value = self.value(row, column);
            if value.is_nan() {
                continue;
            }
            if let Some(earlier) = before[self.group(row)].replace(value) {
                rises += usize::from(value > earlier);
                falls += usize::from(value < earlier);
                // A counter that starts again is far below what it was.
                restarts += usize::from(value < 0.5 * earlier);
            }
        }
        let steps = rises + falls;
        let only_grows = falls == restarts && rises > 0 && falls * 20 <= steps;
        only_grows && (is_named || falls == 0 && rises >= COUNTER_ROWS_MIN)
    }

    fn is_whole(&self, column: usize) -> bool {
        (0..self.times_ns.len()).map(|row| self.value(row, column)).all(|value| value.is_nan() || value.fract() == 0.0)
    }
}
