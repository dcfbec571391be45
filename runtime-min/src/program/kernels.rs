//! What each instruction does to scratch memory.
//!
//! Every loop runs over a block of [`LANES`] rows with fixed-size arrays, which the
//! compiler turns into SIMD; outputs are taken [`TILE`] at a time so that an input column
//! is loaded once for several accumulators. Additions happen in the order of the inputs,
//! without fused multiply-add, so that results are equal on every machine.

use core::array;

use super::{Instruction, LANES, NO_WEIGHTS, Op, Program, stride};
use crate::math;
use crate::simd::{Kernel, Lanes, Level};

/// Outputs computed together by [`linear_rows`].
const TILE: usize = 4;

type Weights<'a> = &'a [[u8; 4]];

/// Executes a validated program, with the widest vectors of `level`.
pub(super) fn run(level: Level, program: &Program<'_>, rows: usize, scratch: &mut [f32]) {
    level.run(Run { program, rows, scratch });
}

struct Run<'a> {
    program: &'a Program<'a>,
    rows: usize,
    scratch: &'a mut [f32],
}

impl Kernel for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self, _: V) {
        for instruction in self.program.records.instructions() {
            execute(self.program, &instruction, self.rows, self.scratch);
        }
    }
}

/// Executes one instruction. Register ranges cannot overlap and
/// lie within scratch, so the early returns are never taken.
#[inline(always)]
fn execute(program: &Program<'_>, instruction: &Instruction, rows: usize, scratch: &mut [f32]) {
    let Instruction { op, dst, a, b, .. } = *instruction;
    let place = |register| program.place(register, rows);
    if op.is_binary() && a != b {
        let Ok([dst, a, b]) = scratch.get_disjoint_mut([place(dst), place(a), place(b)]) else { return };
        binary(program, instruction, dst, a, b);
    } else {
        let Ok([dst, a]) = scratch.get_disjoint_mut([place(dst), place(a)]) else { return };
        if op.is_binary() {
            binary(program, instruction, dst, a, a);
        } else {
            unary(program, instruction, rows, dst, a);
        }
    }
}

#[inline(always)]
fn unary(program: &Program<'_>, instruction: &Instruction, rows: usize, dst: &mut [f32], a: &[f32]) {
    match instruction.op {
        Op::Linear => {
            let out_width = program.records.register(instruction.dst).width as usize;
            let in_width = program.records.register(instruction.a).width as usize;
            let weights = slice_of(program.records.weights, instruction.weights, in_width * out_width);
            let bias = slice_of(program.records.weights, instruction.bias, out_width);
            if program.records.register(instruction.a).uniform {
                linear_uniform(weights, bias, dst, a);
            } else {
                linear_rows(weights, bias, out_width, stride(rows), dst, a);
            }
        }
        Op::Tanh => map(dst, a, math::tanh),
        Op::Relu => map(dst, a, |x| x.max(0.0)),
        Op::Sigmoid => map(dst, a, math::sigmoid),
        Op::Affine => map(dst, a, |x| x * instruction.scale + instruction.offset),
        Op::MeanRows => mean_rows(rows, dst, a),
        Op::Slice => {
            // A column of a row register is a stride long, of a uniform one a number.
            let column = dst.len() / program.records.register(instruction.dst).width.max(1) as usize;
            let begin = instruction.begin as usize * column;
            if let Some(columns) = a.get(begin..begin + dst.len()) {
                dst.copy_from_slice(columns);
            }
        }
        Op::Add | Op::Subtract | Op::Multiply | Op::Concat => {}
    }
}

#[inline(always)]
fn binary(program: &Program<'_>, instruction: &Instruction, dst: &mut [f32], a: &[f32], b: &[f32]) {
    let column = dst.len() / program.records.register(instruction.dst).width.max(1) as usize;
    match instruction.op {
        Op::Add => zip(column, dst, a, b, |x, y| x + y),
        Op::Subtract => zip(column, dst, a, b, |x, y| x - y),
        Op::Multiply => zip(column, dst, a, b, |x, y| x * y),
        Op::Concat => {
            for (to, from) in dst.iter_mut().zip(a.iter().chain(b)) {
                *to = *from;
            }
        }
        _ => {}
    }
}

#[inline(always)]
fn slice_of(weights: Weights<'_>, begin: u32, len: usize) -> Weights<'_> {
    if begin == NO_WEIGHTS {
        return &[];
    }
    weights.get(begin as usize..begin as usize + len).unwrap_or(&[])
}

#[inline(always)]
fn number(weights: Weights<'_>, index: usize) -> f32 {
    weights.get(index).map_or(0.0, |bytes| f32::from_le_bytes(*bytes))
}

/// `dst[o][row] = bias[o] + Σ_i a[i][row] · weights[i][o]`, columns of `stride` rows.
#[inline(always)]
fn linear_rows(weights: Weights<'_>, bias: Weights<'_>, out_width: usize, stride: usize, dst: &mut [f32], a: &[f32]) {
    for block in (0..stride).step_by(LANES) {
        let mut o = 0;
        while o + TILE <= out_width {
            linear_tile::<TILE>(weights, bias, o, out_width, stride, block, dst, a);
            o += TILE;
        }
        while o < out_width {
            linear_tile::<1>(weights, bias, o, out_width, stride, block, dst, a);
            o += 1;
        }
    }
}

/// Outputs `begin .. begin + N` of the rows `block .. block + LANES`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "an inner loop, taken apart so that its sizes are constants")]
fn linear_tile<const N: usize>(
    weights: Weights<'_>,
    bias: Weights<'_>,
    begin: usize,
    out_width: usize,
    stride: usize,
    block: usize,
    dst: &mut [f32],
    a: &[f32],
) {
    let mut sums: [[f32; LANES]; N] = array::from_fn(|o| [number(bias, begin + o); LANES]);
    let (mut at, mut weight_at) = (block, begin);
    while let (Some(x), Some(w)) = (chunk::<LANES, f32>(a, at), chunk::<N, [u8; 4]>(weights, weight_at)) {
        for (sum, w) in sums.iter_mut().zip(w) {
            let w = f32::from_le_bytes(*w);
            for (sum, x) in sum.iter_mut().zip(x) {
                *sum += x * w;
            }
        }
        at += stride;
        weight_at += out_width;
    }
    for (o, sum) in sums.iter().enumerate() {
        if let Some(to) = dst.get_mut((begin + o) * stride + block..).and_then(<[f32]>::first_chunk_mut) {
            *to = *sum;
        }
    }
}

/// `N` elements from `at` on.
#[inline(always)]
fn chunk<const N: usize, T>(elements: &[T], at: usize) -> Option<&[T; N]> {
    elements.get(at..)?.first_chunk()
}

/// `dst[o] = bias[o] + Σ_i a[i] · weights[i][o]`: one row, outputs across the lanes.
#[inline(always)]
fn linear_uniform(weights: Weights<'_>, bias: Weights<'_>, dst: &mut [f32], a: &[f32]) {
    for (o, to) in dst.iter_mut().enumerate() {
        *to = number(bias, o);
    }
    for (x, row_of_weights) in a.iter().zip(weights.chunks_exact(dst.len().max(1))) {
        for (to, w) in dst.iter_mut().zip(row_of_weights) {
            *to += x * f32::from_le_bytes(*w);
        }
    }
}

#[inline(always)]
fn map(dst: &mut [f32], a: &[f32], f: impl Fn(f32) -> f32) {
    for (to, x) in dst.iter_mut().zip(a) {
        *to = f(*x);
    }
}

/// Elementwise operation on columns of `column` numbers; an operand that is shorter than
/// `dst` is uniform: one number for each column.
#[inline(always)]
fn zip(column: usize, dst: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) {
    let (uniform_a, uniform_b) = (a.len() < dst.len(), b.len() < dst.len());
    for (index, to) in dst.chunks_exact_mut(column.max(1)).enumerate() {
        let range = index * column..(index + 1) * column;
        match (uniform_a, uniform_b) {
            (false, false) => {
                let (Some(a), Some(b)) = (a.get(range.clone()), b.get(range)) else { return };
                for ((to, x), y) in to.iter_mut().zip(a).zip(b) {
                    *to = f(*x, *y);
                }
            }
            (false, true) => {
                let (Some(a), Some(y)) = (a.get(range), b.get(index)) else { return };
                map(to, a, |x| f(x, *y));
            }
            (true, _) => {
                let (Some(x), Some(b)) = (a.get(index), b.get(range)) else { return };
                map(to, b, |y| f(*x, y));
            }
        }
    }
}

/// Mean of each column over the rows in use; padding rows do not count.
#[inline(always)]
fn mean_rows(rows: usize, dst: &mut [f32], a: &[f32]) {
    let share = 1.0 / rows as f32;
    for (mean, column) in dst.iter_mut().zip(a.chunks_exact(stride(rows).max(1))) {
        *mean = column.iter().take(rows).sum::<f32>() * share;
    }
}
