//! Time per output token, from how counters of two pages differ.
//!
//! A difference counts only over some tokens. Those of the last seconds are averaged by tokens,
//! so that a page with two tokens weighs less than one with two hundred. A series whose counter
//! went back was restarted and gives no sample; one that is new gives none yet. Where no token
//! came for a while there is no step: the one of before says nothing of now.

use std::collections::BTreeMap;

use crate::page::Counter;

/// Fewest tokens that a difference is taken over.
pub const TOKENS_MIN: f64 = 8.0;
/// Fewest requests, where an engine tells each one's mean: it may have been of two tokens.
pub const REQUESTS_MIN: f64 = 4.0;
/// After so long, tokens weigh half.
const HALF_LIFE_S: f64 = 2.0;
/// After so long without a token there is no step.
pub const AGE_MAX_US: u64 = 10_000_000;
/// The longest step that is believed, in seconds (the runtime's bound).
const STEP_MAX_S: f64 = 1e4;
/// Most counters that are remembered.
const COUNTERS_MAX: usize = 128;

/// Averages steps over pages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepClock {
    before: BTreeMap<u64, Counter>,
    /// Not enough to be a sample yet.
    pending: Mean,
    average: Mean,
    /// The time of the last sample.
    measured_us: Option<u64>,
    /// Samples that no host could mean.
    pub dropped: u64,
}

/// Seconds, and the tokens that they were spent on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mean {
    seconds: f64,
    tokens: f64,
}

impl StepClock {
    /// Takes in a page's counters, of which `count_min` are enough for a sample.
    pub fn observe(&mut self, counters: &[Counter], count_min: f64, now_us: u64) {
        for counter in counters.iter().take(COUNTERS_MAX) {
            let Some(before) = self.before.insert(counter.id, *counter) else { continue };
            if counter.count >= before.count && counter.sum_s >= before.sum_s {
                self.pending.seconds += counter.sum_s - before.sum_s;
                self.pending.tokens += counter.count - before.count;
            }
        }
        if self.before.len() > COUNTERS_MAX {
            self.before.retain(|id, _| counters.iter().any(|counter| counter.id == *id));
        }
        if self.pending.tokens >= count_min {
            let sample = std::mem::take(&mut self.pending);
            self.sample(sample, now_us);
        }
    }

    /// Forgets what was measured.
    pub fn forget(&mut self) {
        *self = Self { dropped: self.dropped, ..Self::default() };
    }

    fn sample(&mut self, sample: Mean, now_us: u64) {
        let step_s = sample.seconds / sample.tokens;
        if !(step_s > 0.0 && step_s <= STEP_MAX_S) {
            self.dropped += 1;
            return;
        }
        let age_s = self.measured_us.map_or(0.0, |then_us| now_us.saturating_sub(then_us) as f64 * 1e-6);
        let left = (-age_s / HALF_LIFE_S).exp2();
        self.average.seconds = self.average.seconds * left + sample.seconds;
        self.average.tokens = self.average.tokens * left + sample.tokens;
        self.measured_us = Some(now_us);
    }

    /// Seconds per token, and since when that is not newer, in microseconds; `None` if no token
    /// came for a while.
    pub fn step(&self, now_us: u64) -> Option<(f64, u64)> {
        let age_us = now_us.saturating_sub(self.measured_us?);
        (age_us <= AGE_MAX_US).then(|| (self.average.seconds / self.average.tokens, age_us))
    }
}

#[cfg(test)]
mod tests {
    use super::{AGE_MAX_US, StepClock, TOKENS_MIN};
    use crate::page::Counter;

    const PAGE_US: u64 = 100_000;

    fn series(id: u64, sum_s: f64, count: f64) -> Counter {
        Counter { id, sum_s, count }
    }

    /// The step after pages 100 ms apart.
    fn step(pages: &[&[Counter]]) -> Option<f64> {
        let mut clock = StepClock::default();
        let times_us = (1..).map(|page| page * PAGE_US);
        let last_us = times_us.zip(pages).map(|(now_us, page)| {
            clock.observe(page, TOKENS_MIN, now_us);
            now_us
        });
        let last_us = last_us.last()?;
        clock.step(last_us).map(|(step_s, _)| step_s)
    }

    fn close(step_s: Option<f64>, expected_s: f64) -> bool {
        step_s.is_some_and(|step_s| (step_s - expected_s).abs() < 1e-9)
    }

    #[test]
    fn the_first_page_measures_nothing() {
        assert_eq!(step(&[&[series(1, 20.0, 1000.0)]]), None);
        assert_eq!(step(&[&[series(1, 20.0, 1000.0)], &[series(1, 20.0, 1000.0)]]), None, "no token came");
    }

    #[test]
    fn series_are_weighed_by_their_tokens() {
        let pages: [&[Counter]; 2] =
            [&[series(1, 2.0, 100.0), series(2, 4.0, 100.0)], &[series(1, 3.0, 200.0), series(2, 6.0, 120.0)]];
        assert!(close(step(&pages), 3.0 / 120.0));
    }

    #[test]
    fn few_tokens_are_gathered_until_they_are_enough() {
        let page = |tokens: f64| [series(1, tokens * 0.02, tokens)];
        let pages = [page(0.0), page(3.0), page(6.0), page(9.0)];
        let pages: Vec<&[Counter]> = pages.iter().map(<[Counter; 1]>::as_slice).collect();
        assert_eq!(step(&pages[..3]), None);
        assert!(close(step(&pages), 0.02));
    }

    #[test]
    fn a_restart_of_one_engine_gives_no_sample_and_the_others_go_on() {
        let pages: [&[Counter]; 3] = [
            &[series(1, 20.0, 1000.0), series(2, 1.0, 50.0)],
            // Together they went up: told apart, the second one went back.
            &[series(1, 22.0, 1100.0), series(2, 0.5, 5.0)],
            &[series(1, 22.0, 1100.0), series(2, 2.5, 55.0)],
        ];
        assert!(close(step(&pages[..2]), 0.02));
        let after = step(&pages).unwrap();
        assert!(after > 0.02 && after < 0.04, "{after}");
    }

    #[test]
    fn an_idle_host_has_no_step_after_a_while() {
        let mut clock = StepClock::default();
        clock.observe(&[series(1, 0.0, 0.0)], TOKENS_MIN, 0);
        clock.observe(&[series(1, 1.0, 100.0)], TOKENS_MIN, PAGE_US);
        assert_eq!(clock.step(PAGE_US + 5).map(|(_, age_us)| age_us), Some(5));
        assert!(clock.step(PAGE_US + AGE_MAX_US).is_some());
        assert_eq!(clock.step(PAGE_US + AGE_MAX_US + 1), None);
    }

    #[test]
    fn what_is_new_outweighs_what_is_seconds_old() {
        let mut clock = StepClock::default();
        clock.observe(&[series(1, 0.0, 0.0)], TOKENS_MIN, 0);
        clock.observe(&[series(1, 1.0, 100.0)], TOKENS_MIN, PAGE_US);
        // 8 s later: four half-lives.
        clock.observe(&[series(1, 5.0, 200.0)], TOKENS_MIN, PAGE_US + 8_000_000);
        let expected_s = (1.0 / 16.0 + 4.0) / (100.0 / 16.0 + 100.0);
        assert!(close(clock.step(PAGE_US + 8_000_000).map(|(step_s, _)| step_s), expected_s));
    }

    #[test]
    fn impossible_steps_are_dropped_and_counted() {
        let mut clock = StepClock::default();
        for (page, (sum_s, count)) in (0_u32..).zip([(0.0, 0.0), (1e6, 10.0), (1e6, 20.0)]) {
            clock.observe(&[series(1, sum_s, count)], TOKENS_MIN, u64::from(page) * PAGE_US);
        }
        assert_eq!((clock.step(3 * PAGE_US), clock.dropped), (None, 2));
    }
}
