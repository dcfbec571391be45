//! A decision and its network, beside the same network in other runtimes: one ONNX file,
//! one thread, fresh inputs each call, warm caches and cold ones.
//!
//! `cargo xtask bench runtime` runs it pinned to a core, with tract optimised.
//!
//! ONNX Runtime is measured where `EVENKEEL_ONNXRUNTIME` is the path of its shared library
//! (of the Python wheel, say); it and straight C need a C compiler.

mod floor;
mod foreign;
mod ours;
mod policy;
mod straight_c;
mod tract;

use anyhow::{Context, Result};
use evenkeel_dev::measured::{CALLS, COLD_CALLS, Measured, Random};
use evenkeel_dev::{builder, timing};
use evenkeel_export::{compile, onnx, verify};
use evenkeel_runtime::simd::Level;
use evenkeel_runtime::{HOST_FEATURES, Model};

/// Numbers of hosts.
const ROWS: [usize; 4] = [8, 16, 64, 256];

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("policy.onnx");
    policy::policy()?.write(&path)?;
    let artifact = compile(Some(&path), None, &builder::service(), "{}")?;
    let model = Model::parse(&artifact).context("the artifact")?;
    let program = model.policy().context("no policy")?.program();
    let listing = onnx::read_file(&path)?;
    let expected = ROWS.map(|rows| {
        let mut input = vec![0.0; rows * HOST_FEATURES];
        Random::default().fill(&mut input);
        (rows, verify::run_rows(program, &input, rows).last().copied().unwrap_or(f32::NAN))
    });
    let onnx_runtime =
        or_skipped("ONNX Runtime", foreign::onnx_runtime(folder.path(), &path, HOST_FEATURES, &expected));
    let straight = or_skipped("straight C", foreign::straight(folder.path(), &listing, &expected));
    let clock_ghz = timing::clock_ghz();
    let per_ns = timing::multiply_adds_per_ns(Level::detect(), clock_ghz);
    println!("clock {clock_ghz:.2} GHz; nanoseconds of single calls: {CALLS} with warm caches,");
    println!("{COLD_CALLS} cold, that is after touching {} MiB of other memory", timing::FLOOD_WORDS >> 17);
    println!(
        "{:>5} {:<21} {:>8} {:>8} {:>9} {:>7} {:>8} {:>7}",
        "hosts", "", "median", "p99", "/network", "/floor", "cold", "p99"
    );
    for (index, (rows, expected)) in expected.into_iter().enumerate() {
        let widest = Level::detect();
        let floors = [
            ("floor: multiply-adds", floor::multiply_adds_ns(&listing, widest, rows, per_ns)),
            ("floor: bytes", floor::bytes_ns(&listing, widest, rows, clock_ghz)),
        ];
        let network = ours::network(program, rows);
        let table = Table { rows, network_ns: network.warm.0, floor_ns: floors[0].1.max(floors[1].1) };
        table.line("decision", ours::decision(&model, rows));
        table.line(&format!("network, {}", widest.name()), network);
        for level in Level::available().filter(|level| *level != widest && level.name() == "avx2") {
            table.line(&format!("network, {}", level.name()), ours::network(&program.with_level(level), rows));
        }
        for (name, others) in [("ONNX Runtime", &onnx_runtime), ("straight C", &straight)] {
            if let Some(measured) = others.get(index) {
                table.line(name, *measured);
            }
        }
        if let [measured] =
            or_skipped("tract", tract::run(&path, rows, HOST_FEATURES, expected).map(|one| vec![one]))[..]
        {
            table.line("tract", measured);
        }
        for (name, floor_ns) in floors {
            println!("{rows:>5} {name:<21} {floor_ns:>8.0} {:>8} {:>9.2}", "", floor_ns / table.network_ns);
        }
    }
    println!("/network, /floor: times the network's median on {}, times its larger floor;", Level::detect().name());
    println!("floors: {per_ns:.0} multiply-adds a nanosecond, as measured, and two loads of a vector a cycle");
    Ok(())
}

/// What the lines for a number of hosts are compared with.
struct Table {
    rows: usize,
    network_ns: f64,
    floor_ns: f64,
}

impl Table {
    fn line(&self, name: &str, Measured { warm: (median, p99), cold: (cold, cold_p99) }: Measured) {
        println!(
            "{:>5} {name:<21} {median:>8.0} {p99:>8.0} {:>9.2} {:>7.2} {cold:>8.0} {cold_p99:>7.0}",
            self.rows,
            median / self.network_ns,
            median / self.floor_ns,
        );
    }
}

/// Nothing, and why, where another runtime cannot be measured.
fn or_skipped(name: &str, measured: Result<Vec<Measured>>) -> Vec<Measured> {
    measured.unwrap_or_else(|reason| {
        println!("skipped: {name} ({reason:#})");
        Vec::new()
    })
}
