//! Which metrics mean what, for each engine.
//!
//! | | vLLM | SGLang | TGI | Triton (TensorRT-LLM) |
//! |---|---|---|---|---|
//! | running | `vllm:num_requests_running` | `sglang:num_running_reqs` | `tgi_batch_current_size` | `nv_trt_llm_request_metrics{request_type="active"}` less waiting |
//! | waiting | `vllm:num_requests_waiting` | `sglang:num_queue_reqs` | `tgi_queue_size` | `…{request_type="waiting"}`, `nv_inference_pending_request_count` |
//! | KV use | `vllm:kv_cache_usage_perc`, `vllm:gpu_cache_usage_perc` | `sglang:token_usage` | – | `nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction"}` |
//! | step | `vllm:inter_token_latency_seconds`, `vllm:time_per_output_token_seconds` | `sglang:inter_token_latency_seconds`, `sglang:time_per_output_token_seconds` | `tgi_request_mean_time_per_token_duration` | `nv_inference_request_duration_us` over `nv_inference_request_success` |
//!
//! Other engines: a file that names the metrics,
//!
//! ```json
//! {"running": "my_active", "waiting": {"name": "my_queue", "label": "pool=\"main\""},
//!  "kv_use": {"name": "my_cache_percent", "scale": 0.01},
//!  "step": {"sum": "my_token_us_sum", "count": "my_token_us_count", "scale": 1e-6}}
//! ```

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What a metric is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Requests being processed; summed over labels.
    Running,
    /// Requests being processed or waiting; summed over labels.
    Active,
    /// Requests waiting; summed over labels.
    Waiting,
    /// Prompt tokens to prefill; summed over labels.
    PendingPrefill,
    /// Share of the KV cache in use; the greatest of all labels.
    KvUse,
    /// Time spent on tokens since the start; summed over labels.
    StepSum,
    /// Tokens in that sum; summed over labels.
    StepCount,
}

/// Whose metric it is. A page that has metrics of several is not added up over them: the
/// first of these that it knows counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Named by a mapping.
    Mapped,
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// Text Generation Inference.
    Tgi,
    /// Triton.
    Triton,
}

impl Engine {
    /// How many there are.
    pub const COUNT: usize = 5;

    /// By the prefix of its metrics.
    fn of(name: &str) -> Self {
        let known = [("vllm:", Self::Vllm), ("sglang:", Self::Sglang), ("tgi_", Self::Tgi), ("nv_", Self::Triton)];
        known.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or(Self::Mapped, |(_, engine)| *engine)
    }
}

/// A metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Whose it is.
    pub engine: Engine,
    /// Its name.
    pub name: String,
    /// What must stand among its labels, as in the page: `request_type="active"`.
    pub label: Option<String>,
    /// What it is for.
    pub field: Field,
    /// What its value is multiplied by.
    pub scale: f64,
}

/// All metrics that are looked for. Engines prefix theirs, so that one table does for all.
#[derive(Clone, Debug, PartialEq)]
pub struct Names {
    rules: Vec<Rule>,
}

/// Why a mapping is refused.
#[derive(Debug, thiserror::Error)]
pub enum NamesError {
    /// It cannot be read.
    #[error("mapping {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not the expected JSON.
    #[error("mapping {}: {source}; expected an object with running, waiting, pending_prefill, kv_use or step", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
}

/// Name, label, field, scale of what the engines export. Of two names for the same thing, of
/// which a page has one, both stand here.
const KNOWN: [(&str, Option<&str>, Field, f64); 26] = [
    ("vllm:num_requests_running", None, Field::Running, 1.0),
    ("vllm:num_requests_waiting", None, Field::Waiting, 1.0),
    ("vllm:kv_cache_usage_perc", None, Field::KvUse, 1.0),
    ("vllm:gpu_cache_usage_perc", None, Field::KvUse, 1.0),
    ("vllm:inter_token_latency_seconds_sum", None, Field::StepSum, 1.0),
    ("vllm:inter_token_latency_seconds_count", None, Field::StepCount, 1.0),
    ("vllm:time_per_output_token_seconds_sum", None, Field::StepSum, 1.0),
    ("vllm:time_per_output_token_seconds_count", None, Field::StepCount, 1.0),
    ("sglang:num_running_reqs", None, Field::Running, 1.0),
    ("sglang:num_queue_reqs", None, Field::Waiting, 1.0),
    ("sglang:token_usage", None, Field::KvUse, 1.0),
    ("sglang:inter_token_latency_seconds_sum", None, Field::StepSum, 1.0),
    ("sglang:inter_token_latency_seconds_count", None, Field::StepCount, 1.0),
    ("sglang:time_per_output_token_seconds_sum", None, Field::StepSum, 1.0),
    ("sglang:time_per_output_token_seconds_count", None, Field::StepCount, 1.0),
    ("tgi_batch_current_size", None, Field::Running, 1.0),
    ("tgi_queue_size", None, Field::Waiting, 1.0),
    ("tgi_request_mean_time_per_token_duration_sum", None, Field::StepSum, 1.0),
    ("tgi_request_mean_time_per_token_duration_count", None, Field::StepCount, 1.0),
    ("nv_trt_llm_request_metrics", Some("request_type=\"active\""), Field::Active, 1.0),
    ("nv_trt_llm_request_metrics", Some("request_type=\"waiting\""), Field::Waiting, 1.0),
    ("nv_trt_llm_kv_cache_block_metrics", Some("kv_cache_block_type=\"fraction\""), Field::KvUse, 1.0),
    (
        "nv_trt_llm_inflight_batcher_metrics",
        Some("inflight_batcher_specific_metric=\"total_context_tokens\""),
        Field::PendingPrefill,
        1.0,
    ),
    ("nv_inference_pending_request_count", None, Field::Waiting, 1.0),
    ("nv_inference_request_duration_us", None, Field::StepSum, 1e-6),
    ("nv_inference_request_success", None, Field::StepCount, 1.0),
];

impl Default for Names {
    fn default() -> Self {
        let rule = |(name, label, field, scale): (&str, Option<&str>, Field, f64)| Rule {
            engine: Engine::of(name),
            name: name.to_owned(),
            label: label.map(str::to_owned),
            field,
            scale,
        };
        Self { rules: KNOWN.map(rule).into() }
    }
}

impl Names {
    /// The engines' names, and those of a mapping.
    pub fn with_mapping(path: &Path) -> Result<Self, NamesError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| NamesError::Read { path: path.to_owned(), source })?;
        let mapping: Mapping =
            serde_json::from_str(&text).map_err(|source| NamesError::Json { path: path.to_owned(), source })?;
        let mut names = Self::default();
        names.rules.extend(mapping.rules());
        Ok(names)
    }

    /// The rules for a metric of this name.
    pub fn of<'n>(&'n self, name: &'n [u8]) -> impl Iterator<Item = &'n Rule> + use<'n> {
        self.rules.iter().filter(move |rule| rule.name.as_bytes() == name)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    running: Option<Gauge>,
    waiting: Option<Gauge>,
    pending_prefill: Option<Gauge>,
    kv_use: Option<Gauge>,
    step: Option<Mean>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Gauge {
    Name(String),
    Scaled {
        name: String,
        label: Option<String>,
        #[serde(default = "one")]
        scale: f64,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mean {
    sum: String,
    count: String,
    #[serde(default = "one")]
    scale: f64,
}

fn one() -> f64 {
    1.0
}

impl Mapping {
    fn rules(self) -> Vec<Rule> {
        let gauges = [
            (self.running, Field::Running),
            (self.waiting, Field::Waiting),
            (self.pending_prefill, Field::PendingPrefill),
            (self.kv_use, Field::KvUse),
        ];
        let mut rules: Vec<Rule> = gauges.into_iter().filter_map(|(gauge, field)| Some(gauge?.rule(field))).collect();
        if let Some(Mean { sum, count, scale }) = self.step {
            rules.push(Rule { engine: Engine::Mapped, name: sum, label: None, field: Field::StepSum, scale });
            rules.push(Rule { engine: Engine::Mapped, name: count, label: None, field: Field::StepCount, scale: 1.0 });
        }
        rules
    }
}

impl Gauge {
    fn rule(self, field: Field) -> Rule {
        match self {
            Self::Name(name) => Rule { engine: Engine::Mapped, name, label: None, field, scale: 1.0 },
            Self::Scaled { name, label, scale } => Rule { engine: Engine::Mapped, name, label, field, scale },
        }
    }
}
