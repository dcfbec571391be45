//! By how much one side is better than the other, once chance is ruled out.
//!
//! Both sides get the same requests at the same moments, so their figures are compared stretch by
//! stretch of time, and what the stretches have in common cancels out. The first stretches, with empty
//! caches, do not count.

use evenkeel_env::metrics::estimate;
use serde_json::{Value, json};

use super::recorder::{FIGURES, Recorder, Stretch};

/// Stretches before this one do not count.
const FIRST: u64 = 2;
/// Fewer say nothing.
const STRETCHES_MIN: usize = 8;
/// So many without a result are one: there is no clear difference.
const STRETCHES_ENOUGH: usize = 24;
/// The interval of 95 % is widened so many times, to about that of 99.7 %: it is looked at after each
/// stretch, and one look among many may exclude anything.
const WIDENED: f64 = 1.5;

/// What can be said of one figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Too little was seen.
    WarmingUp,
    /// A lot was seen, and it may all be chance.
    NoClearDifference,
    /// The right side's figure over the left one's, less 1, lies between these bounds, on one side of 0.
    Decided {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
}

impl Verdict {
    /// One for each of the [`FIGURES`].
    pub fn of(left: &Recorder, right: &Recorder) -> [Self; FIGURES.len()] {
        std::array::from_fn(|figure| {
            let logarithms: Vec<f64> =
                pairs(left, right).map(|pair| libm::log(pair[1].figures[figure] / pair[0].figures[figure])).collect();
            Self::from_logarithms(logarithms)
        })
    }

    /// From the logarithms of the stretches' ratios.
    fn from_logarithms(mut logarithms: Vec<f64>) -> Self {
        logarithms.retain(|value| value.is_finite());
        if logarithms.len() < STRETCHES_MIN {
            return Self::WarmingUp;
        }
        let mean = estimate(&logarithms);
        let bound = |end: f64| libm::expm1(mean.value + WIDENED * (end - mean.value));
        let (low, high) = (bound(mean.low), bound(mean.high));
        if low * high > 0.0 {
            Self::Decided { low, high }
        } else if logarithms.len() < STRETCHES_ENOUGH {
            Self::WarmingUp
        } else {
            Self::NoClearDifference
        }
    }

    /// For the page.
    pub fn json(self) -> Value {
        match self {
            Self::WarmingUp => json!({"state": "warming up"}),
            Self::NoClearDifference => json!({"state": "no clear difference"}),
            Self::Decided { low, high } => json!({"state": "decided", "low": low, "high": high}),
        }
    }

    /// For the terminal, of what is decided.
    pub fn in_words(self) -> Option<String> {
        let percent = |share: f64| (100.0 * share.abs()).round();
        match self {
            Self::WarmingUp => None,
            Self::NoClearDifference => Some("no clear difference".to_owned()),
            Self::Decided { low, high } if high < 0.0 => Some(format!("{} to {} % less", percent(high), percent(low))),
            Self::Decided { low, high } => Some(format!("{} to {} % more", percent(low), percent(high))),
        }
    }
}

/// Stretches that both sides have, from the first that counts.
fn pairs<'r>(left: &'r Recorder, right: &'r Recorder) -> impl Iterator<Item = [&'r Stretch; 2]> {
    let counted = left.stretches().filter(|stretch| stretch.index >= FIRST);
    counted.filter_map(|own| right.stretches().find(|other| other.index == own.index).map(|other| [own, other]))
}

#[cfg(test)]
mod tests {
    use evenkeel_env::Status;

    use super::*;
    use crate::replay::observation::Observation;

    #[test]
    fn nothing_is_said_too_early_and_nothing_by_chance() {
        let ratios = |count: usize, ratio: f64, spread: f64| {
            let alternating = (0..count).map(|i| libm::log(ratio) + if i % 2 == 0 { spread } else { -spread });
            Verdict::from_logarithms(alternating.collect())
        };
        assert_eq!(ratios(STRETCHES_MIN - 1, 0.5, 0.01), Verdict::WarmingUp);
        assert_eq!(ratios(STRETCHES_MIN, 0.95, 0.5), Verdict::WarmingUp);
        assert_eq!(ratios(STRETCHES_ENOUGH, 0.95, 0.5), Verdict::NoClearDifference);
        let Verdict::Decided { low, high } = ratios(STRETCHES_MIN, 0.7, 0.05) else { panic!("not decided") };
        assert!(low < -0.3 && -0.3 < high && high < 0.0, "{low} to {high}");
        let Verdict::Decided { low, high } = ratios(STRETCHES_MIN, 1.4, 0.05) else { panic!("not decided") };
        assert!(0.0 < low && low < 0.4 && 0.4 < high, "{low} to {high}");
        // A stretch without requests has no ratio.
        assert_eq!(Verdict::from_logarithms(vec![f64::NAN; 50]), Verdict::WarmingUp);
    }

    #[test]
    fn words_have_the_smaller_share_first() {
        let words = |low, high| Verdict::Decided { low, high }.in_words().unwrap();
        assert_eq!(words(-0.31, -0.12), "12 to 31 % less");
        assert_eq!(words(0.1, 0.2), "10 to 20 % more");
        assert_eq!(Verdict::WarmingUp.in_words(), None);
    }

    fn observation() -> Observation {
        Observation {
            index: 0,
            due_s: 0.0,
            lag_s: 0.0,
            head_s: 0.1,
            first_token_s: 0.1,
            latency_s: 1.0,
            gap_max_s: 0.1,
            output_tokens: 10,
            status: Status::Answered,
            code: 200,
            host: None,
            error: None,
        }
    }

    #[test]
    fn sides_are_compared_stretch_by_stretch() {
        let mut sides = [Recorder::default(), Recorder::default()];
        for second in 0..500_u32 {
            let due_s = f64::from(second);
            for (side, latency_s) in sides.iter_mut().zip([2.0, 1.5]) {
                let latency_s = latency_s * (1.0 + 0.3 * f64::from(second % 7));
                let observation = Observation { due_s, latency_s, first_token_s: 0.1, ..observation() };
                side.push(0.0, &observation);
                side.tick(due_s);
            }
        }
        let [p99, mean, first_token] = Verdict::of(&sides[0], &sides[1]);
        for verdict in [p99, mean] {
            let Verdict::Decided { low, high } = verdict else { panic!("{verdict:?}") };
            assert!(-0.35 < low && high < -0.15, "{low} to {high}");
        }
        assert_eq!(first_token, Verdict::NoClearDifference);
    }
}
