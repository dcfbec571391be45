//! `evenkeel scale-tune`: tunes how an artifact's forecast becomes a demand for replicas.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use evenkeel_env::scale::{Bill, scalers};
use evenkeel_export::artifact::with_scale;
use evenkeel_runtime::demand::ScaleModel;

use crate::cli::InputArgs;
use crate::data;
use crate::output::write_whole;
use crate::scale::{Budget, Found, Objective, Service, Trial, genetic_swarm, random_search};

/// Arguments of `evenkeel scale-tune`.
#[derive(Clone, Debug, Args)]
pub struct ScaleTuneArgs {
    /// The artifact.
    #[arg(long, value_name = "FILE.ekm")]
    pub model: PathBuf,
    /// The service's demand, in requests a step.
    #[arg(long, value_name = "PATH")]
    pub series: PathBuf,
    /// How to read the series.
    #[command(flatten)]
    pub input: InputArgs,
    /// Requests a second that one warm replica carries at the service's objective.
    #[arg(long, value_name = "N")]
    pub replica_capacity: f64,
    /// Mean seconds until a new replica serves, as measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 85.0)]
    pub cold_start: f64,
    /// Share of the requests that may miss the objective.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub missed_max: f64,
    /// Runs on the validation part.
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub evaluations: usize,
    /// Seed of the search.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Artifact to write.
    #[arg(short, long, value_name = "FILE.ekm")]
    pub output: PathBuf,
}

/// Tunes, says what random search found with as many runs, and writes the artifact.
pub fn run(arguments: &ScaleTuneArgs) -> Result<()> {
    ensure!(arguments.replica_capacity > 0.0, "--replica-capacity: expected more than 0 requests a second");
    ensure!((0.0..=1e5).contains(&arguments.cold_start), "--cold-start: expected seconds from 0 to 100000");
    ensure!(arguments.evaluations > 0, "--evaluations: expected at least 1");
    ensure!(arguments.missed_max > 0.0, "--missed-max: expected more than 0");
    let artifact = fs::read(&arguments.model).with_context(|| format!("cannot read {}", arguments.model.display()))?;
    let series = data::load_series(std::slice::from_ref(&arguments.series), &arguments.input)?;
    let [series] = &series[..] else {
        anyhow::bail!("{}: expected one series, found {}", arguments.series.display(), series.len());
    };
    let service = Service::new(&artifact, series, 1.0)?.with_replica_capacity(arguments.replica_capacity);
    let entry = scalers::find("evenkeel").context("the registry has Evenkeel's own scaler")?;
    let trial = Trial {
        entry,
        part: &service.validation,
        options: service.replicas(arguments.cold_start),
        objective: Objective { missed_share_max: arguments.missed_max, change_cost: 0.001 },
        seed: arguments.seed,
    };
    let budget = Budget { evaluations: arguments.evaluations, seed: arguments.seed };
    let start = trial.default_shares();
    let found = genetic_swarm(&start, budget, |shares| trial.cost(shares));
    let random = random_search(&start, budget, |shares| trial.cost(shares));
    println!("validation part of {}, {} runs each", series.name, arguments.evaluations);
    println!("{:<14}{:>10}{:>16}{:>11}{:>11}", "", "cost", "capacity/demand", "missed %", "changes/h");
    for (name, shares) in [("as it comes", &start), ("GA-PSO", &found.shares), ("random search", &random.shares)] {
        let bill = trial.run(shares);
        println!(
            "{name:<14}{:>10.4}{:>16.3}{:>11.3}{:>11.2}",
            trial.objective.cost(&bill),
            bill.capacity_over_demand(),
            100.0 * bill.missed_share(),
            bill.changes_per_hour()
        );
    }
    let scale = scale_model(&trial, &found, arguments);
    println!("\na replica carries {} requests/s; looked {} s ahead", scale.replica_requests_per_s, scale.lead_s);
    println!("at the {:.2} quantile, with a headroom of {:.3}", scale.quantile, scale.headroom);
    let tested = service.test.run(&trial.options, entry.build(&trial.parameters(&found.shares)).as_mut(), 1);
    println!("test part: {}", summary(&tested));
    write_whole(&arguments.output, &with_scale(&artifact, &scale)?)
}

fn summary(bill: &Bill) -> String {
    format!(
        "{:.1} replica-hours, {:.3} times the demand, {:.3} % missed",
        bill.replica_hours(),
        bill.capacity_over_demand(),
        100.0 * bill.missed_share()
    )
}

/// What a proxy publishes by. Its windows and tolerances stay with the scaler that reads it.
fn scale_model(trial: &Trial<'_>, found: &Found, arguments: &ScaleTuneArgs) -> ScaleModel {
    let parameters = trial.parameters(&found.shares);
    let named = |name: &str| {
        let place = trial.entry.parameters.iter().position(|parameter| parameter.name == name);
        place.map_or(1.0, |place| parameters[place])
    };
    ScaleModel {
        replica_requests_per_s: arguments.replica_capacity as f32,
        lead_s: (named("lead_factor") * arguments.cold_start) as f32,
        quantile: named("quantile") as f32,
        headroom: named("forecast_headroom").max(1.0) as f32,
    }
}
