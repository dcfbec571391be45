//! `evenkeel capacity`: what one warm replica carries at the objective, from a trace and the
//! simulator.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use evenkeel_datasets::{Split, load_trace};
use evenkeel_env::Workload;
use evenkeel_env::calibration::{PRESETS, Preset};
use evenkeel_env::host::ServiceOptions;
use evenkeel_env::host::fifo::FifoOptions;
use evenkeel_env::host::llm::LlmOptions;
use evenkeel_env::metrics::MetricsOptions;
use evenkeel_env::scale::capacity::{Capacity, CapacityOptions, FluidPoint, capacity, fluid_error};
use rayon::prelude::*;
use serde_json::json;

use crate::data;
use crate::evaluate::options::ServiceChoice;
use crate::input::InputArgs;
use crate::output::write_whole;

/// Demands over capacity at which the fluid is held against the simulator.
const DEMANDS: [f64; 7] = [0.7, 0.9, 1.0, 1.05, 1.1, 1.2, 1.4];

/// Arguments of `evenkeel capacity`.
#[derive(Clone, Debug, Args)]
pub struct CapacityArgs {
    /// Trace of the service's requests; their sizes are those of its training part.
    #[arg(long, value_name = "PATH")]
    pub trace: PathBuf,
    /// How to read the trace.
    #[command(flatten)]
    pub input: InputArgs,
    /// What a replica runs [default: llm where the trace has tokens].
    #[arg(long, value_enum)]
    pub service: Option<ServiceChoice>,
    /// Step times and memory of a language model on its hardware, as `evenkeel capacity
    /// --preset list` shows them [default: a generic model].
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Classes of hosts by their speed; a capacity is found for each.
    #[arg(long, value_name = "FACTORS", value_delimiter = ',', default_value = "1")]
    pub speed: Vec<f64>,
    /// The objective: an answer within this time [default: 30 for llm, 10 service times for
    /// fifo].
    #[arg(long, value_name = "SECONDS")]
    pub slo_latency_s: Option<f64>,
    /// The objective: a first token or byte within this time [default: 2 for llm, 10 service
    /// times for fifo].
    #[arg(long, value_name = "SECONDS")]
    pub slo_ttft_s: Option<f64>,
    /// Share of the requests that may miss the objective.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub missed_max: f64,
    /// Requests of each run of eight replicas.
    #[arg(long, value_name = "N", default_value_t = 4000)]
    pub requests: usize,
    /// Runs at each load.
    #[arg(long, default_value_t = 3)]
    pub seeds: u64,
    /// Write every figure to this file, as JSON.
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
}

/// Finds the capacity of each class of hosts, and holds the fluid against the simulator.
pub fn run(arguments: &CapacityArgs) -> Result<()> {
    if arguments.preset.as_deref() == Some("list") {
        for preset in PRESETS {
            println!("{:<28}{} on {} × {}", preset.name, preset.model, preset.tensor_parallel, preset.hardware);
        }
        return Ok(());
    }
    ensure!(
        arguments.missed_max > 0.0 && arguments.missed_max < 1.0,
        "--missed-max: expected a share above 0 and below 1"
    );
    ensure!(arguments.requests >= 100 && arguments.seeds > 0, "--requests: expected at least 100; --seeds: at least 1");
    let slow = arguments.speed.iter().find(|speed| !(1e-3..=1e3).contains(*speed));
    ensure!(slow.is_none(), "--speed: expected factors from 0.001 to 1000, found {slow:?}");
    let trace = load_trace(&arguments.trace, arguments.input.format, &data::options(&arguments.input, 0)?)?;
    ensure!(!trace.requests.is_empty(), "{}: the trace has no requests", arguments.trace.display());
    let service = service(arguments, trace.has_tokens())?;
    let [training, ..] = trace.split(&Split::default());
    let training = if training.requests.is_empty() { trace } else { training };
    let workload = Workload::new(training.clone(), &training);
    let mut objective = MetricsOptions::for_service(&workload.service_model(&service));
    objective.slo_latency_s = arguments.slo_latency_s.unwrap_or(objective.slo_latency_s);
    objective.slo_ttft_s = arguments.slo_ttft_s.unwrap_or(objective.slo_ttft_s);
    objective.failed_latency_s = objective.failed_latency_s.max(2.0 * objective.slo_latency_s);
    let options = |speed: f64| CapacityOptions {
        service,
        speed,
        objective,
        missed_share_max: arguments.missed_max,
        requests: arguments.requests,
        seeds: arguments.seeds,
    };
    let found: Vec<(f64, Capacity)> =
        arguments.speed.par_iter().map(|speed| (*speed, capacity(&workload, &options(*speed)))).collect();
    println!(
        "at most {} % beyond {} s, or {} s to the first token; warm replicas, 8 of a kind",
        100.0 * arguments.missed_max,
        objective.slo_latency_s,
        objective.slo_ttft_s
    );
    println!(
        "{:<8}{:>14}{:>18}{:>18}{:>16}",
        "speed", "requests/s", "prompt tokens/s", "output tokens/s", "of saturation"
    );
    for (speed, capacity) in &found {
        println!(
            "{speed:<8}{:>14.3}{:>18.1}{:>18.1}{:>16.2}",
            capacity.requests_per_s, capacity.prompt_tokens_per_s, capacity.output_tokens_per_s, capacity.load
        );
    }
    let (speed, first) = found.first().context("--speed: expected at least one")?;
    let fluid = fluid_error(&workload, &options(*speed), first, &DEMANDS);
    print!("{}", fluid_table(&fluid));
    if let Some(path) = &arguments.json {
        let classes: Vec<_> =
            found.iter().map(|(speed, capacity)| json!({"speed": speed, "capacity": capacity})).collect();
        let figures = json!({
            "trace": workload.trace().name,
            "slo_latency_s": objective.slo_latency_s,
            "slo_ttft_s": objective.slo_ttft_s,
            "missed_share_max": arguments.missed_max,
            "classes": classes,
            "fluid": fluid,
        });
        write_whole(path, &serde_json::to_vec_pretty(&figures)?)?;
    }
    Ok(())
}

fn service(arguments: &CapacityArgs, has_tokens: bool) -> Result<ServiceOptions> {
    let is_llm = arguments.service.map_or(has_tokens, |choice| matches!(choice, ServiceChoice::Llm));
    if !is_llm {
        ensure!(arguments.preset.is_none(), "--preset: is for language models");
        return Ok(ServiceOptions::Fifo(FifoOptions::default()));
    }
    let options = match &arguments.preset {
        None => LlmOptions::default(),
        Some(name) => Preset::find(name)
            .with_context(|| format!("--preset: there is no {name}; `--preset list` shows them"))?
            .options(),
    };
    Ok(ServiceOptions::Llm(options))
}

/// The autoscaler's environment takes a service for a fluid: what that is worth.
fn fluid_table(points: &[FluidPoint]) -> String {
    use std::fmt::Write as _;
    let mut text =
        String::from("\nthe fluid that autoscalers are compared on, beside the simulator; requests that missed:\n");
    let _ = writeln!(text, "{:<18}{:>12}{:>12}{:>12}", "demand/capacity", "simulator", "fluid", "error");
    for point in points {
        let (real, fluid) = (100.0 * point.missed_share, 100.0 * point.fluid_missed_share);
        let _ =
            writeln!(text, "{:<18}{real:>10.2} %{fluid:>10.2} %{:>+10.2} %", point.demand_over_capacity, fluid - real);
    }
    text
}
