//! The top of the page: the result in a sentence, its main figures, and what was run.

use crate::metrics::{Metrics, Run};

use super::compare::{self, Comparison, Group, Role, Verdict, display_name};
use super::html::{escape, put, typeset};
use super::number;
use super::training::{PARITY_LIMIT, worst_difference};

/// The headline without markup.
pub(super) fn title(groups: &[Group]) -> String {
    match compare::headline(groups) {
        Some(comparison) => format!("Evenkeel: {} {}", comparison.measure.name, typeset(&comparison.change())),
        None => "Evenkeel: report of a run".to_owned(),
    }
}

/// Headline, figures and facts.
pub(super) fn header(metrics: &Metrics, groups: &[Group]) -> String {
    let run = &metrics.run;
    let mut out = String::new();
    put!(
        out,
        "<header>\n<p class=\"eyebrow\"><span>Evenkeel {}</span>{}</p>\n\
         <h1>{}</h1>\n<p class=\"lead\">{}</p>\n",
        escape(&run.version),
        if run.quick { "<span class=\"badge\">quick run: trained briefly, for a first look only</span>" } else { "" },
        headline(groups),
        lead(groups),
    );
    out.push_str(&tiles(metrics, groups));
    out.push_str(&facts(run));
    out.push_str("</header>\n");
    out
}

fn headline(groups: &[Group]) -> String {
    let Some(comparison) = compare::headline(groups) else {
        return "Nothing to compare: this run has no result of Evenkeel beside a baseline".to_owned();
    };
    let (class, tail) = match comparison.verdict() {
        Verdict::Better => ("better", ""),
        Verdict::Worse => ("worse", ": Evenkeel loses here"),
        Verdict::Undecided => ("level", ": no clear difference"),
    };
    format!(
        "p99 latency <span class=\"{class}\">{}</span> against {} at {}\u{a0}load{}",
        typeset(&comparison.change()),
        escape(&display_name(comparison.baseline)),
        typeset(&number::load(comparison.load)),
        tail
    )
}

/// How the headline was chosen, and how often it holds.
fn lead(groups: &[Group]) -> String {
    let comparisons: Vec<Comparison> = groups.iter().filter_map(|group| group.compare(compare::P99)).collect();
    let Some(first) = comparisons.first() else {
        return "Evaluate the policy against baselines to see a comparison here.".to_owned();
    };
    let count = |verdict| comparisons.iter().filter(|comparison| comparison.verdict() == verdict).count();
    let scope = match comparisons.len() {
        1 => "At the one load that was run, p99 latency is".to_owned(),
        count => format!("Over the {count} combinations of trace and load, p99 latency is"),
    };
    format!(
        "Measured on the test split of {}, which training never saw, against the best {} at the load \
         nearest 70\u{202f}%. {scope} lower than with that best in <b>{}</b>, higher in <b>{}</b>, and not \
         clearly different in <b>{}</b> (the 95\u{202f}% confidence intervals overlap).{}",
        escape(first.trace),
        if compare::role(first.baseline) == Role::Proxy { "rule that NGINX and Envoy have" } else { "of the rules" },
        count(Verdict::Better),
        count(Verdict::Worse),
        count(Verdict::Undecided),
        against_rules(groups),
    )
}

/// The same p99 against the best of the rules that no proxy has, after the headline.
fn against_rules(groups: &[Group]) -> String {
    let comparison = compare::headline_group(groups).and_then(|group| group.compare_rules(compare::P99));
    comparison.map_or_else(String::new, |comparison| {
        format!(
            " Against the best rule that neither proxy has, {}, it is {}.",
            escape(&display_name(comparison.baseline)),
            typeset(&comparison.change())
        )
    })
}

fn tiles(metrics: &Metrics, groups: &[Group]) -> String {
    let mut out = String::from("<ul class=\"tiles\">\n");
    let mut tile = |figure: &str, class: &str, caption: &str| {
        put!(out, "<li><b class=\"{class}\">{}</b><span>{}</span></li>\n", typeset(figure), escape(caption));
    };
    if let Some(group) = compare::headline_group(groups) {
        for measure in [compare::P99, compare::MEAN, compare::TTFT_P99] {
            if let Some(comparison) = group.compare(measure) {
                let class = match comparison.verdict() {
                    Verdict::Better => "better",
                    Verdict::Worse => "worse",
                    Verdict::Undecided => "level",
                };
                let caption = format!(
                    "{} at {} load, against {}",
                    measure.name,
                    number::load(group.load),
                    display_name(comparison.baseline)
                );
                tile(&comparison.change(), class, &caption);
            }
        }
    }
    let ratios: Vec<f64> = metrics
        .forecasts
        .iter()
        .map(|forecast| forecast.wql_over_seasonal_naive)
        .filter(|ratio| *ratio > 0.0 && ratio.is_finite())
        .collect();
    if !ratios.is_empty() {
        let mean_log = ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64;
        let ratio = mean_log.exp();
        let class = if ratio < 1.0 { "better" } else { "worse" };
        let caption = match ratios.len() {
            1 => "forecast loss (WQL) against seasonal naive".to_owned(),
            count => format!("forecast loss (WQL) against seasonal naive, {count} series"),
        };
        tile(&number::change(ratio - 1.0), class, &caption);
    }
    if metrics.run.no_forecaster.is_some() {
        tile("no forecaster", "level", "no demand to learn from: see the section on the forecast");
    }
    if let Some(worst) = metrics.parity.iter().map(worst_difference).reduce(f64::max) {
        let holds = worst <= PARITY_LIMIT;
        let class = if holds { "better" } else { "worse" };
        let figure = if holds { "parity holds" } else { "parity broken" };
        let caption = format!("largest relative difference {worst:.1e}, limit 1e-5");
        tile(figure, class, &caption);
    }
    out.push_str("</ul>\n");
    out
}

fn facts(run: &Run) -> String {
    let list = |names: &[String]| {
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let [train, validation, test] = run.split.map(number::load);
    let rows = [
        ("Device", run.device.clone()),
        ("Seed", run.seed.to_string()),
        ("Traces", list(&run.traces)),
        ("Series", list(&run.series)),
        ("Split by time", format!("{train} train, {validation} validation, {test} test")),
        (
            "Evaluation seeds",
            match run.evaluation_seeds {
                0 | 1 => format!("{} (too few for an interval)", run.evaluation_seeds),
                count => count.to_string(),
            },
        ),
        ("Scenario", run.scenario.clone()),
    ];
    let mut out = String::from("<dl class=\"facts\">\n");
    for (term, text) in rows {
        put!(out, "<div><dt>{term}</dt><dd>{}</dd></div>\n", escape(&text));
    }
    out.push_str("</dl>\n");
    out
}
