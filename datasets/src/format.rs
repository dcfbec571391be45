//! The formats that can be read.

use serde::{Serialize, Serializer};
use std::{fmt, str::FromStr};

/// A format of traces or series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Azure's LLM inference traces of 2023 to 2025: CSV `TIMESTAMP,ContextTokens,GeneratedTokens`,
    /// with `NumImages` where there are images.
    Azure,
    /// Mooncake's traces: JSON lines with `timestamp` (ms), `input_length`, `output_length`, `hash_ids`.
    Mooncake,
    /// Qwen-Bailian's traces: JSON lines with `chat_id`, `parent_chat_id`, `timestamp` (s),
    /// `input_length`, `output_length`, `hash_ids`.
    Bailian,
    /// `BurstGPT`: CSV `Timestamp,…,Request tokens,Response tokens,…`.
    BurstGpt,
    /// `ServeGen`'s windows: a folder of its repository, or `*_traces.tar.zst` with
    /// `*_datasets.tar.zst` beside it.
    ServeGen,
    /// NGINX's predefined `combined` access log.
    NginxCombined,
    /// NGINX access log as JSON, one object a line.
    NginxJson,
    /// Envoy's JSON access log, one object a line.
    EnvoyJson,
    /// Envoy's and Istio's access log as text.
    EnvoyText,
    /// `AIPerf`'s export of a benchmark, a request a line.
    AiPerf,
    /// The result of vLLM's serving benchmark, with details.
    VllmBench,
    /// `GuideLLM`'s report, as JSON.
    GuideLlm,
    /// `inference-perf`'s result, a request an entry.
    InferencePerf,
    /// `OpenTelemetry` spans with the attributes of generative AI, as JSON.
    Otel,
    /// `TraceLab`'s rounds of coding agents, a call of a model a line.
    TraceLab,
    /// Sessions of coding agents as Weka's KV cache tester and `AgentX` have them: JSON objects with
    /// nested `requests`, in one file or a folder.
    Weka,
    /// Windows of requests that `evenkeel dataset ingest` chose out of longer logs.
    Lake,
    /// JSON lines whose fields a [`ColumnMap`](crate::ColumnMap) names.
    Json,
    /// Any CSV whose columns a [`ColumnMap`](crate::ColumnMap) names.
    Csv,
    /// A rate series: CSV of time and one or more values.
    Series,
}

impl Format {
    /// Every format, in the order in which a file's content is tried.
    pub const ALL: [Self; 20] = [
        Self::Azure,
        Self::Mooncake,
        Self::Bailian,
        Self::BurstGpt,
        Self::ServeGen,
        Self::NginxCombined,
        Self::NginxJson,
        Self::EnvoyJson,
        Self::EnvoyText,
        Self::AiPerf,
        Self::VllmBench,
        Self::GuideLlm,
        Self::InferencePerf,
        Self::Otel,
        Self::TraceLab,
        Self::Weka,
        Self::Lake,
        Self::Json,
        Self::Csv,
        Self::Series,
    ];

    /// The name used on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Mooncake => "mooncake",
            Self::Bailian => "bailian",
            Self::BurstGpt => "burstgpt",
            Self::ServeGen => "servegen",
            Self::NginxCombined => "nginx-combined",
            Self::NginxJson => "nginx-json",
            Self::EnvoyJson => "envoy-json",
            Self::EnvoyText => "envoy-text",
            Self::AiPerf => "aiperf",
            Self::VllmBench => "vllm-bench",
            Self::GuideLlm => "guidellm",
            Self::InferencePerf => "inference-perf",
            Self::Otel => "otel",
            Self::TraceLab => "tracelab",
            Self::Weka => "weka",
            Self::Lake => "lake",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Series => "series",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown format `{name}`; the formats are {names}")
        })
    }
}
