//! Linear layers in 8-bit integers: a quarter of the memory, and on CPUs with VNNI a fraction of
//! the time.
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
use crate::simd::{Lanes, Vnni};

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

/// Rounds `inputs` columns of `a`, each `pitch` after the one before, to words and scales in the
/// columns of `dst`.
#[inline(always)]
pub(super) fn round<V: Lanes, const BLOCKS: usize>(
    lanes: V,
    a: &[f32],
    pitch: usize,
    inputs: usize,
    dst: &mut [f32],
    dst_pitch: usize,
) {
    /// Added to a number within ±127, this leaves it, raised by 128, in the low byte.
    const ROUND_AND_RAISE: f32 = 12_582_912.0 + 128.0;
    /// Least magnitude that is told from zero.
    const TINY: f32 = 1e-30;
    let zero = lanes.fill(0.0);
    for block in 0..BLOCKS {
        let column = |input: usize| column(lanes, a, input * pitch + block * LANES);
        let (mut largest, mut not_finite) = (lanes.fill(TINY), zero);
        for input in 0..inputs {
            let x = column(input);
            largest = largest.max(x).max(zero - x);
            // Zero, or NaN for what is infinite or NaN: the row's results are to be that too.
            not_finite = x.mul_add(zero, not_finite);
        }
        let inverse = lanes.fill(127.0) / largest;
        let words = inputs.div_ceil(WORD);
        for word in 0..words {
            let mut bytes = [zero; WORD];
            for (byte, input) in bytes.iter_mut().zip(word * WORD..inputs) {
                *byte = column(input).mul_add(inverse, lanes.fill(ROUND_AND_RAISE));
            }
            store(V::low_bytes(bytes), dst, word * dst_pitch + block * LANES);
        }
        let scale = largest.mul_add(lanes.fill(1.0 / 127.0), not_finite);
        store(scale, dst, words * dst_pitch + block * LANES);
    }
}

/// A layer on rounded rows.
#[derive(Clone, Copy)]
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
}

impl Layer<'_> {
    /// Computes `BLOCKS` blocks of rows into the columns of `dst`.
    #[inline(always)]
    pub(super) fn on_rows<V: Lanes, const BLOCKS: usize>(self, lanes: V, dst: &mut [f32], dst_pitch: usize) {
        let vnni = Vnni::detect();
        for block in 0..BLOCKS {
            let mut output = 0;
            while output < self.width {
                if output + 8 <= self.width {
                    self.outputs::<V, 8>(lanes, vnni, output, block * LANES, dst, dst_pitch);
                    output += 8;
                } else {
                    self.outputs::<V, 1>(lanes, vnni, output, block * LANES, dst, dst_pitch);
                    output += 1;
                }
            }
        }
    }

    /// Some outputs of the rows from `row` on.
    #[inline(always)]
    fn outputs<V: Lanes, const OUTPUTS: usize>(
        self,
        lanes: V,
        vnni: Option<Vnni>,
        begin: usize,
        row: usize,
        dst: &mut [f32],
        dst_pitch: usize,
    ) {
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
            store(result, dst, output * dst_pitch + row);
        }
    }

    /// A word of each of some outputs, in all lanes.
    #[inline(always)]
    fn words_of<V: Lanes, const OUTPUTS: usize>(self, lanes: V, word: usize, begin: usize) -> [V; OUTPUTS] {
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

#[inline(always)]
fn store<V: Lanes>(result: V, dst: &mut [f32], at: usize) {
    if let Some(block) = dst.get_mut(at..).and_then(|numbers| numbers.first_chunk_mut()) {
        result.store(block);
    }
}
