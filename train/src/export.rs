//! From trained weights to the artifact: ONNX files, compilation, verification.

use anyhow::{Context, Result, ensure};
use evenkeel_datasets::{Request, Trace};
use evenkeel_env::Workload;
use evenkeel_env::host::ServiceOptions;
use evenkeel_env::host::llm::LlmOptions;
use evenkeel_export::artifact::with_guard;
use evenkeel_export::{ROW_COUNTS, verify};
use evenkeel_runtime::{Guard, Model, ServiceModel};

use crate::metrics::ParityResult;
use crate::output::RunFolder;

/// Largest relative difference between implementations that is accepted.
pub const PARITY_LIMIT: f64 = 1e-5;

/// Inputs compared for each number of rows.
const PARITY_SAMPLES: usize = 16;

/// Name of the policy's ONNX file.
pub const POLICY_ONNX: &str = "policy.onnx";
/// Name of the forecaster's ONNX file.
pub const FORECAST_ONNX: &str = "forecast.onnx";
/// Name of the artifact.
pub const ARTIFACT: &str = "evenkeel.ekm";

/// A network as its trainer computes it: rows of features in, rows of outputs out.
pub type Reference<'a> = &'a dyn Fn(&[f32], usize) -> Vec<f32>;

/// A forecaster to compile: its calibration, and the network as burn computes it.
#[derive(Clone, Copy)]
pub struct ForecastParts<'a> {
    /// Contents of the artifact's section.
    pub calibration: &'a [u8],
    /// The network.
    pub network: Reference<'a>,
}

/// Compiles the ONNX files of a run, writes the artifact, and compares burn, tract and
/// the runtime on random inputs.
///
/// # Errors
/// Also if two of them differ by more than [`PARITY_LIMIT`].
pub fn compile_and_verify(
    folder: &RunFolder,
    service: &ServiceModel,
    guard: Option<Guard>,
    metadata: &str,
    policy: Reference<'_>,
    forecast: Option<ForecastParts<'_>>,
    seed: u64,
) -> Result<(Vec<u8>, Vec<ParityResult>)> {
    let (policy_path, forecast_path) = (folder.file(POLICY_ONNX), folder.file(FORECAST_ONNX));
    let forecast_files =
        forecast.map(|parts| evenkeel_export::Forecast { onnx: &forecast_path, calibration: parts.calibration });
    let mut artifact = evenkeel_export::compile(Some(&policy_path), forecast_files, service, metadata)?;
    if let Some(guard) = guard {
        artifact = with_guard(&artifact, &guard)?;
    }
    let model = Model::parse(&artifact)?;
    let policy_program = model.policy().context("the artifact has no policy")?.program();
    let mut networks = vec![("policy", &policy_path, policy_program, policy)];
    if let Some(parts) = forecast {
        let program = model.forecaster().context("the artifact has no forecaster")?.program();
        networks.push(("forecast", &forecast_path, program, parts.network));
    }
    let mut results = Vec::new();
    for (network, path, program, reference) in networks {
        let parity = verify(path, program, &ROW_COUNTS, PARITY_SAMPLES, seed, Some(reference))?;
        ensure!(
            parity.largest() <= PARITY_LIMIT,
            "{network}: burn, tract and the runtime differ by {:.1e} (relative), more than {PARITY_LIMIT:.0e}; \
             the artifact was not written",
            parity.largest()
        );
        results.push(ParityResult {
            network: network.to_owned(),
            tract_runtime: parity.tract_vs_runtime,
            burn_runtime: parity.reference_vs_runtime.unwrap_or(f64::INFINITY),
            burn_tract: parity.reference_vs_tract.unwrap_or(f64::INFINITY),
        });
    }
    folder.write(ARTIFACT, &artifact)?;
    Ok((artifact, results))
}

/// The service model of a policy that comes without one: the simulator's default language
/// model, prompts of 1200 and outputs of 250 tokens.
pub fn generic_service() -> ServiceModel {
    let typical = Request {
        arrival_s: 0.0,
        prompt_tokens: 1200,
        output_tokens: 250,
        service_s: f32::NAN,
        first_byte_s: f32::NAN,
        prefix_begin: 0,
        prefix_len: 0,
        upstream: u16::MAX,
        session: Request::NO_SESSION,
        think_s: f32::NAN,
    };
    let trace = Trace { requests: vec![typical], ..Trace::default() };
    Workload::new(trace.clone(), &trace).service_model(&ServiceOptions::Llm(LlmOptions::default()))
}
