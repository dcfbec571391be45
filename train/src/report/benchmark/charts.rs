//! The charts of the benchmark's page: for a fixed choice of policies, so that they can be
//! told apart.

use crate::evaluate::contender::TRAINED;
use crate::evaluate::entry::Figure;
use crate::evaluate::outcome::{Benchmark, SettingResult, Sweep};
use crate::evaluate::setting::Label;
use crate::metrics::{Estimate, PolicyResult};
use crate::report::axis::{Axis, range};
use crate::report::chart::Chart;
use crate::report::compare::{self, display_name};
use crate::report::html::{escape, put};
use crate::report::latency::short_name;
use crate::report::palette::Palette;
use crate::report::{latency, number};
use crate::table::benchmark::figure_of;

use super::title;

/// Rules that are always in the charts, if they were replayed.
const CHARTED: [&str; 5] = ["round_robin", "p2c", "least_request", "prequal", "ext"];
/// Rules in the charts: as many as there are colours.
const CHARTED_MAX: usize = 7;
/// The load at which other axes are looked at, or the nearest there is.
const LOAD: f64 = 0.9;

/// Distributions of the latency, tail and mean against load, and the tail against what else
/// was varied.
pub(super) fn sections(benchmark: &Benchmark, sweeps: &[Sweep<'_>]) -> String {
    let mut results: Vec<PolicyResult> = Vec::new();
    let mut traces: Vec<&str> = Vec::new();
    let mut places: Vec<usize> = Vec::new();
    for sweep in sweeps {
        let trace = sweep.mean[0].scenario.trace.as_str();
        if !traces.contains(&trace) {
            if traces.is_empty() {
                places = charted(sweep);
            }
            traces.push(trace);
            results.extend(sweep.settings.iter().flat_map(|setting| chart_results(setting, &places)));
        }
    }
    let groups = compare::groups(&results);
    let palette = Palette::new(&results);
    latency::distribution_section(&groups, &palette)
        + &latency::load_section(&groups, &palette)
        + &axes_section(benchmark.settings(), &places, &palette)
}

/// Places of the policies that are in the charts: a fixed choice of rules, those with the
/// lowest p99 beside them, the oracle without sizes, and Evenkeel; tuned ones where there are.
fn charted(sweep: &Sweep<'_>) -> Vec<usize> {
    let place = |name: &str| sweep.mean.iter().rposition(|entry| entry.policy == name);
    let mut places: Vec<usize> = CHARTED.iter().filter_map(|name| place(name)).collect();
    let mut others: Vec<usize> = (0..sweep.mean.len())
        .filter(|at| {
            let entry = &sweep.mean[*at];
            !entry.oracle && entry.policy != TRAINED && !places.contains(at) && place(&entry.policy) == Some(*at)
        })
        .collect();
    let p99_s = |at: &usize| figure_of(&sweep.mean[*at].metrics, "latency_p99_s").mean();
    others.sort_by(|a, b| p99_s(a).total_cmp(&p99_s(b)));
    places.extend(others.into_iter().take(CHARTED_MAX.saturating_sub(places.len())));
    places.extend(["oracle_no_sizes", TRAINED].iter().filter_map(|name| place(name)));
    places
}

fn chart_results(setting: &SettingResult, places: &[usize]) -> Vec<PolicyResult> {
    let title = title(&setting.label);
    let result = |at: &usize| {
        let entry = &setting.entries[*at];
        let estimate = |name: &str| {
            let figure = figure_of(&entry.metrics, name);
            Estimate { value: figure.mean(), ci95: ends(figure) }
        };
        PolicyResult {
            trace: title.clone(),
            policy: entry.policy.clone(),
            load: setting.label.load,
            latency_mean_s: estimate("latency_mean_s"),
            latency_p50_s: estimate("latency_p50_s"),
            latency_p99_s: estimate("latency_p99_s"),
            ttft_mean_s: estimate("ttft_mean_s"),
            ttft_p99_s: estimate("ttft_p99_s"),
            failed_share: estimate("failed_share"),
            balance_efficiency: estimate("balance_efficiency"),
            latency_quantiles_s: setting.latency_quantiles_s[*at].clone(),
        }
    };
    places.iter().map(result).collect()
}

fn ends(figure: Figure) -> [f64; 2] {
    figure.ci95.map(|end| end.unwrap_or(f64::NAN))
}

/// Something that was varied, other than the load.
struct Varied {
    name: &'static str,
    /// Order of a setting along it.
    position: fn(&Label) -> f64,
    /// What a setting's tick says.
    tick: fn(&Label) -> String,
    /// The label without it: settings that agree in that belong together.
    without: fn(&Label) -> Label,
}

const VARIED: [Varied; 3] = [
    Varied {
        name: "telemetry",
        position: |label| label.telemetry_ms.unwrap_or(f64::INFINITY),
        tick: |label| match label.telemetry_ms {
            None => "lost".to_owned(),
            Some(0.0) => "perfect".to_owned(),
            Some(period_ms) => number::seconds_short(period_ms * 1e-3),
        },
        without: |label| Label { telemetry_ms: None, ..label.clone() },
    },
    Varied {
        name: "balancers",
        position: |label| label.balancers as f64,
        tick: |label| label.balancers.to_string(),
        without: |label| Label { balancers: 0, ..label.clone() },
    },
    Varied {
        name: "hosts",
        position: |label| label.hosts as f64,
        tick: |label| label.hosts.to_string(),
        without: |label| Label { hosts: 0, ..label.clone() },
    },
];

/// The tail against telemetry, balancers and hosts, where at least three were replayed.
fn axes_section(settings: &[SettingResult], places: &[usize], palette: &Palette) -> String {
    let nearest = settings.iter().map(|setting| setting.label.load).min_by(|a, b| {
        let (a, b) = ((a - LOAD).abs(), (b - LOAD).abs());
        a.total_cmp(&b)
    });
    let Some(load) = nearest else { return String::new() };
    let at_load: Vec<&SettingResult> =
        settings.iter().filter(|setting| setting.label.load.total_cmp(&load).is_eq()).collect();
    let mut figures = String::new();
    for varied in &VARIED {
        let mut groups: Vec<(Label, Vec<&SettingResult>)> = Vec::new();
        for setting in &at_load {
            let key = (varied.without)(&setting.label);
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, group)) => group.push(setting),
                None => groups.push((key, vec![setting])),
            }
        }
        for (_, mut group) in groups.into_iter().filter(|(_, group)| group.len() >= 3) {
            group.sort_by(|a, b| (varied.position)(&a.label).total_cmp(&(varied.position)(&b.label)));
            figures.push_str(&axis_chart(varied, &group, places, palette));
        }
    }
    if figures.is_empty() {
        return figures;
    }
    format!(
        "<section id=\"axes\">\n<h2>Latency against telemetry, balancers and hosts</h2>\n\
         <p>At load {}. Bars are 95\u{202f}% confidence intervals; steps along the axis are not to scale.</p>\n\
         <div class=\"pair\">\n{figures}</div>\n</section>\n",
        escape(&number::load(load))
    )
}

fn axis_chart(varied: &Varied, group: &[&SettingResult], places: &[usize], palette: &Palette) -> String {
    const FIGURE: &str = "latency_p99_s";
    let of = |setting: &SettingResult, at: usize| figure_of(&setting.entries[at].metrics, FIGURE);
    let values = || {
        let all = group.iter().flat_map(|setting| places.iter().map(move |at| of(setting, *at).mean()));
        all.filter(|value| *value > 0.0)
    };
    let y = match range(values()) {
        Some((low, high)) if high > 8.0 * low => Axis::log("p99 latency", values(), number::seconds_short),
        _ => Axis::linear("p99 latency", values().chain([0.0]), number::seconds_short),
    };
    let ticks = group.iter().enumerate().map(|(place, setting)| (place as f64, (varied.tick)(&setting.label)));
    let x = Axis::fixed(varied.name, [-0.25, group.len() as f64 - 0.75], ticks.collect());
    let label = &group[0].label;
    let reports = if label.polled_only { "polled alone" } else { "with responses and probes" };
    let caption = format!("{}: against {}, {reports}", label.trace, varied.name);
    let mut chart = Chart::new([500.0, 330.0], x, y, &caption).with_end_labels(112.0);
    for &at in places {
        let policy = group[0].entries[at].policy.as_str();
        let (class, name) = (palette.class(policy), display_name(policy));
        let points: Vec<(f64, f64)> =
            group.iter().enumerate().map(|(place, setting)| (place as f64, of(setting, at).mean())).collect();
        chart.line(class, &points, &name);
        for (point, setting) in points.iter().zip(group) {
            chart.interval(class, point.0, ends(of(setting, at)));
            chart.dot(class, *point, &format!("{name}: {}", number::seconds(point.1)));
        }
        if let Some((_, value)) = points.last() {
            chart.end_label(class, *value, &short_name(&name));
        }
    }
    let mut out = String::new();
    put!(out, "<figure><figcaption>{}</figcaption>{}</figure>\n", escape(&caption), chart.finish());
    out
}
