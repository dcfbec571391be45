//! The page of a benchmark: `evenkeel eval --report`.

use crate::evaluate::contender::TRAINED;
use crate::evaluate::entry::{Entry, Figure};
use crate::evaluate::outcome::{Benchmark, Sweep};
use crate::evaluate::setting::Label;
use crate::evaluate::tuned::Tuned;
use crate::table::benchmark::{best_rule, figure_of};

use super::compare::display_name;
use super::html::{escape, put, typeset};
use super::{foot, head, number};

mod charts;
mod definitions;
mod tables;

/// The whole page. `model` names the artifact.
pub fn render(benchmark: &Benchmark, model: &str, tuned: Option<&Tuned>) -> String {
    let sweeps = benchmark.sweeps();
    let mut page = head("Evenkeel: benchmark");
    page.push_str(&header(benchmark, &sweeps, model, tuned));
    page.push_str(&tables::overview(&sweeps));
    page.push_str(&charts::sections(benchmark, &sweeps));
    page.push_str(&tables::losses(benchmark));
    page.push_str(&tables::settings(&sweeps));
    page.push_str(&definitions::section());
    page.push_str(&foot());
    page
}

/// Which way a difference goes, if its interval says so.
fn class(difference: Figure) -> &'static str {
    if difference.is_below_zero() {
        "better"
    } else if difference.is_above_zero() {
        "worse"
    } else {
        "level"
    }
}

/// Evenkeel's difference to a policy in a figure, as HTML with its class and interval.
fn difference(entry: &Entry, figure: &str) -> String {
    let Some(difference) = entry.evenkeel_difference.get(figure) else {
        return String::new();
    };
    let mut out = String::new();
    put!(out, "<span class=\"{}\">{}</span>", class(*difference), typeset(&number::change(difference.mean())));
    if let [Some(low), Some(high)] = difference.ci95 {
        put!(out, "<small>{} to {}</small>", typeset(&number::change(low)), typeset(&number::change(high)));
    }
    out
}

/// Name of a policy, with a word on its parameters.
fn policy_name(entry: &Entry) -> String {
    let name = display_name(&entry.policy);
    if entry.parameters.is_empty() {
        name
    } else if entry.tuned {
        format!("{name}, tuned")
    } else {
        format!("{name}, defaults")
    }
}

fn loads(loads: &[f64]) -> String {
    loads.iter().map(|load| number::load(*load)).collect::<Vec<_>>().join(", ")
}

fn header(benchmark: &Benchmark, sweeps: &[Sweep<'_>], model: &str, tuned: Option<&Tuned>) -> String {
    let mut out = String::from("<header>\n<p class=\"eyebrow\"><span>Evenkeel benchmark</span></p>\n");
    let Some(first) = sweeps.first() else {
        return out + "<h1>Nothing was evaluated</h1>\n</header>\n";
    };
    let label = &first.mean[0].scenario;
    match best_rule(&first.mean, "latency_p99_s").filter(|best| !best.evenkeel_difference.is_empty()) {
        Some(best) => {
            let change = figure_of(&best.evenkeel_difference, "latency_p99_s");
            put!(
                out,
                "<h1>p99 latency <span class=\"{}\">{}</span> against {}</h1>\n",
                class(change),
                typeset(&number::change(change.mean())),
                escape(&policy_name(best))
            );
        }
        None => out.push_str("<h1>Rules compared; nothing of Evenkeel beside them</h1>\n"),
    }
    put!(
        out,
        "<p class=\"lead\">On the test part of {}, which nothing was trained or tuned on: {}, mean over load {}. The \
         rule is the one with the lowest p99 latency there; all others are below.</p>\n",
        escape(&label.trace),
        escape(&label.describe()),
        escape(&loads(&first.mean_loads)),
    );
    out.push_str("<ul class=\"tiles\">\n");
    for (figure, name) in [
        ("latency_mean_s", "mean latency"),
        ("latency_p50_s", "p50 latency"),
        ("latency_p99_s", "p99 latency"),
        ("ttft_mean_s", "mean TTFT"),
    ] {
        if let Some(best) = best_rule(&first.mean, figure)
            && let Some(change) = best.evenkeel_difference.get(figure)
        {
            put!(
                out,
                "<li><b class=\"{}\">{}</b><span>{name}, against {}</span></li>\n",
                class(*change),
                typeset(&number::change(change.mean())),
                escape(&policy_name(best))
            );
        }
    }
    let ours = first.mean.iter().find(|entry| entry.policy == TRAINED);
    let closed = ours.map_or_else(Figure::default, |ours| figure_of(&ours.metrics, "headroom_closed_mean"));
    if closed.value.is_some() {
        put!(
            out,
            "<li><b>{}</b><span>of the way from least request to the oracle without sizes, in the mean</span></li>\n",
            typeset(&number::percent(closed.mean()))
        );
    }
    out.push_str("</ul>\n");
    out.push_str(&facts(benchmark, sweeps, model, tuned));
    out.push_str("</header>\n");
    out
}

fn facts(benchmark: &Benchmark, sweeps: &[Sweep<'_>], model: &str, tuned: Option<&Tuned>) -> String {
    let mut traces: Vec<&str> = benchmark.settings().iter().map(|setting| setting.label.trace.as_str()).collect();
    traces.dedup();
    let seeds = benchmark.entries().next().map_or(0, |entry| entry.seeds);
    let tuning = tuned.map_or_else(
        || "none: rules have their published defaults".to_owned(),
        |tuned| {
            format!(
                "{} candidates for each rule, on the {} part, in {} settings with {} seeds",
                tuned.search.budget,
                tuned.search.split,
                tuned.search.scenarios.len(),
                tuned.search.seeds
            )
        },
    );
    let rows = [
        ("Model", model.to_owned()),
        ("Traces", traces.join(", ")),
        ("Settings", format!("{} in {} sweeps of load", benchmark.settings().len(), sweeps.len())),
        ("Policies", benchmark.contenders().len().to_string()),
        ("Seeds", if seeds < 2 { format!("{seeds} (too few for an interval)") } else { seeds.to_string() }),
        ("Requests a replay", format!("at most {}", benchmark.requests_max())),
        ("Tuning", tuning),
    ];
    let mut out = String::from("<dl class=\"facts\">\n");
    for (term, text) in rows {
        put!(out, "<div><dt>{term}</dt><dd>{}</dd></div>\n", escape(&text));
    }
    out.push_str("</dl>\n");
    out
}

/// A setting in words, all but the load.
fn title(label: &Label) -> String {
    format!("{} ({}): {}", label.trace, label.service, label.describe())
}

#[cfg(test)]
mod tests;
