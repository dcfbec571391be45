//! The inner loop of a matrix product.

use core::array;

use super::{Block, Lanes};
use crate::LANES;

/// Adds `Σ_i a[i][row] · weights[i][o]` to `sums[o]`, for `inputs` columns of `a`, each
/// `pitch` after the one before, and as many rows of `weights`, each `width` after the one
/// before.
///
/// 1. Bounds are checked once, not at each step: on AVX2 the checks would take longer than
///    the multiply-adds.
/// 2. All of `sums` stays in registers; each input is loaded once for all outputs, each
///    weight once for all blocks.
/// 3. Weights are broadcast by the load, which needs no execution port.
#[inline(always)]
pub(crate) fn add_products<V: Lanes, const OUTPUTS: usize, const BLOCKS: usize>(
    lanes: V,
    a: &[f32],
    pitch: usize,
    weights: &[[u8; 4]],
    width: usize,
    inputs: usize,
    mut sums: [[V; BLOCKS]; OUTPUTS],
) -> [[V; BLOCKS]; OUTPUTS] {
    let steps = inputs.saturating_sub(1);
    if inputs == 0 || a.len() < steps * pitch + BLOCKS * LANES || weights.len() < steps * width + OUTPUTS {
        return sums;
    }
    let (mut column, mut row) = (a.as_ptr(), weights.as_ptr());
    for _ in 0..inputs {
        let x: [V; BLOCKS] = array::from_fn(|block| {
            // SAFETY: `column` has advanced by `pitch` fewer than `inputs` times, and
            // `BLOCKS` blocks are within `a` from there on, as checked above. A block
            // needs no more alignment than its numbers.
            lanes.load(unsafe { &*column.wrapping_add(block * LANES).cast::<Block>() })
        });
        for (output, sums) in sums.iter_mut().enumerate() {
            // SAFETY: likewise, `OUTPUTS` weights are there.
            let weight = f32::from_le_bytes(unsafe { *row.wrapping_add(output) });
            let weight = lanes.fill(weight);
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = x.mul_add(weight, *sum);
            }
        }
        column = column.wrapping_add(pitch);
        row = row.wrapping_add(width);
    }
    sums
}
