//! The results of all policies, and the list of all that Evenkeel loses.

use crate::metrics::{Estimate, PolicyResult};

use super::axis::range;
use super::compare::{self, Comparison, Group, MEASURES, Measure, Role, Verdict, display_name};
use super::html::{escape, put, typeset};
use super::number::{self, Unit, align_points};

/// As wide as a point and as a digit where digits are tabular.
const POINT_SPACE: char = '\u{2008}';
const DIGIT_SPACE: char = '\u{2007}';

/// One table for each trace.
pub(super) fn section(groups: &[Group]) -> String {
    let mut out = String::from(
        "<section id=\"results\">\n<h2>Results</h2>\n\
         <p>Each value is a mean over the evaluation seeds, with its 95\u{202f}% confidence \
         interval under it. <b class=\"best\">Marked</b> is the best value among the policies \
         that could be deployed; oracles stand apart. Lower is better, except for balance.</p>\n",
    );
    if groups.is_empty() {
        out.push_str("<p class=\"empty\">No policy was evaluated.</p>\n");
    }
    for trace in groups.chunk_by(|a, b| a.trace == b.trace) {
        put!(out, "<h3>{}</h3>\n", escape(trace[0].trace));
        out.push_str(&table(trace));
    }
    out.push_str("</section>\n");
    out
}

struct Column {
    measure: Measure,
    unit: Unit,
    /// One for each result, in the order of the rows.
    texts: Vec<String>,
}

impl Column {
    fn new(measure: Measure, results: &[&PolicyResult]) -> Self {
        let unit = measure.unit(results.iter().copied());
        let mut texts: Vec<String> = results.iter().map(|result| unit.format(measure.value(result))).collect();
        align_points(&mut texts, POINT_SPACE, DIGIT_SPACE);
        Self { measure, unit, texts }
    }
}

fn table(groups: &[Group]) -> String {
    let results: Vec<&PolicyResult> = groups.iter().flat_map(|group| group.results.iter().copied()).collect();
    let columns = MEASURES.map(|measure| Column::new(measure, &results));

    let mut out =
        String::from("<div class=\"scroll\"><table class=\"results\">\n<thead><tr><th scope=\"col\">policy</th>");
    for column in &columns {
        put!(out, "<th scope=\"col\">{} <i>{}</i></th>", column.measure.short, column.unit.symbol);
    }
    out.push_str("</tr></thead>\n");
    let mut row = 0;
    for group in groups {
        put!(
            out,
            "<tbody>\n<tr class=\"load\"><th colspan=\"{}\" scope=\"rowgroup\">{} load</th></tr>\n",
            columns.len() + 1,
            typeset(&number::load(group.load))
        );
        let best = MEASURES.map(|measure| {
            let values = || group.attainable().map(|result| measure.value(result));
            // Where all are equal, none is the best.
            let differ = range(values()).is_some_and(|(low, high)| low < high);
            let best = measure.best(group.attainable()).filter(|_| differ);
            best.map_or(f64::NAN, |result| measure.value(result))
        });
        for result in &group.results {
            out.push_str(&table_row(result, row, &columns, &best));
            row += 1;
        }
        out.push_str("</tbody>\n");
    }
    out.push_str("</table></div>\n");
    out
}

fn table_row(result: &PolicyResult, row: usize, columns: &[Column], best: &[f64]) -> String {
    let role = compare::role(&result.policy);
    let (class, note) = match role {
        Role::Proxy => ("baseline", ""),
        Role::Rule if result.policy == "ext" => ("baseline", "<small>the estimate alone</small>"),
        Role::Rule => ("baseline", "<small>in neither proxy</small>"),
        Role::Ours => ("ours", ""),
        Role::Oracle => ("oracle", "<small>not attainable</small>"),
    };
    let mut out = String::new();
    put!(out, "<tr class=\"{class}\"><th scope=\"row\">{}{note}</th>", escape(&display_name(&result.policy)));
    for (column, best) in columns.iter().zip(best) {
        let estimate = (column.measure.of)(result);
        let is_best = role != Role::Oracle && estimate.value == *best;
        let text = typeset(&column.texts[row]);
        let text =
            if is_best { format!("<b class=\"best\" title=\"best of the attainable\">{text}</b>") } else { text };
        put!(out, "<td>{text}<small>{}</small></td>", typeset(&interval(column.unit, estimate)));
    }
    out.push_str("</tr>\n");
    out
}

fn interval(unit: Unit, estimate: Estimate) -> String {
    let [low, high] = estimate.ci95;
    if !(low.is_finite() && high.is_finite()) || low == high {
        return String::new();
    }
    let between = if low < 0.0 { " to " } else { "\u{2009}–\u{2009}" };
    format!("{}{between}{}", unit.format(low), unit.format(high))
}

/// Every load and measure in which a baseline is better.
pub(super) fn losses_section(groups: &[Group]) -> String {
    let mut out = String::from("<section id=\"losses\">\n<h2>Where Evenkeel loses</h2>\n");
    let lost: Vec<Vec<Comparison>> = groups
        .iter()
        .flat_map(|group| MEASURES.map(|measure| group.losses(measure)))
        .filter(|losses| !losses.is_empty())
        .collect();
    let compared = groups
        .iter()
        .map(|group| {
            let measures = MEASURES.into_iter();
            measures.filter(|measure| group.compare(*measure).is_some()).count()
        })
        .sum::<usize>();
    if compared == 0 {
        out.push_str(
            "<p class=\"empty\">Nothing was compared: no result of Evenkeel stands beside a \
             baseline.</p>\n</section>\n",
        );
        return out;
    }
    if lost.is_empty() {
        put!(
            out,
            "<p>In none of the {compared} combinations of trace, load and metric is a baseline \
             better. Other scenarios may differ.</p>\n</section>\n"
        );
        return out;
    }
    let clear = lost.iter().filter(|losses| losses[0].verdict() == Verdict::Worse).count();
    put!(
        out,
        "<p>A baseline is better in <b>{} of {compared}</b> combinations of trace, load and \
         metric; in <b>{clear}</b> of them by more than the confidence intervals. All are listed.</p>\n\
         <div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">trace</th>\
         <th scope=\"col\">load</th><th scope=\"col\" class=\"text\">metric</th><th scope=\"col\">Evenkeel</th>\
         <th scope=\"col\">difference</th><th scope=\"col\">intervals</th>\
         <th scope=\"col\" class=\"text\">better, best first</th></tr></thead>\n<tbody>\n",
        lost.len()
    );
    for losses in &lost {
        out.push_str(&loss_row(losses));
    }
    out.push_str("</tbody></table></div>\n</section>\n");
    out
}

fn loss_row(losses: &[Comparison]) -> String {
    let first = &losses[0];
    let measure = first.measure;
    let better: Vec<String> = losses
        .iter()
        .map(|loss| format!("{} {}", escape(&display_name(loss.baseline)), typeset(&measure.format(loss.theirs.value))))
        .collect();
    let intervals = match first.verdict() {
        Verdict::Worse => "<span class=\"worse\">apart</span>",
        _ => "overlap",
    };
    format!(
        "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"text\">{}</td><td>{}</td><td>{}</td>\
         <td>{intervals}</td><td class=\"text\">{}</td></tr>\n",
        escape(first.trace),
        typeset(&number::load(first.load)),
        measure.name,
        typeset(&measure.format(first.ours.value)),
        typeset(&first.change()),
        better.join(", ")
    )
}
