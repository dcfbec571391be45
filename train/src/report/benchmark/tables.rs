//! The tables of the benchmark's page.

use crate::evaluate::contender::TRAINED;
use crate::evaluate::entry::{Entry, Figure, is_relative};
use crate::evaluate::outcome::{Benchmark, Sweep};
use crate::report::html::{escape, put, typeset};
use crate::report::number::{self, Unit};
use crate::table::benchmark::{best_rule, figure_of};

use super::{difference, loads, policy_name, title};

/// The figures of the overview.
const OVERVIEW: [(&str, &str); 5] = [
    ("latency_mean_s", "mean"),
    ("latency_p50_s", "p50"),
    ("latency_p99_s", "p99"),
    ("ttft_mean_s", "TTFT mean"),
    ("ttft_p99_s", "TTFT p99"),
];

/// How a figure is written.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Time,
    Share,
    Rate,
}

/// The figures of a setting's table.
const FIGURES: [(&str, &str, Kind); 16] = [
    ("latency_mean_s", "mean", Kind::Time),
    ("latency_p50_s", "p50", Kind::Time),
    ("latency_p90_s", "p90", Kind::Time),
    ("latency_p99_s", "p99", Kind::Time),
    ("latency_p999_s", "p99.9", Kind::Time),
    ("ttft_mean_s", "TTFT mean", Kind::Time),
    ("ttft_p99_s", "TTFT p99", Kind::Time),
    ("timeout_share", "timed out", Kind::Share),
    ("failed_share", "failed", Kind::Share),
    ("aborted_share", "clients left", Kind::Share),
    ("no_work_share", "without work", Kind::Share),
    ("goodput_per_s", "goodput", Kind::Rate),
    ("balance_efficiency", "balance", Kind::Share),
    ("jain_index", "Jain", Kind::Share),
    ("headroom_closed_mean", "headroom closed, mean", Kind::Share),
    ("headroom_closed_p99", "headroom closed, p99", Kind::Share),
];

/// Those of them that are 0 unless something happens beside load.
const RARE: [&str; 2] = ["aborted_share", "no_work_share"];

/// The figures in which a rule can be better, and whether more of them is better.
const CONTESTED: [(&str, &str, bool); 9] = [
    ("latency_mean_s", "mean latency", false),
    ("latency_p50_s", "p50 latency", false),
    ("latency_p90_s", "p90 latency", false),
    ("latency_p99_s", "p99 latency", false),
    ("latency_p999_s", "p99.9 latency", false),
    ("ttft_mean_s", "mean TTFT", false),
    ("ttft_p99_s", "p99 TTFT", false),
    ("timeout_share", "timed out", false),
    ("goodput_per_s", "goodput", true),
];

/// Evenkeel against the best rule of each figure, one row for each sweep.
pub(super) fn overview(sweeps: &[Sweep<'_>]) -> String {
    let mut out = String::from(
        "<section id=\"overview\">\n<h2>Evenkeel against the best rule</h2>\n\
         <p>For each figure the best rule <b>of that figure in that row</b> is the opponent: nobody could deploy all of \
         them at once. Differences are means over the loads named, paired by seed, with their 95\u{202f}% \
         intervals.</p>\n<div class=\"scroll\"><table class=\"overview\">\n<thead><tr><th scope=\"col\">setting</th>",
    );
    for (_, heading) in OVERVIEW {
        put!(out, "<th scope=\"col\">{heading}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for sweep in sweeps {
        let label = &sweep.mean[0].scenario;
        put!(
            out,
            "<tr><th scope=\"row\">{}<br/><small>{}, {}, load {}</small></th>",
            escape(&label.describe()),
            escape(&label.trace),
            escape(&label.service),
            escape(&loads(&sweep.mean_loads))
        );
        for (figure, _) in OVERVIEW {
            match best_rule(&sweep.mean, figure) {
                Some(best) => {
                    put!(out, "<td>{}<small>{}</small></td>", difference(best, figure), escape(&policy_name(best)));
                }
                None => out.push_str("<td></td>"),
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n</section>\n");
    out
}

/// Every setting: means over the loads of each sweep with the differences, then each load.
pub(super) fn settings(sweeps: &[Sweep<'_>]) -> String {
    let mut out = String::from(
        "<section id=\"settings\">\n<h2>Every setting</h2>\n\
         <p>Means over the seeds with their 95\u{202f}% intervals, and how far Evenkeel is from each policy, paired \
         by seed. Oracles stand last: bounds, not choices.</p>\n",
    );
    for (index, sweep) in sweeps.iter().enumerate() {
        let open = if index == 0 { " open=\"open\"" } else { "" };
        put!(
            out,
            "<details{open}><summary>{}</summary>\n<h3>Evenkeel against each, mean over load {}</h3>\n",
            escape(&title(&sweep.mean[0].scenario)),
            escape(&loads(&sweep.mean_loads))
        );
        out.push_str(&differences_table(&sweep.mean));
        for setting in sweep.settings {
            put!(out, "<h3>Load {}</h3>\n", typeset(&number::load(setting.label.load)));
            out.push_str(&values_table(&setting.entries));
        }
        out.push_str("</details>\n");
    }
    out.push_str("</section>\n");
    out
}

/// Rules, then Evenkeel, then oracles.
fn in_order(entries: &[Entry]) -> Vec<&Entry> {
    let mut ordered: Vec<&Entry> = entries.iter().collect();
    ordered.sort_by_key(|entry| (entry.oracle, entry.policy == TRAINED));
    ordered
}

fn row_class(entry: &Entry) -> &'static str {
    if entry.oracle {
        "oracle"
    } else if entry.policy == TRAINED {
        "ours"
    } else {
        "baseline"
    }
}

fn differences_table(entries: &[Entry]) -> String {
    let figures = OVERVIEW;
    let mut out =
        String::from("<div class=\"scroll\"><table class=\"results\">\n<thead><tr><th scope=\"col\">policy</th>");
    for (_, heading) in figures {
        put!(out, "<th scope=\"col\">{heading}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for entry in in_order(entries).into_iter().filter(|entry| entry.policy != TRAINED) {
        put!(out, "<tr class=\"{}\"><th scope=\"row\">{}</th>", row_class(entry), escape(&policy_name(entry)));
        for (figure, _) in figures {
            put!(out, "<td>{}</td>", difference(entry, figure));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

fn values_table(entries: &[Entry]) -> String {
    let entries = in_order(entries);
    let unit = |name: &str, kind: Kind| match kind {
        Kind::Time => Unit::of_seconds(entries.iter().map(|entry| figure_of(&entry.metrics, name).mean())),
        Kind::Share => Unit::PERCENT,
        Kind::Rate => Unit { symbol: "/s", per_base: 1.0 },
    };
    // What mostly never happens has a column only where it does.
    let is_told =
        |name: &str| !RARE.contains(&name) || entries.iter().any(|entry| figure_of(&entry.metrics, name).mean() > 0.0);
    let figures = FIGURES.into_iter().filter(|(name, ..)| is_told(name));
    let columns: Vec<_> = figures.map(|(name, heading, kind)| (name, heading, unit(name, kind))).collect();
    let mut out =
        String::from("<div class=\"scroll\"><table class=\"results\">\n<thead><tr><th scope=\"col\">policy</th>");
    for (_, heading, unit) in &columns {
        put!(out, "<th scope=\"col\">{heading} <i>{}</i></th>", unit.symbol);
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for entry in entries {
        put!(out, "<tr class=\"{}\"><th scope=\"row\">{}</th>", row_class(entry), escape(&policy_name(entry)));
        for (name, _, unit) in &columns {
            let figure = figure_of(&entry.metrics, name);
            put!(out, "<td>{}{}</td>", typeset(&unit.format(figure.mean())), interval(*unit, figure));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

fn interval(unit: Unit, figure: Figure) -> String {
    match figure.ci95 {
        [Some(low), Some(high)] if low < high => {
            format!("<small>{} to {}</small>", typeset(&unit.format(low)), typeset(&unit.format(high)))
        }
        _ => String::new(),
    }
}

/// Every setting and figure in which a rule is better by more than the interval.
pub(super) fn losses(benchmark: &Benchmark) -> String {
    let mut out = String::from("<section id=\"losses\">\n<h2>Where Evenkeel loses</h2>\n");
    let mut rows = String::new();
    let (mut lost, mut compared) = (0, 0);
    for setting in benchmark.settings() {
        for (figure, heading, higher_is_better) in CONTESTED {
            let rules =
                || setting.entries.iter().filter(|entry| !entry.oracle && !entry.evenkeel_difference.is_empty());
            let is_lost = |entry: &&Entry| {
                let difference = figure_of(&entry.evenkeel_difference, figure);
                if higher_is_better { difference.is_below_zero() } else { difference.is_above_zero() }
            };
            compared += usize::from(rules().next().is_some());
            let better: Vec<String> = rules()
                .filter(is_lost)
                .map(|entry| {
                    let change = figure_of(&entry.evenkeel_difference, figure).mean();
                    let change = if is_relative(figure) { number::change(change) } else { number::percent(change) };
                    format!("{} {}", escape(&policy_name(entry)), typeset(&change))
                })
                .collect();
            if better.is_empty() {
                continue;
            }
            lost += 1;
            put!(
                rows,
                "<tr><th scope=\"row\">{}<br/><small>{}</small></th><td>{}</td><td class=\"text\">{heading}</td>\
                 <td class=\"text\">{}</td></tr>\n",
                escape(&setting.label.describe()),
                escape(&setting.label.trace),
                typeset(&number::load(setting.label.load)),
                better.join(", ")
            );
        }
    }
    put!(
        out,
        "<p>Combinations of setting and figure in which some rule is better by more than the paired 95\u{202f}% \
         interval: <b>{lost} of {compared}</b>. All are listed, with Evenkeel&rsquo;s difference to the rule.</p>\n"
    );
    if lost > 0 {
        put!(
            out,
            "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">setting</th><th scope=\"col\">load</th>\
             <th scope=\"col\" class=\"text\">figure</th><th scope=\"col\" class=\"text\">better rules</th></tr></thead>\n\
             <tbody>\n{rows}</tbody></table></div>\n"
        );
    }
    out.push_str("</section>\n");
    out
}
