//! Runs a query, and says how far it is.

use anyhow::{Context as _, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::DataFrame;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Time between two lines.
const LINE: Duration = Duration::from_secs(20);

/// A running query's result; its progress is told on the error stream until it is dropped.
pub(crate) struct Running {
    pub(crate) batches: SendableRecordBatchStream,
    ticker: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}

/// Starts a query. `reads_all` says that it reads every row, so that the time left can be told.
pub(crate) async fn start(query: DataFrame, what: &'static str, reads_all: bool) -> Result<Running> {
    let task = Arc::new(query.task_ctx());
    let plan = query.create_physical_plan().await.with_context(|| format!("{what}: the query cannot be planned"))?;
    let batches =
        execute_stream(Arc::clone(&plan), task).with_context(|| format!("{what}: the query cannot be run"))?;
    let all_rows = if reads_all { rows(&plan, &stated) } else { None };
    let begin = Instant::now();
    let ticker = tokio::spawn(async move {
        loop {
            tokio::time::sleep(LINE).await;
            eprintln!("{}", line(what, begin.elapsed().as_secs_f64(), rows(&plan, &seen), all_rows));
        }
    });
    Ok(Running { batches, ticker })
}

fn line(what: &str, took_s: f64, seen: Option<usize>, all: Option<usize>) -> String {
    let millions = |rows: usize| rows as f64 / 1e6;
    match (seen.filter(|&seen| seen > 0), all) {
        (Some(seen), Some(all)) if all >= seen => {
            let left_s = took_s * (all - seen) as f64 / seen as f64;
            let share = 100.0 * seen as f64 / all as f64;
            format!("{what}: {share:.0} % of {:.1} million rows, about {left_s:.0} s left", millions(all))
        }
        (Some(seen), _) => format!("{what}: {:.1} million rows in {took_s:.0} s", millions(seen)),
        (None, _) => format!("{what}: {took_s:.0} s so far"),
    }
}

/// The sum of `count` over what reads files.
fn rows(plan: &Arc<dyn ExecutionPlan>, count: &impl Fn(&Arc<dyn ExecutionPlan>) -> Option<usize>) -> Option<usize> {
    let children = plan.children();
    if children.is_empty() {
        return count(plan);
    }
    children.into_iter().filter_map(|child| rows(child, count)).reduce(|a, b| a + b)
}

fn seen(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    plan.metrics()?.output_rows()
}

fn stated(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new());
    statistics.ok()?.num_rows.get_value().copied()
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn the_time_left_follows_from_the_rows() {
        assert_eq!(
            line("rates", 30.0, Some(3_000_000), Some(9_000_000)),
            "rates: 33 % of 9.0 million rows, about 60 s left"
        );
        assert_eq!(line("rates", 30.0, Some(3_000_000), None), "rates: 3.0 million rows in 30 s");
        assert_eq!(line("rates", 30.0, None, None), "rates: 30 s so far");
    }
}
