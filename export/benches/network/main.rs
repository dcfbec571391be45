//! The policy network alone, in this runtime and in ONNX Runtime: the same ONNX file, one
//! thread, fresh inputs, tensors made once.
//!
//! `cargo bench --profile release -p evenkeel-export --bench network`
//!
//! ONNX Runtime is measured where `EVENKEEL_ONNXRUNTIME` is the path of its shared library
//! (of the Python wheel, say) and there is a C compiler. Tract does not take part: this
//! workspace builds it without optimisation, since it only checks a few outputs here.

use std::ffi::OsString;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use evenkeel_export::onnx::{self, GraphBuilder, OnnxModel};
use evenkeel_runtime::simd::Level;
use evenkeel_runtime::{HOST_FEATURES, Program, stride};

/// Numbers of hosts.
const ROWS: [usize; 4] = [8, 16, 64, 256];
/// Calls timed together.
const CALLS: u32 = 8;
/// Batches of calls.
const BATCHES: usize = 3000;

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("policy.onnx");
    policy()?.write(&path)?;
    let section = onnx::read_file(&path)?.encode()?;
    let program = Program::parse(&section)?;
    let onnx_runtime = onnx_runtime(folder.path(), &path);
    if let Err(reason) = &onnx_runtime {
        println!("skipped: ONNX Runtime ({reason:#})");
    }
    println!("nanoseconds a call (median/p99 of {BATCHES} batches of {CALLS}), and how many times this runtime's");
    println!("{:>6} {:>14} {:>14} {:>22}", "hosts", "evenkeel avx2", "evenkeel", "ONNX Runtime");
    for (index, rows) in ROWS.into_iter().enumerate() {
        let narrower = Level::available().find(|level| level.name() == "avx2");
        let narrower = narrower.map(|level| ours(&program.with_level(level), rows));
        let ours = ours(&program, rows);
        let onnx_runtime = onnx_runtime.as_ref().ok().and_then(|times| times.get(index).copied());
        println!(
            "{rows:>6} {:>14} {:>14} {:>22}",
            narrower.map_or_else(|| "-".into(), pair),
            pair(ours),
            onnx_runtime.map_or_else(|| "-".into(), |times| ratio(times, ours)),
        );
    }
    println!("the second column is on the widest vectors of this machine: {}", Level::detect().name());
    Ok(())
}

/// Median and 99th percentile in nanoseconds.
#[derive(Clone, Copy)]
struct Times {
    median: f64,
    p99: f64,
}

fn pair(times: Times) -> String {
    format!("{:.0}/{:.0}", times.median, times.p99)
}

fn ratio(times: Times, ours: Times) -> String {
    format!("{} ({:.1}x)", pair(times), times.median / ours.median)
}

/// The shape of the policy that the trainer makes, with arbitrary weights.
fn policy() -> Result<OnnxModel> {
    let weights = |inputs: usize, outputs: usize| -> Vec<f32> {
        (0..inputs * outputs).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.004).collect()
    };
    let mut graph = GraphBuilder::new("policy");
    let features = graph.input("input", HOST_FEATURES);
    let mean = graph.mean_rows(features);
    let context = graph.linear(mean, &weights(HOST_FEATURES, 16), HOST_FEATURES, 16, Some(&[0.1; 16]));
    let first = graph.linear(features, &weights(HOST_FEATURES, 16), HOST_FEATURES, 16, Some(&[0.2; 16]));
    let sum = graph.add(first, context);
    let hidden = graph.tanh(sum);
    let second = graph.linear(hidden, &weights(16, 8), 16, 8, Some(&[0.1; 8]));
    let hidden = graph.tanh(second);
    let third = graph.linear(hidden, &weights(8, 1), 8, 1, Some(&[0.1]));
    let bounded = graph.tanh(third);
    let residual = graph.affine(bounded, 2.5, 0.0);
    let estimate = graph.slice_columns(features, 0, 1);
    let estimate = graph.affine(estimate, 0.85, 0.0);
    let score = graph.add(estimate, residual);
    Ok(graph.finish(score, "output", &[])?)
}

fn ours(program: &Program<'_>, rows: usize) -> Times {
    let mut scratch = vec![0.0; program.scratch_len(rows)];
    let mut random = Random(1);
    measure(|fresh| {
        if fresh {
            random.fill(scratch.get_mut(..HOST_FEATURES * stride(rows)).unwrap_or_default());
        } else {
            black_box(program.run(rows, black_box(&mut scratch)));
        }
    })
}

/// Compiles the C program beside this file and runs it on the same file.
fn onnx_runtime(folder: &Path, model: &Path) -> Result<Vec<Times>> {
    let library = std::env::var_os("EVENKEEL_ONNXRUNTIME").context("EVENKEEL_ONNXRUNTIME is not set")?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/onnxruntime.c");
    let program = folder.join("onnxruntime");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let status = Command::new(&compiler).arg("-O2").arg(source).arg("-o").arg(&program).arg("-ldl").status();
    ensure!(status.context("no C compiler")?.success(), "the C program does not compile");
    let rows = ROWS.map(|rows| rows.to_string());
    let arguments: Vec<OsString> = [library, model.into(), HOST_FEATURES.to_string().into()]
        .into_iter()
        .chain(rows.into_iter().map(OsString::from))
        .collect();
    let output = Command::new(&program).args(arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    let times = String::from_utf8(output.stdout)?;
    times
        .lines()
        .map(|line| {
            let mut numbers = line.split_whitespace().skip(1).map(str::parse);
            let mut next = || numbers.next().context("a line is short")?.context("not a number");
            Ok(Times { median: next()?, p99: next()? })
        })
        .collect()
}

/// Times batches of calls; before each, `call(true)` makes new inputs, untimed.
fn measure(mut call: impl FnMut(bool)) -> Times {
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            call(true);
            let begin = Instant::now();
            for _ in 0..CALLS {
                call(false);
            }
            begin.elapsed().as_nanos() as f64 / f64::from(CALLS)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    Times { median: times[BATCHES / 2], p99: times[BATCHES * 99 / 100] }
}

/// A linear congruential generator: enough for inputs.
struct Random(u32);

impl Random {
    fn fill(&mut self, numbers: &mut [f32]) {
        for number in numbers {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *number = (self.0 >> 8) as f32 * 1e-7;
        }
    }
}
