//! What the steps came to.

use std::fmt;
use std::time::Duration;

/// How a step ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    Passed,
    /// With what went wrong.
    Failed(String),
    /// With what was missing.
    Skipped(String),
}

/// A step that was run.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    pub(super) time: Duration,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs_f64();
        match &self.verdict {
            Verdict::Passed => write!(f, "passed in {seconds:.1} s"),
            Verdict::Failed(reason) => write!(f, "FAILED in {seconds:.1} s: {reason}"),
            Verdict::Skipped(reason) => write!(f, "skipped: {reason}"),
        }
    }
}

/// All steps, one a line.
pub(super) fn table(records: &[Record]) -> String {
    let width = records.iter().map(|record| record.name.len()).max().unwrap_or(0);
    let line = |record: &Record| format!("{:>2}  {:width$}  {record}\n", record.number, record.name);
    records.iter().map(line).collect()
}

/// The counts, in a form that scripts can rely on.
pub(super) fn closing_line(records: &[Record]) -> String {
    let [passed, failed, skipped] = counts(records);
    format!("{passed} passed, {failed} failed, {skipped} skipped")
}

/// Whether the whole counts as passed; `strict` admits no skips.
pub(super) fn is_success(records: &[Record], strict: bool) -> bool {
    let [_, failed, skipped] = counts(records);
    failed == 0 && (skipped == 0 || !strict)
}

fn counts(records: &[Record]) -> [usize; 3] {
    let count = |wanted: fn(&Verdict) -> bool| records.iter().filter(|record| wanted(&record.verdict)).count();
    [
        count(|verdict| *verdict == Verdict::Passed),
        count(|verdict| matches!(verdict, Verdict::Failed(_))),
        count(|verdict| matches!(verdict, Verdict::Skipped(_))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64, name: &'static str, verdict: Verdict) -> Record {
        Record { number, name, verdict, time: Duration::from_millis(1250) }
    }

    #[test]
    fn the_summary_names_reasons_and_counts() {
        let records = [
            record(1, "formatting", Verdict::Passed),
            record(2, "tests", Verdict::Failed("`cargo test` ended with 101".into())),
            record(3, "gym-rs", Verdict::Skipped("missing: libsdl2-dev".into())),
        ];
        assert_eq!(
            table(&records),
            " 1  formatting  passed in 1.2 s\n \
             2  tests       FAILED in 1.2 s: `cargo test` ended with 101\n \
             3  gym-rs      skipped: missing: libsdl2-dev\n"
        );
        assert_eq!(closing_line(&records), "1 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn a_skip_fails_only_under_strict() {
        let skipped = [record(1, "a", Verdict::Passed), record(1, "b", Verdict::Skipped(String::new()))];
        assert!(is_success(&skipped, false));
        assert!(!is_success(&skipped, true));
        assert!(is_success(&skipped[..1], true));
        assert!(!is_success(&[record(1, "c", Verdict::Failed(String::new()))], false));
    }
}
