//! `evenkeel eval`: an artifact's policy against the rules, over the benchmark's settings.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Context, Result, ensure};
use clap::Args;
use evenkeel_datasets::{Split, Trace};
use evenkeel_env::Workload;
use evenkeel_runtime::{Model, ServiceKind};

use super::tune;
use crate::evaluate::contender::{contenders, tunable};
use crate::evaluate::entry::Entry;
use crate::evaluate::options::{Preset, SettingArgs};
use crate::evaluate::outcome::Benchmark;
use crate::evaluate::preset::{self, Effort};
use crate::evaluate::replay::replay_all;
use crate::evaluate::setting::settings;
use crate::evaluate::tuned::{Search, Tuned};
use crate::input::InputArgs;
use crate::output::write_whole;
use crate::progress::Stages;
use crate::stop::StopFlag;
use crate::{report, table};

/// Seed of the first replay; training and tuning use others.
const FIRST_SEED: u64 = 1_000_003;
/// Replays of each candidate in each setting, where rules are tuned first.
const TUNING_SEEDS: u64 = 2;
/// Seed of that search.
const TUNING_SEED: u64 = 1;

/// Arguments of `evenkeel eval`.
#[derive(Clone, Debug, Args)]
pub struct EvalArgs {
    /// The artifact; its policy is called `evenkeel` in the results.
    #[arg(long, value_name = "FILE.ekm")]
    pub model: PathBuf,
    /// Trace to replay; repeatable. Its test part is used, as `train` splits it.
    #[arg(long, value_name = "PATH", required = true)]
    pub trace: Vec<PathBuf>,
    /// How to read the traces.
    #[command(flatten)]
    pub input: InputArgs,
    /// Policies to compare, by name, or `all`.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "all")]
    pub policies: Vec<String>,
    /// A prepared set of settings; options given beside it replace its values.
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,
    /// What is replayed.
    #[command(flatten)]
    pub settings: SettingArgs,
    /// Replays of each setting, with different seeds [default: 6].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: Option<u64>,
    /// Parameters of the rules, as `evenkeel tune` writes them.
    #[arg(long, value_name = "FILE", conflicts_with = "tune")]
    pub tuned: Option<PathBuf>,
    /// Tune the rules first, on the validation part, with so many candidates for each; 0
    /// leaves them at their published defaults [default: 0; standard 24, full 96].
    #[arg(long, value_name = "BUDGET")]
    pub tune: Option<usize>,
    /// Write every figure to this file, as JSON.
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
    /// Write a page with tables and charts to this file.
    #[arg(long, value_name = "PATH.html")]
    pub report: Option<PathBuf>,
}

/// Replays, prints tables, and writes the JSON and the report.
///
/// # Errors
/// If a file cannot be read or written, an option names nothing that exists, or the user
/// stopped the replays.
pub fn run(arguments: &EvalArgs) -> Result<()> {
    let stop = StopFlag::on_interrupt()?;
    let artifact = fs::read(&arguments.model).with_context(|| format!("cannot read {}", arguments.model.display()))?;
    let model = Model::parse(&artifact).with_context(|| arguments.model.display().to_string())?;
    ensure!(model.policy().is_some(), "{}: the artifact has no policy", arguments.model.display());
    let kind = service(arguments, &model)?;
    contenders(&arguments.policies, None)?;
    arguments.json.iter().chain(&arguments.report).try_for_each(|path| tune::check_writable(path))?;

    let traces = tune::read(&arguments.trace, &arguments.input)?;
    tune::check_tokens(&traces, kind)?;
    let effort = preset::effort(arguments.preset);
    let setting_arguments = SettingArgs {
        requests: Some(arguments.settings.requests.unwrap_or(effort.requests)),
        ..arguments.settings.clone()
    };
    let workloads: Vec<Workload> = traces.iter().map(test_part).collect();
    let studies = preset::evaluation(arguments.preset, &arguments.settings);
    let settings = settings(&studies, &setting_arguments, kind, &workloads)?;

    let mut stages = Stages::default();
    let tuned = tuned(arguments, &effort, &setting_arguments, &traces, kind, &mut stages, &stop)?;
    let contenders = contenders(&arguments.policies, tuned.as_ref())?;
    let seeds = arguments.seeds.unwrap_or(effort.seeds);

    let stage = stages.begin("eval", settings.len() * contenders.len() * seeds as usize);
    let done = AtomicUsize::new(0);
    let on_run = || stage.at(1 + done.fetch_add(1, Relaxed));
    let runs = replay_all(&settings, &contenders, Some(&model), &(FIRST_SEED..FIRST_SEED + seeds), &stop, &on_run)?;
    stage.done(&format!("{} settings, {} policies, {seeds} seeds", settings.len(), contenders.len()));

    let benchmark = Benchmark::new(settings, contenders, runs);
    if let Some(path) = &arguments.json {
        let entries: Vec<&Entry> = benchmark.entries().collect();
        write_whole(path, &serde_json::to_vec_pretty(&entries)?)?;
    }
    if let Some(path) = &arguments.report {
        let page = report::benchmark::render(&benchmark, &arguments.model.display().to_string(), tuned.as_ref());
        write_whole(path, page.as_bytes())?;
    }
    print!("{}", table::benchmark(&benchmark));
    Ok(())
}

/// What the hosts run: a policy is of no use for another service.
fn service(arguments: &EvalArgs, model: &Model<'_>) -> Result<ServiceKind> {
    let name = |kind| if kind == ServiceKind::Llm { "llm" } else { "fifo" };
    let own = model.service().kind();
    let asked = arguments.settings.service.map_or(own, ServiceKind::from);
    ensure!(
        asked == own,
        "--service {}: {} serves {}; give a model that was trained for the other kind of service",
        name(asked),
        arguments.model.display(),
        name(own)
    );
    Ok(asked)
}

fn test_part(trace: &Trace) -> Workload {
    let [train, _, test] = trace.split(&Split::default());
    Workload::new(test, &train)
}

/// Tuned parameters: from a file, from an earlier run with the same search, or searched for
/// now.
fn tuned(
    arguments: &EvalArgs,
    effort: &Effort,
    settings: &SettingArgs,
    traces: &[Trace],
    kind: ServiceKind,
    stages: &mut Stages,
    stop: &StopFlag,
) -> Result<Option<Tuned>> {
    if let Some(path) = &arguments.tuned {
        let tuned = Tuned::read(path)?;
        if let Some(difference) = tuned.search.differs_from(traces) {
            eprintln!(
                "note: --tuned {}: {difference}; its rules are not at their best here, `evenkeel tune` searches anew",
                path.display()
            );
        }
        return Ok(Some(tuned));
    }
    let budget = arguments.tune.unwrap_or(effort.tuning_budget);
    if budget == 0 {
        return Ok(None);
    }
    // Once for all settings: the reference, whatever else is varied.
    let reference = SettingArgs {
        service: settings.service,
        requests: settings.requests,
        timeout_s: settings.timeout_s,
        ..SettingArgs::default()
    };
    let (seeds, seed) = (TUNING_SEEDS, TUNING_SEED);
    let places = tune::validation_settings(traces, &reference, kind)?;
    let cache = arguments.json.as_deref().map(cache_path);
    if let Some(path) = cache.as_deref()
        && let Some(known) = cached(path, &Search::new(&places, budget, seeds, seed))
    {
        eprintln!("{:<10} as before, from {}", "tune", path.display());
        return Ok(Some(known));
    }
    let entries = tunable(&["all".to_owned()])?;
    let tuned = tune::tune(&entries, &places, &tune::Effort { budget, seeds, seed }, stages, stop)?;
    if let Some(path) = cache {
        tuned.write(&path)?;
    }
    Ok(Some(tuned))
}

/// Beside the JSON: `results.json` has `results.tuned.json`.
fn cache_path(json: &Path) -> PathBuf {
    json.with_extension("tuned.json")
}

/// What an earlier run found, if it searched in the same way. A file of any other contents is
/// made anew.
fn cached(path: &Path, search: &Search) -> Option<Tuned> {
    let known = Tuned::read(path).ok()?;
    let entries = tunable(&["all".to_owned()]).ok()?;
    let is_whole = entries.iter().all(|entry| known.parameters(entry).is_some());
    (is_whole && known.search == *search).then_some(known)
}
