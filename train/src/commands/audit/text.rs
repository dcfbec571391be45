//! The findings of an audit for a terminal.

use std::fmt::Write as _;

use super::{Agreement, Audit};

impl Audit {
    /// The findings for a terminal.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} records of {} decisions, {} torn; left out: {} with too many hosts, {} between writers\n",
            self.records, self.begun, self.torn, self.left_out_hosts, self.left_out_place
        );
        let Agreement { checked, agree, disagree, moved, other_model, without_policy, score_difference_max, .. } =
            &self.agreement;
        let _ = writeln!(
            text,
            "made again: {checked}; {agree} agree, {disagree} do not; scores differ by {score_difference_max:.1e} at most"
        );
        let _ = writeln!(
            text,
            "not made again: {moved} whose state moved, {other_model} of another model, {without_policy} without scores"
        );
        let _ = writeln!(text, "\n{:<12}{:>12}{:>12}{:>24}", "reason", "decisions", "in shadow", "went elsewhere");
        for row in &self.reasons {
            let share = 100.0 * row.differ as f64 / row.decisions as f64;
            let _ = writeln!(
                text,
                "{:<12}{:>12}{:>12}{:>15} ({share:>5.1} %)",
                row.reason, row.decisions, row.shadow, row.differ
            );
        }
        if let Some(difference) = &self.difference {
            let _ = writeln!(
                text,
                "\nOf {} requests that went elsewhere, by the analytic estimate (not measured), n = {}:\n\
                 at the decided host {:.3} s, at the actual one {:.3} s: {:+.3} ± {:.3} s; the decided one better for {:.0} %, worse for {:.0} %",
                difference.requests,
                difference.estimated,
                difference.decided_estimate_s,
                difference.actual_estimate_s,
                difference.mean_difference_s,
                difference.half_width_s,
                100.0 * difference.decided_better_share,
                100.0 * difference.actual_better_share
            );
        }
        for (which, outcomes) in [("as decided", &self.outcomes_as_decided), ("elsewhere", &self.outcomes_otherwise)] {
            if let Some(ended) = outcomes {
                let seconds = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3} s"));
                let _ = writeln!(
                    text,
                    "Measured, {which}: {} requests ended, {} failed; latency mean {}, median {}, p99 {}",
                    ended.requests,
                    ended.failed,
                    seconds(ended.latency_mean_s),
                    seconds(ended.latency_p50_s),
                    seconds(ended.latency_p99_s)
                );
            }
        }
        text
    }
}
