//! Confidence intervals of forecast figures: a bootstrap over blocks of time.

use evenkeel_datasets::random::{below, generator};

use super::score::{FIGURES, Score, figures};
use crate::metrics::Estimate;

/// Resamples of each interval.
const RESAMPLES: usize = 1000;

/// With fewer blocks than this, blocks are made shorter than a day.
const BLOCKS_MIN: usize = 8;

/// Stream of the generator that resamples.
const STREAM: u64 = 21;

/// The scores of one model and of seasonal naive at one origin.
pub type Pair = [Score; 2];

/// Value and 95 % interval of each of [`FIGURES`].
///
/// Neighbouring forecasts err alike, so whole blocks of `per_day` consecutive origins are
/// drawn with replacement (Künsch, 1989), own and naive together, and the figures are
/// computed anew from the sums; the interval lies between the 2.5 % and the 97.5 %
/// quantile of 1000 such draws. The draws are the same for every model and every run.
pub fn estimates(origins: &[Pair], per_day: usize, seasonal_error: f64) -> [Estimate; FIGURES.len()] {
    let block_len = per_day.min(origins.len() / BLOCKS_MIN).max(1);
    let blocks: Vec<Pair> = origins.chunks(block_len).map(|block| sum(block.iter())).collect();
    let of = |[own, naive]: Pair| figures(&own, &naive, seasonal_error);
    let values = of(sum(blocks.iter()));
    let mut rng = generator(0, STREAM);
    let mut draws = vec![Vec::with_capacity(RESAMPLES); FIGURES.len()];
    for _ in 0..if blocks.is_empty() { 0 } else { RESAMPLES } {
        let drawn = (0..blocks.len()).map(|_| &blocks[below(&mut rng, blocks.len() as u64) as usize]);
        for (draws, value) in draws.iter_mut().zip(of(sum(drawn))) {
            draws.push(value);
        }
    }
    std::array::from_fn(|index| Estimate { value: values[index], ci95: interval(&mut draws[index]) })
}

fn sum<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Pair {
    let mut sum = Pair::default();
    for pair in pairs {
        sum[0] += pair[0];
        sum[1] += pair[1];
    }
    sum
}

fn interval(draws: &mut Vec<f64>) -> [f64; 2] {
    draws.retain(|draw| draw.is_finite());
    draws.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (share * draws.len().saturating_sub(1) as f64).round() as usize;
        draws.get(index).copied().unwrap_or(f64::NAN)
    };
    [at(0.025), at(0.975)]
}

#[cfg(test)]
mod tests {
    use evenkeel_runtime::forecast::{HORIZONS, QUANTILE_COUNT};

    use super::*;

    fn origins(errors: impl Iterator<Item = f32>) -> Vec<Pair> {
        let of = |forecast: f32| Score::of(&[[forecast; QUANTILE_COUNT]; HORIZONS], &[10.0; HORIZONS]);
        errors.map(|error| [of(10.0 + error), of(12.0)]).collect()
    }

    #[test]
    fn intervals_hold_the_value_and_grow_with_dependence() {
        let independent = origins((0..400).map(|index| if index % 2 == 0 { 0.5 } else { 1.5 }));
        let dependent = origins((0..400).map(|index| if index / 20 % 2 == 0 { 0.5 } else { 1.5 }));
        let [narrow, wide] = [independent, dependent].map(|origins| estimates(&origins, 20, 1.0)[0]);
        assert!((narrow.value - 0.1).abs() < 1e-6 && (wide.value - 0.1).abs() < 1e-6);
        assert!(narrow.ci95[1] - narrow.ci95[0] < 1e-6, "{narrow:?}");
        assert!(wide.ci95[0] < 0.095 && 0.105 < wide.ci95[1], "{wide:?}");
    }

    #[test]
    fn no_origin_gives_no_figure() {
        assert!(estimates(&[], 20, 1.0)[0].value.is_nan());
    }
}
