//! One host, scraped again and again.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_numbers::random::{self, SplitMix64};
use evenkeel_runtime::Telemetry;
use evenkeel_runtime::telemetry_file::host_key;
use tokio::time::{Instant, sleep_until};

use crate::account::Account;
use crate::clock;
use crate::discovery::Host;
use crate::engines::Rules;
use crate::file::Output;
use crate::probe::{Probe, RARELY, Seen};
use crate::reading::Reader;
use crate::scrape::ScrapeOptions;

/// Scrapes a host until the task is aborted. The page is stamped with the middle of its
/// scrape: it was measured after the request left and before the response came.
pub async fn run(
    host: Host,
    options: Rc<ScrapeOptions>,
    rules: Rc<Rules>,
    output: Rc<RefCell<Output>>,
    account: Rc<RefCell<Account>>,
) {
    let key = host_key(host.address.to_string().as_bytes());
    let mut probe = Probe::new(&host, &options);
    let mut reader = Reader::default();
    let mut jitter = Jitter::new(key);
    // Hosts found together are not scraped together.
    let mut next = Instant::now() + options.interval.mul_f64(jitter.next());
    loop {
        sleep_until(next).await;
        let begin = Instant::now();
        let begin_us = clock::now_us();
        let result = probe.ask(&rules).await;
        let measured_us = begin_us + (clock::now_us() - begin_us) / 2;
        let mut account = account.borrow_mut();
        account.took = begin.elapsed();
        match result {
            Ok(Seen::Page(page)) => {
                reader.take(&page, &rules, measured_us);
                reader.slots(probe.slots);
                output.borrow().write(key, &reader.telemetry(), measured_us);
                account.page(&host, &probe, &page, &reader, measured_us);
            }
            Ok(Seen::Resting) => {
                let nothing = Telemetry { running: 0.0, waiting: 0.0, ..Telemetry::UNKNOWN };
                output.borrow().write(key, &nothing, measured_us);
                account.resting(&host, measured_us);
            }
            Ok(Seen::LeftAlone) => account.left_alone(&host),
            Err(error) => account.failed(&host, &probe.url(), &error),
        }
        let interval = if probe.is_left_alone() { RARELY.max(options.interval) } else { options.interval };
        let pause = pause(interval, options.back_off_max, account.failures_in_a_row);
        // A tenth more or less, so that hosts do not fall into step.
        next = together(begin + pause.mul_f64(0.9 + 0.2 * jitter.next()), options.interval);
    }
}

/// The moment at or after `due`, and not before now, at which this process wakes for all
/// hosts that are due at about that time: most of what a scrape costs is waking up.
fn together(due: Instant, interval: Duration) -> Instant {
    const WAKES_AN_INTERVAL: u64 = 20;
    let (now, now_us) = (Instant::now(), clock::now_us());
    let wait_us = due.saturating_duration_since(now).as_micros() as u64;
    let grid_us = (interval.as_micros() as u64 / WAKES_AN_INTERVAL).max(1);
    let wake_us = (now_us + wait_us).next_multiple_of(grid_us);
    now + Duration::from_micros(wake_us - now_us)
}

/// Twice as long after each failure, up to the longest.
fn pause(interval: Duration, back_off_max: Duration, failures_in_a_row: u32) -> Duration {
    let factor = 1_u32 << failures_in_a_row.min(16);
    interval.saturating_mul(factor).min(back_off_max.max(interval))
}

/// Numbers from 0 to 1, different for each host.
struct Jitter(SplitMix64);

impl Jitter {
    fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    fn next(&mut self) -> f64 {
        random::unit(self.0.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::{Jitter, ScrapeOptions, pause, together};
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn hosts_due_at_about_the_same_time_are_scraped_together() {
        let interval = Duration::from_millis(100);
        let due = Instant::now() + Duration::from_millis(50);
        let wakes: Vec<Instant> =
            (0..100).map(|host| together(due + Duration::from_micros(100 * host), interval)).collect();
        let late = wakes.iter().zip(0..).map(|(wake, host)| *wake - (due + Duration::from_micros(100 * host)));
        assert!(late.max().is_some_and(|late| late <= Duration::from_millis(6)));
        let mut apart = wakes.clone();
        apart.dedup_by(|a, b| a.duration_since(*b) < Duration::from_millis(1));
        assert!(apart.len() <= 4, "10 ms in steps of 5: {}", apart.len());
        assert!(
            together(Instant::now() - Duration::from_secs(1), interval) >= Instant::now() - Duration::from_millis(1)
        );
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let ScrapeOptions { interval, back_off_max, .. } = ScrapeOptions::default();
        let pauses = [0, 1, 3, 5, 6, 60].map(|failures| pause(interval, back_off_max, failures).as_millis());
        assert_eq!(pauses, [100, 200, 800, 3200, 5000, 5000]);
        assert_eq!(pause(Duration::from_mins(1), back_off_max, 4), Duration::from_mins(1));
    }

    #[test]
    fn jitter_differs_between_hosts_and_stays_within_its_range() {
        let draw = |seed| {
            let mut jitter = Jitter::new(seed);
            [jitter.next(), jitter.next(), jitter.next()]
        };
        assert_ne!(draw(1), draw(2));
        assert!(draw(3).iter().all(|x| (0.0..1.0).contains(x)));
    }
}
