//! What the beginning of a file shows: units, the order of days and months, the size of blocks.

use super::mapper::{Found, Mapper};
use super::moment;
use super::role::Role;
use super::sessions::Sessions;
use super::units::{self, Times, significant};
use crate::input::{date, number, quoted};
use crate::{DataError, DateOrder, Format, LoadOptions, TimeUnit};
use std::path::Path;

/// Rows that are looked at.
pub(crate) const ROWS_MAX: usize = 5000;
/// More requests at a time than this are no service's.
const IN_FLIGHT_MAX: f64 = 20_000.0;

/// What was seen in the first rows.
#[derive(Default)]
pub(crate) struct Profile {
    times: Times,
    time_name: String,
    texts: Vec<Vec<u8>>,
    /// Times and whole durations, in nanoseconds and as they are, of rows that have both.
    spans: Vec<(i64, f64)>,
    has_points: bool,
    /// Response times in seconds by the format's unit.
    services_s: Vec<f64>,
    prompts: Vec<(u32, u32)>,
    pub(crate) rows: usize,
}

impl Profile {
    /// Looks at a row.
    pub(crate) fn observe(&mut self, mapper: &Mapper, found: &Found<'_>) {
        self.rows += 1;
        let role = if found.value(Role::Arrival).is_empty() { Role::Done } else { Role::Arrival };
        let time = found.value(role);
        if !time.is_empty() {
            if self.time_name.is_empty() {
                self.time_name = mapper.name_of(found, role);
            }
            match number::float(time) {
                Some(value) => {
                    self.times.values.push(value);
                    self.times.has_fractions |= value.fract() != 0.0;
                }
                None => self.texts.push(time.to_vec()),
            }
        }
        let took = found.value(Role::Took);
        if let Some(value) = number::float(took) {
            self.has_points |= took.contains(&b'.');
            let second = TimeUnit::Seconds.nanoseconds();
            let time_ns = number::nanoseconds(time, second);
            let time_ns = time_ns.or_else(|| moment::written(time, date::DayOrder::default()).map(|at| at.time_ns));
            if let Some(time_ns) = time_ns {
                self.spans.push((time_ns, value));
            }
        }
        for role in [Role::Service, Role::FirstByte] {
            self.has_points |= mapper.format == Format::NginxJson && found.value(role).contains(&b'.');
        }
        if let Ok(Some(service_ns)) = mapper.duration_ns(found, Role::Service) {
            self.services_s.push(service_ns as f64 / 1e9);
        }
        let blocks = found.value(Role::Blocks);
        if blocks.len() > 2 {
            let count = memchr::memchr_iter(b',', blocks).count() as u32 + 1;
            self.prompts.extend(number::tokens(found.value(Role::Prompt)).map(|tokens| (tokens, count)));
        }
    }

    /// Settles how the rows of the whole file are read.
    pub(crate) fn settle(&self, mapper: &mut Mapper, options: &LoadOptions, path: &Path) -> Result<(), DataError> {
        if mapper.format == Format::AiPerf {
            take_stated_units(mapper);
        }
        self.time(mapper, options, path)?;
        self.durations(mapper, path)?;
        if mapper.has(Role::Blocks) {
            let nominal = if mapper.format == Format::Mooncake { 512 } else { 16 };
            let (tokens, why) = units::block_tokens(&self.prompts, nominal, options.block_tokens, path)?;
            mapper.block_tokens = tokens;
            if !self.prompts.is_empty() {
                mapper.assumed.push(format!("a prefix block stands for {tokens} tokens, {why}"));
            }
        }
        mapper.sessions = Sessions::of(mapper.format);
        if mapper.format == Format::Mooncake && mapper.has(Role::Session) {
            mapper.assumed.push(
                "a turn's prompt is the session so far (prompts and answers) and the turn's own tokens".to_owned(),
            );
        }
        if mapper.format == Format::Lake {
            mapper.assumed.push(
                "windows that were chosen out of a longer time stand one behind another: take the forecaster's rates from the \
                 .rates.csv beside this file"
                    .to_owned(),
            );
        }
        if mapper.has(Role::Delay) {
            mapper.assumed.push(
                "a turn without a time arrives its delay after the turn before; the time to answer that one is not in the file"
                    .to_owned(),
            );
        }
        if mapper.has(Role::Took) && !mapper.has(Role::Service) {
            mapper.service_is_took = true;
            mapper.assumed.push(
                "the request's whole duration stands for the host's response time, which is not logged".to_owned(),
            );
        }
        for name in options.wanted.named() {
            let role = match name {
                "status" => Role::Status,
                "method" => Role::Method,
                "path" => Role::Path,
                _ => Role::Protocol,
            };
            if !mapper.has(role) && (role == Role::Status || !mapper.has(Role::Request)) {
                return Err(DataError::Option {
                    option: "where",
                    found: name.to_owned(),
                    expected: "a condition on something that the file has; name its field with --columns status=FIELD, \
                               method=FIELD, path=FIELD or protocol=FIELD",
                });
            }
        }
        mapper.reset_counts();
        Ok(())
    }

    fn time(&self, mapper: &mut Mapper, options: &LoadOptions, path: &Path) -> Result<(), DataError> {
        mapper.moments.zone = options.zone()?;
        if self.times.values.len() >= self.texts.len() {
            let told = if mapper.format == Format::AiPerf {
                units::Told { unit: TimeUnit::Nanoseconds, why: "by the format".to_owned() }
            } else {
                self.times.unit(&self.time_name, nominal(mapper.format), options.asked_time_unit(), path)?
            };
            mapper.moments.unit_ns = told.unit.nanoseconds();
            mapper.time = format!("{}, {}", unit_in_words(told.unit), told.why);
            return Ok(());
        }
        mapper.moments.order = self.order(options, path)?;
        let written = |text: &Vec<u8>| moment::written(text, mapper.moments.order);
        let has_zone = self.texts.iter().filter_map(written).all(|written| written.has_zone);
        let zone = match (&options.time_zone, has_zone) {
            (_, true) => "with their zone".to_owned(),
            (Some(zone), false) => format!("on the clock of {zone}, as --time-zone says"),
            (None, false) => "taken as UTC, since no zone is written (--time-zone NAME says otherwise)".to_owned(),
        };
        mapper.time = format!("dates, {zone}");
        let is_whole = |text: &Vec<u8>| written(text).is_some_and(|written| written.time_ns % 1_000_000_000 == 0);
        if self.texts.len() > 16 && self.texts.iter().all(is_whole) {
            mapper
                .assumed
                .push("times are to the second, so that arrivals within a second are not told apart".to_owned());
        }
        Ok(())
    }

    /// The order of day and month, where that can be mistaken.
    fn order(&self, options: &LoadOptions, path: &Path) -> Result<date::DayOrder, DataError> {
        order_of(self.texts.iter().map(Vec::as_slice), &self.time_name, options, path)
    }

    fn durations(&self, mapper: &mut Mapper, path: &Path) -> Result<(), DataError> {
        let is_nginx = mapper.format == Format::NginxJson;
        let is_long = self.spans.iter().any(|&(_, took)| took >= 2.0);
        if is_nginx && mapper.duration_unit.is_none() && !self.has_points && is_long {
            // NGINX writes its durations with three decimals, always.
            mapper.duration_unit = Some(TimeUnit::Milliseconds);
            mapper.assumed.push(
                "durations are in ms, since they are whole numbers, which NGINX's never are (--duration-unit says otherwise)"
                    .to_owned(),
            );
            mapper.done_is_start = self.is_sorted_by_end();
            if mapper.done_is_start {
                mapper.assumed.push(format!("{} is the time of the request's start", self.time_name));
            }
        }
        let unit_s = mapper.duration_unit.map_or(1.0, |unit| unit.nanoseconds() as f64 / 1e9);
        let tooks_s: Vec<f64> = self.spans.iter().map(|&(_, took)| took * unit_s).collect();
        let durations = if self.services_s.is_empty() { &tooks_s } else { &self.services_s };
        let first = self.spans.iter().map(|span| span.0).min();
        let Some(span_s) = self.span_s(mapper, first) else { return Ok(()) };
        let mean_s = durations.iter().sum::<f64>() / durations.len().max(1) as f64;
        let in_flight = mean_s * self.rows as f64 / span_s;
        if self.rows >= 100
            && durations.len() >= 50
            && (in_flight > IN_FLIGHT_MAX || mean_s > 2.0 * span_s && in_flight > 200.0)
        {
            let role = if self.services_s.is_empty() { Role::Took } else { Role::Service };
            let field = mapper.fields.iter().find(|field| field.role == Some(role));
            return Err(DataError::Unit {
                path: path.to_owned(),
                field: field.map_or_else(|| role.meaning().to_owned(), |field| field.name.clone()),
                found: format!(
                    "durations of {} s on average in rows that span {} s would mean {} requests at a time, as for {}",
                    significant(mean_s),
                    significant(span_s),
                    significant(in_flight),
                    field.map_or_else(String::new, |field| field.sample.clone())
                ),
                advice: "say the unit with --duration-unit ms or --duration-unit s".to_owned(),
            });
        }
        Ok(())
    }

    /// Seconds that the rows looked at span.
    fn span_s(&self, mapper: &Mapper, first: Option<i64>) -> Option<f64> {
        let span = |min: f64, max: f64| (max > min).then_some(max - min);
        if self.times.values.len() > 1 {
            let min = self.times.values.iter().copied().fold(f64::INFINITY, f64::min);
            let max = self.times.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            return span(min, max).map(|span| span * mapper.moments.unit_ns as f64 / 1e9);
        }
        let times = self.texts.iter().filter_map(|text| moment::written(text, mapper.moments.order));
        let times: Vec<i64> = times.map(|written| written.time_ns).collect();
        let _ = first;
        let (min, max) = (times.iter().min()?, times.iter().max()?);
        span(*min as f64 / 1e9, *max as f64 / 1e9)
    }

    /// Whether the rows are in order of time and duration (ms) together: a log is written when its
    /// requests are done, so that the time is then the start.
    fn is_sorted_by_end(&self) -> bool {
        let inversions = |time: &dyn Fn(&(i64, f64)) -> f64| {
            self.spans.windows(2).filter(|pair| time(&pair[0]) > time(&pair[1]) + 0.002).count()
        };
        let by_time = inversions(&|span| span.0 as f64 / 1e9);
        let by_end = inversions(&|span| span.0 as f64 / 1e9 + span.1 / 1e3);
        by_time > by_end
            || by_time == by_end && self.texts.iter().any(|text| text.contains(&b'.') && text.ends_with(b"Z"))
    }
}

/// The order of day and month in dates, refused where they do not show it.
pub(crate) fn order_of<'a>(
    texts: impl Iterator<Item = &'a [u8]>,
    field: &str,
    options: &LoadOptions,
    path: &Path,
) -> Result<date::DayOrder, DataError> {
    match options.date_order {
        Some(DateOrder::DayFirst) => return Ok(date::DayOrder::DayFirst),
        Some(DateOrder::MonthFirst) => return Ok(date::DayOrder::MonthFirst),
        None => {}
    }
    let mut ambiguous: Option<&[u8]> = None;
    let mut has_half_days = false;
    for text in texts.filter(|text| date::has_order(text)) {
        if let Some(order) = date::order_of(text) {
            return Ok(order);
        }
        has_half_days |= text.to_ascii_uppercase().ends_with(b"M");
        ambiguous = ambiguous.or(Some(text));
    }
    match ambiguous {
        Some(text) if !has_half_days => Err(DataError::Unit {
            path: path.to_owned(),
            field: field.to_owned(),
            found: format!("day and month cannot be told apart in {} nor in any other date looked at", quoted(text)),
            advice: "say which comes first with --date-order day-first or --date-order month-first".to_owned(),
        }),
        _ => Ok(date::DayOrder::MonthFirst),
    }
}

/// The unit of times that are plain numbers, where the format has one.
fn nominal(format: Format) -> Option<TimeUnit> {
    match format {
        Format::Mooncake => Some(TimeUnit::Milliseconds),
        Format::Bailian | Format::BurstGpt | Format::Lake | Format::NginxJson | Format::EnvoyJson => {
            Some(TimeUnit::Seconds)
        }
        _ => None,
    }
}

fn unit_in_words(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Seconds => "seconds",
        TimeUnit::Milliseconds => "milliseconds",
        TimeUnit::Microseconds => "microseconds",
        TimeUnit::Nanoseconds => "nanoseconds",
    }
}

/// Takes units from the fields beside the values: `metrics.request_latency.unit` is `ms`.
fn take_stated_units(mapper: &mut Mapper) {
    let stated: Vec<(String, TimeUnit)> = mapper
        .fields
        .iter()
        .filter_map(|field| {
            let stem = field.name.strip_suffix(".unit")?;
            Some((format!("{stem}.value"), field.sample.trim_matches('`').parse().ok()?))
        })
        .collect();
    for field in mapper.fields.iter_mut().filter(|field| field.role.is_some_and(Role::is_duration)) {
        if let Some((_, unit)) = stated.iter().find(|(name, _)| *name == field.name) {
            field.unit_ns = unit.nanoseconds();
        }
    }
}
