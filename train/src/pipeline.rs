//! `evenkeel train`, top to bottom: data, forecast, policy, export, evaluation, report.

mod arguments;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::prelude::Device;
use evenkeel_datasets::Trace;
use evenkeel_env::Workload;
use evenkeel_env::fleet::Fleet;
use evenkeel_env::host::ServiceOptions;
use serde::{Deserialize, Serialize};

use crate::data::{self, Data};
use crate::device;
use crate::evaluate::{EvaluateOptions, Parts, evaluate, service_kind};
use crate::export::{self, FORECAST_ONNX, POLICY_ONNX};
use crate::forecast::{self, TrainedForecaster};
use crate::input::InputArgs;
use crate::metrics::{Curve, Metrics, PolicyStage, Run};
use crate::output::{RUN, RunFolder};
use crate::policy;
use crate::policy::network::{PolicyNetwork, PolicyWeights};
use crate::policy::objective::RewardWeights;
use crate::policy::task::{Means, Task};
use crate::policy::train::{FineTune, PolicyOptions};
use crate::progress::Stages;
use crate::stop::{StopFlag, Stopped};
use crate::{report, table};

pub use arguments::TrainArgs;

/// The options of a run that a resumed one takes over.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct RunOptions {
    trace: Vec<PathBuf>,
    series: Vec<PathBuf>,
    #[serde(default)]
    synthetic: bool,
    #[serde(default)]
    fleet: Option<PathBuf>,
    #[serde(default)]
    service_model: Option<PathBuf>,
    input: InputArgs,
    seed: u64,
    quick: bool,
    from: Option<PathBuf>,
    fine_tune: FineTune,
    reward: RewardWeights,
    /// Whether `artifacts/latest` points to the run once it is finished.
    #[serde(default)]
    is_default_folder: bool,
}

/// Runs the whole pipeline.
pub fn run(arguments: &TrainArgs) -> Result<()> {
    let stop = StopFlag::on_interrupt()?;
    let (folder, options) = open(arguments)?;
    let result = train(&folder, &options, arguments, &stop);
    if let Err(error) = &result
        && error.is::<Stopped>()
    {
        eprintln!("stopped; go on with: evenkeel train --resume {}", folder.path().display());
    }
    result
}

fn open(arguments: &TrainArgs) -> Result<(RunFolder, RunOptions)> {
    if let Some(path) = &arguments.resume {
        let folder = RunFolder::resume(path)?;
        let options = folder.load(RUN)?.with_context(|| format!("{} holds no run", path.display()))?;
        return Ok((folder, options));
    }
    if let Some(path) = &arguments.from {
        // A file without a policy is noticed before anything is learned.
        policy::embedded::read(path)?;
    }
    let folder = RunFolder::create(arguments.out.as_deref())?;
    let options = RunOptions {
        trace: arguments.trace.clone(),
        series: arguments.series.clone(),
        synthetic: arguments.synthetic,
        fleet: arguments.fleet.clone(),
        service_model: arguments.service_model.clone(),
        input: arguments.input.clone(),
        seed: arguments.seed,
        quick: arguments.quick,
        from: arguments.from.clone(),
        fine_tune: arguments.fine_tune,
        reward: arguments.reward,
        is_default_folder: arguments.out.is_none(),
    };
    folder.save(RUN, &options)?;
    Ok((folder, options))
}

fn train(folder: &RunFolder, options: &RunOptions, arguments: &TrainArgs, stop: &StopFlag) -> Result<()> {
    let mut stages = Stages::default();
    let device = device::choose(arguments.device)?;
    eprintln!("device     {device}");

    let stage = stages.begin("data", 0);
    let data = data::load(&options.trace, &options.series, options.synthetic, &options.input, options.seed)?;
    stage.done(&data.notes.join("\n           "));

    let fleet = Replay::new(&data, options.service_model.as_deref())?;
    let service = fleet.training[0].service_model(&fleet.service);
    let start = match &options.from {
        Some(path) => Some(policy::embedded::read(path)?.for_kind(path, service.kind())?),
        None => None,
    };
    let forecaster = train_forecaster(folder, options, &data, &device.device, stop, &mut stages)?;

    let own_fleet = options.fleet.as_deref().map(Fleet::read).transpose().context("--fleet")?;
    let stage = stages.begin("policy", 0);
    let task = Task {
        folder,
        training: &fleet.training,
        validation: &fleet.validation,
        hosts: fleet.service,
        fleet: own_fleet.as_ref(),
        service: &service,
        means: Means::ALL,
    };
    let trained = policy::train::train(
        &task,
        &policy_options(options),
        start.as_ref(),
        options.seed,
        &device.device,
        stop,
        &stage,
    )?;
    stage.done(&describe(&trained.fine_tuned.stages));

    let stage = stages.begin("export", 0);
    let service = task.served(&trained.fine_tuned.weights);
    let metadata = metadata(options, &data, device.name, &trained.fine_tuned.weights);
    policy::export::onnx(&trained.fine_tuned.weights, &[("producer", "evenkeel")])?.write(folder.file(POLICY_ONNX))?;
    if let Some(forecaster) = &forecaster {
        forecaster.onnx()?.write(folder.file(FORECAST_ONNX))?;
    }
    let calibration = forecaster.as_ref().map(|forecaster| forecaster.calibration.encode());
    let predict = forecaster
        .as_ref()
        .map(|forecaster| move |features: &[f32], rows: usize| forecaster.predict_rows(features, rows));
    let forecast = calibration
        .as_ref()
        .zip(predict.as_ref())
        .map(|(calibration, network)| export::ForecastParts { calibration, network });
    let network = PolicyNetwork::from_weights(&trained.fine_tuned.weights, &device.device);
    let (artifact, parity) = export::compile_and_verify(
        folder,
        &service,
        trained.fine_tuned.weights.guard(),
        &metadata,
        &|features, rows| network.score_rows(features, rows),
        forecast,
        options.seed,
    )?;
    let worst = parity.iter().map(crate::metrics::ParityResult::worst).fold(0.0, f64::max);
    stage.done(&format!("{} bytes; burn, tract and the runtime differ by at most {worst:.1e}", artifact.len()));

    let length = if options.quick { EvaluateOptions::quick() } else { EvaluateOptions::full() };
    let evaluation =
        EvaluateOptions { fleet: options.fleet.clone(), service_model: options.service_model.clone(), ..length };
    let stage = stages.begin("evaluate", evaluation.runs(fleet.test.len()));
    let done = std::sync::atomic::AtomicUsize::new(0);
    let on_run = || stage.at(1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let parts = Parts { validation: &fleet.validation, test: &fleet.test };
    let policies = evaluate(parts, fleet.service, &artifact, &evaluation, options.seed, stop, &on_run)?;
    let forecasts =
        if forecaster.is_some() { forecast::evaluate(&artifact, &data.series, &data.split)? } else { Vec::new() };
    stage.done("on the test split, which nothing was trained or tuned on");

    let metrics = Metrics {
        run: run_of(options, &data, device.to_string(), &evaluation),
        policies,
        forecasts,
        curves: std::iter::once(("policy", trained.curve))
            .chain(forecaster.map(|forecaster| ("forecast", forecaster.curve)))
            .map(|(network, points)| Curve { network: network.to_owned(), points })
            .collect(),
        policy_stages: trained.fine_tuned.stages,
        fine_tuning: trained.fine_tuned.points,
        parity,
        stages: stages.times().to_vec(),
    };
    folder.write("metrics.json", serde_json::to_vec_pretty(&metrics)?)?;
    folder.write("report.html", report::render(&metrics))?;
    if options.is_default_folder {
        folder.point_latest_here()?;
    }
    println!("{}", table::policies(&metrics.policies));
    match &metrics.run.no_forecaster {
        Some(reason) => println!("No forecaster: {reason}.\n"),
        None => println!("{}", table::forecasts(&metrics.forecasts)),
    }
    println!("{}", files(folder));
    Ok(())
}

/// How long the policy is trained, and on what it is fine-tuned.
fn policy_options(options: &RunOptions) -> PolicyOptions {
    let length = match (options.quick, &options.from) {
        (true, _) => PolicyOptions::QUICK,
        (false, Some(_)) => PolicyOptions::SPECIALISE,
        (false, None) => PolicyOptions::FULL,
    };
    PolicyOptions { fine_tune: options.fine_tune, reward: options.reward, ..length }
}

/// Circumstances of the run, for the report.
fn run_of(options: &RunOptions, data: &Data, device: String, evaluation: &EvaluateOptions) -> Run {
    Run {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        seed: options.seed,
        device,
        quick: options.quick,
        traces: data.traces.iter().map(|trace| trace.name.clone()).collect(),
        series: data.series.iter().map(|series| series.name.clone()).collect(),
        split: [data.split.train, data.split.validation, 1.0 - data.split.train - data.split.validation],
        scenario: evaluation.describe(),
        evaluation_seeds: evaluation.seeds as usize,
        no_forecaster: data.no_forecaster(),
    }
}

/// Trains a forecaster if there is demand to learn from.
fn train_forecaster(
    folder: &RunFolder,
    options: &RunOptions,
    data: &Data,
    device: &Device,
    stop: &StopFlag,
    stages: &mut Stages,
) -> Result<Option<TrainedForecaster>> {
    if data.series.is_empty() {
        return Ok(None);
    }
    let length = if options.quick { forecast::Options::QUICK } else { forecast::Options::FULL };
    let stage = stages.begin("forecast", 0);
    let forecaster = forecast::train(folder, &data.series, &data.split, &length, options.seed, device, stop, &stage)?;
    stage.done(&forecaster.describe());
    Ok(Some(forecaster))
}

/// The traces in the form in which the simulator replays them.
struct Replay {
    service: ServiceOptions,
    training: Vec<Workload>,
    validation: Vec<Workload>,
    test: Vec<Workload>,
}

impl Replay {
    fn new(data: &Data, service_model: Option<&Path>) -> Result<Self> {
        let tokens: Vec<bool> = data.traces.iter().map(Trace::has_tokens).collect();
        let service = data::host_model(service_kind(&tokens)?, service_model)?;
        let splits: Vec<[Trace; 3]> = data.traces.iter().map(|trace| trace.split(&data.split)).collect();
        for [train, validation, test] in &splits {
            for (part, what) in [(train, "training"), (validation, "validation"), (test, "test")] {
                anyhow::ensure!(
                    !part.requests.is_empty(),
                    "trace {}: no request falls into the {what} part of its time span; use a longer trace",
                    part.name
                );
            }
        }
        // All that is known of sizes comes from the training part of all traces together.
        let mut known = splits[0][0].clone();
        for [train, ..] in &splits[1..] {
            known.requests.extend_from_slice(&train.requests);
        }
        let part = |index: usize| splits.iter().map(|split| Workload::new(split[index].clone(), &known)).collect();
        Ok(Self { service, training: part(0), validation: part(1), test: part(2) })
    }
}

fn metadata(options: &RunOptions, data: &Data, device: &str, policy: &PolicyWeights) -> String {
    serde_json::json!({
        "made_by": format!("evenkeel train {}", env!("CARGO_PKG_VERSION")),
        "seed": options.seed,
        "quick": options.quick,
        "device": device,
        "from": options.from,
        "traces": data.traces.iter().map(|trace| &trace.name).collect::<Vec<_>>(),
        "series": data.series.iter().map(|series| &series.name).collect::<Vec<_>>(),
        policy::embedded::KEY: policy::embedded::encode(policy),
    })
    .to_string()
}

/// What each stage of the policy's training came to.
fn describe(stages: &[PolicyStage]) -> String {
    let stages = stages.iter().map(|stage| {
        let [low, high] = stage.gain.ci95.map(|gain| 100.0 * gain);
        format!("{} {:.1} % ({low:.1} to {high:.1})", stage.stage, 100.0 * stage.gain.value)
    });
    format!("better than EXT on validation by: {}", stages.collect::<Vec<_>>().join(", "))
}

fn files(folder: &RunFolder) -> String {
    let mut text = format!("{}:\n", folder.path().display());
    for (name, what) in [
        (export::ARTIFACT, "the artifact for NGINX, Envoy and C"),
        (POLICY_ONNX, "the balancing policy"),
        (FORECAST_ONNX, "the demand forecaster"),
        ("metrics.json", "every figure"),
        ("report.html", "the report, to open in a browser"),
    ] {
        if folder.file(name).is_file() {
            let _ = writeln!(text, "  {name:<14} {what}");
        }
    }
    text
}
