//! What the network must take at least, by what the core can do.

use evenkeel_export::Program;
use evenkeel_runtime::program::Op;
use evenkeel_runtime::simd::Level;

/// Nanoseconds of the multiply-adds at so many numbers a nanosecond: whole vectors of rows, or of
/// outputs where one row stands for all.
pub(crate) fn multiply_adds_ns(program: &Program, level: Level, rows: usize, per_ns: f64) -> f64 {
    let layers = program.instructions.iter().filter(|instruction| instruction.op == Op::Linear);
    let products = layers.map(|layer| {
        let [a, dst] = [layer.a, layer.dst].map(|index| program.registers[usize::from(index)]);
        let (inputs, outputs) = (usize::from(a.width), usize::from(dst.width));
        let vectors = if dst.uniform { outputs.div_ceil(lanes(level)) } else { outputs * rows.div_ceil(lanes(level)) };
        inputs * vectors
    });
    (products.sum::<usize>() * lanes(level)) as f64 / per_ns
}

/// Nanoseconds of reading inputs and weights and writing scores, once each: two loads of a
/// vector a cycle, which is what the nearest cache gives.
pub(crate) fn bytes_ns(program: &Program, level: Level, rows: usize, clock_ghz: f64) -> f64 {
    let numbers = program.weights.len() + rows * (program.input_width() + program.output_width());
    numbers as f64 / (2 * lanes(level)) as f64 / clock_ghz
}

fn lanes(level: Level) -> usize {
    match level.name() {
        "avx512" => 16,
        "avx2" => 8,
        _ => 4,
    }
}
