//! Requests and tokens by step and class, and what windows of them are like.

use crate::columns::Columns;
use anyhow::{Context as _, Result, bail, ensure};
use datafusion::arrow::array::{Array as _, Float64Array, Int64Array, RecordBatch, StringArray};
use std::collections::BTreeMap;

/// Steps from the first to the last.
const STEPS_MAX: i64 = 20_000_000;
/// Classes that are told apart.
const CLASSES_MAX: usize = 1000;
pub(crate) const US_PER_S: i64 = 1_000_000;

/// The query of the counts: a row for each step and class.
pub(crate) fn sql(columns: &Columns, step_us: i64) -> String {
    let tokens = if columns.has_tokens {
        "sum(prompt_tokens) AS prompt, sum(output_tokens) AS output, \
         sum(CAST(prompt_tokens AS DOUBLE) * CAST(prompt_tokens AS DOUBLE)) AS prompt_square, \
         sum(CAST(output_tokens AS DOUBLE) * CAST(output_tokens AS DOUBLE)) AS output_square, \
         min(prompt_tokens) AS prompt_min, min(output_tokens) AS output_min"
    } else {
        "CAST(NULL AS BIGINT) AS prompt, CAST(NULL AS BIGINT) AS output, CAST(NULL AS DOUBLE) AS prompt_square, \
         CAST(NULL AS DOUBLE) AS output_square, CAST(NULL AS BIGINT) AS prompt_min, CAST(NULL AS BIGINT) AS output_min"
    };
    let requests = &columns.counted;
    let counts = format!(
        "SELECT t_us / {step_us} AS step, class, count(*) AS n, {tokens} FROM ({requests}) AS r \
         GROUP BY t_us / {step_us}, class"
    );
    format!(
        "SELECT step, arrow_cast(class, 'Utf8') AS class, n, prompt, output, prompt_square, output_square, prompt_min, \
         output_min FROM ({counts}) AS c"
    )
}

/// Counts of a class within a step or a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) requests: f64,
    pub(crate) prompt: f64,
    pub(crate) output: f64,
    pub(crate) prompt_square: f64,
    pub(crate) output_square: f64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.prompt += other.prompt;
        self.output += other.output;
        self.prompt_square += other.prompt_square;
        self.output_square += other.output_square;
    }

    /// Mean and standard deviation of the prompts' lengths, then of the outputs'.
    pub(crate) fn lengths(&self) -> [[f64; 2]; 2] {
        [[self.prompt, self.prompt_square], [self.output, self.output_square]].map(|[sum, square]| {
            let mean = sum / self.requests;
            [mean, (square / self.requests - mean * mean).max(0.0).sqrt()]
        })
    }
}

/// The counts of all steps.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    pub(crate) step_us: i64,
    /// By class: counts by step.
    pub(crate) classes: BTreeMap<String, BTreeMap<i64, Counts>>,
    /// Rows without a time.
    pub(crate) without_time: u64,
}

/// A window: a run of steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) begin_us: i64,
    pub(crate) counts: Counts,
    /// Requests of the busiest step over those of the mean one.
    pub(crate) peak_to_mean: f64,
    /// Variance of the steps' requests over their mean: 1 for a Poisson process.
    pub(crate) dispersion: f64,
}

impl Rates {
    pub(crate) fn new(step_us: i64) -> Self {
        Self { step_us, ..Self::default() }
    }

    /// Takes rows of the query.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let whole = |column: usize| -> Result<&Int64Array> {
            batch.column(column).as_any().downcast_ref().context("the counts are not of the type that was asked for")
        };
        let real = |column: usize| -> Result<&Float64Array> {
            batch.column(column).as_any().downcast_ref().context("the counts are not of the type that was asked for")
        };
        let class = batch.column(1).as_any().downcast_ref::<StringArray>();
        let class = class.context("the classes are not of the type that was asked for")?;
        let (step, n, prompt, output) = (whole(0)?, whole(2)?, whole(3)?, whole(4)?);
        let squares = [real(5)?, real(6)?];
        let least = [(whole(7)?, "prompt_tokens"), (whole(8)?, "output_tokens")];
        for row in 0..batch.num_rows() {
            if step.is_null(row) {
                self.without_time += n.value(row) as u64;
                continue;
            }
            if let Some((column, name)) = least.iter().find(|(column, _)| column.is_valid(row) && column.value(row) < 0)
            {
                bail!(
                    "{name}: found {}, expected a number of tokens, at least 0; leave such rows out with WHERE",
                    column.value(row)
                );
            }
            let name = if class.is_null(row) { "" } else { class.value(row) };
            if !self.classes.contains_key(name) {
                ensure!(
                    self.classes.len() < CLASSES_MAX,
                    "class: more than {CLASSES_MAX} different values, such as {name}; group them in the query, or leave the \
                     column out"
                );
            }
            let value = |column: &Int64Array| if column.is_null(row) { 0.0 } else { column.value(row) as f64 };
            let square = |column: &Float64Array| if column.is_null(row) { 0.0 } else { column.value(row) };
            let counts = Counts {
                requests: n.value(row) as f64,
                prompt: value(prompt),
                output: value(output),
                prompt_square: square(squares[0]),
                output_square: square(squares[1]),
            };
            self.classes.entry(name.to_owned()).or_default().entry(step.value(row)).or_default().add(&counts);
        }
        Ok(())
    }

    /// The first step and the one after the last.
    pub(crate) fn span(&self) -> Result<std::ops::Range<i64>> {
        let steps = || self.classes.values();
        let first = steps().filter_map(|steps| steps.keys().next()).min();
        let last = steps().filter_map(|steps| steps.keys().next_back()).max();
        let (Some(&first), Some(&last)) = (first, last) else {
            bail!("the query gives no request with a time; look at its WHERE")
        };
        let span = last.saturating_sub(first);
        ensure!(
            span < STEPS_MAX,
            "arrivals go over {span} steps of {} s, from {:.0} s to {:.0} s since 1970: is their unit another (--time-unit)?",
            self.step_us / US_PER_S,
            first as f64 * self.step_us as f64 / 1e6,
            last as f64 * self.step_us as f64 / 1e6
        );
        Ok(first..last + 1)
    }

    /// All classes together, by step.
    pub(crate) fn total(&self) -> BTreeMap<i64, Counts> {
        let mut total: BTreeMap<i64, Counts> = BTreeMap::new();
        for steps in self.classes.values() {
            for (&step, counts) in steps {
                total.entry(step).or_default().add(counts);
            }
        }
        total
    }

    /// The windows of `steps` steps that have requests, whole ones where there are any.
    pub(crate) fn windows(&self, steps: i64) -> Result<Vec<Window>> {
        let span = self.span()?;
        let mut by_window: BTreeMap<i64, Vec<Counts>> = BTreeMap::new();
        for (step, counts) in self.total() {
            by_window.entry(step.div_euclid(steps)).or_default().push(counts);
        }
        // The first and the last window may have begun before the data, or end after it.
        let is_whole = |window: i64| window * steps >= span.start && (window + 1) * steps <= span.end;
        let has_whole = by_window.keys().any(|&window| is_whole(window));
        let windows = by_window.into_iter().filter(|&(window, _)| !has_whole || is_whole(window));
        Ok(windows.map(|(window, counts)| self.window(window * steps, steps, &counts)).collect())
    }

    fn window(&self, first: i64, steps: i64, by_step: &[Counts]) -> Window {
        let mut counts = Counts::default();
        by_step.iter().for_each(|step| counts.add(step));
        let mean = counts.requests / steps as f64;
        // Steps without requests have no row.
        let idle = steps as f64 - by_step.len() as f64;
        let squares = by_step.iter().map(|step| (step.requests - mean).powi(2)).sum::<f64>() + idle * mean * mean;
        let peak = by_step.iter().map(|step| step.requests).fold(0.0, f64::max);
        Window {
            begin_us: first * self.step_us,
            counts,
            peak_to_mean: peak / mean,
            dispersion: squares / steps as f64 / mean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(counts: &[(i64, f64)]) -> Rates {
        let steps = counts.iter().map(|&(step, requests)| {
            (step, Counts { requests, prompt: 10.0 * requests, prompt_square: 200.0 * requests, ..Counts::default() })
        });
        let classes = BTreeMap::from([(String::new(), steps.collect())]);
        Rates { step_us: 60 * US_PER_S, classes, without_time: 0 }
    }

    #[test]
    fn windows_are_whole_and_say_how_their_load_varies() {
        // Data from step 1 to 11: only the window of the steps 4 to 7 is whole.
        let windows = rates(&[(1, 9.0), (4, 2.0), (5, 6.0), (7, 4.0), (10, 1.0)]).windows(4).unwrap();
        assert_eq!(windows.len(), 1);
        assert_eq!((windows[0].begin_us, windows[0].counts.requests), (240 * US_PER_S, 12.0));
        assert_eq!((windows[0].peak_to_mean, windows[0].dispersion), (2.0, 5.0 / 3.0));
        assert_eq!(windows[0].counts.lengths()[0], [10.0, 10.0]);
        // Where none is whole, what there is has to do.
        assert_eq!(rates(&[(1, 9.0), (2, 2.0)]).windows(4).unwrap().len(), 1);
    }

    #[test]
    fn absurd_spans_are_refused() {
        let message = rates(&[(0, 1.0), (i64::MAX / 2, 1.0)]).span().unwrap_err().to_string();
        assert!(message.contains("--time-unit"), "{message}");
        assert!(rates(&[]).span().is_err());
    }
}
