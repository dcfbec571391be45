//! `evenkeel scale-tune`: tunes how an artifact's forecast becomes a demand for replicas.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use evenkeel_datasets::{Series, SeriesUnit};
use evenkeel_env::scale::{Bill, scalers};
use evenkeel_export::artifact::with_scale;
use evenkeel_numbers::fnv::Fnv1a;
use evenkeel_runtime::demand::ScaleModel;
use serde_json::{Value, json};

use crate::data;
use crate::input::InputArgs;
use crate::output::write_whole;
use crate::progress::Stages;
use crate::report;
use crate::scale::{Budget, Comparison, Memory, Objective, Search, Service, Trial, Tried, compare};

/// Arguments of `evenkeel scale-tune`.
#[derive(Clone, Debug, Args)]
pub struct ScaleTuneArgs {
    /// The artifact.
    #[arg(long, value_name = "FILE.ekm")]
    pub model: PathBuf,
    /// The service's demand, in requests: per second where the header says so, as `evenkeel dataset
    /// rates` writes it, else per step.
    #[arg(long, value_name = "PATH")]
    pub series: PathBuf,
    /// How to read the series.
    #[command(flatten)]
    pub input: InputArgs,
    /// Requests a second that one warm replica carries at the service's objective; see
    /// `evenkeel capacity`.
    #[arg(long, value_name = "N")]
    pub replica_capacity: f64,
    /// Mean seconds until a new replica serves, as measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 85.0)]
    pub cold_start: f64,
    /// Share of the requests that may miss the objective.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub missed_max: f64,
    /// Runs on the validation part, of each search with each seed.
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub evaluations: usize,
    /// Seed of the first search.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Compare GA-PSO with random search, CMA-ES and NSGA-II, over so many seeds; the
    /// artifact gets the best that any of them found. Otherwise GA-PSO searches alone.
    #[arg(long, value_name = "SEEDS", default_value_t = 0)]
    pub compare: u64,
    /// Keep each run's result in this file, and go on from those that are in it.
    #[arg(long, value_name = "PATH")]
    pub checkpoint: Option<PathBuf>,
    /// Write every figure to this file, as JSON.
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
    /// Write tables and the Pareto front to this file, as HTML.
    #[arg(long, value_name = "PATH")]
    pub report: Option<PathBuf>,
    /// Artifact to write.
    #[arg(short, long, value_name = "FILE.ekm")]
    pub output: PathBuf,
}

/// Tunes, says what each search found, and writes the artifact.
pub fn run(arguments: &ScaleTuneArgs) -> Result<()> {
    ensure!(arguments.replica_capacity > 0.0, "--replica-capacity: expected more than 0 requests a second");
    ensure!((0.0..=1e5).contains(&arguments.cold_start), "--cold-start: expected seconds from 0 to 100000");
    ensure!(arguments.evaluations > 0, "--evaluations: expected at least 1");
    ensure!(arguments.missed_max > 0.0, "--missed-max: expected more than 0");
    let artifact = fs::read(&arguments.model).with_context(|| format!("cannot read {}", arguments.model.display()))?;
    let series = data::load_series(std::slice::from_ref(&arguments.series), &arguments.input)?;
    let [series] = &series[..] else {
        anyhow::bail!(
            "{}: expected one series, found {} ({}); choose one with --columns time=COLUMN,value=COLUMN",
            arguments.series.display(),
            series.len(),
            series.iter().map(|series| series.name.as_str()).collect::<Vec<_>>().join(", ")
        );
    };
    if series.unit == SeriesUnit::Unknown {
        eprintln!(
            "series {}: its unit is not stated; read as requests per step of {} s (--series-unit says otherwise)",
            series.name, series.step_s
        );
    }
    let service = Service::new(&artifact, series, 1.0)?.with_replica_capacity(arguments.replica_capacity);
    let entry = scalers::find("evenkeel").context("the registry has Evenkeel's own scaler")?;
    let trial = Trial {
        entry,
        part: &service.validation,
        options: service.replicas(arguments.cold_start),
        objective: Objective { missed_share_max: arguments.missed_max, change_cost: 0.001 },
        seed: arguments.seed,
    };
    let comparison = search(&trial, &artifact, series, arguments)?;
    let best = comparison.best();
    print!("{}", table(&trial, &comparison, arguments));
    let scale = scale_model(&trial, &best.shares, arguments);
    println!("a replica carries {} requests/s; looked {} s ahead", scale.replica_requests_per_s, scale.lead_s);
    println!(
        "at the {:.2} quantile, with a headroom of {:.3}; {:.2} of a rise is taken to go on",
        scale.quantile, scale.headroom, scale.trend
    );
    let tested = service.test.run(&trial.options, entry.build(&trial.parameters(&best.shares)).as_mut(), 1);
    println!("test part: {}", summary(&tested));
    if let Some(path) = &arguments.json {
        let figures = figures(&trial, &comparison, &tested, series, arguments);
        write_whole(path, &serde_json::to_vec_pretty(&figures)?)?;
    }
    if let Some(path) = &arguments.report {
        write_whole(path, report::scale_tune_page(&series.name, arguments.cold_start, &comparison).as_bytes())?;
    }
    write_whole(&arguments.output, &with_scale(&artifact, &scale)?)
}

/// Lets the searches run, with a progress bar and, where asked for, a memory.
fn search(trial: &Trial<'_>, artifact: &[u8], series: &Series, arguments: &ScaleTuneArgs) -> Result<Comparison> {
    let (searches, seeds) =
        if arguments.compare > 0 { (&Search::ALL[..], arguments.compare) } else { (&Search::ALL[..1], 1) };
    let memory = match &arguments.checkpoint {
        Some(path) => Memory::open(path, &identity(trial, artifact, series))?,
        None => Memory::default(),
    };
    if !memory.is_empty() {
        println!("{} runs are remembered", memory.len());
    }
    let mut stages = Stages::default();
    let stage = stages.begin("tune", searches.len() * seeds as usize * arguments.evaluations);
    let budget = Budget { evaluations: arguments.evaluations, seed: arguments.seed };
    let comparison = compare(trial, searches, budget, seeds, &memory, &|made| stage.at(made));
    stage.done(&format!("best cost {:.4}", comparison.best().worth.cost));
    Ok(comparison)
}

/// What the worth of a vector depends on.
fn identity(trial: &Trial<'_>, artifact: &[u8], series: &Series) -> Value {
    let values = series.values.iter().flat_map(|value| value.to_bits().to_le_bytes());
    json!({
        "scaler": trial.entry.name,
        "parameters": trial.entry.parameters.iter().map(|p| (p.name, p.min, p.max)).collect::<Vec<_>>(),
        "artifact": format!("{:016x}", digest(artifact.iter().copied())),
        "series": format!("{:016x}", digest(values)),
        "unit": series.unit.name(),
        "replica_per_s": trial.options.replica_per_s.to_string(),
        "cold_start_s": trial.options.cold_start_s.to_string(),
        "missed_share_max": trial.objective.missed_share_max.to_string(),
        "seed": trial.seed,
    })
}

/// A number by which one input differs from another.
fn digest(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(Fnv1a::new(), Fnv1a::byte).finish()
}

fn table(trial: &Trial<'_>, comparison: &Comparison, arguments: &ScaleTuneArgs) -> String {
    use std::fmt::Write as _;
    let mut text = format!("validation part, {} runs of each search and seed; best found:\n", arguments.evaluations);
    let _ = writeln!(
        text,
        "{:<15}{:>10}{:>16}{:>11}{:>11}{:>15}",
        "", "mean cost", "hours/needed", "missed %", "changes/h", "front covered"
    );
    let row = |text: &mut String, name: &str, cost: f64, worth: [f64; 3], covered: Option<f64>| {
        let covered = covered.map_or_else(String::new, |covered| format!("{covered:.4}"));
        let [hours, missed, changes] = worth;
        let _ =
            writeln!(text, "{name:<15}{cost:>10.4}{hours:>16.3}{:>11.3}{changes:>11.2}{covered:>15}", 100.0 * missed);
    };
    let start = trial.worth(&trial.default_shares());
    row(&mut text, "as it comes", start.cost, start.objectives, None);
    for contender in &comparison.contenders {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let costs = || contender.found.iter().map(crate::scale::Found::best);
        let Some(best) = costs().min_by(|a, b| a.worth.cost.total_cmp(&b.worth.cost)) else { continue };
        let covered = Some(mean(&contender.hypervolumes));
        row(&mut text, contender.search.display_name(), mean(&contender.costs), best.worth.objectives, covered);
    }
    for verdict in comparison.verdicts().iter().filter(|verdict| !verdict.is_empty()) {
        let _ = writeln!(text, "{verdict}");
    }
    text.push_str("\nPareto front of all vectors tried:\n");
    let front = comparison.front();
    for tried in thinned(&front) {
        row(&mut text, "", tried.worth.cost, tried.worth.objectives, None);
    }
    text.push('\n');
    text
}

/// A dozen of a front, both ends included: the JSON has all.
fn thinned<'a>(front: &'a [&'a Tried]) -> impl Iterator<Item = &'a Tried> {
    const ROWS: usize = 12;
    let count = front.len().min(ROWS);
    (0..count).map(move |row| front[row * (front.len() - 1) / count.saturating_sub(1).max(1)])
}

fn figures(
    trial: &Trial<'_>,
    comparison: &Comparison,
    tested: &Bill,
    series: &Series,
    arguments: &ScaleTuneArgs,
) -> Value {
    let parameters = |shares: &[f64]| -> Value {
        let values = trial.parameters(shares);
        trial.entry.parameters.iter().zip(values).map(|(p, value)| (p.name.to_owned(), json!(value))).collect()
    };
    let point = |tried: &Tried| {
        let [hours, missed, changes] = tried.worth.objectives;
        json!({
            "replica_hours_over_needed": hours,
            "missed_share": missed,
            "changes_per_hour": changes,
            "parameters": parameters(&tried.shares),
        })
    };
    json!({
        "series": series.name,
        "cold_start_s": arguments.cold_start,
        "replica_capacity_per_s": arguments.replica_capacity,
        "missed_share_max": arguments.missed_max,
        "evaluations": arguments.evaluations,
        "searches": comparison.entries(),
        "verdicts": comparison.verdicts(),
        "best": point(comparison.best()),
        "front": comparison.front().into_iter().map(point).collect::<Vec<_>>(),
        "test": {
            "replica_hours": tested.replica_hours(),
            "replica_hours_over_needed": tested.replica_hours_over_needed(),
            "capacity_over_demand": tested.capacity_over_demand(),
            "missed_share": tested.missed_share(),
            "changes_per_hour": tested.changes_per_hour(),
        },
    })
}

fn summary(bill: &Bill) -> String {
    format!(
        "{:.1} replica-hours, {:.3} times those needed, {:.3} % missed",
        bill.replica_hours(),
        bill.replica_hours_over_needed(),
        100.0 * bill.missed_share()
    )
}

/// What a proxy publishes by. Its windows and tolerances stay with the scaler that reads it.
fn scale_model(trial: &Trial<'_>, shares: &[f64], arguments: &ScaleTuneArgs) -> ScaleModel {
    let parameters = trial.parameters(shares);
    let named = |name: &str| {
        let place = trial.entry.parameters.iter().position(|parameter| parameter.name == name);
        place.map_or(1.0, |place| parameters[place])
    };
    ScaleModel {
        replica_requests_per_s: arguments.replica_capacity as f32,
        lead_s: (named("lead_factor") * arguments.cold_start) as f32,
        quantile: named("quantile") as f32,
        headroom: named("headroom") as f32,
        trend: named("trend") as f32,
    }
}
