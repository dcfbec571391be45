//! `evenkeel train`, top to bottom: data, forecast, policy, export, evaluation, report.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use evenkeel_datasets::Trace;
use evenkeel_env::Workload;
use evenkeel_env::fleet::Fleet;
use evenkeel_env::host::ServiceOptions;
use serde::{Deserialize, Serialize};

use crate::cli::{InputArgs, TrainArgs};
use crate::data::{self, Data};
use crate::device;
use crate::evaluate::{EvaluateOptions, evaluate, service_kind};
use crate::export::{self, FORECAST_ONNX, POLICY_ONNX};
use crate::forecast;
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

    let forecast_options = if options.quick { forecast::Options::QUICK } else { forecast::Options::FULL };
    let stage = stages.begin("forecast", 0);
    let forecaster = forecast::train(
        folder,
        &data.series,
        &data.split,
        &forecast_options,
        options.seed,
        &device.device,
        stop,
        &stage,
    )?;
    stage.done(&forecaster.describe());

    let fleet = Replay::new(&data, options.service_model.as_deref())?;
    let own_fleet = options.fleet.as_deref().map(Fleet::read).transpose().context("--fleet")?;
    let length = match (options.quick, &options.from) {
        (true, _) => PolicyOptions::QUICK,
        (false, Some(_)) => PolicyOptions::SPECIALISE,
        (false, None) => PolicyOptions::FULL,
    };
    let policy_options = PolicyOptions { fine_tune: options.fine_tune, reward: options.reward, ..length };
    let service = fleet.training[0].service_model(&fleet.service);
    let start = options.from.as_deref().map(|path| policy::embedded::read(path, service.kind())).transpose()?;
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
    let trained =
        policy::train::train(&task, &policy_options, start.as_ref(), options.seed, &device.device, stop, &stage)?;
    stage.done(&describe(&trained.fine_tuned.stages));

    let stage = stages.begin("export", 0);
    let service = task.served(&trained.fine_tuned.weights);
    let metadata = metadata(options, &data, device.name, &trained.fine_tuned.weights);
    policy::export::onnx(&trained.fine_tuned.weights, &[("producer", "evenkeel")])?.write(folder.file(POLICY_ONNX))?;
    forecaster.onnx()?.write(folder.file(FORECAST_ONNX))?;
    let network = PolicyNetwork::from_weights(&trained.fine_tuned.weights, &device.device);
    let (artifact, parity) = export::compile_and_verify(
        folder,
        &service,
        trained.fine_tuned.weights.guard(),
        &forecaster.calibration.encode(),
        &metadata,
        &|features, rows| network.score_rows(features, rows),
        &|features, rows| forecaster.predict_rows(features, rows),
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
    let policies = evaluate(&fleet.test, fleet.service, &artifact, &evaluation, options.seed, stop, &on_run)?;
    let forecasts = forecast::evaluate(&artifact, &data.series, &data.split)?;
    stage.done("on the test split, which nothing was trained or tuned on");

    let metrics = Metrics {
        run: Run {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: options.seed,
            device: device.to_string(),
            quick: options.quick,
            traces: data.traces.iter().map(|trace| trace.name.clone()).collect(),
            series: data.series.iter().map(|series| series.name.clone()).collect(),
            split: [data.split.train, data.split.validation, 1.0 - data.split.train - data.split.validation],
            scenario: evaluation.describe(),
            evaluation_seeds: evaluation.seeds as usize,
        },
        policies,
        forecasts,
        curves: vec![
            Curve { network: "policy".to_owned(), points: trained.curve },
            Curve { network: "forecast".to_owned(), points: forecaster.curve.clone() },
        ],
        policy_stages: trained.fine_tuned.stages,
        fine_tuning: trained.fine_tuned.points,
        parity,
        stages: stages.times().to_vec(),
    };
    folder.write("metrics.json", serde_json::to_vec_pretty(&metrics)?)?;
    folder.write("report.html", report::render(&metrics))?;
    println!("{}", table::policies(&metrics.policies));
    println!("{}", table::forecasts(&metrics.forecasts));
    println!("{}", files(folder));
    Ok(())
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
        let _ = writeln!(text, "  {name:<14} {what}");
    }
    text
}
