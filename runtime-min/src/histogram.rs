//! A histogram of durations in fixed memory, which any number of threads add to.
//!
//! Four buckets to each power of two, so that a quantile is known to within a quarter:
//! the log-linear scheme of HDR histograms (Tene, 2012), with two bits of precision.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Number of buckets.
pub const BUCKETS: usize = 64;

/// Buckets to each power of two.
const PER_OCTAVE: usize = 1 << PRECISION_BITS;
const PRECISION_BITS: u32 = 2;
/// The first bucket ends at 2^6 ns and more, the last one begins at about 3.7 ms.
const FIRST_OCTAVE: u32 = 6;

/// Counts of durations in nanoseconds. All zeros is an empty one.
#[derive(Debug)]
#[repr(C)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum_ns: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Adds a duration.
    pub fn record(&self, duration_ns: u64) {
        if let Some(bucket) = self.buckets.get(bucket_of(duration_ns)) {
            bucket.fetch_add(1, Relaxed);
            self.sum_ns.fetch_add(duration_ns, Relaxed);
        }
    }

    /// Durations in a bucket: those from the end of the one before up to
    /// [`bucket_end_ns`], exclusive.
    pub fn count(&self, bucket: usize) -> u64 {
        self.buckets.get(bucket).map_or(0, |bucket| bucket.load(Relaxed))
    }

    /// Durations in all buckets.
    pub fn total(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }

    /// Sum of all durations.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns.load(Relaxed)
    }

    /// The duration that a share `quantile` of all do not exceed, rounded up to the end of
    /// its bucket; 0 if there is none.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        let total = self.total();
        if total == 0 {
            return 0;
        }
        let mut left = (total as f64 * quantile) as u64;
        for bucket in 0..BUCKETS {
            let count = self.count(bucket);
            if count > left {
                return bucket_end_ns(bucket);
            }
            left -= count;
        }
        bucket_end_ns(BUCKETS - 1)
    }
}

/// Bucket of a duration; what is longer than all counts in the last one.
fn bucket_of(duration_ns: u64) -> usize {
    let octave = (duration_ns | 1).ilog2();
    if octave < FIRST_OCTAVE {
        return 0;
    }
    let within = (duration_ns >> (octave - PRECISION_BITS)) as usize % PER_OCTAVE;
    ((octave - FIRST_OCTAVE) as usize * PER_OCTAVE + within).min(BUCKETS - 1)
}

/// Where a bucket ends, exclusive. The last one has no end; this is where it would.
pub fn bucket_end_ns(bucket: usize) -> u64 {
    let octave = FIRST_OCTAVE + (bucket / PER_OCTAVE) as u32;
    let quarter = (1u64 << octave.min(60)) >> PRECISION_BITS;
    quarter * (PER_OCTAVE + bucket % PER_OCTAVE + 1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_lies_within_its_bucket() {
        for duration_ns in (64..5000).chain([65_535, 65_536, 1_000_000, 3_500_000]) {
            let bucket = bucket_of(duration_ns);
            assert!(duration_ns < bucket_end_ns(bucket), "{duration_ns}");
            assert!(bucket == 0 || duration_ns >= bucket_end_ns(bucket - 1), "{duration_ns}");
            assert!(bucket_end_ns(bucket) as f64 <= 1.26 * duration_ns as f64 + 16.0, "{duration_ns}");
        }
        assert_eq!((bucket_of(0), bucket_of(63), bucket_of(u64::MAX)), (0, 0, BUCKETS - 1));
    }

    #[test]
    fn quantiles_are_those_of_the_durations() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile_ns(0.5), 0);
        for duration_ns in 1..=10_000 {
            histogram.record(duration_ns);
        }
        assert_eq!((histogram.total(), histogram.sum_ns()), (10_000, 50_005_000));
        for (quantile, exact_ns) in [(0.5, 5000.0), (0.9, 9000.0), (0.99, 9900.0)] {
            let found_ns = histogram.quantile_ns(quantile) as f64;
            assert!(found_ns >= exact_ns && found_ns <= 1.26 * exact_ns, "{quantile}: {found_ns}");
        }
    }
}
