//! The results as text for a terminal: at most 80 columns, no colour codes.

pub(crate) mod benchmark;

pub use benchmark::benchmark;

use crate::metrics::{ForecastResult, PolicyResult};
use crate::report::compare::{self, Comparison, Group, Measure, Role};
use crate::report::number::{self, align_points};

/// Longest name printed whole.
const NAME_WIDTH: usize = 18;

/// A table of all policies for each trace and load, Evenkeel last and marked with `>`,
/// with its change against the best rule that proxies have, and against the best of the others.
/// Three significant digits; the header names the units.
pub fn policies(results: &[PolicyResult]) -> String {
    if results.is_empty() {
        return "No policy was evaluated.\n".to_owned();
    }
    let groups = compare::groups(results);
    let mut blocks: Vec<String> = groups.iter().map(policy_block).collect();
    if results.iter().any(|result| compare::role(&result.policy) == Role::Oracle) {
        blocks.push("Oracles see what no balancer can; they are bounds, not choices.\n".to_owned());
    }
    blocks.join("\n")
}

fn policy_block(group: &Group) -> String {
    let mut results: Vec<&PolicyResult> = group.baselines().collect();
    results.extend(group.with_role(Role::Oracle));
    results.extend(group.with_role(Role::Ours));

    let mut columns = vec![Column {
        title: "  policy".to_owned(),
        cells: results
            .iter()
            .map(|result| {
                let mark = if result.policy == compare::OURS { '>' } else { ' ' };
                format!("{mark} {}", name(&compare::display_name(&result.policy), NAME_WIDTH))
            })
            .collect(),
        flush_left: true,
    }];
    let times = [compare::MEAN, compare::P50, compare::P99, compare::TTFT_MEAN, compare::TTFT_P99];
    columns.extend(times.map(|measure| measure_column(measure, &results)));
    if results.iter().any(|result| result.failed_share.value > 0.0) {
        columns.push(measure_column(compare::FAILED, &results));
    }

    let mut out = format!("{}, load {}\n", name(group.trace, 60), number::load(group.load));
    out.push_str(&layout(&columns));
    out.push_str(&summary(group));
    out
}

/// Evenkeel's mean and p99 against the best of the proxies' rules, then of the others.
fn summary<'a>(group: &Group<'a>) -> String {
    let against = |what: &str, compare: &dyn Fn(Measure) -> Option<Comparison<'a>>| {
        let parts: Vec<String> = [compare::MEAN, compare::P99]
            .into_iter()
            .filter_map(compare)
            .map(|comparison| {
                let rival = name(&compare::display_name(comparison.baseline), NAME_WIDTH);
                format!("{} {} ({rival})", comparison.measure.short, comparison.change())
            })
            .collect();
        if parts.is_empty() { String::new() } else { format!("  {what}:\n    {}\n", parts.join(", ")) }
    };
    let proxies = group.with_role(Role::Proxy).next().is_some();
    let others = group.with_role(Role::Rule).next().is_some();
    let mut out = String::new();
    if proxies {
        out.push_str(&against("against the best rule that NGINX and Envoy have", &|measure| group.compare(measure)));
    }
    if others {
        let which = if proxies { "against the best of the other rules" } else { "against the best rule" };
        out.push_str(&against(which, &|measure| group.compare_rules(measure)));
    }
    out
}

fn measure_column(measure: Measure, results: &[&PolicyResult]) -> Column {
    let unit = measure.unit(results.iter().copied());
    let cells = results.iter().map(|result| unit.format(measure.value(result))).collect();
    Column::numbers(format!("{} {}", measure.short, unit.symbol), cells)
}

/// A table of the forecasts: what serves each series, its errors, and how many of the
/// actual values lie between the quantiles 0.1 and 0.9 (80 % if calibrated).
pub fn forecasts(results: &[ForecastResult]) -> String {
    if results.is_empty() {
        return "No series was forecast.\n".to_owned();
    }
    let text = |title: &str, cells: Vec<String>| Column { title: title.to_owned(), cells, flush_left: true };
    let number = |title: &str, of: fn(&ForecastResult) -> f64| {
        let cells = results.iter().map(|result| number::significant(of(result))).collect();
        Column::numbers(title.to_owned(), cells)
    };
    let names = results.iter().map(|result| name(&result.series, 18));
    let served = results.iter().map(|result| name(&result.served_by, 14));
    layout(&[
        text("series", names.collect()),
        text("served by", served.collect()),
        number("WQL", |result| result.wql),
        number("WQL / naive", |result| result.wql_over_seasonal_naive),
        number("MASE", |result| result.mase),
        number("in 10-90 %", |result| (result.coverage[8] - result.coverage[0]) * 100.0),
    ])
}

/// A name from outside, safe to print and at most `width` characters long.
fn name(text: &str, width: usize) -> String {
    // An escape sequence in a name must not reach the terminal.
    let printable = |character: char| {
        if character.is_control() { '?' } else { character }
    };
    if text.chars().count() <= width {
        text.chars().map(printable).collect()
    } else {
        let start = text.chars().take(width - 1).map(printable);
        start.chain(['…']).collect()
    }
}

struct Column {
    title: String,
    cells: Vec<String>,
    flush_left: bool,
}

impl Column {
    fn numbers(title: String, mut cells: Vec<String>) -> Self {
        align_points(&mut cells, ' ', ' ');
        Self { title, cells, flush_left: false }
    }

    fn width(&self) -> usize {
        let texts = self.cells.iter().chain([&self.title]);
        texts.map(|text| text.chars().count()).max().unwrap_or(0)
    }
}

/// Header, rule and rows.
fn layout(columns: &[Column]) -> String {
    let widths: Vec<usize> = columns.iter().map(Column::width).collect();
    let row = |cell: &dyn Fn(&Column) -> String| {
        let mut line = String::new();
        for (column, &width) in columns.iter().zip(&widths) {
            let text = cell(column);
            line.push_str(if line.is_empty() { "" } else { "  " });
            let padding = " ".repeat(width.saturating_sub(text.chars().count()));
            if column.flush_left {
                line.extend([text, padding]);
            } else {
                line.extend([padding, text]);
            }
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    };
    let mut out = row(&|column| column.title.clone());
    out.push_str(&"─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1)));
    out.push('\n');
    let rows = columns.iter().map(|column| column.cells.len()).max();
    for index in 0..rows.unwrap_or(0) {
        out.push_str(&row(&|column| column.cells[index].clone()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn policies_snapshot() {
        insta::assert_snapshot!(policies(&sample::metrics().policies));
    }

    #[test]
    fn forecasts_snapshot() {
        insta::assert_snapshot!(forecasts(&sample::metrics().forecasts));
    }

    #[test]
    fn hostile_and_missing_input_stays_within_80_columns() {
        let mut metrics = sample::metrics();
        for result in &mut metrics.policies {
            result.trace = format!("\u{1b}[31m{}", "t".repeat(200));
            result.latency_p99_s.value = f64::NAN;
            result.latency_mean_s.value *= 1e-3;
        }
        metrics.policies[0].policy = "\u{1b}[2J a very long name of a policy".to_owned();
        metrics.forecasts[0].series = "s".repeat(100);
        metrics.forecasts[1].wql = f64::INFINITY;
        let text = policies(&metrics.policies) + &forecasts(&metrics.forecasts);
        assert!(!text.contains('\u{1b}'));
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn nothing_to_show_is_said() {
        assert_eq!(policies(&[]), "No policy was evaluated.\n");
        assert_eq!(forecasts(&[]), "No series was forecast.\n");
    }
}
