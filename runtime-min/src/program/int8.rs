//! Linear layers in 8-bit integers: a quarter of the memory, and on CPUs with VNNI less time.
//!
//! Each row of the input is rounded by its own largest magnitude, `a[i] ≈ scale · q[i]` with
//! `q` within ±127, and raised by 128, since the instruction wants bytes without sign:
//!
//! ```text
//! dst[o] = bias[o] + scale · weight_scale[o] · (initial[o] + Σ_i (q[i] + 128) · w[i][o])
//! initial[o] = −128 · Σ_i w[i][o]
//! ```
//!
//! Four bytes of a row fill a lane of a *word*, the weights of four inputs a word of their own.
//! Integers are exact, so that every level gives the same bits.

use super::linear::{Weights, number};
use crate::LANES;
use crate::simd::{Lanes, Registers, Vnni};

/// Inputs in a word.
const WORD: usize = 4;

/// Columns of a rounded input: its words, and the rows' scales.
pub(super) const fn rounded_columns(inputs: usize) -> usize {
    inputs.div_ceil(WORD) + 1
}

/// Numbers of a layer among the packed ones: words of weights, input-major, and `initial`.
pub(super) const fn packed_len(inputs: usize, outputs: usize) -> usize {
    (inputs.div_ceil(WORD) + 1) * outputs
}

/// Where results go: columns, each `pitch` after the one before, of so many blocks of rows.
pub(super) struct Output<'a> {
    pub(super) columns: &'a mut [f32],
    pub(super) pitch: usize,
    pub(super) blocks: usize,
}

impl Output<'_> {
    #[inline(always)]
    fn store<V: Lanes>(&mut self, result: V, column: usize, row: usize) {
        let place = self.columns.get_mut(column * self.pitch + row..).and_then(|numbers| numbers.first_chunk_mut());
        if let Some(block) = place {
            result.store(block);
        }
    }
}

/// Rounds `inputs` columns of `a`, each `pitch` after the one before, to words and scales.
#[inline(always)]
pub(super) fn round<V: Lanes>(lanes: V, a: &[f32], pitch: usize, inputs: usize, mut out: Output<'_>) {
    /// Added to a number within ±127, this leaves it, raised by 128, in the low byte.
    const ROUND_AND_RAISE: f32 = 12_582_912.0 + 128.0;
    /// Least magnitude that is told from zero.
    const TINY: f32 = 1e-30;
    let zero = lanes.fill(0.0);
    for row in (0..out.blocks * LANES).step_by(LANES) {
        let (mut largest, mut not_finite) = (lanes.fill(TINY), zero);
        for input in 0..inputs {
            let x = column(lanes, a, input * pitch + row);
            largest = largest.max(x).max(zero - x);
            // Zero, or NaN for what is infinite or NaN: the row's results are to be that too.
            not_finite = x.mul_add(zero, not_finite);
        }
        let inverse = lanes.fill(127.0) / largest;
        let words = inputs.div_ceil(WORD);
        for word in 0..words {
            let mut bytes = [zero; WORD];
            for (byte, input) in bytes.iter_mut().zip(word * WORD..inputs) {
                *byte = column(lanes, a, input * pitch + row).mul_add(inverse, lanes.fill(ROUND_AND_RAISE));
            }
            out.store(V::low_bytes(bytes), word, row);
        }
        out.store(largest.mul_add(lanes.fill(1.0 / 127.0), not_finite), words, row);
    }
}

/// A layer on rounded rows.
pub(super) struct Layer<'a> {
    /// Words of weights, `width` for each word of inputs, and as many initial sums.
    pub(super) packed: Weights<'a>,
    /// `width` biases, then as many scales.
    pub(super) numbers: Weights<'a>,
    pub(super) width: usize,
    /// The rounded input: columns, each `pitch` after the one before, the scales last.
    pub(super) a: &'a [f32],
    pub(super) pitch: usize,
    /// Words of a row.
    pub(super) words: usize,
    pub(super) out: Output<'a>,
}

impl Layer<'_> {
    /// Computes it.
    #[inline(always)]
    pub(super) fn run<V: Lanes>(mut self, lanes: V) {
        let vnni = Vnni::detect();
        for row in (0..self.out.blocks * LANES).step_by(LANES) {
            let mut output = 0;
            while output + 8 <= self.width && V::REGISTERS != Registers::Memory {
                self.outputs::<V, 8>(lanes, vnni, output, row);
                output += 8;
            }
            while output < self.width {
                self.outputs::<V, 1>(lanes, vnni, output, row);
                output += 1;
            }
        }
    }

    /// Some outputs of the rows from `row` on.
    #[inline(always)]
    fn outputs<V: Lanes, const OUTPUTS: usize>(&mut self, lanes: V, vnni: Option<Vnni>, begin: usize, row: usize) {
        let mut sums = self.words_of::<V, OUTPUTS>(lanes, self.words, begin);
        for word in 0..self.words {
            let bytes = column(lanes, self.a, word * self.pitch + row);
            let weights = self.words_of::<V, OUTPUTS>(lanes, word, begin);
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = sum.add_byte_products(bytes, weights, vnni);
            }
        }
        let scale = column(lanes, self.a, self.words * self.pitch + row);
        for (output, sum) in (begin..).zip(sums) {
            let scale = scale * lanes.fill(number(self.numbers, self.width + output));
            let result = sum.signed_to_number().mul_add(scale, lanes.fill(number(self.numbers, output)));
            self.out.store(result, output, row);
        }
    }

    /// A word of each of some outputs, in all lanes.
    #[inline(always)]
    fn words_of<V: Lanes, const OUTPUTS: usize>(&self, lanes: V, word: usize, begin: usize) -> [V; OUTPUTS] {
        let mut words = [lanes.fill(0.0); OUTPUTS];
        let row = self.packed.get(word * self.width + begin..).and_then(|row| row.first_chunk::<OUTPUTS>());
        if let Some(row) = row {
            for (to, bytes) in words.iter_mut().zip(row) {
                *to = lanes.fill_bits(u32::from_le_bytes(*bytes));
            }
        }
        words
    }
}

#[inline(always)]
fn column<V: Lanes>(lanes: V, numbers: &[f32], at: usize) -> V {
    numbers.get(at..).and_then(|numbers| numbers.first_chunk()).map_or(lanes.fill(0.0), |block| lanes.load(block))
}
