//! The service that hosts run, as a file.
//!
//! ```json
//! {"llm": {"step": {"base_s": 0.015, "per_request_s": 1e-4}, "batch_max": 128}}
//! {"preset": "llama2-70b-a100x4"}
//! {"fifo": {"servers": 2, "service_mean_s": 0.025}}
//! ```
//!
//! What a file leaves out is as by default: about a 13-billion-parameter
//! model on one A100.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ServiceOptions;
use super::fifo::FifoOptions;
use super::llm::{LlmOptions, StepModel};
use crate::calibration::{PRESETS, Preset};

/// Why a service file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ServiceFileError {
    /// It cannot be read.
    #[error("service model {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not the expected JSON.
    #[error("service model {}: {source}; expected {{\"llm\": …}}, {{\"fifo\": …}} or {{\"preset\": …}}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// There is no such preset.
    #[error("there is no preset {name:?}; expected one of {}", preset_names())]
    Preset {
        /// What was asked for.
        name: String,
    },
    /// A number makes no sense.
    #[error("service model: {field} is {found}, expected {expected}")]
    Value {
        /// The field.
        field: &'static str,
        /// What it is.
        found: f64,
        /// What it should be.
        expected: &'static str,
    },
}

/// Reads a service file.
pub fn read(path: &Path) -> Result<ServiceOptions, ServiceFileError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ServiceFileError::Read { path: path.to_owned(), source })?;
    let file: File =
        serde_json::from_str(&text).map_err(|source| ServiceFileError::Json { path: path.to_owned(), source })?;
    file.options()
}

/// The text of a service file.
pub fn to_json(service: &ServiceOptions) -> String {
    let file = match *service {
        ServiceOptions::Llm(llm) => {
            let LlmOptions { step, batch_max, prefill_tokens_per_step, kv_capacity_tokens, prefix_cache_share } = llm;
            let StepModel { base_s, per_request_s, per_kv_token_s, per_prefill_token_s } = step;
            let step = Step { base_s, per_request_s, per_kv_token_s, per_prefill_token_s };
            File::Llm(Llm { step, batch_max, prefill_tokens_per_step, kv_capacity_tokens, prefix_cache_share })
        }
        ServiceOptions::Fifo(FifoOptions { servers, service_mean_s, service_variation }) => {
            File::Fifo(Fifo { servers, service_mean_s, service_variation })
        }
    };
    serde_json::to_string_pretty(&file).expect("numbers are JSON")
}

/// The same service, `factor` times as fast: every time of the host model divided by it.
#[must_use]
pub fn faster(service: &ServiceOptions, factor: f64) -> ServiceOptions {
    match *service {
        ServiceOptions::Llm(llm) => {
            let step = StepModel {
                base_s: llm.step.base_s / factor,
                per_request_s: llm.step.per_request_s / factor,
                per_kv_token_s: llm.step.per_kv_token_s / factor,
                per_prefill_token_s: llm.step.per_prefill_token_s / factor,
            };
            ServiceOptions::Llm(LlmOptions { step, ..llm })
        }
        ServiceOptions::Fifo(fifo) => {
            ServiceOptions::Fifo(FifoOptions { service_mean_s: fifo.service_mean_s / factor, ..fifo })
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum File {
    Llm(Llm),
    Fifo(Fifo),
    Preset(String),
}

impl File {
    fn options(self) -> Result<ServiceOptions, ServiceFileError> {
        match self {
            Self::Preset(name) => match Preset::find(&name) {
                Some(preset) => Ok(ServiceOptions::Llm(preset.options())),
                None => Err(ServiceFileError::Preset { name }),
            },
            Self::Llm(llm) => llm.options(),
            Self::Fifo(fifo) => fifo.options(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "units come last in names")]
struct Step {
    base_s: f64,
    per_request_s: f64,
    per_kv_token_s: f64,
    per_prefill_token_s: f64,
}

impl Default for Step {
    fn default() -> Self {
        let StepModel { base_s, per_request_s, per_kv_token_s, per_prefill_token_s } = LlmOptions::default().step;
        Self { base_s, per_request_s, per_kv_token_s, per_prefill_token_s }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Llm {
    step: Step,
    batch_max: u32,
    prefill_tokens_per_step: u32,
    kv_capacity_tokens: u32,
    prefix_cache_share: f64,
}

impl Default for Llm {
    fn default() -> Self {
        let LlmOptions { batch_max, prefill_tokens_per_step, kv_capacity_tokens, prefix_cache_share, .. } =
            LlmOptions::default();
        Self { step: Step::default(), batch_max, prefill_tokens_per_step, kv_capacity_tokens, prefix_cache_share }
    }
}

impl Llm {
    fn options(self) -> Result<ServiceOptions, ServiceFileError> {
        let Step { base_s, per_request_s, per_kv_token_s, per_prefill_token_s } = self.step;
        positive("llm.step.base_s", base_s)?;
        not_negative("llm.step.per_request_s", per_request_s)?;
        not_negative("llm.step.per_kv_token_s", per_kv_token_s)?;
        not_negative("llm.step.per_prefill_token_s", per_prefill_token_s)?;
        not_negative("llm.prefix_cache_share", self.prefix_cache_share)?;
        positive("llm.prefill_tokens_per_step", f64::from(self.prefill_tokens_per_step))?;
        positive("llm.kv_capacity_tokens", f64::from(self.kv_capacity_tokens))?;
        if !(1..=65_536).contains(&self.batch_max) {
            let found = f64::from(self.batch_max);
            return Err(ServiceFileError::Value { field: "llm.batch_max", found, expected: "1 to 65536" });
        }
        Ok(ServiceOptions::Llm(LlmOptions {
            step: StepModel { base_s, per_request_s, per_kv_token_s, per_prefill_token_s },
            batch_max: self.batch_max,
            prefill_tokens_per_step: self.prefill_tokens_per_step,
            kv_capacity_tokens: self.kv_capacity_tokens,
            prefix_cache_share: self.prefix_cache_share,
        }))
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fifo {
    servers: u32,
    service_mean_s: f64,
    service_variation: f64,
}

impl Default for Fifo {
    fn default() -> Self {
        let FifoOptions { servers, service_mean_s, service_variation } = FifoOptions::default();
        Self { servers, service_mean_s, service_variation }
    }
}

impl Fifo {
    fn options(self) -> Result<ServiceOptions, ServiceFileError> {
        positive("fifo.servers", f64::from(self.servers))?;
        positive("fifo.service_mean_s", self.service_mean_s)?;
        not_negative("fifo.service_variation", self.service_variation)?;
        let Self { servers, service_mean_s, service_variation } = self;
        Ok(ServiceOptions::Fifo(FifoOptions { servers, service_mean_s, service_variation }))
    }
}

fn positive(field: &'static str, found: f64) -> Result<(), ServiceFileError> {
    let valid = found > 0.0 && found.is_finite();
    if valid { Ok(()) } else { Err(ServiceFileError::Value { field, found, expected: "a positive number" }) }
}

fn not_negative(field: &'static str, found: f64) -> Result<(), ServiceFileError> {
    let valid = found >= 0.0 && found.is_finite();
    if valid { Ok(()) } else { Err(ServiceFileError::Value { field, found, expected: "a number, at least 0" }) }
}

fn preset_names() -> String {
    PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ServiceOptions, ServiceFileError> {
        serde_json::from_str::<File>(text).expect("valid JSON of a service").options()
    }

    #[test]
    fn what_is_left_out_is_as_by_default() {
        assert_eq!(parse(r#"{"llm": {}}"#).unwrap(), ServiceOptions::Llm(LlmOptions::default()));
        assert_eq!(parse(r#"{"fifo": {}}"#).unwrap(), ServiceOptions::Fifo(FifoOptions::default()));
        let ServiceOptions::Llm(llm) = parse(r#"{"llm": {"step": {"base_s": 0.03}, "batch_max": 8}}"#).unwrap() else {
            panic!("not a language model");
        };
        assert_eq!((llm.step.base_s, llm.batch_max), (0.03, 8));
        assert_eq!(llm.step.per_request_s, LlmOptions::default().step.per_request_s);
    }

    #[test]
    fn what_was_written_is_read_back() {
        let llm = LlmOptions { batch_max: 7, kv_capacity_tokens: 123, ..LlmOptions::default() };
        let fifo = FifoOptions { service_mean_s: 0.3, ..FifoOptions::default() };
        for service in [ServiceOptions::Llm(llm), ServiceOptions::Fifo(fifo)] {
            assert_eq!(parse(&to_json(&service)).unwrap(), service);
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        assert!(serde_json::from_str::<File>(r#"{"llm": {"batchmax": 1}}"#).is_err());
        let refused = parse(r#"{"llm": {"step": {"base_s": -1}}}"#).unwrap_err();
        assert!(refused.to_string().contains("llm.step.base_s is -1"), "{refused}");
        assert!(parse(r#"{"preset": "abacus"}"#).unwrap_err().to_string().contains("llama2-70b-a100x4"));
        assert!(parse(r#"{"preset": "llama2-70b-a100x4"}"#).is_ok());
    }

    #[test]
    fn a_faster_service_takes_a_fraction_of_the_time() {
        let ServiceOptions::Llm(fast) = faster(&ServiceOptions::Llm(LlmOptions::default()), 10.0) else {
            panic!("another kind of service");
        };
        let model = LlmOptions::default();
        let slow_s = model.step.step_s(10, 5000, 300);
        assert!((fast.step.step_s(10, 5000, 300) - slow_s / 10.0).abs() < 1e-12);
        assert_eq!(fast.kv_capacity_tokens, model.kv_capacity_tokens);
    }
}
