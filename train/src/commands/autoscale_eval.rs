//! `evenkeel autoscale-eval`: Evenkeel's autoscaling against its rivals, on real demand.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use evenkeel_env::metrics;
use evenkeel_env::scale::{Bill, scalers};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use crate::cli::InputArgs;
use crate::data;
use crate::output::write_whole;
use crate::scale::{Budget, Objective, Service, Trial, genetic_swarm};

/// Arguments of `evenkeel autoscale-eval`.
#[derive(Clone, Debug, Args)]
pub struct AutoscaleEvalArgs {
    /// The artifact, whose forecaster foresees the demand.
    #[arg(long, value_name = "FILE.ekm")]
    pub model: PathBuf,
    /// Series of demand; several, and repeatable.
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    pub series: Vec<PathBuf>,
    /// How to read the series.
    #[command(flatten)]
    pub input: InputArgs,
    /// Mean seconds until a new replica serves.
    #[arg(long, value_name = "SECONDS", value_delimiter = ',', default_value = "4,85,180,480")]
    pub cold_start: Vec<f64>,
    /// Replicas that the mean demand of the training part takes.
    #[arg(long, value_name = "N", default_value_t = 20.0)]
    pub mean_replicas: f64,
    /// Share of the requests that may miss the objective; what scalers are tuned for.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub missed_max: f64,
    /// Runs on the validation part that each scaler is tuned with, by GA-PSO.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub evaluations: usize,
    /// Runs on the test part, with different seeds of the replicas' starts.
    #[arg(long, default_value_t = 6)]
    pub seeds: u64,
    /// Write every figure to this file, as JSON.
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
}

/// A figure of a bill.
type Figure = (&'static str, fn(&Bill) -> f64);

/// Figures of a run, by their names in the JSON.
const FIGURES: [Figure; 9] = [
    ("replica_hours", Bill::replica_hours),
    ("capacity_over_demand", Bill::capacity_over_demand),
    ("missed_share", Bill::missed_share),
    ("under_time_share", Bill::under_time_share),
    ("over_time_share", Bill::over_time_share),
    ("under_accuracy", Bill::under_accuracy),
    ("over_accuracy", Bill::over_accuracy),
    ("changes_per_hour", Bill::changes_per_hour),
    ("reversals_per_hour", Bill::reversals_per_hour),
];

/// What a scaler did on the test part of a series.
struct Outcome {
    series: String,
    cold_start_s: f64,
    policy: &'static str,
    parameters: Vec<(&'static str, f64)>,
    bills: Vec<Bill>,
}

/// Tunes, evaluates, prints the table and writes the JSON.
pub fn run(arguments: &AutoscaleEvalArgs) -> Result<()> {
    ensure!(arguments.mean_replicas > 0.0, "--mean-replicas: expected more than 0");
    ensure!(arguments.missed_max > 0.0, "--missed-max: expected more than 0");
    ensure!(arguments.evaluations > 0 && arguments.seeds > 0, "--evaluations and --seeds: expected at least 1");
    let no_time = arguments.cold_start.iter().find(|seconds| !(0.0..=1e5).contains(*seconds));
    ensure!(no_time.is_none(), "--cold-start: expected seconds from 0 to 100000, found {no_time:?}");
    let artifact = fs::read(&arguments.model).with_context(|| format!("cannot read {}", arguments.model.display()))?;
    let series = data::load_series(&arguments.series, &arguments.input)?;
    let services = series
        .par_iter()
        .map(|series| Service::new(&artifact, series, arguments.mean_replicas))
        .collect::<Result<Vec<_>>>()
        .with_context(|| arguments.model.display().to_string())?;
    let mut outcomes = Vec::new();
    for service in &services {
        for cold_start_s in &arguments.cold_start {
            let begin = outcomes.len();
            for entry in scalers::REGISTRY {
                outcomes.push(evaluate(service, *cold_start_s, entry, arguments));
            }
            print!("{}", table(&outcomes[begin..]));
        }
    }
    if let Some(path) = &arguments.json {
        let entries: Vec<Value> = outcomes.iter().map(|outcome| entry(outcome, arguments)).collect();
        write_whole(path, &serde_json::to_vec_pretty(&entries)?)?;
    }
    Ok(())
}

/// Tunes a scaler on the validation part and runs it on the test part.
fn evaluate(
    service: &Service,
    cold_start_s: f64,
    entry: &'static scalers::Entry,
    arguments: &AutoscaleEvalArgs,
) -> Outcome {
    let options = service.replicas(cold_start_s);
    let objective = Objective { missed_share_max: arguments.missed_max, change_cost: 0.001 };
    let trial = Trial { entry, part: &service.validation, options, objective, seed: 1 };
    let start = trial.default_shares();
    let shares = if start.is_empty() {
        start
    } else {
        let budget = Budget { evaluations: arguments.evaluations, seed: 1 };
        genetic_swarm(&start, budget, |shares| trial.cost(shares)).shares
    };
    let parameters = trial.parameters(&shares);
    let run = |seed: u64| service.test.run(&options, entry.build(&parameters).as_mut(), 1000 + seed);
    Outcome {
        series: service.name.clone(),
        cold_start_s,
        policy: entry.name,
        parameters: entry.parameters.iter().map(|parameter| parameter.name).zip(parameters.iter().copied()).collect(),
        bills: (0..arguments.seeds).into_par_iter().map(run).collect(),
    }
}

fn mean(outcome: &Outcome, figure: fn(&Bill) -> f64) -> f64 {
    outcome.bills.iter().map(figure).sum::<f64>() / outcome.bills.len() as f64
}

/// A block of the table: one series, one cold start.
fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    let Some(first) = outcomes.first() else { return text };
    let _ = writeln!(
        text,
        "{}, cold start {} s\n{:<12}{:>13}{:>12}{:>11}{:>11}{:>10}",
        first.series, first.cold_start_s, "policy", "replica-h", "/ demand", "missed %", "under %", "changes/h"
    );
    for outcome in outcomes {
        let _ = writeln!(
            text,
            "{:<12}{:>13.1}{:>12.3}{:>11.3}{:>11.3}{:>10.2}",
            outcome.policy,
            mean(outcome, Bill::replica_hours),
            mean(outcome, Bill::capacity_over_demand),
            100.0 * mean(outcome, Bill::missed_share),
            100.0 * mean(outcome, Bill::under_time_share),
            mean(outcome, Bill::changes_per_hour),
        );
    }
    text.push('\n');
    text
}

/// One entry of the JSON.
fn entry(outcome: &Outcome, arguments: &AutoscaleEvalArgs) -> Value {
    let metrics: Map<String, Value> = FIGURES
        .iter()
        .map(|(name, figure)| {
            let values: Vec<f64> = outcome.bills.iter().map(figure).collect();
            let estimate = metrics::estimate(&values);
            ((*name).to_owned(), json!({"value": estimate.value, "ci95": [estimate.low, estimate.high]}))
        })
        .collect();
    json!({
        "series": outcome.series,
        "policy": outcome.policy,
        "cold_start_s": outcome.cold_start_s,
        "tuned": !outcome.parameters.is_empty(),
        "parameters": outcome.parameters.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        "missed_share_max": arguments.missed_max,
        "seeds": arguments.seeds,
        "metrics": metrics,
    })
}
