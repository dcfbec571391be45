//! Pages of all engines, made up in the form that each of them writes.

mod combined;
mod nvidia;
mod others;
mod properties;
mod sglang;
mod vllm;

use evenkeel_agent::engines::Rules;
use evenkeel_agent::page::Page;
use evenkeel_agent::reading::Reader;

/// Reads pages that follow each other, 100 ms apart.
fn read(pages: &[&str]) -> Reader {
    read_with(&Rules::default(), pages)
}

fn read_with(rules: &Rules, pages: &[&str]) -> Reader {
    let mut reader = Reader::default();
    for (number, page) in (1..).zip(pages) {
        reader.take(&Page::parse(page.as_bytes(), rules), rules, number * 100_000);
    }
    reader
}

/// Running, waiting, KV cache in use and step; NaN for what is not known.
fn load(pages: &[&str]) -> [f32; 4] {
    told(&read(pages))
}

fn told(reader: &Reader) -> [f32; 4] {
    let telemetry = reader.telemetry();
    [telemetry.running, telemetry.waiting, telemetry.kv_use, telemetry.step_s]
}

/// Compares with NaN equal to itself, and steps to a part in a million.
#[track_caller]
fn expect(found: [f32; 4], expected: [f32; 4]) {
    let same = |(found, expected): (f32, f32)| {
        (found.is_nan() && expected.is_nan()) || (found - expected).abs() <= 1e-6 * expected.abs().max(1e-3)
    };
    assert!(found.into_iter().zip(expected).all(same), "{found:?}, expected {expected:?}");
}

/// KV capacity in tokens, batch limit, engines.
fn limits(reader: &Reader) -> (Option<f64>, Option<f64>, Option<u32>) {
    let value = |found: Option<evenkeel_agent::reading::Found>| found.map(|found| found.value);
    (value(reader.load.kv_capacity_tokens), value(reader.load.batch_limit), reader.load.engines)
}

const NAN: f32 = f32::NAN;
