//! A program as plain nested loops in C with constant weights, the way of onnx2c.

use std::fmt::Write;

use evenkeel_export::Program;
use evenkeel_runtime::program::{Instruction, NO_WEIGHTS, Op};

/// C source of `void network(int rows, const float *input, float *output)`, for at most
/// `rows` rows. Input and output are row-major.
pub(crate) fn source(program: &Program, rows: usize) -> String {
    let mut source = String::from("#include <math.h>\n\n");
    for (index, register) in program.registers.iter().enumerate().skip(1) {
        let rows = if register.uniform { 1 } else { rows };
        line(&mut source, format_args!("static float r{index}[{rows}][{}];", register.width));
    }
    for (index, instruction) in program.instructions.iter().enumerate() {
        if instruction.op == Op::Linear {
            constants(&mut source, program, index, instruction);
        }
    }
    line(&mut source, format_args!("\nvoid network(int rows, const float *input, float *output)\n{{"));
    line(&mut source, format_args!("    const float (*r0)[{}] = (const void *)input;", program.input_width()));
    for (index, instruction) in program.instructions.iter().enumerate() {
        step(&mut source, program, index, instruction);
    }
    let output = program.output;
    line(&mut source, format_args!("    for (int i = 0; i < rows; i++)\n        output[i] = r{output}[i][0];\n}}"));
    source
}

/// Weights and bias of a linear layer: `w`, `b` and the instruction's index.
fn constants(source: &mut String, program: &Program, index: usize, linear: &Instruction) {
    let (inputs, outputs) = (width(program, linear.a), width(program, linear.dst));
    let numbers = |begin: u32, count: usize| -> String {
        if begin == NO_WEIGHTS {
            return String::from("0");
        }
        let numbers = program.weights.iter().skip(begin as usize).take(count);
        numbers.map(|number| format!("{number:e}f")).collect::<Vec<_>>().join(",")
    };
    let (weights, bias) = (numbers(linear.weights, inputs * outputs), numbers(linear.bias, outputs));
    line(source, format_args!("static const float w{index}[{}] = {{{weights}}};", inputs * outputs));
    line(source, format_args!("static const float b{index}[{outputs}] = {{{bias}}};"));
}

fn step(source: &mut String, program: &Program, index: usize, instruction: &Instruction) {
    let &Instruction { op, dst, a, b, scale, offset, begin, .. } = instruction;
    let columns = width(program, dst);
    let a_row = format!("r{a}[{}]", row(program, a));
    let b_row = format!("r{b}[{}]", row(program, b));
    let inputs = width(program, a);
    if op == Op::MeanRows {
        let sum = format!("for (int j = 0; j < {columns}; j++) sum[j] += r{a}[i][j];");
        line(source, format_args!("    {{ float sum[{columns}] = {{0}};"));
        line(source, format_args!("      for (int i = 0; i < rows; i++) {sum}"));
        line(source, format_args!("      for (int j = 0; j < {columns}; j++) r{dst}[0][j] = sum[j] / rows; }}"));
        return;
    }
    let rows = if program.registers[usize::from(dst)].uniform { "1" } else { "rows" };
    line(source, format_args!("    for (int i = 0; i < {rows}; i++) {{"));
    if op == Op::Linear {
        line(source, format_args!("        float sum[{columns}];"));
        line(source, format_args!("        for (int j = 0; j < {columns}; j++) sum[j] = b{index}[j];"));
        line(source, format_args!("        for (int k = 0; k < {inputs}; k++)"));
        let product = format!("{a_row}[k] * w{index}[k * {columns} + j]");
        line(source, format_args!("            for (int j = 0; j < {columns}; j++) sum[j] += {product};"));
    }
    let value = match op {
        Op::Linear => String::from("sum[j]"),
        Op::Tanh => format!("tanhf({a_row}[j])"),
        Op::Relu => format!("fmaxf({a_row}[j], 0.0f)"),
        Op::Clip => format!("fminf(fmaxf({a_row}[j], {scale:e}f), {offset:e}f)"),
        Op::Sigmoid => format!("1.0f / (1.0f + expf(-{a_row}[j]))"),
        Op::Add => format!("{a_row}[j] + {b_row}[j]"),
        Op::Subtract => format!("{a_row}[j] - {b_row}[j]"),
        Op::Multiply => format!("{a_row}[j] * {b_row}[j]"),
        Op::Affine => format!("{scale:e}f * {a_row}[j] + {offset:e}f"),
        Op::Concat => format!("j < {inputs} ? {a_row}[j] : {b_row}[j - {inputs}]"),
        Op::LinearInt8 => unreachable!("the policy is not rounded"),
        Op::Slice | Op::MeanRows => format!("{a_row}[j + {begin}]"),
    };
    line(source, format_args!("        for (int j = 0; j < {columns}; j++) r{dst}[i][j] = {value};\n    }}"));
}

fn width(program: &Program, register: u16) -> usize {
    usize::from(program.registers[usize::from(register)].width)
}

/// Index of a register's row in the loop over rows.
fn row(program: &Program, register: u16) -> &'static str {
    if program.registers[usize::from(register)].uniform { "0" } else { "i" }
}

fn line(source: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(source, "{text}").expect("a string takes everything");
}
