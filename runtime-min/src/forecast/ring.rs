//! The recent past of a rate, in memory that the caller gives.

use super::Rolling;

/// A ring of values, one for each step; NaN where one is missing.
///
/// It holds as many as its memory has room for. [`crate::forecast::features::history_len`]
/// are enough for every feature; with fewer, those further back count as missing.
#[derive(Debug)]
pub struct History<'m> {
    values: &'m mut [f32],
    pushed: u64,
    rolling: Option<&'m mut Rolling>,
}

impl<'m> History<'m> {
    /// An empty history over this memory.
    pub fn new(memory: &'m mut [f32]) -> Self {
        Self::attach(memory, 0)
    }

    /// Goes on with a history whose memory and count ([`pushed`](Self::pushed)) were kept.
    pub fn attach(memory: &'m mut [f32], pushed: u64) -> Self {
        Self { values: memory, pushed, rolling: None }
    }

    /// The same history with a rolling calibration, which learns what became of forecasts
    /// as values are pushed.
    #[must_use]
    pub fn with_rolling(self, rolling: &'m mut Rolling) -> Self {
        Self { rolling: Some(rolling), ..self }
    }

    /// Adds the value of the step that has just ended; NaN if it is not known. Infinite
    /// values count as not known.
    pub fn push(&mut self, value: f32) {
        let next = self.next();
        if let Some(place) = self.values.get_mut(next) {
            *place = if value.is_finite() { value } else { f32::NAN };
            self.pushed = self.pushed.saturating_add(1);
        }
        if let Some(rolling) = &mut self.rolling {
            rolling.settle(self.pushed, value);
        }
    }

    /// Number of values ever pushed.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// The values that are still there.
    pub fn past(&self) -> Past<'_> {
        past(self.values, self.pushed)
    }

    /// The past, the number of values ever pushed, and the rolling calibration.
    pub(super) fn parts(&mut self) -> (Past<'_>, u64, Option<&mut Rolling>) {
        (past(self.values, self.pushed), self.pushed, self.rolling.as_deref_mut())
    }

    fn next(&self) -> usize {
        next(self.values, self.pushed)
    }
}

/// Where the next value goes.
fn next(values: &[f32], pushed: u64) -> usize {
    pushed.checked_rem(values.len() as u64).map_or(0, |next| next as usize)
}

fn past(values: &[f32], pushed: u64) -> Past<'_> {
    let (newer, older) = values.split_at_checked(next(values, pushed)).unwrap_or_default();
    let wrapped = pushed >= values.len() as u64;
    Past { older: if wrapped { older } else { &[] }, newer }
}

/// A view of the past in time order: `older`, then `newer`, whose last value is the newest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Past<'a> {
    older: &'a [f32],
    newer: &'a [f32],
}

impl<'a> Past<'a> {
    /// The values of a slice, the newest last.
    pub fn new(values: &'a [f32]) -> Self {
        Self { older: &[], newer: values }
    }

    /// Number of values, missing ones included.
    pub fn len(&self) -> usize {
        self.older.len() + self.newer.len()
    }

    /// Whether there is no value, not even a missing one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value `lag` steps before the newest; NaN where missing or too long ago.
    #[inline]
    pub fn at(&self, lag: usize) -> f32 {
        let value = match lag.checked_sub(self.newer.len()) {
            None => self.newer.iter().nth_back(lag),
            Some(beyond) => self.older.iter().nth_back(beyond),
        };
        value.copied().unwrap_or(f32::NAN)
    }

    /// Sum and number of the known values among `count` at the lags from `begin` on;
    /// `map` is applied to each before it is added.
    pub fn sum(&self, begin: usize, count: usize, map: impl Fn(f32) -> f32) -> (f32, usize) {
        let end = begin.saturating_add(count);
        let beyond = |lag: usize| lag.saturating_sub(self.newer.len());
        let (newer_sum, newer_count) = sum_known(tail(self.newer, begin, end), &map);
        let (older_sum, older_count) = sum_known(tail(self.older, beyond(begin), beyond(end)), &map);
        (newer_sum + older_sum, newer_count + older_count)
    }

    /// Mean of the known values among `count` at the lags from `begin` on, if there is one.
    pub fn mean(&self, begin: usize, count: usize) -> Option<f32> {
        let (sum, known) = self.sum(begin, count, |value| value);
        (known > 0).then(|| sum / known as f32)
    }
}

/// The values of a slice at lags `begin..end` from its last.
fn tail(values: &[f32], begin: usize, end: usize) -> &[f32] {
    let place = |lag: usize| values.len().saturating_sub(lag);
    values.get(place(end)..place(begin)).unwrap_or_default()
}

/// Sums in sixteen lanes, which the compiler turns into SIMD: a day has 1440 minutes.
fn sum_known(values: &[f32], map: impl Fn(f32) -> f32) -> (f32, usize) {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let mut counts = [0u32; LANES];
    let mut add = |values: &[f32]| {
        for ((sum, count), value) in sums.iter_mut().zip(&mut counts).zip(values) {
            let known = !value.is_nan();
            *sum += if known { map(*value) } else { 0.0 };
            *count += u32::from(known);
        }
    };
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        add(chunk);
    }
    add(rest);
    (sums.iter().sum(), counts.iter().sum::<u32>() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_ring_is_the_tail_of_what_was_pushed() {
        let all: Vec<f32> = (0..50).map(|i| if i % 7 == 3 { f32::NAN } else { i as f32 }).collect();
        let mut memory = [0.0; 20];
        let mut ring = History::new(&mut memory);
        for pushed in 0..all.len() {
            let tail = Past::new(&all[pushed.saturating_sub(20)..pushed]);
            let past = ring.past();
            assert_eq!(past.len(), tail.len());
            for lag in 0..25 {
                assert_eq!(past.at(lag).to_bits(), tail.at(lag).to_bits(), "{pushed} pushed, lag {lag}");
                let naive: Vec<f32> = (lag..lag + 9).map(|lag| past.at(lag)).filter(|v| !v.is_nan()).collect();
                let (sum, known) = past.sum(lag, 9, |v| v);
                assert_eq!((sum, known), (naive.iter().sum(), naive.len()));
            }
            ring.push(all[pushed]);
        }
    }

    #[test]
    fn no_memory_and_no_values_are_harmless() {
        let mut ring = History::new(&mut []);
        ring.push(1.0);
        assert!(ring.past().is_empty());
        assert!(Past::default().at(0).is_nan());
        assert_eq!(Past::default().mean(0, 10), None);
        let mut memory = [0.0; 4];
        let mut ring = History::new(&mut memory);
        ring.push(f32::INFINITY);
        assert!(ring.past().at(0).is_nan());
    }
}
