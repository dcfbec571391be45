//! Rows of CSV, of bounded length.

use super::Input;
use crate::DataError;
use csv::ByteRecord;

/// Reads CSV records, the header among them.
pub(crate) struct Records {
    reader: csv::Reader<Input>,
    record: ByteRecord,
    kind: &'static str,
    /// Lines that were left out before the reader's first.
    skipped_lines: u64,
}

impl Records {
    /// Reads `input` with a delimiter, from behind its first `skipped_lines` lines.
    pub(crate) fn new(mut input: Input, delimiter: u8, skipped_lines: u64) -> Self {
        let mut begin = if input.head().starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        for _ in 0..skipped_lines {
            let rest = &input.head()[begin..];
            begin += memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        }
        input.skip(begin);
        let kind = input.kind();
        let reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(input);
        Self { reader, record: ByteRecord::new(), kind, skipped_lines }
    }

    /// The next row, or `None` at the end.
    pub(crate) fn next_record(&mut self) -> Result<Option<&ByteRecord>, DataError> {
        self.reader.get_mut().begin_row();
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => Ok(Some(&self.record)),
            Ok(false) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Line at which the row read last begins.
    pub(crate) fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line) + self.skipped_lines
    }

    /// The file.
    pub(crate) fn input(&self) -> &Input {
        self.reader.get_ref()
    }

    /// A failure of the reader: since rows may be of any content, it is the file's.
    fn failed(&self, error: csv::Error) -> DataError {
        let lines = self.reader.position().line().saturating_sub(1) + self.skipped_lines;
        let source = match error.into_kind() {
            csv::ErrorKind::Io(source) => source,
            other => std::io::Error::other(format!("{other:?} ({})", self.kind)),
        };
        match self.input().failed(lines, source) {
            // The reader is somewhere within the row.
            DataError::LongRow { path, bytes_max, .. } => {
                DataError::LongRow { path, line: self.line_of_long_row(), bytes_max }
            }
            other => other,
        }
    }

    fn line_of_long_row(&self) -> u64 {
        // The record under way keeps the position at which it began.
        self.line().max(1)
    }
}
