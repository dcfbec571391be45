//! How fast, and in how much memory, access logs are read.
//!
//! Generates a seeded log of each format in a temporary folder, streams it on one thread and
//! prints MB/s, rows/s and the process's peak resident memory (Linux).
//!
//! ```text
//! cargo bench -p evenkeel-datasets -- --lines 10000000 [--format nginx-json] [--load | --stats] [--gzip]
//! cargo bench -p evenkeel-datasets -- --path FILE
//! ```
//!
//! `--load` keeps all requests in memory, as training does, instead of streaming; `--stats`
//! summarises them, as `evenkeel dataset stats` does. `--gzip` packs the log; the last column is then the
//! time that unpacking alone takes. `--path` summarises a file or folder that is there already.

use evenkeel_datasets::random::{self, Pcg64Mcg};
use evenkeel_datasets::stats::{BIN_S, TraceStats};
use evenkeel_datasets::{Format, LoadOptions, load_trace, stream_trace};
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

struct Arguments {
    lines: u64,
    formats: Vec<Format>,
    reading: Reading,
    is_packed: bool,
    path: Option<PathBuf>,
}

/// What is done with the requests.
#[derive(Clone, Copy)]
enum Reading {
    Stream,
    Load,
    Stats,
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    println!(
        "{:<16} {:>12} {:>9} {:>9} {:>9} {:>12} {:>10} {:>9}",
        "format", "rows", "MB", "s", "MB/s", "rows/s", "peak MB", "unpack s"
    );
    if let Some(path) = &arguments.path {
        return there(path);
    }
    let folder = tempfile::tempdir()?;
    for &format in &arguments.formats {
        let path = folder.path().join(format.name());
        let megabytes = generate(&path, format, &arguments)? as f64 / 1e6;
        let unpacked_s = if arguments.is_packed { format!("{:.2}", unpack(&path)?) } else { "-".to_owned() };
        // The kernel forgets the peak so far, so that every format has its own.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let start = Instant::now();
        let rows = match arguments.reading {
            Reading::Stream => stream(&path, format)?,
            Reading::Load => load(&path)?,
            Reading::Stats => stats(&path)?,
        };
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(rows, arguments.lines, "every line of the {format} log is a request");
        let (rate, row_rate) = (megabytes / seconds, rows as f64 / seconds);
        let peak = peak_megabytes().map_or("-".to_owned(), |peak| format!("{peak:.1}"));
        println!(
            "{format:<16} {rows:>12} {megabytes:>9.1} {seconds:>9.2} {rate:>9.1} {row_rate:>12.0} {peak:>10} {unpacked_s:>9}"
        );
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

/// Summarises a file or folder that is there already.
fn there(path: &Path) -> Result<()> {
    let start = Instant::now();
    let (stats, understanding) =
        TraceStats::of_file_with_report(path, None, &options(), BIN_S, &mut |share, requests| {
            if requests % 10_000_000 == 0 {
                let left_s = start.elapsed().as_secs_f64() * (1.0 - share) / share.max(1e-9);
                println!("{:.0} %, {} million requests, about {left_s:.0} s left", 100.0 * share, requests / 1_000_000);
            }
        })?;
    let seconds = start.elapsed().as_secs_f64();
    let (rows, rate) = (stats.rows, stats.rows as f64 / seconds);
    let peak = peak_megabytes().map_or("-".to_owned(), |peak| format!("{peak:.1}"));
    let format = understanding.format;
    println!("{format:<16} {rows:>12} {:>9} {seconds:>9.2} {:>9} {rate:>12.0} {peak:>10}", "-", "-");
    Ok(())
}

/// Seconds that unpacking a log takes, and nothing else.
fn unpack(path: &Path) -> Result<f64> {
    let start = Instant::now();
    let file = BufReader::with_capacity(1 << 16, File::open(path)?);
    std::io::copy(&mut flate2::bufread::MultiGzDecoder::new(file), &mut std::io::sink())?;
    Ok(start.elapsed().as_secs_f64())
}

fn arguments() -> Result<Arguments> {
    let formats = vec![Format::NginxCombined, Format::NginxJson, Format::EnvoyJson];
    let mut found = Arguments { lines: 10_000_000, formats, reading: Reading::Stream, is_packed: false, path: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--lines" => found.lines = words.next().ok_or("--lines needs a number")?.parse()?,
            "--format" => found.formats = vec![words.next().ok_or("--format needs a name")?.parse()?],
            "--load" => found.reading = Reading::Load,
            "--stats" => found.reading = Reading::Stats,
            "--gzip" => found.is_packed = true,
            "--path" => found.path = Some(words.next().ok_or("--path needs a file or folder")?.into()),
            // Cargo adds this one.
            "--bench" => {}
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    Ok(found)
}

fn stream(path: &Path, format: Format) -> Result<u64> {
    let mut rows = 0;
    for request in stream_trace(path, Some(format), &LoadOptions::default())? {
        std::hint::black_box(request?);
        rows += 1;
    }
    Ok(rows)
}

/// The format `combined` has no tokens, whatever the paths.
fn options() -> LoadOptions {
    LoadOptions { without_tokens: true, ..LoadOptions::default() }
}

fn load(path: &Path) -> Result<u64> {
    Ok(std::hint::black_box(load_trace(path, None, &options())?).requests.len() as u64)
}

fn stats(path: &Path) -> Result<u64> {
    Ok(std::hint::black_box(TraceStats::of_file(path, None, &options(), BIN_S)?).rows as u64)
}

/// Writes a log of a service with 16 upstream hosts and 2000 requests a second; returns its bytes, unpacked.
fn generate(path: &Path, format: Format, arguments: &Arguments) -> Result<u64> {
    let file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    if !arguments.is_packed {
        return write_lines(file, format, arguments.lines);
    }
    let packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    // The packer is handed whole buffers.
    write_lines(BufWriter::with_capacity(1 << 16, packer), format, arguments.lines)
}

fn write_lines(file: impl Write, format: Format, lines: u64) -> Result<u64> {
    let mut file = Counted { inner: file, bytes: 0 };
    let mut rng = random::generator(1, 0);
    let mut done_ms = 1_741_737_600_000.0_f64;
    for _ in 0..lines {
        done_ms += random::exponential(&mut rng, 0.5);
        write_line(&mut file, format, done_ms, &mut rng)?;
    }
    file.flush()?;
    Ok(file.bytes)
}

/// Counts what is written.
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(buffer)?;
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

fn write_line(file: &mut impl Write, format: Format, done_ms: f64, rng: &mut Pcg64Mcg) -> Result<()> {
    let took_ms = random::log_normal(rng, 7.0, 1.0).min(120_000.0);
    let first_ms = took_ms * 0.1;
    let host = random::below(rng, 16);
    let client = random::below(rng, 250);
    let prompt = random::log_normal(rng, 6.5, 1.0) as u32;
    let output = (random::log_normal(rng, 5.0, 1.0) as u32).max(1);
    // The log is of 12 March 2025, around the clock.
    let of_day = (done_ms / 1e3) as u64 % 86_400;
    let clock = format_args!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60);
    match format {
        Format::NginxCombined => writeln!(
            file,
            "192.0.2.{client} - - [12/Mar/2025:{clock} +0000] \"POST /v1/chat/completions HTTP/1.1\" 200 {} \"-\" \
             \"openai-python/1.66.3 (Linux x86_64) python/3.12\"",
            output * 180,
        )?,
        Format::NginxJson => writeln!(
            file,
            "{{\"msec\":{:.3},\"request_time\":{:.3},\"status\":200,\"upstream_addr\":\"10.0.0.{host}:8000\",\
             \"upstream_header_time\":\"{:.3}\",\"upstream_response_time\":\"{:.3}\",\"request_length\":{},\
             \"bytes_sent\":{},\"prompt_tokens\":\"{prompt}\",\"output_tokens\":\"{output}\"}}",
            done_ms / 1e3,
            took_ms / 1e3,
            first_ms / 1e3,
            took_ms / 1e3,
            prompt * 5,
            output * 180,
        )?,
        Format::EnvoyJson => writeln!(
            file,
            "{{\"start_time\":\"2025-03-12T{clock}.{:03}Z\",\"method\":\"POST\",\"path\":\"/v1/chat/completions\",\
             \"protocol\":\"HTTP/1.1\",\"response_code\":200,\"response_flags\":\"-\",\"bytes_received\":{},\
             \"bytes_sent\":{},\"duration\":{},\"response_duration\":{},\"upstream_host\":\"10.0.0.{host}:8000\",\
             \"prompt_tokens\":\"{prompt}\",\"output_tokens\":\"{output}\"}}",
            done_ms as u64 % 1000,
            prompt * 5,
            output * 180,
            took_ms as u64,
            first_ms as u64,
        )?,
        other => return Err(format!("no log of the format {other} can be generated").into()),
    }
    Ok(())
}

/// The process's peak resident memory in MB.
fn peak_megabytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024.0 / 1e6)
}
