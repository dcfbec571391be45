//! One page: its samples that mean something, aggregated over series.

use evenkeel_numbers::fnv::Fnv1a;

use crate::engines::{Engine, Field, Filter, Over, Rule, Rules, Value};
use crate::exposition::{self, Sample};

/// Most series of a metric that are told apart; more are dropped, and counted.
const SERIES_MAX: usize = 128;
/// Most labels of a series that are looked at.
const LABELS_MAX: usize = 32;

/// The samples of a page that mean something.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    metrics: Vec<Metric>,
    /// Lines that are comments of a page of metrics, or samples of whatever metric.
    lines: u64,
    /// Samples that mean something but are no number, out of range, or too many.
    pub dropped: u64,
}

/// The series of a metric that a rule is for.
#[derive(Clone, Debug, PartialEq)]
struct Metric {
    rule: u16,
    /// As it stands in the page.
    name: String,
    series: Vec<Series>,
}

/// A series without its ranks: of those, the greatest value is here.
#[derive(Clone, Debug, PartialEq)]
struct Series {
    /// Hash of what identifies it.
    id: u64,
    /// Hashes of its labels, sorted.
    labels: Vec<u64>,
    /// The stage, of a metric that has stages.
    stage: u64,
    /// Set if the stage is that of an ensemble.
    is_ensemble: bool,
    value: f64,
}

/// A counter's series: what identifies it, seconds and how many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counter {
    /// Hash of its labels.
    pub id: u64,
    /// The sum.
    pub sum_s: f64,
    /// The number of observations in it.
    pub count: f64,
}

impl Page {
    /// Reads a page.
    pub fn parse(text: &[u8], rules: &Rules) -> Self {
        let mut page = Self::default();
        page.add(text, rules, "");
        page
    }

    /// Reads a page more, of another instance behind the same address.
    pub fn add(&mut self, text: &[u8], rules: &Rules, instance: &str) {
        for line in exposition::lines(text) {
            if line.first() == Some(&b'#') {
                self.lines += u64::from(line.starts_with(b"# HELP ") || line.starts_with(b"# TYPE "));
                continue;
            }
            let Some((name, rest)) = exposition::name(line) else { continue };
            // Buckets are most of a page, and nobody's.
            if name.ends_with(b"_bucket") {
                self.lines += 1;
                continue;
            }
            let wanted = rules.of(name);
            let sample = Sample::new(name, rest);
            self.lines += u64::from(sample.is_some_and(|sample| sample.number().is_some()));
            let Some(sample) = sample else {
                self.dropped += u64::from(!wanted.is_empty());
                continue;
            };
            for index in wanted {
                if let Some(rule) = rules.get(*index) {
                    self.take(*index, rule, &sample, instance);
                }
            }
        }
    }

    /// Returns true for a page of metrics, of whatever program.
    pub fn is_metrics(&self) -> bool {
        self.lines > 0
    }

    /// Returns true if it has a metric of an engine.
    pub fn has_engine(&self) -> bool {
        !self.metrics.is_empty()
    }

    fn take(&mut self, index: u16, rule: &Rule, sample: &Sample<'_>, instance: &str) {
        if !passes(sample, &rule.filter) {
            return;
        }
        let value = match rule.value {
            Value::Scaled(scale) => sample.number().map(|value| value * scale),
            Value::Labels(first, second) => match product(sample, first).or_else(|| product(sample, second)) {
                Some(value) => Some(value),
                // Not known yet ("None"), or not told by this version.
                None => return,
            },
        };
        // Not a number, negative, infinite or beyond what a host could mean.
        let Some(value) = value.filter(|value| (0.0..=rule.field.max()).contains(value)) else {
            self.dropped += 1;
            return;
        };
        let series = Series::new(sample, rule, instance, value);
        let found = self.metrics.iter().position(|metric| metric.rule == index);
        let metric = found.unwrap_or_else(|| {
            let name = String::from_utf8_lossy(sample.name).into_owned();
            self.metrics.push(Metric { rule: index, name, series: Vec::new() });
            self.metrics.len() - 1
        });
        let all = &mut self.metrics[metric].series;
        let room = all.len() < SERIES_MAX;
        match all.iter_mut().find(|known| known.id == series.id) {
            Some(known) => known.value = known.value.max(value),
            None if room => all.push(series),
            None => self.dropped += 1,
        }
    }

    /// The metrics that an engine has for a field: of the first choice that is there.
    fn chosen<'p>(
        &'p self,
        rules: &'p Rules,
        engine: Engine,
        field: Field,
    ) -> impl Iterator<Item = (&'p Metric, &'p Rule)> {
        let all = move || {
            let with_rules = self.metrics.iter().filter_map(|metric| Some((metric, rules.get(metric.rule)?)));
            with_rules.filter(move |(_, rule)| (rule.engine, rule.field) == (engine, field))
        };
        let choice = all().map(|(_, rule)| rule.choice).min();
        all().filter(move |(_, rule)| Some(rule.choice) == choice)
    }

    /// Returns an engine's value of a field: its metrics of the first choice that is there, each
    /// aggregated over its series, added up. `None` if it has none, or if that is out of range.
    pub fn value(&self, rules: &Rules, engine: Engine, field: Field) -> Option<f64> {
        let mut values = self.chosen(rules, engine, field).map(|(metric, rule)| metric.value(rule.over)).peekable();
        values.peek()?;
        let value = values.sum();
        (0.0..=field.max()).contains(&value).then_some(value)
    }

    /// The metrics behind [`Self::value`], as they stand in the page.
    pub fn names<'p>(&'p self, rules: &'p Rules, engine: Engine, field: Field) -> impl Iterator<Item = String> {
        self.chosen(rules, engine, field).map(|(metric, rule)| match &rule.filter {
            Filter::Any => metric.name.clone(),
            Filter::Label(_, value) => format!("{}{{{value}}}", metric.name),
            Filter::Text(text) => format!("{}{{{text}}}", metric.name),
        })
    }

    /// Counts the engines that a metric has series of.
    pub fn engines(&self, rules: &Rules, engine: Engine, field: Field) -> Option<usize> {
        let first = self.chosen(rules, engine, field).next();
        first.map(|(metric, _)| metric.totals().count())
    }

    /// The series of a sum and of its count, of the first choice that has both.
    pub fn counters(&self, rules: &Rules, engine: Engine, sum: Field, count: Field) -> Vec<Counter> {
        let with_rules = || self.metrics.iter().filter_map(|metric| Some((metric, rules.get(metric.rule)?)));
        let of = |field: Field| with_rules().filter(move |(_, rule)| (rule.engine, rule.field) == (engine, field));
        let pairs = of(sum).filter_map(|(sums, rule)| {
            let (counts, _) = of(count).find(|(_, other)| other.choice == rule.choice)?;
            Some((rule.choice, sums, counts))
        });
        let Some((_, sums, counts)) = pairs.min_by_key(|(choice, ..)| *choice) else { return Vec::new() };
        let counters = sums.totals().filter_map(|series| {
            let count = counts.series.iter().find(|other| other.id == series.id)?;
            Some(Counter { id: series.id, sum_s: series.value, count: count.value })
        });
        counters.collect()
    }
}

impl Metric {
    /// The series that are no parts of another: another's labels are not all among theirs.
    fn totals(&self) -> impl Iterator<Item = &Series> {
        self.series.iter().filter(|series| !self.series.iter().any(|total| total.has_part(series)))
    }

    fn value(&self, over: Over) -> f64 {
        let sum = |stage: u64| self.totals().filter(|series| series.stage == stage).map(|series| series.value).sum();
        match over {
            Over::Sum => self.totals().map(|series| series.value).sum(),
            Over::Max => self.totals().map(|series| series.value).fold(0.0, f64::max),
            Over::Models if !self.series.iter().any(|series| series.is_ensemble) => {
                self.totals().map(|series| series.value).sum()
            }
            Over::Models | Over::Services => self.totals().map(|series| sum(series.stage)).fold(0.0, f64::max),
        }
    }
}

impl Series {
    fn new(sample: &Sample<'_>, rule: &Rule, instance: &str, value: f64) -> Self {
        let mut series = Self { id: 0, labels: Vec::new(), stage: 0, is_ensemble: false, value };
        let stage = match rule.over {
            Over::Models => Some(&b"model"[..]),
            Over::Services => Some(&b"service_name"[..]),
            Over::Sum | Over::Max => None,
        };
        for (name, text) in exposition::labels(sample.labels).take(LABELS_MAX) {
            // An empty label is as good as none.
            if text.is_empty() || is_rank(name) || !identifies(name, rule) {
                continue;
            }
            let label = hash(&[name, b"\0", text]);
            series.labels.push(label);
            if stage == Some(name) {
                series.stage = label;
                series.is_ensemble =
                    text.starts_with(b"ensemble") || text.ends_with(b"_ensemble") || text.ends_with(b"_bls");
            }
        }
        if !instance.is_empty() {
            series.labels.push(hash(&[b"\0instance\0", instance.as_bytes()]));
        }
        series.labels.sort_unstable();
        series.labels.dedup();
        series.id = series
            .labels
            .iter()
            .fold(Fnv1a::new().finish(), |id, label| Fnv1a::resume(id).word(*label).finish().rotate_left(29));
        series
    }

    /// Returns true if the other is a part of this: it has all these labels, and more.
    fn has_part(&self, other: &Self) -> bool {
        self.labels.len() < other.labels.len()
            && self.labels.iter().all(|label| other.labels.binary_search(label).is_ok())
    }
}

/// Recognises labels of ranks and processes, which all report one and the same count.
/// Data-parallel ranks are engines of their own.
fn is_rank(name: &[u8]) -> bool {
    let data_parallel = matches!(name, b"dp_rank" | b"data_parallel_rank" | b"attn_dp_rank");
    name == b"pid" || name == b"rank" || (name.ends_with(b"_rank") && !data_parallel)
}

/// Recognises labels that identify an engine: the others of an `info` metric are its values.
fn identifies(name: &[u8], rule: &Rule) -> bool {
    const WHICH_ENGINE: [&[u8]; 6] = [b"engine", b"model_name", b"dp_rank", b"WorkerId", b"ReplicaId", b"worker_addr"];
    matches!(rule.value, Value::Scaled(_)) || WHICH_ENGINE.contains(&name)
}

fn passes(sample: &Sample<'_>, filter: &Filter) -> bool {
    match filter {
        Filter::Any => true,
        Filter::Label(name, value) => {
            exposition::labels(sample.labels).any(|label| label == (name.as_bytes(), value.as_bytes()))
        }
        Filter::Text(text) => memchr::memmem::find(sample.labels, text.as_bytes()).is_some(),
    }
}

/// The product of the numbers that labels hold.
fn product(sample: &Sample<'_>, names: &[&str]) -> Option<f64> {
    let number = |name: &str| {
        let (_, text) = exposition::labels(sample.labels).find(|(label, _)| *label == name.as_bytes())?;
        std::str::from_utf8(text).ok()?.trim().parse::<f64>().ok()
    };
    let mut product = (!names.is_empty()).then_some(1.0)?;
    for name in names {
        product *= number(name)?;
    }
    Some(product)
}

/// A hash over several pieces.
fn hash(pieces: &[&[u8]]) -> u64 {
    pieces.iter().fold(Fnv1a::new(), |hash, piece| hash.bytes(piece)).finish()
}
