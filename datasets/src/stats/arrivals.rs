//! Arrivals in bounded memory: kept while they are few, then counted by the second.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Arrivals that are kept as they are.
const EXACT_MAX: usize = 1 << 21;
/// Bins that are kept; beyond them, bins are made twice as long.
const BINS_MAX: usize = 1 << 25;
/// Arrivals that are held back to be put in order: as many requests may be under way at a time.
const HELD_MAX: usize = 1 << 16;

/// The arrivals of a trace, in any order that is near theirs.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    exact: Vec<f64>,
    counted: Option<Counted>,
}

/// Counts by bins, and the moments of the gaps.
#[derive(Debug)]
struct Counted {
    bins: VecDeque<u32>,
    /// Begin of the first bin, in bins.
    first_bin: i64,
    bin_s: f64,
    held: BinaryHeap<Reverse<u64>>,
    gaps: Gaps,
    first_s: f64,
    last_s: f64,
    count: u64,
}

/// Welford's recurrence: stable where the mean is much larger than the deviation.
#[derive(Debug, Default)]
struct Gaps {
    previous_s: Option<f64>,
    count: f64,
    mean: f64,
    square: f64,
}

/// What a summary takes from arrivals.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) count: u64,
    /// Offset of the first arrival, where that is before the clock's start.
    pub(super) offset_s: f64,
    pub(super) span_s: f64,
    pub(super) interarrival_cv: f64,
    /// Counts in bins, from the first arrival or the clock's start.
    pub(super) counts: Counts,
}

/// Arrivals as they are, or by bins of a length.
#[derive(Debug)]
pub(super) enum Counts {
    Exact(Vec<f64>),
    Bins(Vec<u32>, f64),
}

impl Gaps {
    fn push(&mut self, arrival_s: f64) {
        if let Some(previous_s) = self.previous_s.replace(arrival_s) {
            let gap = (arrival_s - previous_s).max(0.0);
            self.count += 1.0;
            let step = gap - self.mean;
            self.mean += step / self.count;
            self.square += step * (gap - self.mean);
        }
    }

    fn cv(&self) -> f64 {
        if self.count > 0.0 { (self.square / self.count).sqrt() / self.mean } else { f64::NAN }
    }
}

impl Arrivals {
    pub(super) fn push(&mut self, arrival_s: f64) {
        if let Some(counted) = &mut self.counted {
            counted.push(arrival_s);
            return;
        }
        self.exact.push(arrival_s);
        if self.exact.len() >= EXACT_MAX {
            let mut exact = std::mem::take(&mut self.exact);
            exact.sort_unstable_by(f64::total_cmp);
            let mut counted = Counted::new(exact[0]);
            for arrival_s in exact {
                counted.push(arrival_s);
            }
            self.counted = Some(counted);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.counted.is_none()
    }

    pub(super) fn finish(self) -> Summary {
        match self.counted {
            Some(counted) => counted.finish(),
            None => exact(self.exact),
        }
    }
}

fn exact(mut arrivals_s: Vec<f64>) -> Summary {
    // A proxy logs a request when it ends.
    arrivals_s.sort_unstable_by(f64::total_cmp);
    let first_s = arrivals_s.first().copied().unwrap_or(0.0);
    // Where rows come in another order, the clock started at the first row.
    let offset_s = if first_s < 0.0 { first_s } else { 0.0 };
    let mut gaps = Gaps::default();
    for arrival_s in &mut arrivals_s {
        *arrival_s -= offset_s;
        gaps.push(*arrival_s);
    }
    Summary {
        count: arrivals_s.len() as u64,
        offset_s,
        span_s: arrivals_s.last().copied().unwrap_or(0.0),
        interarrival_cv: gaps.cv(),
        counts: Counts::Exact(arrivals_s),
    }
}

impl Counted {
    fn new(first_s: f64) -> Self {
        Self {
            bins: VecDeque::new(),
            first_bin: first_s.floor() as i64,
            bin_s: 1.0,
            held: BinaryHeap::new(),
            gaps: Gaps::default(),
            first_s,
            last_s: first_s,
            count: 0,
        }
    }

    fn push(&mut self, arrival_s: f64) {
        self.count += 1;
        self.first_s = self.first_s.min(arrival_s);
        self.last_s = self.last_s.max(arrival_s);
        self.held.push(Reverse(order(arrival_s)));
        if self.held.len() > HELD_MAX {
            self.release();
        }
        loop {
            let at = (arrival_s / self.bin_s).floor() as i64 - self.first_bin;
            let needed = if at < 0 { self.bins.len() as u64 + at.unsigned_abs() } else { at as u64 + 1 };
            if needed <= BINS_MAX as u64 {
                break self.count_at(at);
            }
            self.coarsen();
        }
    }

    fn count_at(&mut self, at: i64) {
        for _ in at..0 {
            self.bins.push_front(0);
        }
        self.first_bin += at.min(0);
        let at = at.max(0) as usize;
        if at >= self.bins.len() {
            self.bins.resize(at + 1, 0);
        }
        self.bins[at] = self.bins[at].saturating_add(1);
    }

    /// Makes the bins twice as long.
    fn coarsen(&mut self) {
        let first = self.first_bin.div_euclid(2);
        let mut bins = VecDeque::with_capacity(self.bins.len() / 2 + 1);
        for (index, &count) in self.bins.iter().enumerate() {
            let at = ((self.first_bin + index as i64).div_euclid(2) - first) as usize;
            bins.resize(bins.len().max(at + 1), 0);
            bins[at] = u32::saturating_add(bins[at], count);
        }
        self.bins = bins;
        self.first_bin = first;
        self.bin_s *= 2.0;
    }

    fn release(&mut self) {
        if let Some(Reverse(bits)) = self.held.pop() {
            self.gaps.push(unordered(bits));
        }
    }

    fn finish(mut self) -> Summary {
        while !self.held.is_empty() {
            self.release();
        }
        let offset_s = self.first_s.min(0.0);
        Summary {
            count: self.count,
            offset_s,
            span_s: self.last_s - offset_s,
            interarrival_cv: self.gaps.cv(),
            counts: Counts::Bins(self.bins.into(), self.bin_s),
        }
    }
}

/// A number in whose order the floats are, and back.
fn order(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

fn unordered(order: u64) -> f64 {
    f64::from_bits(if order >> 63 == 1 { order & !(1 << 63) } else { !order })
}

impl Counts {
    /// Arrivals a second, one value for every `step_s` seconds.
    pub(super) fn rates(&self, step_s: f64) -> Vec<f32> {
        assert!(step_s.is_finite() && step_s > 0.0, "the bins of a rate must be longer than 0, not {step_s}");
        match self {
            Self::Exact(arrivals_s) => super::rates(arrivals_s, step_s),
            Self::Bins(bins, bin_s) => {
                let step_s = step_s.max(*bin_s);
                let of = |index: usize| ((index as f64 + 0.5) * bin_s / step_s) as usize;
                let mut sums = vec![0_u64; if bins.is_empty() { 0 } else { of(bins.len() - 1) + 1 }];
                bins.iter().enumerate().for_each(|(index, &count)| sums[of(index)] += u64::from(count));
                sums.into_iter().map(|sum| (sum as f64 / step_s) as f32).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_arrivals_are_summarised_as_few() {
        let mut rng = crate::random::generator(3, 1);
        let (mut now_s, mut all) = (0.0, Vec::new());
        for _ in 0..EXACT_MAX + 300_000 {
            now_s += crate::random::exponential(&mut rng, 0.01);
            // Logged when it is done, up to a second later than others.
            all.push(now_s - crate::random::uniform(&mut rng));
        }
        let mut arrivals = Arrivals::default();
        for &arrival_s in &all {
            arrivals.push(arrival_s);
        }
        let found = arrivals.finish();
        let known = exact(all);
        assert!(matches!(found.counts, Counts::Bins(..)));
        assert_eq!(found.count, known.count);
        assert!((found.span_s - known.span_s).abs() < 1e-6);
        assert!((found.interarrival_cv / known.interarrival_cv - 1.0).abs() < 1e-6);
        let peak = |summary: &Summary| summary.counts.rates(60.0).into_iter().fold(0.0, f32::max);
        assert!((peak(&found) / peak(&known) - 1.0).abs() < 0.01);
    }

    #[test]
    fn bins_stay_bounded() {
        let mut counted = Counted::new(0.0);
        for arrival_s in [0.0, 1.0, 2.0 * BINS_MAX as f64, -5.0] {
            counted.push(arrival_s);
        }
        assert!(counted.bins.len() <= BINS_MAX && counted.bin_s >= 4.0);
        assert_eq!(counted.bins.iter().map(|&count| u64::from(count)).sum::<u64>(), 4);
        assert_eq!([-1.5, 0.0, 2.5].map(|value| unordered(order(value))), [-1.5, 0.0, 2.5]);
    }
}
