//! Writes the log of a made-up service as Parquet, CSV or JSON lines: what tests and `cargo xtask bench lake` read.
//!
//! ```text
//! generate FOLDER ROWS [--files N] [--days N] [--format parquet|csv|json]
//! ```
//!
//! Load follows the day and the week; two thirds of the requests are turns of conversations. Equal arguments give
//! equal files.

use datafusion::arrow::array::{Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::csv::WriterBuilder;
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use evenkeel_numbers::random::{SplitMix64, unit};
use std::f64::consts::TAU;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// 24 November 2025, a Monday.
const BEGIN_US: f64 = 1_763_942_400e6;
const BATCH_ROWS: u64 = 65_536;
/// Conversations that are under way at a time.
const OPEN: usize = 2000;

fn main() -> Result<()> {
    let (mut plain, mut files, mut days, mut format) = (Vec::new(), 8, 28.0, "parquet".to_owned());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--files" => files = value()?.parse()?,
            "--days" => days = value()?.parse()?,
            "--format" => format = value()?,
            _ => plain.push(word),
        }
    }
    let [folder, rows] = plain.as_slice() else { return Err("expected FOLDER ROWS".into()) };
    let rows: u64 = rows.parse()?;
    fs::create_dir_all(folder)?;
    let mut service = Service::new(rows, days);
    for file in 0..files {
        let path = Path::new(folder).join(format!("part-{file:04}.{format}"));
        let count = rows * (file + 1) / files - rows * file / files;
        write(&path, &format, &mut service, count)?;
    }
    Ok(())
}

fn write(path: &Path, format: &str, service: &mut Service, rows: u64) -> Result<()> {
    let batches = (0..rows.div_ceil(BATCH_ROWS)).map(|batch| BATCH_ROWS.min(rows - batch * BATCH_ROWS));
    let file = BufWriter::new(File::create(path)?);
    match format {
        "parquet" => {
            let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
            let mut writer = ArrowWriter::try_new(file, service.schema.clone(), Some(properties))?;
            for rows in batches {
                writer.write(&service.batch(rows)?)?;
            }
            writer.close()?;
        }
        "csv" => {
            let mut writer = WriterBuilder::new().with_header(true).build(file);
            for rows in batches {
                writer.write(&service.batch(rows)?)?;
            }
        }
        "json" => {
            let mut writer = LineDelimitedWriter::new(file);
            for rows in batches {
                writer.write(&service.batch(rows)?)?;
            }
            writer.finish()?;
        }
        other => return Err(format!("--format: found {other}, expected parquet, csv or json").into()),
    }
    Ok(())
}

/// What makes the rows.
struct Service {
    schema: Arc<Schema>,
    random: Random,
    now_us: f64,
    mean_gap_us: f64,
    /// Conversations and the tokens that each has come to.
    open: Vec<(u64, f64)>,
    conversations: u64,
}

impl Service {
    fn new(rows: u64, days: f64) -> Self {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let whole = |name: &str| Field::new(name, DataType::Int32, false);
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Schema::new(vec![
            Field::new("start_time", time, false),
            text("route"),
            text("session_id"),
            whole("status"),
            whole("prompt_tokens"),
            whole("output_tokens"),
            Field::new("duration_ms", DataType::Float64, false),
            text("upstream"),
        ]);
        Self {
            schema: Arc::new(schema),
            random: Random(SplitMix64::new(1)),
            now_us: BEGIN_US,
            mean_gap_us: days * 86_400e6 / rows.max(1) as f64,
            open: Vec::new(),
            conversations: 0,
        }
    }

    fn batch(&mut self, rows: u64) -> Result<RecordBatch> {
        let (mut times, mut routes, mut sessions, mut statuses) = (vec![], vec![], vec![], vec![]);
        let (mut prompts, mut outputs, mut durations, mut upstreams) = (vec![], vec![], vec![], vec![]);
        for _ in 0..rows {
            let day = (self.now_us - BEGIN_US) / 86_400e6;
            let weekday = if day.rem_euclid(7.0) < 5.0 { 1.15 } else { 0.625 };
            let load = weekday * (1.0 + 0.7 * (TAU * (day - 0.4)).sin());
            self.now_us += self.mean_gap_us * -(1.0 - self.random.uniform()).ln() / load;
            let output = self.random.log_normal(5.0, 1.0).min(16_000.0).max(1.0);
            let (session, prompt) = self.turn(output);
            times.push(self.now_us as i64);
            routes.push(["chat", "chat", "chat", "code", "batch"][self.random.below(5)]);
            sessions.push(format!("c-{session:x}"));
            statuses.push(if self.random.uniform() < 0.01 { 503 } else { 200 });
            prompts.push(prompt as i32);
            outputs.push(output as i32);
            durations.push((prompt * 0.05 + output * 12.0).round());
            upstreams.push(format!("10.0.0.{}:8000", self.random.below(16)));
        }
        Ok(RecordBatch::try_new(
            self.schema.clone(),
            vec![
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
                Arc::new(StringArray::from(routes)),
                Arc::new(StringArray::from(sessions)),
                Arc::new(Int32Array::from(statuses)),
                Arc::new(Int32Array::from(prompts)),
                Arc::new(Int32Array::from(outputs)),
                Arc::new(Float64Array::from(durations)),
                Arc::new(StringArray::from(upstreams)),
            ],
        )?)
    }

    /// A turn: its conversation, and the tokens of its prompt.
    fn turn(&mut self, output: f64) -> (u64, f64) {
        let is_new = self.open.len() < OPEN / 10 || self.random.uniform() < 1.0 / 3.0;
        let own = self.random.log_normal(5.5, 1.0);
        if is_new {
            self.conversations += 1;
            let turn = (self.conversations, own.min(100_000.0));
            let place = self.random.below(OPEN);
            let kept = (turn.0, turn.1 + output);
            if self.open.len() < OPEN {
                self.open.push(kept)
            } else {
                self.open[place] = kept
            }
            return turn;
        }
        let place = self.random.below(self.open.len());
        let conversation = &mut self.open[place];
        let prompt = (conversation.1 + own).min(100_000.0);
        conversation.1 = prompt + output;
        (conversation.0, prompt)
    }
}

/// Draws of the distributions of logs.
struct Random(SplitMix64);

impl Random {
    fn uniform(&mut self) -> f64 {
        unit(self.0.bits())
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.uniform() * bound as f64) as usize
    }

    fn log_normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        (mean + deviation * radius * (TAU * self.uniform()).cos()).exp()
    }
}
