//! CSV whose columns have names; Azure's and `BurstGPT`'s formats are such, too.

use super::mapper::{Found, Mapper};
use super::profile::{Profile, ROWS_MAX};
use super::role::needed;
use super::sniff::delimiter;
use crate::input::{Input, Records};
use crate::row::{Context, Fault, Row};
use crate::{DataError, Format, LoadOptions};
use csv::ByteRecord;

/// Reads rows by the names in their header.
pub(crate) struct Columns {
    pub(crate) mapper: Mapper,
    /// The number of each column's field.
    ids: Vec<u16>,
    /// Index of the last column that is used, and its name.
    last: (usize, String),
}

impl Columns {
    /// Opens a file at its header.
    pub(crate) fn open(input: Input, format: Format, options: &LoadOptions) -> Result<(Records, Self), DataError> {
        let path = input.path().to_owned();
        let mut mapper = Mapper::new(format, options);
        let first = input.head().split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty());
        let first = first.unwrap_or_default().to_vec();
        // Spreadsheets' own line, which names the delimiter.
        let stated = first.trim_ascii().strip_prefix(b"sep=").and_then(|rest| rest.first().copied());
        let skipped = u64::from(stated.is_some());
        let delimiter = stated.unwrap_or_else(|| delimiter(&first));
        let sample = input.whole_lines().to_vec();
        let mut records = Records::new(input, delimiter, skipped);
        let Some(header) = records.next_record()?.cloned() else {
            return Err(DataError::Empty { path, what: "rows" });
        };
        let ids: Vec<u16> = header.iter().map(|name| mapper.id(name.trim_ascii())).collect();
        let is_missing = |group: &&&[super::role::Role]| group.iter().all(|role| !mapper.has(*role));
        let missing = mapper.missing_alias().map(str::to_owned);
        let missing = missing.or_else(|| {
            let group = needed(format).iter().find(is_missing)?;
            Some(group[0].meaning().to_owned())
        });
        if let Some(name) = missing {
            let names: Vec<_> = header.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
            return Err(DataError::WrongFormat {
                path,
                asked: format,
                found: format!("there is no column `{name}`, the columns are {}", names.join(", ")),
                advice: "name columns that are there with --columns arrival=COLUMN,…".to_owned(),
            });
        }
        let used = |id: &u16| mapper.fields.get(usize::from(*id)).is_some_and(|field| field.role.is_some());
        let last = ids.iter().rposition(used).unwrap_or(0);
        let last = (last, mapper.fields[usize::from(ids[last])].name.clone());
        let mut columns = Self { mapper, ids, last };
        let mut profile = Profile::default();
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(&sample[..]);
        for record in reader.byte_records().skip(1 + skipped as usize).take(ROWS_MAX).map_while(Result::ok) {
            let mut found = Found::new();
            columns.split(&record, &mut found);
            profile.observe(&columns.mapper, &found);
        }
        profile.settle(&mut columns.mapper, options, records.input().path())?;
        Ok((records, columns))
    }

    fn split<'a>(&mut self, record: &'a ByteRecord, found: &mut Found<'a>) {
        for (&id, value) in self.ids.iter().zip(record) {
            let value = value.trim_ascii();
            self.mapper.take_id(found, id, if value == b"-" { b"" } else { value });
        }
    }

    /// Reads a row.
    pub(crate) fn parse(&mut self, record: &ByteRecord, row: &mut Row, context: &mut Context) -> Result<(), Fault> {
        let (last, name) = &self.last;
        if record.len() <= *last {
            return Err(Fault {
                field: name.clone().into(),
                found: format!("{} columns", record.len()),
                expected: format!("at least {}", last + 1).into(),
            });
        }
        let mut found = Found::new();
        self.split(record, &mut found);
        self.mapper.finish(&found, row, context)
    }
}
