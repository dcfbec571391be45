//! ONNX files in, artifact out.

use std::path::Path;

use evenkeel_runtime::forecast::{self, FORECAST_FEATURES, QUANTILE_COUNT, QUANTILES};
use evenkeel_runtime::{HOST_FEATURES, ServiceModel, features};

use crate::artifact::Contents;
use crate::error::ExportError;
use crate::{Program, onnx};

/// A demand forecaster to be compiled.
#[derive(Clone, Copy, Debug)]
pub struct Forecast<'a> {
    /// The network.
    pub onnx: &'a Path,
    /// The artifact's CALIBRATION section, see [`forecast::Calibration::encode`].
    pub calibration: &'a [u8],
}

/// Compiles a policy, a forecaster, or both, into the bytes of an artifact. `metadata`
/// is a JSON object that says where the model comes from.
///
/// # Errors
/// If a file cannot be read, uses what the runtime does not have, or has an input or
/// output of another width than the runtime's.
pub fn compile(
    policy: Option<&Path>,
    forecast: Option<Forecast<'_>>,
    service: &ServiceModel,
    metadata: &str,
) -> Result<Vec<u8>, ExportError> {
    if policy.is_none() && forecast.is_none() {
        return Err(ExportError::Nothing);
    }
    let trimmed = metadata.trim();
    if !(trimmed.starts_with('{') && trimmed.ends_with('}')) {
        return Err(ExportError::Metadata { found: trimmed.chars().take(40).collect() });
    }
    let policy = policy.map(read_policy).transpose()?;
    let forecast = match forecast {
        Some(forecast) => Some((read_forecast(forecast.onnx)?, forecast.calibration)),
        None => None,
    };
    let contents = Contents {
        metadata: trimmed,
        service,
        policy: policy.as_ref(),
        forecast: forecast.as_ref().map(|(program, calibration)| (program, *calibration)),
    };
    Ok(contents.encode()?)
}

/// What an input or output must look like, and why.
struct Interface {
    width: usize,
    meaning: String,
}

fn read_policy(path: &Path) -> Result<Program, ExportError> {
    let input = Interface {
        width: HOST_FEATURES,
        meaning: format!("the features of a host, in this order: {}", features::NAMES.join(", ")),
    };
    let output = Interface { width: 1, meaning: "one score for each host, the lowest wins".to_owned() };
    read(path, &input, &output)
}

fn read_forecast(path: &Path) -> Result<Program, ExportError> {
    let input = Interface {
        width: FORECAST_FEATURES,
        meaning: format!("the features of a horizon, in this order: {}", forecast::features::NAMES.join(", ")),
    };
    let output = Interface { width: QUANTILE_COUNT, meaning: format!("the quantiles {QUANTILES:?}") };
    read(path, &input, &output)
}

fn read(path: &Path, input: &Interface, output: &Interface) -> Result<Program, ExportError> {
    let program = onnx::read_file(path).map_err(|error| ExportError::Read { path: path.to_owned(), error })?;
    if program.input_width() != input.width {
        return Err(ExportError::InputWidth {
            path: path.to_owned(),
            found: program.input_width(),
            expected: input.width,
            meaning: input.meaning.clone(),
        });
    }
    if program.output_is_uniform() || program.output_width() != output.width {
        let rows = if program.output_is_uniform() { "1" } else { "N" };
        return Err(ExportError::Output {
            path: path.to_owned(),
            found: format!("[{rows}, {}]", program.output_width()),
            expected: format!("[N, {}]", output.width),
            meaning: output.meaning.clone(),
        });
    }
    Ok(program)
}
