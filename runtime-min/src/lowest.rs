//! The lowest score; ties, and scores that are as good, are broken at random.

use crate::LANES;
use crate::simd::{Block, Kernel, Lanes, Level};

/// Row and score of one of the first `rows` scores that are at most `width` above the lowest;
/// `None` if one is not finite, or there is none. `scores` holds whole blocks, whatever stands
/// behind the last row. `random_below` draws among them.
#[inline(always)]
pub(crate) fn lowest(
    level: Level,
    scores: &[f32],
    rows: usize,
    width: f32,
    random_below: impl Fn(usize) -> usize,
) -> Option<(usize, f32)> {
    let blocks = scores.as_chunks().0;
    let Lowest { limit, count, first } = level.run_rows(rows, Search { blocks, rows, width })?;
    let chosen = if count == 1 { 0 } else { random_below(count) };
    let rest = scores.get(first..rows)?;
    let (row, score) = (first..).zip(rest).filter(|(_, score)| **score <= limit).nth(chosen)?;
    Some((row, *score))
}

struct Lowest {
    /// The highest score that is as good as the lowest.
    limit: f32,
    /// Rows that have such a score.
    count: usize,
    /// The first of them.
    first: usize,
}

struct Search<'a> {
    blocks: &'a [Block],
    rows: usize,
    width: f32,
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
        let limit = best.least() + self.width;
        let highest = lanes.fill(limit);
        let (mut count, mut first, mut row) = (0, self.rows, 0);
        for block in self.blocks {
            let in_use = if self.rows - row < LANES { (1 << (self.rows - row)) - 1 } else { u16::MAX };
            let scores = lanes.load(block);
            let equal = scores.min(highest).equal_bits(scores) & in_use;
            if equal != 0 {
                count += equal.count_ones() as usize;
                first = first.min(row + equal.trailing_zeros() as usize);
            }
            row += LANES;
        }
        Some(Lowest { limit, count, first })
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::lowest;
    use crate::program::stride;
    use crate::simd::Level;

    /// The same in one line: rows of scores within the width.
    fn naive(scores: &[f32], width: f32) -> Vec<usize> {
        let limit = scores.iter().copied().fold(f32::INFINITY, f32::min) + width;
        (0..scores.len()).filter(|row| scores[*row] <= limit && scores.iter().all(|score| score.is_finite())).collect()
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
                let width = [0.0, 0.5, 1.0, 2.5][round % 4];
                let expected = naive(&scores, width);
                scores.resize(stride(rows), f32::NAN);
                for level in Level::available() {
                    for chosen in 0..expected.len().max(1) {
                        let found = lowest(level, &scores, rows, width, |count| {
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
