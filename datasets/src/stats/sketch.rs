//! Summaries of samples of any size in bounded memory: exact while the sample is small, then in
//! classes whose width is a small share of the value.

use super::Quantiles;
use evenkeel_numbers::random::mix;

/// Values that are kept as they are.
const EXACT_MAX: usize = 1 << 21;
/// Classes a factor of two is divided into: a quantile is off by at most 0.3 %.
const CLASSES_PER_OCTAVE: f64 = 128.0;
/// Logarithms to base 2 of the smallest and largest class.
const OCTAVES: (f64, f64) = (-24.0, 40.0);
/// Registers of the estimate of distinct values: off by 0.8 % (one standard deviation).
const REGISTERS: usize = 1 << 14;

/// A sample of numbers that are at least 0.
#[derive(Debug, Default)]
pub(super) struct Sample {
    exact: Vec<f32>,
    /// Counts of zeros and of the classes; empty while the sample is exact.
    classes: Vec<u64>,
    count: u64,
    sum: f64,
    max: f64,
}

impl Sample {
    /// Adds a value, unless it is NaN.
    pub(super) fn push(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        self.count += 1;
        self.sum += value;
        self.max = self.max.max(value);
        if self.classes.is_empty() && self.exact.len() < EXACT_MAX {
            self.exact.push(value as f32);
            return;
        }
        if self.classes.is_empty() {
            self.classes = vec![0; class(f64::INFINITY) + 1];
            for value in std::mem::take(&mut self.exact) {
                self.classes[class(f64::from(value))] += 1;
            }
        }
        self.classes[class(value)] += 1;
    }

    /// Whether there is any value but zeros.
    pub(super) fn is_empty(&self) -> bool {
        self.max <= 0.0
    }

    pub(super) fn quantiles(self) -> Option<Quantiles> {
        if self.classes.is_empty() {
            return Quantiles::new(self.exact);
        }
        let at = |q: f64| {
            let rank = (self.count as f64 * q).ceil().max(1.0) as u64;
            let mut seen = 0;
            let index = self.classes.iter().position(|&count| {
                seen += count;
                seen >= rank
            });
            index.map_or(self.max, |index| middle(index).min(self.max))
        };
        Some(Quantiles { mean: self.sum / self.count as f64, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: self.max })
    }
}

/// The class of a value; 0 is that of zero.
fn class(value: f64) -> usize {
    if value <= 0.0 {
        return 0;
    }
    let octave = libm::log2(value).clamp(OCTAVES.0, OCTAVES.1);
    ((octave - OCTAVES.0) * CLASSES_PER_OCTAVE) as usize + 1
}

/// A value in the middle of a class.
fn middle(class: usize) -> f64 {
    if class == 0 { 0.0 } else { libm::exp2(OCTAVES.0 + (class as f64 - 0.5) / CLASSES_PER_OCTAVE) }
}

/// How many different values there are: counted, then estimated (Flajolet et al., `HyperLogLog`,
/// 2007; with 64-bit hashes, no correction for large numbers is needed).
#[derive(Debug, Default)]
pub(super) struct Distinct {
    exact: Vec<u64>,
    registers: Vec<u8>,
    pub(super) all: u64,
}

impl Distinct {
    pub(super) fn push(&mut self, value: u64) {
        self.all += 1;
        if !self.registers.is_empty() {
            note(&mut self.registers, value);
            return;
        }
        self.exact.push(value);
        if self.exact.len() >= 2 * EXACT_MAX {
            self.exact.sort_unstable();
            self.exact.dedup();
            if self.exact.len() > EXACT_MAX {
                self.registers = vec![0; REGISTERS];
                for value in std::mem::take(&mut self.exact) {
                    note(&mut self.registers, value);
                }
            }
        }
    }

    /// The number of different values.
    pub(super) fn count(mut self) -> u64 {
        if self.registers.is_empty() {
            self.exact.sort_unstable();
            self.exact.dedup();
            return self.exact.len() as u64;
        }
        let registers = REGISTERS as f64;
        let sum: f64 = self.registers.iter().map(|&rank| libm::exp2(-f64::from(rank))).sum();
        let alpha = 0.7213 / (1.0 + 1.079 / registers);
        (alpha * registers * registers / sum) as u64
    }
}

fn note(registers: &mut [u8], value: u64) {
    let hash = mix(value);
    let index = (hash >> 50) as usize;
    let rank = ((hash << 14) | 1 << 13).leading_zeros() as u8 + 1;
    registers[index] = registers[index].max(rank);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_samples_are_close_to_exact() {
        let mut rng = crate::random::generator(1, 1);
        let values: Vec<f64> =
            (0..EXACT_MAX + 500_000).map(|_| crate::random::log_normal(&mut rng, 5.0, 1.5)).collect();
        let mut sample = Sample::default();
        for &value in &values {
            sample.push(value);
        }
        assert!(sample.exact.is_empty());
        let (found, exact) = (sample.quantiles().unwrap(), Quantiles::new(values).unwrap());
        for (found, exact) in
            [(found.mean, exact.mean), (found.p50, exact.p50), (found.p99, exact.p99), (found.max, exact.max)]
        {
            assert!((found / exact - 1.0).abs() < 0.005, "{found} {exact}");
        }
    }

    #[test]
    fn distinct_values_are_estimated() {
        let mut distinct = Distinct::default();
        (0..7_000_000_u64).for_each(|value| distinct.push(value / 2));
        assert_eq!(distinct.all, 7_000_000);
        let count = distinct.count() as f64;
        assert!((count / 3.5e6 - 1.0).abs() < 0.03, "{count}");
    }
}
