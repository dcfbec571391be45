//! `evenkeel autoscale-eval`: Evenkeel's autoscaling against its rivals, on real demand.

mod output;

use anyhow::{Context, Result, ensure};
use clap::Args;
use evenkeel_env::scale::scalers;
use rayon::prelude::*;

use crate::commands::on_series::OnSeriesArgs;
use crate::progress::Stages;
use crate::report;
use crate::scale::needed::usual_lead;
use crate::scale::{Budget, NeededOn, Objective, Outcome, Search, Service, Trial, Tried, needed_capacity};

/// Arguments of `evenkeel autoscale-eval`.
#[derive(Clone, Debug, Args)]
pub struct AutoscaleEvalArgs {
    /// What to scale for, and with what.
    #[command(flatten)]
    pub on: OnSeriesArgs,
    /// Mean seconds until a new replica serves.
    #[arg(long, value_name = "SECONDS", value_delimiter = ',', default_value = "4,85,180,480")]
    pub cold_start: Vec<f64>,
    /// Replicas that the mean demand of the training part takes.
    #[arg(long, value_name = "N", default_value_t = 20.0)]
    pub mean_replicas: f64,
    /// Shares of the requests that may miss the objective: scalers are tuned for each, which
    /// gives their Pareto fronts.
    #[arg(long, value_name = "SHARE", value_delimiter = ',', default_value = "0.001,0.003,0.01,0.03")]
    pub missed_max: Vec<f64>,
    /// Runs on the validation part that each scaler is tuned with for each share, by GA-PSO.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub evaluations: usize,
    /// Runs on the test part, with different seeds of the replicas' starts.
    #[arg(long, default_value_t = 6)]
    pub seeds: u64,
    /// Steps between the newest value and the one to be ready for, for the capacity that
    /// predictions need [default: 1 for steps of 15 minutes and more, otherwise 10 minutes].
    #[arg(long, value_name = "N")]
    pub lead_steps: Option<usize>,
}

/// Tunes, evaluates, prints tables and writes JSON and report.
pub fn run(arguments: &AutoscaleEvalArgs) -> Result<()> {
    check(arguments)?;
    let (artifact, series) = arguments.on.read()?;
    let needed = series
        .par_iter()
        .map(|series| {
            let lead_steps = arguments.lead_steps.unwrap_or_else(|| usual_lead(series.step_s));
            let needed = needed_capacity(&artifact, series, lead_steps)?;
            Ok(NeededOn { series: series.name.clone(), lead_steps, needed })
        })
        .collect::<Result<Vec<_>>>()
        .with_context(|| arguments.on.model.display().to_string())?;
    print!("{}", output::needed_table(&needed));
    let services = series
        .par_iter()
        .map(|series| Service::new(&artifact, series, arguments.mean_replicas))
        .collect::<Result<Vec<_>>>()
        .with_context(|| arguments.on.model.display().to_string())?;
    let mut stages = Stages::default();
    let scalers = scalers::REGISTRY.len();
    let stage = stages.begin("autoscale", services.len() * arguments.cold_start.len() * scalers);
    let mut outcomes = Vec::new();
    for (place, service) in services.iter().enumerate() {
        for (row, cold_start_s) in arguments.cold_start.iter().enumerate() {
            let begin = outcomes.len();
            for (column, entry) in scalers::REGISTRY.iter().enumerate() {
                stage.at((place * arguments.cold_start.len() + row) * scalers + column);
                outcomes.extend(evaluate(service, *cold_start_s, entry, arguments));
            }
            print!("{}", output::table(&outcomes[begin..]));
        }
    }
    stage.done(&format!("{} scalers tuned and run", outcomes.len()));
    arguments.on.write(&output::entries(&outcomes, &needed), || report::autoscale_page(&outcomes, &needed))
}

fn check(arguments: &AutoscaleEvalArgs) -> Result<()> {
    ensure!(arguments.mean_replicas > 0.0, "--mean-replicas: expected more than 0");
    let no_share = arguments.missed_max.iter().find(|share| !(**share > 0.0 && **share <= 1.0));
    ensure!(no_share.is_none(), "--missed-max: expected shares above 0 and up to 1, found {no_share:?}");
    ensure!(arguments.evaluations > 0 && arguments.seeds > 0, "--evaluations and --seeds: expected at least 1");
    let no_time = arguments.cold_start.iter().find(|seconds| !(0.0..=1e5).contains(*seconds));
    ensure!(no_time.is_none(), "--cold-start: expected seconds from 0 to 100000, found {no_time:?}");
    ensure!(arguments.lead_steps != Some(0), "--lead-steps: expected at least 1");
    Ok(())
}

/// Tunes a scaler on the validation part, for each share of misses, and runs it on the test
/// part. What was tried for one share may be the best for another.
fn evaluate(
    service: &Service,
    cold_start_s: f64,
    entry: &'static scalers::Entry,
    arguments: &AutoscaleEvalArgs,
) -> Vec<Outcome> {
    let options = service.replicas(cold_start_s);
    let objective = |missed_share_max: f64| Objective { missed_share_max, change_cost: 0.001 };
    let trial = |missed_share_max: f64| Trial {
        entry,
        part: &service.validation,
        options,
        objective: objective(missed_share_max),
        seed: 1,
    };
    let start = trial(1.0).default_shares();
    // What has nothing to tune is the same for every share.
    let shares = if start.is_empty() { &arguments.missed_max[..1] } else { &arguments.missed_max[..] };
    let evaluations = if start.is_empty() { 1 } else { arguments.evaluations };
    let search = |(index, share): (usize, &f64)| {
        let budget = Budget { evaluations, seed: 1 + index as u64 };
        Search::GeneticSwarm.run(&start, budget, &|shares| trial(*share).worth(shares)).tried
    };
    let tried: Vec<Tried> = shares.iter().enumerate().flat_map(search).collect();
    let outcome = |missed_share_max: &f64| {
        let cost = |tried: &Tried| objective(*missed_share_max).cost_of(&tried.worth);
        let best = tried.iter().min_by(|a, b| cost(a).total_cmp(&cost(b))).expect("at least one is tried");
        let parameters = trial(*missed_share_max).parameters(&best.shares);
        let run = |seed: u64| service.test.run(&options, entry.build(&parameters).as_mut(), 1000 + seed);
        Outcome {
            series: service.name.clone(),
            cold_start_s,
            policy: entry.name,
            missed_share_max: *missed_share_max,
            parameters: entry.parameters.iter().map(|parameter| parameter.name).zip(parameters.clone()).collect(),
            bills: (0..arguments.seeds).into_par_iter().map(run).collect(),
        }
    };
    shares.iter().map(outcome).collect()
}
