//! The listing of a program.

use std::fmt;

use evenkeel_runtime::Program;
use evenkeel_runtime::program::{Instruction, NO_WEIGHTS, Op, Register};

use super::grouped;

/// Writes a program: its shape, its size, one line for each instruction. `rows` is what a
/// row stands for.
pub(super) fn write(f: &mut fmt::Formatter<'_>, title: &str, rows: &str, program: &Program<'_>) -> fmt::Result {
    let registers: Vec<Register> = program.registers().collect();
    let (input, output) = (registers[0], registers[usize::from(program.output_register())]);
    let count = program.instructions().count();
    writeln!(f, "\n{title}: {} -> {}, N = {rows}", shape(input), shape(output))?;
    writeln!(
        f,
        "  {} parameters, {count} instructions, {} bytes of scratch for 16 {rows}",
        grouped(program.weight_count()),
        grouped(program.scratch_len(16) * size_of::<f32>()),
    )?;
    for (index, instruction) in program.instructions().enumerate() {
        let Instruction { op, dst, .. } = instruction;
        let to = registers[usize::from(dst)];
        let place = format!("r{dst} {}", shape(to));
        let line = format!("{index:>3}  {:<10} {place:<14} = {}", name(op), expression(&instruction, &registers));
        let parameters = parameters(&instruction, &registers);
        if parameters == 0 {
            writeln!(f, "  {line}")?;
        } else {
            writeln!(f, "  {line:<58} {:>9} weights", grouped(parameters))?;
        }
    }
    writeln!(f, "  output r{}", program.output_register())
}

fn expression(instruction: &Instruction, registers: &[Register]) -> String {
    let Instruction { op, dst, a, b, scale, offset, begin, bias, .. } = *instruction;
    let width = registers[usize::from(dst)].width;
    match op {
        Op::Linear => format!("r{a} x W{}", if bias == NO_WEIGHTS { "" } else { " + bias" }),
        Op::LinearInt8 => format!("r{a} x W + bias, 8 bits"),
        Op::Tanh => format!("tanh r{a}"),
        Op::Relu => format!("max(r{a}, 0)"),
        Op::Clip => format!("r{a} within {scale} and {offset}"),
        Op::Sigmoid => format!("1 / (1 + exp -r{a})"),
        Op::Add => format!("r{a} + r{b}"),
        Op::Subtract => format!("r{a} - r{b}"),
        Op::Multiply => format!("r{a} * r{b}"),
        Op::Affine if offset == 0.0 => format!("{scale} * r{a}"),
        Op::Affine => format!("{scale} * r{a} + {offset}"),
        Op::MeanRows => format!("mean of r{a} over rows"),
        Op::Concat => format!("r{a} beside r{b}"),
        Op::Slice => format!("columns {begin}..{} of r{a}", begin + width),
    }
}

fn parameters(instruction: &Instruction, registers: &[Register]) -> usize {
    let width = |register: u16| usize::from(registers[usize::from(register)].width);
    if !matches!(instruction.op, Op::Linear | Op::LinearInt8) {
        return 0;
    }
    let bias = if instruction.bias == NO_WEIGHTS { 0 } else { width(instruction.dst) };
    width(instruction.a) * width(instruction.dst) + bias
}

fn shape(register: Register) -> String {
    format!("[{}, {}]", if register.uniform { "1" } else { "N" }, register.width)
}

fn name(op: Op) -> &'static str {
    match op {
        Op::Linear => "Linear",
        Op::LinearInt8 => "LinearInt8",
        Op::Tanh => "Tanh",
        Op::Relu => "Relu",
        Op::Clip => "Clip",
        Op::Sigmoid => "Sigmoid",
        Op::Add => "Add",
        Op::Subtract => "Subtract",
        Op::Multiply => "Multiply",
        Op::Affine => "Affine",
        Op::MeanRows => "MeanRows",
        Op::Concat => "Concat",
        Op::Slice => "Slice",
    }
}
