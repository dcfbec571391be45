//! One host, scraped again and again.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime::Telemetry;
use evenkeel_runtime::telemetry_file::host_key;
use tokio::time::{Instant, sleep_until};

use crate::clock;
use crate::discovery::Host;
use crate::exposition::{Page, Reader};
use crate::file::Output;
use crate::names::Names;
use crate::scrape::{Limits, ScrapeError, Scraper};

/// How hosts are scraped.
#[derive(Clone, Debug)]
pub struct ScrapeOptions {
    /// From one scrape to the next.
    pub interval: Duration,
    /// Limits of one.
    pub limits: Limits,
    /// Longest pause between scrapes of a host that fails.
    pub back_off_max: Duration,
    /// Path of the metrics, where a host names none.
    pub path: String,
}

impl Default for ScrapeOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            limits: Limits { timeout: Duration::from_millis(500), bytes_max: 4 * 1024 * 1024 },
            back_off_max: Duration::from_secs(5),
            path: "/metrics".to_owned(),
        }
    }
}

/// What became of a host's scrapes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Pages read.
    pub pages: u64,
    /// Scrapes that failed.
    pub failures: u64,
    /// Those in a row, up to now.
    pub failures_in_a_row: u32,
    /// Of the last failure, a word for it.
    pub last_failure: Option<&'static str>,
    /// Bytes of the last page.
    pub page_bytes: usize,
    /// How long the last scrape took.
    pub took: Duration,
    /// When the last page was measured, in microseconds of the monotonic clock; 0 for never.
    pub measured_us: u64,
    /// What it said.
    pub telemetry: Option<Telemetry>,
}

/// Scrapes a host until the task is aborted. The page is stamped with the middle of its
/// scrape: it was measured after the request left and before the response came.
pub async fn run(
    host: Host,
    options: Rc<ScrapeOptions>,
    names: Rc<Names>,
    output: Rc<RefCell<Output>>,
    account: Rc<RefCell<Account>>,
) {
    let key = host_key(host.address.to_string().as_bytes());
    let path = host.path.as_deref().unwrap_or(&options.path);
    let mut scraper = Scraper::new(host.metrics.unwrap_or(host.address), path, options.limits);
    let mut reader = Reader::default();
    let mut jitter = Jitter::new(key);
    // Hosts found together are not scraped together.
    let mut next = Instant::now() + options.interval.mul_f64(jitter.next());
    loop {
        sleep_until(next).await;
        let begin = Instant::now();
        let begin_us = clock::now_us();
        let result = scraper.page().await.and_then(|page| {
            let bytes = page.len();
            let page = Page::parse(page, &names);
            if page.is_empty() { Err(ScrapeError::NoMetrics) } else { Ok((page, bytes)) }
        });
        let end_us = clock::now_us();
        let mut account = account.borrow_mut();
        account.took = begin.elapsed();
        match result {
            Ok((page, bytes)) => {
                let telemetry = reader.telemetry(&page);
                let measured_us = begin_us + (end_us - begin_us) / 2;
                output.borrow().write(key, &telemetry, measured_us);
                account.pages += 1;
                account.failures_in_a_row = 0;
                account.page_bytes = bytes;
                account.measured_us = measured_us;
                account.telemetry = Some(telemetry);
            }
            Err(error) => {
                account.failures += 1;
                account.failures_in_a_row += 1;
                account.last_failure = Some(error.kind());
            }
        }
        let pause = pause(&options, account.failures_in_a_row);
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
fn pause(options: &ScrapeOptions, failures_in_a_row: u32) -> Duration {
    let factor = 1_u32 << failures_in_a_row.min(16);
    options.interval.saturating_mul(factor).min(options.back_off_max.max(options.interval))
}

/// Numbers from 0 to 1, different for each host (SplitMix64).
struct Jitter(u64);

impl Jitter {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
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
        let options = ScrapeOptions::default();
        let pauses = [0, 1, 3, 5, 6, 60].map(|failures| pause(&options, failures).as_millis());
        assert_eq!(pauses, [100, 200, 800, 3200, 5000, 5000]);
        let patient = ScrapeOptions { interval: Duration::from_mins(1), ..options };
        assert_eq!(pause(&patient, 4), Duration::from_mins(1));
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
