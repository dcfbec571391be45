//! Step-time models of common configurations, fitted to the measurements of Splitwise.

use super::{Fit, FitError};
use crate::host::llm::{LlmOptions, StepModel};

/// A configuration whose step times are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preset {
    /// Name: model, accelerator, number of accelerators.
    pub name: &'static str,
    /// The language model, as the measurements name it.
    pub model: &'static str,
    /// The accelerator, as the measurements name it.
    pub hardware: &'static str,
    /// Accelerators that the model is spread over.
    pub tensor_parallel: u32,
    /// Step times and their error.
    pub fit: Fit,
    /// Tokens that fit in the KV cache: 90 % of the memory less the 16-bit weights, over the
    /// bytes of a token (320 KiB for Llama 2 70B, 3.83 MiB for BLOOM 176B).
    pub kv_capacity_tokens: u32,
}

impl Preset {
    /// Host options with these step times.
    pub fn options(&self) -> LlmOptions {
        LlmOptions { step: self.fit.step, kv_capacity_tokens: self.kv_capacity_tokens, ..LlmOptions::default() }
    }

    /// Finds a preset by name.
    pub fn find(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}

/// Source: splitwise-sim, `data/perf_model.csv` (Patel et al., ISCA 2024; MIT), fitted by
/// [`fit`](super::fit) with the errors stated. Decoding is predicted within a few per cent;
/// prefill is not linear in its tokens (attention grows with the square, small prompts do
/// not fill the accelerator), so its error is larger. Two accelerators for the 70-billion
/// model are left out: there the measured times are no function of the batch.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "llama2-70b-a100x4",
        model: "llama2-70b",
        hardware: "a100-80gb",
        tensor_parallel: 4,
        fit: Fit {
            step: StepModel {
                base_s: 0.04199724,
                per_request_s: 7.251199e-5,
                per_kv_token_s: 6.427141e-7,
                per_prefill_token_s: 0.0002003166,
            },
            prefill: FitError { median: 0.1387, p90: 0.3661 },
            decode: FitError { median: 0.0401, p90: 0.0604 },
        },
        kv_capacity_tokens: 457000,
    },
    Preset {
        name: "llama2-70b-a100x8",
        model: "llama2-70b",
        hardware: "a100-80gb",
        tensor_parallel: 8,
        fit: Fit {
            step: StepModel {
                base_s: 0.04226358,
                per_request_s: 5.686936e-5,
                per_kv_token_s: 6.67426e-7,
                per_prefill_token_s: 0.0001273554,
            },
            prefill: FitError { median: 0.1534, p90: 0.4044 },
            decode: FitError { median: 0.0419, p90: 0.0642 },
        },
        kv_capacity_tokens: 1336000,
    },
    Preset {
        name: "llama2-70b-h100x4",
        model: "llama2-70b",
        hardware: "h100-80gb",
        tensor_parallel: 4,
        fit: Fit {
            step: StepModel {
                base_s: 0.02794164,
                per_request_s: 0.0002087355,
                per_kv_token_s: 2.468873e-7,
                per_prefill_token_s: 8.21761e-5,
            },
            prefill: FitError { median: 0.1737, p90: 0.225 },
            decode: FitError { median: 0.0341, p90: 0.0519 },
        },
        kv_capacity_tokens: 457000,
    },
    Preset {
        name: "llama2-70b-h100x8",
        model: "llama2-70b",
        hardware: "h100-80gb",
        tensor_parallel: 8,
        fit: Fit {
            step: StepModel {
                base_s: 0.02887621,
                per_request_s: 0.0001255997,
                per_kv_token_s: 3.639338e-7,
                per_prefill_token_s: 6.285206e-5,
            },
            prefill: FitError { median: 0.1689, p90: 0.3271 },
            decode: FitError { median: 0.0256, p90: 0.0605 },
        },
        kv_capacity_tokens: 1336000,
    },
    Preset {
        name: "bloom-176b-a100x8",
        model: "bloom-176b",
        hardware: "a100-80gb",
        tensor_parallel: 8,
        fit: Fit {
            step: StepModel {
                base_s: 0.04704161,
                per_request_s: 0.0003684302,
                per_kv_token_s: 5.990099e-7,
                per_prefill_token_s: 0.0002689004,
            },
            prefill: FitError { median: 0.1073, p90: 0.2652 },
            decode: FitError { median: 0.023, p90: 0.0462 },
        },
        kv_capacity_tokens: 55800,
    },
    Preset {
        name: "bloom-176b-h100x8",
        model: "bloom-176b",
        hardware: "h100-80gb",
        tensor_parallel: 8,
        fit: Fit {
            step: StepModel {
                base_s: 0.03367264,
                per_request_s: 0.0001557056,
                per_kv_token_s: 5.37961e-7,
                per_prefill_token_s: 0.000106373,
            },
            prefill: FitError { median: 0.1642, p90: 0.3132 },
            decode: FitError { median: 0.0491, p90: 0.069 },
        },
        kv_capacity_tokens: 55800,
    },
];
