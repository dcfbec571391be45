//! `evenkeel tune`: the best parameters of each rule, on the validation part.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Result, ensure};
use clap::Args;
use evenkeel_datasets::{Split, Trace};
use evenkeel_env::Workload;
use evenkeel_env::policies::Entry;
use evenkeel_runtime::ServiceKind;

use crate::data;
use crate::evaluate::contender::tunable;
use crate::evaluate::options::{SettingArgs, count_up_to};
use crate::evaluate::preset;
use crate::evaluate::search::{SearchOptions, search, simulations};
use crate::evaluate::service_kind;
use crate::evaluate::setting::{Setting, settings};
use crate::evaluate::tuned::{Search, Tuned};
use crate::input::InputArgs;
use crate::progress::Stages;
use crate::report::number::{change, significant};
use crate::stop::StopFlag;

/// Seeds of a search's replays are counted from here; training and evaluation use others.
const FIRST_SEED: u64 = 2_000_003;

/// Arguments of `evenkeel tune`.
#[derive(Clone, Debug, Args)]
pub struct TuneArgs {
    /// Trace to tune on; repeatable. Only its training and validation parts are looked at.
    #[arg(long, value_name = "PATH", required = true)]
    pub trace: Vec<PathBuf>,
    /// How to read the traces.
    #[command(flatten)]
    pub input: InputArgs,
    /// Policies to tune, by name, or `all` that have parameters.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "all")]
    pub policies: Vec<String>,
    /// Candidates tried for each policy, its published defaults among them; each is
    /// replayed in every setting with every seed.
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = parse_budget)]
    pub budget: usize,
    /// What the candidates are replayed in [default loads: 0.5,0.7,0.9].
    #[command(flatten)]
    pub settings: SettingArgs,
    /// Replays of each candidate in each setting.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub seeds: u64,
    /// Seed of the search and of the replays.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// File for the best parameters.
    #[arg(long, value_name = "PATH", default_value = "tuned.json")]
    pub out: PathBuf,
}

fn parse_budget(text: &str) -> Result<usize, String> {
    count_up_to(text, 100_000)
}

/// Searches, prints what was found, and writes it.
///
/// # Errors
/// If a trace cannot be read, a policy is unknown, the file cannot be written, or the user
/// stopped the search.
pub fn run(arguments: &TuneArgs) -> Result<()> {
    let stop = StopFlag::on_interrupt()?;
    let entries = tunable(&arguments.policies)?;
    let traces = read(&arguments.trace, &arguments.input)?;
    let kind = match arguments.settings.service {
        Some(service) => service.into(),
        None => service_kind(&traces.iter().map(Trace::has_tokens).collect::<Vec<_>>())?,
    };
    check_tokens(&traces, kind)?;
    check_writable(&arguments.out)?;
    let effort = Effort { budget: arguments.budget, seeds: arguments.seeds, seed: arguments.seed };
    let settings = validation_settings(&traces, &arguments.settings, kind)?;
    let tuned = tune(&entries, &settings, &effort, &mut Stages::default(), &stop)?;
    tuned.write(&arguments.out)?;
    println!("{}\n{}: parameters for `evenkeel eval --tuned`", table(&tuned), arguments.out.display());
    Ok(())
}

/// How thoroughly to search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Candidates for each policy.
    pub(super) budget: usize,
    /// Replays of a candidate in each setting.
    pub(super) seeds: u64,
    /// Seed of the search.
    pub(super) seed: u64,
}

/// Reads traces whole; the split is made where it is used.
pub(super) fn read(paths: &[PathBuf], input: &InputArgs) -> Result<Vec<Trace>> {
    let read_one = |path: &PathBuf| {
        let trace = evenkeel_datasets::load_trace(path, input.format, &data::options(input, 0)?)?;
        check_parts(path, &trace)?;
        Ok(trace)
    };
    paths.iter().map(read_one).collect()
}

/// Hosts of language models need to be told how long prompts and outputs are.
pub(super) fn check_tokens(traces: &[Trace], kind: ServiceKind) -> Result<()> {
    for trace in traces {
        ensure!(
            kind == ServiceKind::Fifo || trace.has_tokens(),
            "trace {}: no request has token counts, which a language model needs; use --service fifo with a model \
             for it, or another trace",
            trace.name
        );
    }
    Ok(())
}

/// Hours of replays should not end at a folder that is not there.
pub(super) fn check_writable(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(folder.is_dir(), "cannot write {}: there is no folder {}", path.display(), folder.display());
    Ok(())
}

fn check_parts(path: &Path, trace: &Trace) -> Result<()> {
    let parts = trace.split(&Split::default());
    for (part, what) in parts.iter().zip(["training", "validation", "test"]) {
        ensure!(
            !part.requests.is_empty(),
            "{}: no request falls into the {what} part of its time span; use a longer trace",
            path.display()
        );
    }
    Ok(())
}

/// The settings to search in: the validation parts, with sizes known from the training parts.
pub(super) fn validation_settings(
    traces: &[Trace],
    arguments: &SettingArgs,
    kind: ServiceKind,
) -> Result<Vec<Setting>> {
    let workloads = traces.iter().map(|trace| {
        let [train, validation, _] = trace.split(&Split::default());
        Workload::new(validation, &train)
    });
    settings(&preset::tuning(arguments), arguments, kind, &workloads.collect::<Vec<_>>())
}

/// Searches in these settings, with a progress bar.
pub(super) fn tune(
    entries: &[&'static Entry],
    settings: &[Setting],
    effort: &Effort,
    stages: &mut Stages,
    stop: &StopFlag,
) -> Result<Tuned> {
    let first = FIRST_SEED + effort.seed;
    let options = SearchOptions { budget: effort.budget, seeds: first..first + effort.seeds, seed: effort.seed };
    let stage = stages.begin("tune", entries.len() * simulations(settings, &options) as usize);
    let done = AtomicUsize::new(0);
    let on_run = || stage.at(1 + done.fetch_add(1, Relaxed));
    let policies = search(entries, settings, &options, stop, &on_run)?;
    stage.done(&format!(
        "{} policies, {} candidates each, {} settings of the validation part, {} seeds",
        entries.len(),
        effort.budget,
        settings.len(),
        effort.seeds
    ));
    Ok(Tuned { search: Search::new(settings, effort.budget, effort.seeds, effort.seed), policies })
}

/// What was found, at most 80 columns wide.
fn table(tuned: &Tuned) -> String {
    let mut text = format!("{:<24} {:>8}  parameters (latency against the defaults)\n", "policy", "change");
    for policy in &tuned.policies {
        let gained = (policy.objective - policy.objective_default).exp() - 1.0;
        let mut line = format!("{:<24} {:>8} ", policy.policy, change(gained));
        for (name, value) in &policy.parameters {
            let item = format!(" {name} {}", significant(*value));
            if line.chars().count() + item.chars().count() > 80 {
                let _ = writeln!(text, "{line}");
                line = " ".repeat(34);
            }
            line.push_str(&item);
        }
        let _ = writeln!(text, "{line}");
    }
    text
}
