//! Running a plan.

use super::linear::{self, Biases, Layer, Weights, number};
use super::plan::{Action, Activation, Bias, Place, Plan, Step};
use super::{GROUP, int8, stride};
use crate::LANES;
use crate::simd::{Block, Kernel, Lanes, Registers, math};

/// Runs a plan in scratch memory long enough for it.
pub(super) struct Run<'a> {
    pub(super) plan: &'a Plan,
    pub(super) weights: Weights<'a>,
    pub(super) rows: usize,
    pub(super) scratch: &'a mut [f32],
}

impl Kernel for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self, lanes: V) {
        let Self { plan, weights, rows, scratch } = self;
        let stride = stride(rows);
        let memory = Memory {
            stride,
            group_begin: plan.row_columns * stride,
            uniform_begin: plan.uniform_begin(stride),
            row: 0,
        };
        let mut machine = Machine { lanes, weights, rows, memory, scratch };
        let mut steps = plan.steps();
        while let Some((step, rest)) = steps.split_first() {
            if !step.is_in_segment() {
                machine.uniform(step);
                steps = rest;
                continue;
            }
            let end = steps.iter().position(|step| !step.is_in_segment()).unwrap_or(steps.len());
            let (segment, rest) = steps.split_at_checked(end).unwrap_or((steps, &[]));
            machine.segment(segment);
            steps = rest;
        }
    }
}

/// Where places are.
#[derive(Clone, Copy)]
struct Memory {
    stride: usize,
    group_begin: usize,
    uniform_begin: usize,
    /// First row of the present group.
    row: usize,
}

/// Columns of a register: where the first begins, and how far it is to the next.
#[derive(Clone, Copy)]
struct Area {
    begin: usize,
    pitch: usize,
}

impl Memory {
    #[inline(always)]
    fn area(&self, place: Place) -> Area {
        match place {
            Place::Rows(column) => Area { begin: column as usize * self.stride + self.row, pitch: self.stride },
            Place::Group(column) => Area { begin: column as usize * GROUP + self.group_begin, pitch: GROUP },
            Place::Uniform(number) => Area { begin: number as usize + self.uniform_begin, pitch: 1 },
        }
    }
}

struct Machine<'a, V> {
    lanes: V,
    weights: Weights<'a>,
    rows: usize,
    memory: Memory,
    scratch: &'a mut [f32],
}

impl<V: Lanes> Machine<'_, V> {
    /// Takes group after group through a segment's steps.
    #[inline(always)]
    fn segment(&mut self, segment: &[Step]) {
        for step in segment {
            self.add_bias(step);
        }
        // One block at a time where there are no more rows, or no registers for more: that saves
        // half of the code.
        let group = match V::REGISTERS {
            Registers::OneOf32 | Registers::TwoOf16 => GROUP,
            Registers::OneOf16 | Registers::Memory => LANES,
        };
        let stride = self.memory.stride;
        for row in (0..stride).step_by(group) {
            self.memory.row = row;
            let blocks = (stride - row).min(group) / LANES;
            for step in segment {
                match step.action {
                    Action::Round | Action::LinearInt8 { .. } => self.call_on_integers(step, blocks),
                    _ if group == GROUP && blocks == 2 => self.on_rows::<2>(step),
                    _ => self.on_rows::<1>(step),
                }
            }
        }
        self.memory.row = 0;
    }

    /// The memory from `begin` to `end` to write to, and what is before and behind it.
    #[inline(always)]
    fn split(&mut self, begin: usize, end: usize) -> Option<(&mut [f32], Operands<'_>)> {
        let (rest, after) = self.scratch.split_at_mut_checked(end)?;
        let (before, dst) = rest.split_at_mut_checked(begin)?;
        Some((dst, Operands { before, after, end }))
    }

    /// A step in 8-bit integers, which is too rare for a copy of its code in each place.
    #[inline(always)]
    fn call_on_integers(&mut self, step: &Step, blocks: usize) {
        let (weights, rows, memory) = (self.weights, self.rows, self.memory);
        let machine = Machine { lanes: (), weights, rows, memory, scratch: &mut *self.scratch };
        self.lanes.call(OnIntegers { machine, step, blocks });
    }

    /// A step in 8-bit integers on so many blocks of rows.
    #[inline(always)]
    fn on_integers(&mut self, step: &Step, blocks: usize) {
        let (lanes, weights, memory) = (self.lanes, self.weights, self.memory);
        let (width, inputs) = (usize::from(step.width), usize::from(step.from_width));
        let Area { begin, pitch } = memory.area(step.dst);
        let end = begin + width.saturating_sub(1) * pitch + blocks * LANES;
        let Some((columns, operands)) = self.split(begin, end) else { return };
        let out = int8::Output { columns, pitch, blocks };
        let a = memory.area(step.a);
        let (from, pitch) = (operands.get(a.begin), a.pitch);
        if let Action::LinearInt8 { packed, numbers } = step.action {
            let packed = slice_of(weights, packed, int8::packed_len(inputs, width));
            let numbers = slice_of(weights, numbers, 2 * width);
            let words = int8::rounded_columns(inputs) - 1;
            int8::Layer { packed, numbers, width, a: from, pitch, words, out }.run(lanes);
        } else {
            int8::round(lanes, from, pitch, inputs, out);
        }
    }

    /// A step on `BLOCKS` blocks of rows.
    #[inline(always)]
    fn on_rows<const BLOCKS: usize>(&mut self, step: &Step) {
        let (lanes, weights, memory) = (self.lanes, self.weights, self.memory);
        let width = usize::from(step.width);
        let Area { begin, pitch } = memory.area(step.dst);
        let end = begin + width.saturating_sub(1) * pitch + BLOCKS * LANES;
        let Some((dst, operands)) = self.split(begin, end) else { return };
        let a = memory.area(step.a);
        let from = operands.get(a.begin);
        let b = memory.area(step.b);
        let b_operand = Operand { numbers: operands.get(b.begin), pitch: b.pitch };
        let a_operand = Operand { numbers: from, pitch: a.pitch };
        let mut columns = Columns::<V, BLOCKS> { lanes, dst, pitch };
        match step.action {
            Action::Linear { weights: first, bias, range, .. } => {
                let from_width = usize::from(step.from_width);
                let bias = match bias {
                    Bias::None => Biases::Weights(&[]),
                    Bias::Weights(first) => Biases::Weights(slice_of(weights, first, width)),
                    Bias::Uniform(first) => Biases::Numbers(operands.get(memory.area(Place::Uniform(first)).begin)),
                };
                let layer = Layer {
                    weights: slice_of(weights, first, from_width * width),
                    width,
                    bias,
                    a: from,
                    pitch: a.pitch,
                    inputs: from_width,
                    range,
                };
                layer.on_rows::<V, BLOCKS>(lanes, columns.dst, pitch);
            }
            Action::MeanRows | Action::AddBias(_) | Action::Round | Action::LinearInt8 { .. } => {}
            action => columns.zip(action, width, a_operand, b_operand),
        }
        columns.activate(step.action.activation(), width);
    }

    /// A step on one row that stands for all, its memory padded to whole blocks.
    #[inline(always)]
    fn uniform(&mut self, step: &Step) {
        let (lanes, weights, memory, rows) = (self.lanes, self.weights, self.memory, self.rows);
        let full = lanes.full();
        let width = usize::from(step.width);
        let begin = memory.area(step.dst).begin;
        let len = if matches!(step.action, Action::Copy) { width } else { stride(width) };
        let Some((dst, operands)) = self.split(begin, begin + len) else { return };
        let a = operands.get(memory.area(step.a).begin);
        let b = operands.get(memory.area(step.b).begin);
        let mut columns = Columns::<V::Full, 1> { lanes: full, dst, pitch: LANES };
        let blocks = len / LANES;
        let padded = |numbers| Operand { numbers, pitch: LANES };
        match step.action {
            Action::Linear { weights: first, bias, range, .. } => {
                let from_width = usize::from(step.from_width);
                let matrix = slice_of(weights, first, from_width * width);
                let bias = match bias {
                    Bias::Weights(first) => slice_of(weights, first, width),
                    Bias::None | Bias::Uniform(_) => &[],
                };
                linear::on_one_row(full, matrix, bias, width, a.get(..from_width).unwrap_or(a), columns.dst);
                columns.map(blocks, Activation::Clip(range.0, range.1));
            }
            Action::MeanRows => mean_rows(lanes, rows, memory.stride, width, a, columns.dst),
            Action::Copy => {
                for (to, from) in columns.dst.iter_mut().zip(a) {
                    *to = *from;
                }
            }
            // On rows only.
            Action::AddBias(_) | Action::Round | Action::LinearInt8 { .. } => {}
            action => columns.zip(action, blocks, padded(a), padded(b)),
        }
        columns.activate(step.action.activation(), blocks);
    }

    #[inline(always)]
    fn add_bias(&mut self, step: &Step) {
        let Action::AddBias(first) = step.action else { return };
        let (weights, memory, width) = (self.weights, self.memory, usize::from(step.width));
        let begin = memory.area(step.dst).begin;
        let Some((dst, operands)) = self.split(begin, begin + width) else { return };
        let bias = slice_of(weights, first, width);
        for ((index, to), from) in dst.iter_mut().enumerate().zip(operands.get(memory.area(step.a).begin)) {
            *to = number(bias, index) + from;
        }
    }
}

/// A step in 8-bit integers, to be run by itself.
struct OnIntegers<'a> {
    machine: Machine<'a, ()>,
    step: &'a Step,
    blocks: usize,
}

impl Kernel for OnIntegers<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self, lanes: V) {
        let Machine { weights, rows, memory, scratch, .. } = self.machine;
        Machine { lanes, weights, rows, memory, scratch }.on_integers(self.step, self.blocks);
    }
}

/// What lies around the memory that a step writes to.
struct Operands<'s> {
    before: &'s [f32],
    after: &'s [f32],
    /// Where `after` begins.
    end: usize,
}

impl<'s> Operands<'s> {
    /// From `begin` on. What is read and what is written are different registers, so that
    /// it does not reach over the gap.
    #[inline(always)]
    fn get(&self, begin: usize) -> &'s [f32] {
        let found = if begin < self.end { self.before.get(begin..) } else { self.after.get(begin - self.end..) };
        found.unwrap_or_default()
    }
}

#[derive(Clone, Copy)]
struct Operand<'s> {
    numbers: &'s [f32],
    /// From column to column; 1 for a uniform row.
    pitch: usize,
}

/// The columns that a step writes: `BLOCKS` blocks in each, `pitch` from one to the next.
struct Columns<'s, V, const BLOCKS: usize> {
    lanes: V,
    dst: &'s mut [f32],
    pitch: usize,
}

impl<V: Lanes, const BLOCKS: usize> Columns<'_, V, BLOCKS> {
    /// Elementwise.
    #[inline(always)]
    fn zip(&mut self, action: Action, width: usize, a: Operand<'_>, b: Operand<'_>) {
        for column in 0..width {
            for block in 0..BLOCKS {
                let (Some(x), Some(y)) = (self.operand(a, column, block), self.operand(b, column, block)) else {
                    return;
                };
                let result = match action {
                    Action::Affine { scale, offset } => x.mul_add(x.fill(scale), x.fill(offset)),
                    Action::Add => x + y,
                    Action::Subtract => x - y,
                    Action::Multiply => x * y,
                    _ => x,
                };
                if let Some(to) = self.block(column, block) {
                    result.store(to);
                }
            }
        }
    }

    #[inline(always)]
    fn operand(&self, operand: Operand<'_>, column: usize, block: usize) -> Option<V> {
        let Operand { numbers, pitch } = operand;
        if pitch == 1 {
            return numbers.get(column).map(|number| self.lanes.fill(*number));
        }
        numbers.get(column * pitch + block * LANES..)?.first_chunk().map(|block| self.lanes.load(block))
    }

    #[inline(always)]
    fn block(&mut self, column: usize, block: usize) -> Option<&mut Block> {
        self.dst.get_mut(column * self.pitch + block * LANES..)?.first_chunk_mut()
    }

    #[inline(always)]
    fn activate(&mut self, activation: Activation, width: usize) {
        match activation {
            Activation::None => {}
            Activation::Tanh => self.tanh(),
            Activation::Clip(..) | Activation::Sigmoid => self.map(width, activation),
        }
    }

    #[inline(always)]
    fn map(&mut self, width: usize, activation: Activation) {
        let lanes = self.lanes;
        for column in 0..width {
            for block in 0..BLOCKS {
                if let Some(numbers) = self.block(column, block) {
                    let x = lanes.load(numbers);
                    // A closure would not be compiled for the level's instructions.
                    let activated = match activation {
                        Activation::Clip(least, most) => math::clip(x, least, most),
                        _ => math::sigmoid(x),
                    };
                    activated.store(numbers);
                }
            }
        }
    }

    /// Two columns at a time, since two share a division.
    #[inline(always)]
    fn tanh(&mut self) {
        let lanes = self.lanes;
        for columns in self.dst.chunks_mut((2 * self.pitch).max(1)) {
            let middle = self.pitch.min(columns.len());
            let Some((first, second)) = columns.split_at_mut_checked(middle) else { return };
            let (first, second) = (first.as_chunks_mut::<LANES>().0, second.as_chunks_mut::<LANES>().0);
            if second.is_empty() {
                for x in first.iter_mut().take(BLOCKS) {
                    math::tanh(lanes.load(x)).store(x);
                }
            }
            for (x, y) in first.iter_mut().zip(second).take(BLOCKS) {
                let (tanh_x, tanh_y) = math::tanh_pair(lanes.load(x), lanes.load(y));
                tanh_x.store(x);
                tanh_y.store(y);
            }
        }
    }
}

#[inline(always)]
fn slice_of(weights: Weights<'_>, begin: u32, len: usize) -> Weights<'_> {
    let begin = begin as usize;
    weights.get(begin..begin + len).unwrap_or(&[])
}

/// Mean of each column over the rows in use; padding rows do not count.
#[inline(always)]
fn mean_rows<V: Lanes>(lanes: V, rows: usize, stride: usize, width: usize, a: &[f32], dst: &mut [f32]) {
    let share = 1.0 / rows as f32;
    let (zero, in_use) = (lanes.fill(0.0), lanes.first(rows + LANES - stride));
    for (means, first) in dst.as_chunks_mut::<4>().0.iter_mut().zip((0..width).step_by(4)) {
        // Where there are no more columns, the last ones are those of other registers.
        let mut sums = [zero; 4];
        for (sum, column) in sums.iter_mut().zip(first..) {
            let Some(column) = a.get(column * stride..).and_then(|column| column.get(..stride)) else { break };
            let Some((last, whole)) = column.as_chunks::<LANES>().0.split_last() else { break };
            *sum = zero.replaced(in_use, lanes.load(last));
            for block in whole {
                *sum = *sum + lanes.load(block);
            }
        }
        *means = V::sums(sums).map(|sum| sum * share);
    }
}
