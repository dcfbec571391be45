//! Linear layers, the bulk of the work.
//!
//! On rows: `dst[o][row] = bias[o] + Σ_i a[i][row] · weights[i][o]`. A tile of outputs and
//! blocks of rows is kept in registers over the whole sum, as large as the registers
//! allow: each input is loaded once for all outputs of the tile, each weight once for all
//! its blocks. Products are added in the order of the inputs. Sums are clipped while they are
//! in registers.
//!
//! On one row that stands for all: outputs lie across the lanes, and four sums run side by
//! side, since each addition has to wait for the one before.

use crate::LANES;
use crate::simd::{Lanes, Registers, add_products, math};

/// Weights in the artifact's bytes, which need not be aligned.
pub(super) type Weights<'a> = &'a [[u8; 4]];

/// A layer on some blocks of rows.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    /// `width` of them for each input.
    pub(super) weights: Weights<'a>,
    pub(super) width: usize,
    pub(super) bias: Biases<'a>,
    /// Inputs: columns, each `pitch` after the one before.
    pub(super) a: &'a [f32],
    pub(super) pitch: usize,
    /// How many.
    pub(super) inputs: usize,
    /// What sums are clipped to, while they are in registers.
    pub(super) range: (f32, f32),
}

/// A number for each output.
#[derive(Clone, Copy)]
pub(super) enum Biases<'a> {
    Weights(Weights<'a>),
    Numbers(&'a [f32]),
}

impl Biases<'_> {
    #[inline(always)]
    fn get(self, output: usize) -> f32 {
        match self {
            Self::Weights(weights) => number(weights, output),
            Self::Numbers(numbers) => numbers.get(output).copied().unwrap_or(0.0),
        }
    }
}

#[inline(always)]
pub(super) fn number(weights: Weights<'_>, index: usize) -> f32 {
    weights.get(index).map_or(0.0, |bytes| f32::from_le_bytes(*bytes))
}

impl Layer<'_> {
    /// Computes `BLOCKS` blocks of rows into the columns of `dst`, each `dst_pitch` after
    /// the one before.
    #[inline(always)]
    pub(super) fn on_rows<V: Lanes, const BLOCKS: usize>(self, lanes: V, dst: &mut [f32], dst_pitch: usize) {
        let mut out = Output { dst, pitch: dst_pitch, done: 0 };
        match V::REGISTERS {
            Registers::OneOf32 if BLOCKS == 2 => self.tiles::<V, 8, 2>(lanes, BLOCKS, &mut out),
            Registers::OneOf32 => self.tiles::<V, 16, 1>(lanes, BLOCKS, &mut out),
            Registers::OneOf16 => self.tiles::<V, 8, 1>(lanes, BLOCKS, &mut out),
            Registers::TwoOf16 | Registers::Memory => {}
        }
        if !matches!(V::REGISTERS, Registers::Memory) {
            self.tiles::<V, 4, 1>(lanes, BLOCKS, &mut out);
        }
        self.tiles::<V, 1, 1>(lanes, BLOCKS, &mut out);
    }

    /// As many whole tiles as there are outputs left for.
    #[inline(always)]
    fn tiles<V: Lanes, const OUTPUTS: usize, const BLOCKS: usize>(self, lanes: V, blocks: usize, out: &mut Output<'_>) {
        while out.done + OUTPUTS <= self.width {
            for row in (0..blocks * LANES).step_by(BLOCKS * LANES) {
                let sums = self.tile::<V, OUTPUTS, BLOCKS>(lanes, out.done, row);
                for (output, sums) in (out.done..).zip(sums) {
                    let column = out.dst.get_mut(output * out.pitch + row..).unwrap_or_default();
                    for (block, sum) in column.as_chunks_mut().0.iter_mut().zip(sums) {
                        math::clip(sum, self.range.0, self.range.1).store(block);
                    }
                }
            }
            out.done += OUTPUTS;
        }
    }

    /// The outputs from `begin` on of the rows from `row` on.
    #[inline(always)]
    fn tile<V: Lanes, const OUTPUTS: usize, const BLOCKS: usize>(
        self,
        lanes: V,
        begin: usize,
        row: usize,
    ) -> [[V; BLOCKS]; OUTPUTS] {
        let mut sums = [[lanes.fill(0.0); BLOCKS]; OUTPUTS];
        for (output, sums) in (begin..).zip(&mut sums) {
            *sums = [lanes.fill(self.bias.get(output)); BLOCKS];
        }
        let (a, weights) = (self.a.get(row..).unwrap_or_default(), self.weights.get(begin..).unwrap_or_default());
        add_products(lanes, a, self.pitch, weights, self.width, self.inputs, sums)
    }
}

struct Output<'a> {
    dst: &'a mut [f32],
    pitch: usize,
    /// Columns written.
    done: usize,
}

#[inline(always)]
fn weights<const OUTPUTS: usize>(weights: Weights<'_>, at: usize) -> Option<&[[u8; 4]; OUTPUTS]> {
    weights.get(at..)?.first_chunk()
}

/// A layer on one row: `dst[o] = bias[o] + Σ_i a[i] · weights[i][o]`. `dst` holds whole
/// blocks, of which the first `width` numbers count.
#[inline(always)]
pub(super) fn on_one_row<V: Lanes>(
    lanes: V,
    matrix: Weights<'_>,
    bias: Weights<'_>,
    width: usize,
    a: &[f32],
    dst: &mut [f32],
) {
    for (block, begin) in dst.as_chunks_mut::<LANES>().0.iter_mut().zip((0..width).step_by(LANES)) {
        let mut sums = [lanes.fill(0.0); 4];
        sums[0] = row_of(lanes, bias, begin, width - begin);
        let mut at = begin;
        for inputs in a.chunks(sums.len()) {
            for (sum, x) in sums.iter_mut().zip(inputs) {
                *sum = lanes.fill(*x).mul_add(row_of(lanes, matrix, at, width - begin), *sum);
                at += width;
            }
        }
        let [first, second, third, fourth] = sums;
        ((first + second) + (third + fourth)).store(block);
    }
}

/// Sixteen weights from `at` on, or the `len` that count if they are fewer.
#[inline(always)]
fn row_of<V: Lanes>(lanes: V, matrix: Weights<'_>, at: usize, len: usize) -> V {
    if len >= LANES
        && let Some(whole) = weights::<LANES>(matrix, at)
    {
        return lanes.load_bytes(whole);
    }
    let mut numbers = [0.0; LANES];
    for (index, to) in numbers.iter_mut().enumerate().take(len) {
        *to = number(matrix, at + index);
    }
    lanes.load(&numbers)
}
