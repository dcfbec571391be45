//! Autoscaling: what replicas cost against what missed, as Pareto plots.

use evenkeel_env::scale::Bill;

use crate::scale::pareto;
use crate::scale::{Comparison, NeededOn, Outcome};

use super::axis::Axis;
use super::chart::Chart;
use super::html::{escape, estimate_cell, put, typeset};
use super::number;
use super::palette::legend;

/// Width and height of a plot.
const SIZE: [f64; 2] = [640.0, 340.0];

/// A plot beyond this many times the demand would show outliers and nothing else.
const CAPACITY_MOST: f64 = 3.0;

/// Style classes, in the order of what is plotted: the first is Evenkeel's.
const CLASSES: [&str; 9] = ["ours", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"];

/// A figure of a bill, and how it is written.
type Column = (fn(&Bill) -> f64, fn(f64) -> String);

/// Something in a Pareto plot: a name, a class, and points of replica-hours over those needed and the
/// share that missed.
struct Cloud {
    name: String,
    class: &'static str,
    points: Vec<[f64; 2]>,
}

/// The body of the page of `scale-tune`.
pub(super) fn tune_page(series: &str, cold_start_s: f64, comparison: &Comparison) -> String {
    let mut out = format!(
        "<header><h1>Tuning the autoscaler</h1></header>\n<section id=\"searches\">\n<h2>Searches</h2>\n\
         <p>{}, cold start {}, validation split. Each search made the same number of runs; means over seeds. \
         The front covered is the share of the area between the demand itself and twice the demand, and between \
         no misses and five times those allowed, that is beaten by something the search tried.</p>\n",
        escape(series),
        typeset(&number::span(cold_start_s)),
    );
    out.push_str(
        "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">search</th><th scope=\"col\">cost</th>\
         <th scope=\"col\">front covered</th></tr></thead>\n<tbody>\n",
    );
    for contender in &comparison.contenders {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        put!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{:.4}</td><td>{:.4}</td></tr>\n",
            contender.search.display_name(),
            mean(&contender.costs),
            mean(&contender.hypervolumes)
        );
    }
    out.push_str("</tbody></table></div>\n");
    for verdict in comparison.verdicts().iter().filter(|verdict| !verdict.is_empty()) {
        put!(out, "<p><b>{}</b></p>\n", escape(verdict));
    }
    let clouds: Vec<Cloud> = comparison
        .contenders
        .iter()
        .zip(CLASSES)
        .map(|(contender, class)| {
            let tried = contender.found.iter().flat_map(|found| &found.tried);
            let points: Vec<[f64; 2]> =
                tried.map(|tried| [tried.worth.objectives[0], tried.worth.objectives[1]]).collect();
            let front = pareto::front(&points).into_iter().map(|index| points[index]).collect();
            Cloud { name: contender.search.display_name().to_owned(), class, points: front }
        })
        .collect();
    out.push_str(&plot("Pareto fronts, all seeds together", &clouds, true));
    out.push_str("</section>\n");
    out
}

/// The body of the page of `autoscale-eval`.
pub(super) fn page(outcomes: &[Outcome], needed: &[NeededOn]) -> String {
    let mut out = String::from(
        "<header><h1>Autoscaling</h1></header>\n<section id=\"scalers\">\n<h2>Scalers</h2>\n\
         <p>Test split; each scaler was tuned on the validation split, with the same number of runs, for several \
         shares of misses. Means over seeds of the replicas' starts. Replica-hours count replicas that start as well; \
         needed are those that the demand takes, had replicas no cold start and came in fractions. Under and over: \
         share of the time with less, or more, capacity than demand; accuracy: the capacity that was missing, or too \
         much, over demand, averaged over the run.</p>\n",
    );
    let is_same = |a: &Outcome, b: &Outcome| a.series == b.series && a.cold_start_s == b.cold_start_s;
    for block in outcomes.chunk_by(is_same) {
        let title = format!("{}, cold start {}", block[0].series, number::span(block[0].cold_start_s));
        let mut clouds: Vec<Cloud> = Vec::new();
        for policy in block.chunk_by(|a, b| a.policy == b.policy) {
            let is_bound = policy[0].policy == "clairvoyant";
            let class = if is_bound { "o0" } else { CLASSES[clouds.len() % CLASSES.len()] };
            let point =
                |outcome: &Outcome| [outcome.mean(Bill::replica_hours_over_needed), outcome.mean(Bill::missed_share)];
            clouds.push(Cloud { name: policy[0].policy.to_owned(), class, points: policy.iter().map(point).collect() });
        }
        out.push_str(&plot(&title, &clouds, true));
        out.push_str(&table(block));
    }
    put!(out, "</section>\n{}", needed_section(needed));
    out
}

fn table(outcomes: &[Outcome]) -> String {
    let mut out = String::from("<div class=\"scroll\"><table class=\"results\"><thead><tr>");
    for column in [
        "policy",
        "tuned for",
        "replica-hours",
        "over those needed",
        "missed",
        "time under",
        "time over",
        "accuracy under",
        "accuracy over",
        "changes an hour",
        "reversals an hour",
    ] {
        put!(out, "<th scope=\"col\">{column}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for outcome in outcomes {
        let class = if outcome.policy == "evenkeel" { "ours" } else { "baseline" };
        let tuned =
            if outcome.parameters.is_empty() { String::new() } else { number::percent(outcome.missed_share_max) };
        put!(out, "<tr class=\"{class}\"><th scope=\"row\">{}</th><td>{}</td>", outcome.policy, typeset(&tuned));
        let figures: [Column; 9] = [
            (Bill::replica_hours, number::compact),
            (Bill::replica_hours_over_needed, number::significant),
            (Bill::missed_share, number::percent),
            (Bill::under_time_share, number::percent),
            (Bill::over_time_share, number::percent),
            (Bill::under_accuracy, number::significant),
            (Bill::over_accuracy, number::significant),
            (Bill::changes_per_hour, number::significant),
            (Bill::reversals_per_hour, number::significant),
        ];
        for (figure, format) in figures {
            put!(out, "<td>{}</td>", typeset(&format(outcome.mean(figure))));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// Capacity that predictions would have needed.
fn needed_section(all: &[NeededOn]) -> String {
    let mut out = String::from(
        "<section id=\"needed\">\n<h2>Capacity needed</h2>\n<p>Capacity over demand, test split, when each prediction \
         is made larger by the one factor with which demand exceeds it in at most 1\u{202f}% of the steps; which \
         prediction of its kind, was chosen on the validation split. 95\u{202f}% intervals from days drawn \
         anew.</p>\n<div class=\"scroll\"><table class=\"results\"><thead><tr><th scope=\"col\">series</th>\
         <th scope=\"col\">steps ahead</th><th scope=\"col\">policy</th><th scope=\"col\">prediction</th>\
         <th scope=\"col\">needed</th><th scope=\"col\">over reactive</th></tr></thead>\n<tbody>\n",
    );
    for on in all {
        for needed in &on.needed {
            let class = if needed.policy == "evenkeel" { "ours" } else { "baseline" };
            put!(
                out,
                "<tr class=\"{class}\"><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td>{}{}</tr>\n",
                escape(&on.series),
                on.lead_steps,
                needed.policy,
                escape(&needed.variant),
                estimate_cell(&needed.capacity, number::significant),
                estimate_cell(&needed.over_reactive, number::significant)
            );
        }
    }
    out.push_str("</tbody></table></div>\n</section>\n");
    out
}

/// Capacity against misses; each cloud as a line where `joined`.
fn plot(title: &str, clouds: &[Cloud], joined: bool) -> String {
    let names: Vec<(&str, String)> = clouds.iter().map(|cloud| (cloud.class, cloud.name.clone())).collect();
    let shown = |point: &&[f64; 2]| point[0] <= CAPACITY_MOST;
    let points = || clouds.iter().flat_map(|cloud| cloud.points.iter().filter(shown));
    let mut chart = Chart::new(
        SIZE,
        Axis::linear("replica-hours over those needed", points().map(|point| point[0]), number::significant),
        Axis::linear("requests that missed", points().map(|point| point[1]).chain([0.0]), number::percent),
        &format!("Capacity over demand against the share of requests that missed: {title}"),
    );
    for cloud in clouds {
        let line: Vec<(f64, f64)> = cloud.points.iter().filter(shown).map(|point| (point[0], point[1])).collect();
        if joined {
            chart.line(cloud.class, &line, &cloud.name);
        }
        for point in line {
            let missed = number::percent(point.1);
            chart.dot(cloud.class, point, &format!("{}: {:.3} × the demand, {missed} missed", cloud.name, point.0));
        }
    }
    format!(
        "{}<figure class=\"wide\"><figcaption>{}</figcaption>{}</figure>\n",
        legend(&names),
        escape(title),
        chart.finish()
    )
}
