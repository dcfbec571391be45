//! CSV whose columns are named by a [`ColumnMap`]; Azure's and `BurstGPT`'s are such maps, too.

use crate::input::{Input, number, time};
use crate::row::{DURATION, Fault, RecordParser, Row, TIME, TOKENS, Upstreams};
use crate::{ColumnMap, DataError, Format};
use csv::ByteRecord;

/// A column that was found in the header.
struct Column {
    index: usize,
    name: String,
}

impl Column {
    fn of<'a>(&self, record: &'a ByteRecord) -> Result<&'a [u8], Fault> {
        record.get(self.index).ok_or_else(|| Fault {
            field: self.name.clone().into(),
            found: format!("{} columns", record.len()),
            expected: format!("at least {}", self.index + 1).into(),
        })
    }

    fn fault(&self, found: &[u8], expected: &'static str) -> Fault {
        Fault::new(self.name.clone(), found, expected)
    }
}

/// Reads rows by a map of columns.
pub(crate) struct Columns {
    arrival: Column,
    prompt: Option<Column>,
    output: Option<Column>,
    service: Option<Column>,
    first_byte: Option<Column>,
    upstream: Option<Column>,
    unit_ns: i64,
    service_unit_ns: i64,
}

impl Columns {
    /// Finds the map's columns in the header.
    pub(crate) fn new(map: &ColumnMap, header: &ByteRecord, input: &Input, format: Format) -> Result<Self, DataError> {
        let find = |name: &str| {
            let is_it = |field: &[u8]| field.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
            header.iter().position(is_it).map(|index| Column { index, name: name.to_owned() }).ok_or_else(|| {
                let names: Vec<_> = header.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
                DataError::WrongFormat {
                    path: input.path().to_owned(),
                    asked: format,
                    found: format!("there is no column `{name}`, the columns are {}", names.join(", ")),
                    advice: "name columns that are there with --columns arrival=COLUMN,…".to_owned(),
                }
            })
        };
        let maybe = |name: &Option<String>| name.as_deref().map(find).transpose();
        Ok(Self {
            arrival: find(&map.arrival)?,
            prompt: maybe(&map.prompt)?,
            output: maybe(&map.output)?,
            service: maybe(&map.service)?,
            first_byte: maybe(&map.first_byte)?,
            upstream: maybe(&map.upstream)?,
            unit_ns: map.unit.nanoseconds(),
            service_unit_ns: map.service_unit.nanoseconds(),
        })
    }

    fn duration_s(&self, column: Option<&Column>, record: &ByteRecord) -> Result<f32, Fault> {
        let Some(column) = column else { return Ok(f32::NAN) };
        let field = column.of(record)?.trim_ascii();
        if field.is_empty() || field == b"-" {
            return Ok(f32::NAN);
        }
        let value = number::float(field).filter(|&value| value >= 0.0).ok_or_else(|| column.fault(field, DURATION))?;
        Ok((value * self.service_unit_ns as f64 / 1e9) as f32)
    }
}

impl RecordParser for Columns {
    fn parse(&mut self, record: &ByteRecord, row: &mut Row, upstreams: &mut Upstreams) -> Result<(), Fault> {
        let arrival = self.arrival.of(record)?;
        row.arrival_ns = time_ns(arrival, self.unit_ns).ok_or_else(|| self.arrival.fault(arrival, TIME))?;
        let tokens = |column: Option<&Column>| {
            let Some(column) = column else { return Ok(0) };
            let field = column.of(record)?;
            number::tokens(field).ok_or_else(|| column.fault(field, TOKENS))
        };
        row.request.prompt_tokens = tokens(self.prompt.as_ref())?;
        row.request.output_tokens = tokens(self.output.as_ref())?;
        row.request.service_s = self.duration_s(self.service.as_ref(), record)?;
        row.request.first_byte_s = self.duration_s(self.first_byte.as_ref(), record)?;
        if let Some(column) = &self.upstream {
            row.request.upstream = upstreams.index(column.of(record)?.trim_ascii())?;
        }
        Ok(())
    }
}

/// A time that is a date, or a number of `unit_ns` nanoseconds each.
pub(crate) fn time_ns(field: &[u8], unit_ns: i64) -> Option<i64> {
    time::iso8601(field).or_else(|| number::nanoseconds(field, unit_ns))
}
