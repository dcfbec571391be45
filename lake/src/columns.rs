//! The columns of a query's result: which they are, and as what they are read.

use crate::options::TimeUnit;
use anyhow::{Context as _, Result, bail, ensure};
use datafusion::arrow::array::{Array as _, Float64Array};
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::prelude::SessionContext;
use std::fmt::Write as _;

/// The table of the user's query.
pub(crate) const REQUESTS: &str = "requests";
/// Rows that are looked at to tell the unit of times.
const ROWS_TRIED: usize = 1000;

/// Names that a column goes by; the first is the one that errors name.
const ARRIVAL: &[&str] = &["arrival", "arrival_s", "timestamp", "start_time", "time", "ts"];
const CLASS: &[&str] = &["class", "model"];
const SESSION: &[&str] = &["session", "session_id", "conversation_id"];
const NUMBERS: [(&str, &[&str], &str); 4] = [
    ("prompt_tokens", &["prompt_tokens", "input_tokens", "input_length"], "BIGINT"),
    ("output_tokens", &["output_tokens", "completion_tokens", "output_length"], "BIGINT"),
    ("service_s", &["service_s"], "DOUBLE"),
    ("first_byte_s", &["first_byte_s"], "DOUBLE"),
];
const TEXTS: [(&str, &[&str]); 3] = [("class", CLASS), ("session", SESSION), ("upstream", &["upstream", "host"])];

/// How the user's rows become requests.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    /// A query of all requests: `t_us`, then the columns in the order of [`Columns::NAMES`].
    pub(crate) sql: String,
    /// The same of `t_us`, `class` and the token counts alone, the class in whatever type of text it has.
    pub(crate) counted: String,
    /// What was taken for what, a line each.
    pub(crate) account: Vec<String>,
    /// Whether there are token counts.
    pub(crate) has_tokens: bool,
    pub(crate) has_sessions: bool,
    /// The arrival's column as it is, with its type, where a range of time is told from it: files whose own
    /// statistics say that they lie outside of it are not read.
    ranged: Option<(String, DataType)>,
}

impl Columns {
    /// The columns after `t_us`, arrival in microseconds since 1970 (or the source's zero).
    pub(crate) const NAMES: [&str; 7] =
        ["prompt_tokens", "output_tokens", "service_s", "first_byte_s", "class", "session", "upstream"];

    /// Finds the columns in the table [`REQUESTS`].
    pub(crate) async fn find(context: &SessionContext, schema: &Schema, unit: Option<TimeUnit>) -> Result<Self> {
        let find = |names: &[&str]| {
            names.iter().find_map(|name| schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name)))
        };
        let all: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let Some(arrival) = find(ARRIVAL) else {
            bail!(
                "--sql: no column `arrival` comes out, the columns are {}; name the time of the request's start so: \
                 SELECT your_column AS arrival, … FROM logs",
                all.join(", ")
            );
        };
        let mut account = Vec::new();
        let (mut sql, how) = time(context, arrival.name(), arrival.data_type(), unit).await?;
        account.push(format!("arrival        {}, {how}", arrival.name()));
        let mut has = Vec::new();
        for (name, names, sql_type) in NUMBERS {
            match find(names) {
                Some(field) if field.data_type().is_numeric() || is_text(field.data_type()) => {
                    let _ = write!(sql, ", CAST({} AS {sql_type}) AS {name}", quoted(field.name()));
                    account.push(format!("{name:<14} {}", field.name()));
                    has.push(name);
                }
                Some(field) => bail!(
                    "--sql: column `{}` is of the type {}, expected a number; cast it: CAST({} AS {sql_type}) AS {name}",
                    field.name(),
                    field.data_type(),
                    field.name()
                ),
                None => {
                    let _ = write!(sql, ", CAST(NULL AS {sql_type}) AS {name}");
                }
            }
        }
        // A text's type is left as it is read until its groups are made: there are few of these, and many rows.
        let class = find(CLASS).map_or_else(|| "arrow_cast(NULL, 'Utf8')".to_owned(), |field| quoted(field.name()));
        let counted = format!("SELECT {sql}, {class} AS class FROM {REQUESTS}");
        for (name, names) in TEXTS {
            match find(names) {
                Some(field) => {
                    let _ = write!(sql, ", arrow_cast({}, 'Utf8') AS {name}", quoted(field.name()));
                    account.push(format!("{name:<14} {}", field.name()));
                    has.push(name);
                }
                None => {
                    let _ = write!(sql, ", arrow_cast(NULL, 'Utf8') AS {name}");
                }
            }
        }
        let known = [ARRIVAL, CLASS, SESSION].concat();
        let known = known.into_iter().chain(NUMBERS.iter().flat_map(|(_, names, _)| names.iter().copied()));
        let known: Vec<&str> = known.chain(["upstream", "host"]).collect();
        let unused: Vec<&str> =
            all.into_iter().filter(|name| !known.iter().any(|k| k.eq_ignore_ascii_case(name))).collect();
        if !unused.is_empty() {
            account.push(format!("not used       {}", unused.join(", ")));
        }
        Ok(Self {
            sql: format!("SELECT {sql} FROM {REQUESTS}"),
            counted,
            account,
            has_tokens: has.contains(&"prompt_tokens") || has.contains(&"output_tokens"),
            has_sessions: has.contains(&"session"),
            ranged: matches!(arrival.data_type(), DataType::Timestamp(..))
                .then(|| (quoted(arrival.name()), arrival.data_type().clone())),
        })
    }

    /// A query of the requests from one time to another, `[begin, end)`, for each of the ranges.
    pub(crate) fn within(&self, ranges: &[[i64; 2]]) -> String {
        let any = |condition: &dyn Fn(&[i64; 2]) -> String| {
            let conditions: Vec<String> = ranges.iter().map(|range| format!("({})", condition(range))).collect();
            conditions.join(" OR ")
        };
        let exact = any(&|[begin, end]| format!("t_us >= {begin} AND t_us < {end}"));
        let source = match &self.ranged {
            None => self.sql.clone(),
            Some((column, data_type)) => {
                let at =
                    |us: i64| format!("arrow_cast(arrow_cast({us}, 'Timestamp(Microsecond, None)'), '{data_type}')");
                let coarse = any(&|&[begin, end]| format!("{column} >= {} AND {column} < {}", at(begin), at(end)));
                format!("{} WHERE {coarse}", self.sql)
            }
        };
        format!("SELECT * FROM ({source}) AS r WHERE {exact}")
    }
}

/// The expression of the arrival in microseconds, and how it was understood.
async fn time(
    context: &SessionContext,
    name: &str,
    data_type: &DataType,
    unit: Option<TimeUnit>,
) -> Result<(String, String)> {
    let column = quoted(name);
    let as_us = |expression: String| format!("arrow_cast({expression}, 'Int64') AS t_us");
    match data_type {
        DataType::Timestamp(..) => {
            let us = format!("arrow_cast({column}, 'Timestamp(Microsecond, None)')");
            Ok((as_us(us), "a timestamp".to_owned()))
        }
        DataType::Date32 | DataType::Date64 => {
            bail!(
                "--sql: column `{name}` is a date without a time of the day, expected the time of the request's start"
            )
        }
        data_type if is_text(data_type) => {
            let us = format!("arrow_cast(to_timestamp_micros({column}), 'Int64')");
            Ok((as_us(us), "text of dates, in UTC where they name no zone".to_owned()))
        }
        data_type if data_type.is_numeric() => {
            let (unit, why) = match unit {
                Some(unit) => (unit, "as --time-unit says"),
                None => numbers_unit(context, name).await?,
            };
            // What is beyond the range of µs is left at its end, where the span of the times refuses it.
            let scaled = |factor: f64| {
                format!("least(greatest(round(CAST({column} AS DOUBLE) * {factor:.1}), -9.0e18), 9.0e18)")
            };
            let (name, us) = match unit {
                TimeUnit::S => ("seconds", scaled(1e6)),
                TimeUnit::Ms => ("milliseconds", scaled(1e3)),
                TimeUnit::Us => ("microseconds", column.clone()),
                TimeUnit::Ns => ("nanoseconds", format!("CAST({column} AS BIGINT) / 1000")),
            };
            Ok((as_us(us), format!("{name}, {why}")))
        }
        other => {
            bail!("--sql: column `{name}` is of the type {other}, expected a timestamp, a number, or text of a date")
        }
    }
}

/// The unit of times since 1970 by their size: years 1973 to 2286. Names may say it, too.
async fn numbers_unit(context: &SessionContext, name: &str) -> Result<(TimeUnit, &'static str)> {
    let named = [("_s", TimeUnit::S), ("_ms", TimeUnit::Ms), ("_us", TimeUnit::Us), ("_ns", TimeUnit::Ns)];
    let column = quoted(name);
    let sql =
        format!("SELECT CAST({column} AS DOUBLE) AS t FROM {REQUESTS} WHERE {column} IS NOT NULL LIMIT {ROWS_TRIED}");
    let batches = context.sql(&sql).await?.collect().await.context("the first rows cannot be read")?;
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for batch in &batches {
        let Some(values) = batch.column(0).as_any().downcast_ref::<Float64Array>() else { continue };
        for value in values.iter().flatten() {
            (least, most) = (least.min(value), most.max(value));
        }
    }
    ensure!(least <= most, "--sql: column `{name}` holds no time in any row");
    let by_size = "since 1970, by the size of the numbers";
    match least {
        1e8..1e10 if most < 1e10 => return Ok((TimeUnit::S, by_size)),
        1e11..1e13 if most < 1e13 => return Ok((TimeUnit::Ms, by_size)),
        1e14..1e16 if most < 1e16 => return Ok((TimeUnit::Us, by_size)),
        1e17..1e19 => return Ok((TimeUnit::Ns, by_size)),
        _ => {}
    }
    let lower = name.to_lowercase();
    if let Some((_, unit)) = named.into_iter().find(|(ending, _)| lower.ends_with(ending)) {
        return Ok((unit, "as the column's name says"));
    }
    bail!(
        "--sql: the unit of column `{name}` cannot be told from its numbers, such as {least}, which are no times since 1970; \
         say it with --time-unit s or --time-unit ms"
    )
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// A name in SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
