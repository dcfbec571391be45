//! C programs that time themselves by `timing.h`: ONNX Runtime, and straight C.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use evenkeel_export::Program;

use crate::straight_c;
use evenkeel_dev::measured::{CALLS, COLD_CALLS, Measured, check};
use evenkeel_dev::timing;

/// The file at `model` in ONNX Runtime, whose shared library `EVENKEEL_ONNXRUNTIME` names.
pub(crate) fn onnx_runtime(
    folder: &Path,
    model: &Path,
    width: usize,
    expected: &[(usize, f32)],
) -> Result<Vec<Measured>> {
    let library = std::env::var_os("EVENKEEL_ONNXRUNTIME").context("EVENKEEL_ONNXRUNTIME is not set")?;
    let sources = [here("onnxruntime.c")];
    let program = compile(folder, "onnxruntime", &["-O2".into()], &sources, "-ldl")?;
    run(&program, &[library, model.into(), width.to_string().into()], expected)
}

/// The program as C, by the C compiler's best effort for this machine.
pub(crate) fn straight(folder: &Path, program: &Program, expected: &[(usize, f32)]) -> Result<Vec<Measured>> {
    let most = expected.iter().map(|(rows, _)| *rows).max().unwrap_or(1);
    let network = folder.join("network.c");
    std::fs::write(&network, straight_c::source(program, most))?;
    let width = format!("-DNETWORK_WIDTH={}", program.input_width());
    let options = ["-O3", "-march=native", &width].map(OsString::from);
    let program = compile(folder, "straight", &options, &[here("straight.c"), network], "-lm")?;
    run(&program, &[], expected)
}

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/network").join(name)
}

fn compile(folder: &Path, name: &str, options: &[OsString], sources: &[PathBuf], library: &str) -> Result<PathBuf> {
    let program = folder.join(name);
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(options).args([
        format!("-DCALLS={CALLS}"),
        format!("-DCOLD_CALLS={COLD_CALLS}"),
        format!("-DFLOOD_WORDS={}", timing::FLOOD_WORDS),
    ]);
    let status = compiler.args(sources).arg("-o").arg(&program).arg(library).status().context("no C compiler")?;
    ensure!(status.success(), "{name} does not compile");
    Ok(program)
}

/// A line for each number of rows: see `measure` in `timing.h`.
fn run(program: &Path, arguments: &[OsString], expected: &[(usize, f32)]) -> Result<Vec<Measured>> {
    let rows = expected.iter().map(|(rows, _)| rows.to_string());
    let output = Command::new(program).args(arguments).args(rows).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    let lines = String::from_utf8(output.stdout)?;
    ensure!(
        lines.lines().count() == expected.len(),
        "found {} lines, expected {}",
        lines.lines().count(),
        expected.len()
    );
    let measured = lines.lines().zip(expected).map(|(line, (_, expected))| {
        let numbers = line.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        let [median, p99, cold_median, cold_p99, score] = numbers[..] else {
            anyhow::bail!("found {line:?}, expected five numbers");
        };
        check(score as f32, *expected)?;
        Ok(Measured { warm: (median, p99), cold: (cold_median, cold_p99) })
    });
    measured.collect()
}
