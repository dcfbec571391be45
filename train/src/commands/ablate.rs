//! `evenkeel ablate`: what each part of the policy and of its training is worth.
//!
//! Every variant is trained afresh with each of several seeds, and all replay the same
//! settings as the tables of the benchmark do: 16 hosts of three speeds with antagonists,
//! 4 balancers, telemetry every 250 ms, piggybacked and probed, on the test split.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use burn::prelude::Device;
use clap::{Args, ValueEnum};
use evenkeel_datasets::{Split, load_trace};
use evenkeel_env::life::LifeKind;
use evenkeel_env::metrics::{Metrics, MetricsOptions, estimate};
use evenkeel_env::policies::{Ext, Learned};
use evenkeel_env::{Policy, Workload, simulate};
use evenkeel_runtime::Model;
use rayon::prelude::*;
use serde::Serialize;

use crate::data;
use crate::evaluate::service_kind;
use crate::input::InputArgs;
use crate::metrics::Estimate;
use crate::output::{RunFolder, write_whole};
use crate::policy::network::PolicyWeights;
use crate::policy::task::{Means, Task};
use crate::policy::train::{FineTune, PolicyOptions, train};
use crate::progress::Stages;
use crate::stop::StopFlag;

/// Arguments of `evenkeel ablate`.
#[derive(Clone, Debug, Args)]
pub struct AblateArgs {
    /// Trace to train on and to replay.
    #[arg(long, value_name = "PATH")]
    pub trace: PathBuf,
    /// How to read it.
    #[command(flatten)]
    pub input: InputArgs,
    /// Variants to train.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Variant::ALL)]
    pub variants: Vec<Variant>,
    /// Trainings of each variant, with different seeds.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub seeds: u64,
    /// Offered loads.
    #[arg(long, value_delimiter = ',', default_value = "0.7,0.8,0.9")]
    pub loads: Vec<f64>,
    /// Replay each kind of what happens to real fleets, too, in columns of their own.
    #[arg(long)]
    pub life: bool,
    /// Replays of each trained policy at each load.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub replays: u64,
    /// Train briefly: to see that it works.
    #[arg(long)]
    pub quick: bool,
    /// Write every figure to this file, as JSON.
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
}

/// One way to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// No network: the analytic rule alone.
    NoResidual,
    /// Imitation of the oracle, without fine-tuning.
    Imitation,
    /// Imitation, then PPO.
    Ppo,
    /// Imitation, then evolution strategies.
    Es,
    /// As `es`, without the graph context.
    NoContext,
    /// As `es`, without probes in training and replay.
    NoProbes,
    /// As `es`, without any report of the hosts.
    NoTelemetry,
    /// As `es`, trained in settings in which nothing happens but load, antagonists and crashes.
    NoLife,
}

impl Variant {
    const ALL: [Self; 8] = [
        Self::NoResidual,
        Self::Imitation,
        Self::Ppo,
        Self::Es,
        Self::NoContext,
        Self::NoProbes,
        Self::NoTelemetry,
        Self::NoLife,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::NoResidual => "no-residual",
            Self::Imitation => "imitation",
            Self::Ppo => "ppo",
            Self::Es => "es",
            Self::NoContext => "no-context",
            Self::NoProbes => "no-probes",
            Self::NoTelemetry => "no-telemetry",
            Self::NoLife => "no-life",
        }
    }

    fn means(self) -> Means {
        match self {
            Self::NoContext => Means { context: false, ..Means::ALL },
            Self::NoProbes => Means { probes: false, ..Means::ALL },
            Self::NoTelemetry => Means { telemetry: false, ..Means::ALL },
            Self::NoLife => Means { life: false, ..Means::ALL },
            _ => Means::ALL,
        }
    }

    fn fine_tune(self) -> FineTune {
        match self {
            Self::NoResidual | Self::Imitation => FineTune::None,
            Self::Ppo => FineTune::Ppo,
            Self::Es | Self::NoContext | Self::NoProbes | Self::NoTelemetry | Self::NoLife => FineTune::Es,
        }
    }
}

/// A variant's figures on the test split: mean over the loads and replays, with intervals
/// over the training seeds.
#[derive(Clone, Debug, Serialize)]
struct Row {
    variant: Variant,
    training_seeds: u64,
    latency_mean_s: Estimate,
    latency_p99_s: Estimate,
    ttft_mean_s: Estimate,
    ttft_p99_s: Estimate,
    /// The four figures of each training, seed by seed: equal seeds of two variants draw the
    /// same scenarios.
    per_seed: Vec<Figures>,
    /// The same in the life of real fleets, over its kinds; without `--life` none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    life_per_seed: Vec<Figures>,
}

/// Trains, replays, and prints the table.
pub fn run(arguments: &AblateArgs) -> Result<()> {
    let stop = StopFlag::on_interrupt()?;
    let trace = load_trace(&arguments.trace, arguments.input.format, &data::options(&arguments.input, 1)?)?;
    let hosts = data::host_model(service_kind(&[trace.has_tokens()])?, None)?;
    let [training, validation, test] = trace.split(&Split::default());
    for (part, what) in [(&training, "training"), (&validation, "validation"), (&test, "test")] {
        ensure!(!part.requests.is_empty(), "{}: no request falls into the {what} part", arguments.trace.display());
    }
    let test = Workload::new(test, &training);
    let (training, validation) = ([Workload::new(training.clone(), &training)], [Workload::new(validation, &training)]);
    let service = training[0].service_model(&hosts);
    let length = if arguments.quick { PolicyOptions::QUICK } else { PolicyOptions::FULL };

    let has_think_times = test.trace().requests.iter().any(|request| request.think_s.is_finite());
    let kinds: Vec<Option<LifeKind>> =
        LifeKind::ALL.into_iter().filter(|kind| has_think_times || *kind != LifeKind::ClosedLoop).map(Some).collect();
    let mut stages = Stages::default();
    let mut rows = Vec::new();
    for &variant in &arguments.variants {
        let stage = stages.begin(variant.name(), 0);
        let (mut figures, mut in_life) = (Vec::new(), Vec::new());
        for seed in 1..=arguments.seeds {
            let scratch = tempfile::tempdir().context("cannot create a folder for checkpoints")?;
            let folder = RunFolder::create(Some(scratch.path()))?;
            let task = Task {
                folder: &folder,
                training: &training,
                validation: &validation,
                hosts,
                fleet: None,
                service: &service,
                means: variant.means(),
            };
            let options = PolicyOptions { fine_tune: variant.fine_tune(), ..length };
            let artifact = if variant == Variant::NoResidual {
                None
            } else {
                let trained = train(&task, &options, None, seed, &Device::flex(), &stop, &stage)?;
                let weights: PolicyWeights = trained.fine_tuned.weights;
                Some(task.compile(&weights, "policy")?)
            };
            let replay =
                |kinds: &[Option<LifeKind>]| replay(&task, &test, artifact.as_deref(), kinds, arguments, &stop);
            figures.push(replay(&[None])?);
            if arguments.life {
                in_life.push(replay(&kinds)?);
            }
            stage.at(seed as usize);
        }
        let over = |figure: fn(&Figures) -> f64| over_seeds(&figures.iter().map(figure).collect::<Vec<_>>());
        rows.push(Row {
            variant,
            training_seeds: arguments.seeds,
            latency_mean_s: over(|figures| figures[0]),
            latency_p99_s: over(|figures| figures[1]),
            ttft_mean_s: over(|figures| figures[2]),
            ttft_p99_s: over(|figures| figures[3]),
            per_seed: figures,
            life_per_seed: in_life,
        });
        stage.done(&format!("{} trainings", arguments.seeds));
    }
    println!("{}", table(&rows));
    if let Some(path) = &arguments.json {
        write_whole(path, &serde_json::to_vec_pretty(&rows)?)?;
    }
    Ok(())
}

/// Latency mean and p99, TTFT mean and p99, in seconds.
type Figures = [f64; 4];

/// Means over kinds of life, loads and replays. Without an artifact, of the analytic rule.
fn replay(
    task: &Task<'_>,
    test: &Workload,
    artifact: Option<&[u8]>,
    kinds: &[Option<LifeKind>],
    arguments: &AblateArgs,
    stop: &StopFlag,
) -> Result<Figures> {
    /// Seed of the first replay; training uses others.
    const FIRST_SEED: u64 = 1_000_003;
    const REQUESTS: usize = 12_000;
    let model = artifact.map(Model::parse).transpose()?;
    let mut runs = Vec::new();
    for kind in kinds {
        for load in &arguments.loads {
            runs.extend((0..arguments.replays).map(|index| (*kind, *load, index)));
        }
    }
    let figures = |(kind, load, index): &(Option<LifeKind>, f64, u64)| {
        stop.check()?;
        let plain = task.standard_scenario(*load, REQUESTS);
        let scenario = match kind {
            Some(kind) => kind.applied_to(plain, test),
            None => plain,
        };
        let mut policy: Box<dyn Policy + '_> = match model {
            Some(model) => Box::new(Learned::new(model)),
            None => Box::new(Ext::default()),
        };
        let outcome = simulate(&scenario, test, policy.as_mut(), FIRST_SEED + index);
        let metrics = Metrics::of(&outcome, &MetricsOptions::default());
        Ok([metrics.latency_mean_s, metrics.latency_p99_s, metrics.ttft_mean_s, metrics.ttft_p99_s])
    };
    let all = runs.par_iter().map(figures).collect::<Result<Vec<Figures>>>()?;
    Ok([0, 1, 2, 3].map(|figure| all.iter().map(|run| run[figure]).sum::<f64>() / all.len() as f64))
}

fn over_seeds(values: &[f64]) -> Estimate {
    let mean = estimate(values);
    Estimate { value: mean.value, ci95: [mean.low, mean.high] }
}

fn table(rows: &[Row]) -> String {
    let is_life = rows.iter().any(|row| !row.life_per_seed.is_empty());
    let mut heads = vec!["mean s", "p99 s", "TTFT s", "TTFT p99 s"];
    if is_life {
        heads.extend(["life: mean s", "life: p99 s"]);
    }
    let mut text = format!("{:<14}", "variant");
    for head in heads {
        let _ = write!(text, "{head:>22}");
    }
    text.push('\n');
    let cell = |estimate: &Estimate| {
        let half = 0.5 * (estimate.ci95[1] - estimate.ci95[0]);
        if half.is_finite() { format!("{:.3} ± {half:.3}", estimate.value) } else { format!("{:.3}", estimate.value) }
    };
    for row in rows {
        let life =
            [0, 1].map(|figure| over_seeds(&row.life_per_seed.iter().map(|run| run[figure]).collect::<Vec<_>>()));
        let mut cells = vec![&row.latency_mean_s, &row.latency_p99_s, &row.ttft_mean_s, &row.ttft_p99_s];
        if is_life {
            cells.extend(&life);
        }
        let _ = write!(text, "{:<14}", row.variant.name());
        for estimate in cells {
            let _ = write!(text, "{:>22}", cell(estimate));
        }
        text.push('\n');
    }
    text
}
