//! The lowest score, ties broken at random.

use crate::LANES;
use crate::simd::{Block, Kernel, Lanes, Level};

/// Row and score of the lowest of the first `rows` scores; `None` if one is not finite, or
/// there is none. `scores` holds whole blocks, whatever stands behind the last row.
/// `random_below` draws among equals.
#[inline(always)]
pub(crate) fn lowest(
    level: Level,
    scores: &[f32],
    rows: usize,
    random_below: impl Fn(usize) -> usize,
) -> Option<(usize, f32)> {
    let blocks = scores.as_chunks().0;
    let Lowest { score, count, first } = level.run_rows(rows, Search { blocks, rows })?;
    if count == 1 {
        return Some((first, score));
    }
    let chosen = random_below(count);
    let row = scores.iter().take(rows).enumerate().filter(|(_, other)| **other == score).nth(chosen)?.0;
    Some((row, score))
}

struct Lowest {
    score: f32,
    /// How many rows have it.
    count: usize,
    /// The first of them.
    first: usize,
}

struct Search<'a> {
    blocks: &'a [Block],
    rows: usize,
}

impl Kernel for Search<'_> {
    type Output = Option<Lowest>;

    #[inline(always)]
    fn run<V: Lanes>(self, lanes: V) -> Option<Lowest> {
        let [any, ..] = *self.blocks.first()?;
        let any = lanes.fill(any);
        let mut best = any;
        // Zero as long as all are finite: infinity times 0 is NaN.
        let zero = lanes.fill(0.0);
        let mut finite = zero;
        let mut left = self.rows;
        for block in self.blocks {
            let scores = any.replaced(lanes.first(left), lanes.load(block));
            best = best.min(scores);
            finite = scores.mul_add(zero, finite);
            left = left.saturating_sub(LANES);
        }
        if finite.equal_bits(zero) != u16::MAX {
            return None;
        }
        let score = best.least();
        let best = lanes.fill(score);
        let (mut count, mut first, mut row) = (0, self.rows, 0);
        for block in self.blocks {
            let in_use = if self.rows - row < LANES { (1 << (self.rows - row)) - 1 } else { u16::MAX };
            let equal = lanes.load(block).equal_bits(best) & in_use;
            if equal != 0 {
                count += equal.count_ones() as usize;
                first = first.min(row + equal.trailing_zeros() as usize);
            }
            row += LANES;
        }
        Some(Lowest { score, count, first })
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::lowest;
    use crate::program::stride;
    use crate::simd::Level;

    /// The same in one line: rows of the lowest score.
    fn naive(scores: &[f32]) -> Vec<usize> {
        let best = scores.iter().copied().fold(f32::INFINITY, f32::min);
        (0..scores.len()).filter(|row| scores[*row] == best && scores.iter().all(|score| score.is_finite())).collect()
    }

    #[test]
    fn every_one_of_the_lowest_can_be_drawn_and_no_other() {
        for rows in 1..70usize {
            for round in 0..40usize {
                let mut scores: Vec<f32> = (0..rows).map(|row| ((row * 37 + round * 11) % 9) as f32 - 4.0).collect();
                match round % 8 {
                    0 => scores[round * 7 % rows] = f32::NAN,
                    1 => scores[round * 7 % rows] = f32::INFINITY,
                    2 => scores[round * 7 % rows] = f32::NEG_INFINITY,
                    3 => scores[round * 7 % rows] = -9.0,
                    _ => {}
                }
                let expected = naive(&scores);
                scores.resize(stride(rows), f32::NAN);
                for level in Level::available() {
                    for chosen in 0..expected.len().max(1) {
                        let found = lowest(level, &scores, rows, |count| {
                            assert_eq!(count, expected.len());
                            chosen
                        });
                        assert_eq!(found.map(|(row, _)| row), expected.get(chosen).copied(), "{rows} {round}");
                        assert!(found.is_none_or(|(row, score)| scores[row] == score));
                    }
                }
            }
        }
    }
}
