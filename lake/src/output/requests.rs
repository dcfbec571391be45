//! The requests of the chosen windows: as Parquet, and as the CSV that the trainer reads.

use super::text::field;
use crate::columns::Columns;
use anyhow::{Context as _, Result, ensure};
use datafusion::arrow::array::{
    Array, ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, UInt64Array,
};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use evenkeel_numbers::fnv;
use evenkeel_numbers::random::{GOLDEN, unit};
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A window whose requests are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen {
    pub(crate) begin_us: i64,
    pub(crate) window_us: i64,
}

/// What the requests of a window were like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) requests: u64,
    pub(crate) left_out: u64,
    prompts: Vec<u32>,
    outputs: Vec<u32>,
    previous_us: Option<i64>,
    gaps: f64,
    gap_mean_s: f64,
    gap_square: f64,
}

impl Summary {
    /// Standard deviation of the gaps between arrivals over their mean; NaN for fewer than two requests.
    pub(crate) fn interarrival_cv(&self) -> f64 {
        if self.gaps > 0.0 { (self.gap_square / self.gaps).sqrt() / self.gap_mean_s } else { f64::NAN }
    }

    /// Median, 90th and 99th percentile of the prompts' lengths, then of the outputs'.
    pub(crate) fn quantiles(&self) -> [[u32; 3]; 2] {
        [&self.prompts, &self.outputs].map(|lengths| {
            let mut sorted = lengths.clone();
            sorted.sort_unstable();
            [0.5, 0.9, 0.99].map(|share| {
                let rank = (share * sorted.len() as f64).ceil() as usize;
                sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
            })
        })
    }

    fn add(&mut self, t_us: i64, prompt: u32, output: u32) {
        self.requests += 1;
        self.prompts.push(prompt);
        self.outputs.push(output);
        if let Some(previous_us) = self.previous_us.replace(t_us) {
            // Welford's recurrence.
            let gap_s = (t_us - previous_us) as f64 / 1e6;
            self.gaps += 1.0;
            let step = gap_s - self.gap_mean_s;
            self.gap_mean_s += step / self.gaps;
            self.gap_square += step * (gap_s - self.gap_mean_s);
        }
    }
}

/// Writes requests, which come in order of time.
pub(crate) struct Requests {
    parquet: ArrowWriter<File>,
    csv: GzEncoder<BufWriter<File>>,
    paths: [PathBuf; 2],
    schema: SchemaRef,
    windows: Vec<Chosen>,
    at: usize,
    share: f64,
    rows: u64,
    summaries: Vec<Summary>,
}

impl Requests {
    /// Begins the files. `share` of the sessions (of the requests, where there are no sessions) is kept.
    pub(crate) fn create(parquet: &Path, csv: &Path, windows: Vec<Chosen>, share: f64) -> Result<Self> {
        let types = [DataType::Int64, DataType::Int64, DataType::Float64, DataType::Float64];
        let types = types.into_iter().chain(std::iter::repeat_n(DataType::Utf8, 3));
        let mut fields =
            vec![Field::new("window", DataType::Int32, false), Field::new("arrival_us", DataType::Int64, false)];
        fields.extend(Columns::NAMES.into_iter().zip(types).map(|(name, data_type)| Field::new(name, data_type, true)));
        let schema = Arc::new(Schema::new(fields));
        let create = |path: &Path| File::create(path).with_context(|| format!("{}: cannot be written", path.display()));
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = ArrowWriter::try_new(create(parquet)?, Arc::clone(&schema), Some(properties))?;
        let mut csv_writer = GzEncoder::new(BufWriter::new(create(csv)?), flate2::Compression::fast());
        writeln!(csv_writer, "arrival_s,window,{}", Columns::NAMES.join(","))?;
        let summaries = vec![Summary::default(); windows.len()];
        let paths = [parquet.to_owned(), csv.to_owned()];
        Ok(Self { parquet: writer, csv: csv_writer, paths, schema, windows, at: 0, share, rows: 0, summaries })
    }

    /// Takes rows: `t_us` and the columns of [`Columns::NAMES`].
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = Rows::of(batch)?;
        let (mut kept, mut of_window) = (Vec::new(), Vec::new());
        for row in 0..batch.num_rows() {
            let t_us = rows.t_us.value(row);
            while self.windows.get(self.at).is_some_and(|window| t_us >= window.begin_us + window.window_us) {
                self.at += 1;
            }
            let Some(window) = self.windows.get(self.at).filter(|window| t_us >= window.begin_us) else { continue };
            self.rows += 1;
            let key = text(rows.session, row).map_or(self.rows, |session| fnv::hash(session.as_bytes()));
            if !is_kept(key, self.share) {
                self.summaries[self.at].left_out += 1;
                continue;
            }
            let arrival_us = self.at as i64 * window.window_us + t_us - window.begin_us;
            self.line(&rows, row, arrival_us)?;
            kept.push(row as u64);
            of_window.push(self.at as i32);
        }
        let kept = UInt64Array::from(kept);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(of_window))];
        for column in batch.columns() {
            columns.push(take(column, &kept, None)?);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.parquet.write(&batch).with_context(|| format!("{}: cannot be written", self.paths[0].display()))
    }

    /// Writes a row of the CSV. A session that goes on in another window is another one there.
    fn line(&mut self, rows: &Rows<'_>, row: usize, arrival_us: i64) -> Result<()> {
        let [prompt, output] =
            [(rows.prompt, "prompt_tokens"), (rows.output, "output_tokens")].map(|(column, name)| {
                let value = if column.is_null(row) { 0 } else { column.value(row) };
                u32::try_from(value).ok().with_context(|| format!("{name}: found {value}, expected a number of tokens"))
            });
        let (prompt, output) = (prompt?, output?);
        self.summaries[self.at].add(rows.t_us.value(row), prompt, output);
        let tokens =
            |column: &Int64Array, value: u32| if column.is_null(row) { String::new() } else { value.to_string() };
        let seconds =
            |column: &Float64Array| if column.is_null(row) { String::new() } else { column.value(row).to_string() };
        let session = text(rows.session, row).map_or_else(String::new, |session| format!("{session}#{}", self.at));
        writeln!(
            self.csv,
            "{}.{:06},{},{},{},{},{},{},{},{}",
            arrival_us / 1_000_000,
            arrival_us % 1_000_000,
            self.at,
            tokens(rows.prompt, prompt),
            tokens(rows.output, output),
            seconds(rows.service_s),
            seconds(rows.first_byte_s),
            field(text(rows.class, row).unwrap_or_default()),
            field(&session),
            field(text(rows.upstream, row).unwrap_or_default()),
        )
        .with_context(|| format!("{}: cannot be written", self.paths[1].display()))
    }

    /// Completes the files.
    pub(crate) fn finish(self) -> Result<Vec<Summary>> {
        let [parquet, csv] = self.paths.map(|path| format!("{}: cannot be written", path.display()));
        self.parquet.close().context(parquet)?;
        self.csv.finish().and_then(|mut file| file.flush()).context(csv)?;
        ensure!(
            self.summaries.iter().any(|window| window.requests > 0),
            "no request is left in the chosen windows; is --requests-max too low?"
        );
        Ok(self.summaries)
    }
}

/// The columns of a batch.
struct Rows<'a> {
    t_us: &'a Int64Array,
    prompt: &'a Int64Array,
    output: &'a Int64Array,
    service_s: &'a Float64Array,
    first_byte_s: &'a Float64Array,
    class: &'a StringArray,
    session: &'a StringArray,
    upstream: &'a StringArray,
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self> {
        fn column<T: 'static>(batch: &RecordBatch, index: usize) -> Result<&T> {
            let column = batch.columns().get(index).and_then(|column| column.as_any().downcast_ref());
            column.with_context(|| format!("column {index} of the requests is not of the type that was asked for"))
        }
        Ok(Self {
            t_us: column(batch, 0)?,
            prompt: column(batch, 1)?,
            output: column(batch, 2)?,
            service_s: column(batch, 3)?,
            first_byte_s: column(batch, 4)?,
            class: column(batch, 5)?,
            session: column(batch, 6)?,
            upstream: column(batch, 7)?,
        })
    }
}

fn text(column: &StringArray, row: usize) -> Option<&str> {
    (column.is_valid(row) && !column.value(row).is_empty()).then(|| column.value(row))
}

/// Whether a session is among the share that is kept: the same for all its requests.
fn is_kept(key: u64, share: f64) -> bool {
    // Fibonacci hashing spreads keys that follow one another.
    share >= 1.0 || unit(key.wrapping_mul(GOLDEN)) <= share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_sessions_is_kept() {
        for share in [0.1, 0.5] {
            let kept = (0..100_000_u64).filter(|&row| is_kept(row, share)).count() as f64;
            assert!((kept / 1e5 - share).abs() < 0.01, "{kept}");
            let kept = (0..100_000).filter(|row| is_kept(fnv::hash(format!("user-{row}").as_bytes()), share)).count();
            assert!((kept as f64 / 1e5 - share).abs() < 0.01, "{kept}");
        }
        assert!((0..1000).all(|row| is_kept(row, 1.0)));
    }

    #[test]
    fn gaps_and_lengths_are_summarised() {
        let mut summary = Summary::default();
        assert!(summary.interarrival_cv().is_nan());
        for (index, t_us) in [0, 1_000_000, 4_000_000].into_iter().enumerate() {
            summary.add(t_us, 10 * index as u32, 7);
        }
        // Gaps of 1 s and 3 s.
        assert!((summary.interarrival_cv() - 0.5).abs() < 1e-12);
        assert_eq!(summary.quantiles(), [[10, 20, 20], [7, 7, 7]]);
    }
}
