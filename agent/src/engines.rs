//! The engines whose metrics are known: which metric means what, and how it is aggregated over
//! its series.
//!
//! A metric has a series per engine process, per rank, per priority, per stage, as the engine
//! likes. What is common to all of them:
//!
//! - **Ranks** of tensor, pipeline, context and expert parallelism, and processes (`pid`), each
//!   report the same count: the greatest is taken, not the sum.
//! - **Parts** with a further label beside a total without it (SGLang's priorities) are left
//!   out where the total is there, and added up where it is not.
//! - What is left is engines of their own (`engine`, `dp_rank`, `model_name`, a replica's
//!   `WorkerId`): [`Over`] says what is made of them.
//!
//! Names are compared without the difference of `:` and `_`, and without Ray's prefix `ray_`.

mod mapping;
mod table;

use std::collections::HashMap;
use std::path::Path;

pub use mapping::MappingError;

/// The quantity that a metric reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Requests being processed.
    Running,
    /// Requests being processed or waiting.
    Active,
    /// Requests waiting.
    Waiting,
    /// Prompt tokens to prefill.
    PendingPrefill,
    /// Share of the KV cache in use.
    KvUse,
    /// Tokens that the KV cache holds.
    KvCapacity,
    /// Blocks that the KV cache holds.
    KvBlocks,
    /// Tokens of such a block.
    KvBlockTokens,
    /// Requests that are processed at once, at most.
    BatchLimit,
    /// Seconds between tokens since the start, a token each time.
    TokenSeconds,
    /// Tokens in that sum.
    Tokens,
    /// Sum over requests of their mean seconds per token.
    RequestSeconds,
    /// Requests in that sum.
    Requests,
    /// Steps of the engine since the start.
    Steps,
}

impl Field {
    /// The greatest value that is believed, per series and in sum.
    pub fn max(self) -> f64 {
        match self {
            Self::Running | Self::Active | Self::Waiting | Self::BatchLimit | Self::KvBlockTokens => 1e6,
            Self::PendingPrefill | Self::KvBlocks => 1e9,
            Self::KvUse => 1.0,
            Self::KvCapacity => 1e12,
            Self::TokenSeconds | Self::RequestSeconds | Self::Tokens | Self::Requests | Self::Steps => 1e15,
        }
    }
}

/// Whose metric it is. Of a page with metrics of several, each field is that of the first of
/// these that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    /// Named by a mapping.
    Mapped,
    /// vLLM, alone, in Triton, in Dynamo or in Ray Serve.
    Vllm,
    /// SGLang.
    Sglang,
    /// TensorRT-LLM's own server, and Dynamo's worker of it.
    TrtllmServe,
    /// Text Generation Inference.
    Tgi,
    /// `LMDeploy`.
    Lmdeploy,
    /// llama.cpp's server.
    LlamaCpp,
    /// NVIDIA NIM.
    Nim,
    /// Triton, with TensorRT-LLM or plain backends.
    Triton,
    /// A Dynamo worker, by the runtime's own metrics.
    Dynamo,
    /// `MLServer`.
    MlServer,
    /// `BentoML`.
    BentoMl,
}

impl Engine {
    /// All of them, in the order in which they are asked.
    pub const ALL: [Self; 12] = [
        Self::Mapped,
        Self::Vllm,
        Self::Sglang,
        Self::TrtllmServe,
        Self::Tgi,
        Self::Lmdeploy,
        Self::LlamaCpp,
        Self::Nim,
        Self::Triton,
        Self::Dynamo,
        Self::MlServer,
        Self::BentoMl,
    ];

    /// Its name, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Mapped => "mapping",
            Self::Vllm => "vLLM",
            Self::Sglang => "SGLang",
            Self::TrtllmServe => "trtllm-serve",
            Self::Tgi => "TGI",
            Self::Lmdeploy => "LMDeploy",
            Self::LlamaCpp => "llama.cpp",
            Self::Nim => "NIM",
            Self::Triton => "Triton",
            Self::Dynamo => "Dynamo",
            Self::MlServer => "MLServer",
            Self::BentoMl => "BentoML",
        }
    }
}

/// Paths under which engines serve their metrics, where a host names none: most; trtllm-serve;
/// NIM.
pub const PATHS: [&str; 3] = ["/metrics", "/prometheus/metrics", "/v1/metrics"];

/// The aggregation over the series of several engines of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Their sum.
    Sum,
    /// The greatest: the fullest KV cache is where requests are turned out first.
    Max,
    /// Models of a Triton: the sum, but of the stages of a pipeline (a model named as an
    /// ensemble or BLS is there) the greatest, since a request passes through all of them.
    Models,
    /// Services of a `BentoML`, which call each other: the sum over a service's endpoints, and
    /// of the services the greatest.
    Services,
}

/// The source of a sample's number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Its value, times this.
    Scaled(f64),
    /// The product of these labels, of which a second list may serve where the first is not
    /// there: an `info` metric's value is always 1.
    Labels(&'static [&'static str], &'static [&'static str]),
}

/// A condition on a sample's labels.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Nothing.
    Any,
    /// A label with this value.
    Label(&'static str, &'static str),
    /// This text, as in the page.
    Text(String),
}

/// A metric, and what it means.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Whose it is.
    pub engine: Engine,
    /// Its name, as engines write it.
    pub name: String,
    /// Which of its samples.
    pub filter: Filter,
    /// The quantity that it reports.
    pub field: Field,
    /// The preference among metrics of the same field: those with the lowest number in the page are
    /// taken, and added up.
    pub choice: u8,
    /// The aggregation over its series.
    pub over: Over,
    /// The source of a sample's number.
    pub value: Value,
}

/// All metrics that are looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    rules: Vec<Rule>,
    by_name: HashMap<Box<[u8]>, Vec<u16>>,
}

/// Longest name that is looked up.
const NAME_BYTES_MAX: usize = 96;

impl Default for Rules {
    fn default() -> Self {
        Self::new(table::rules())
    }
}

impl Rules {
    fn new(rules: Vec<Rule>) -> Self {
        let mut by_name: HashMap<Box<[u8]>, Vec<u16>> = HashMap::new();
        for (index, rule) in (0..).zip(&rules) {
            let mut buffer = [0; NAME_BYTES_MAX];
            if let Some(name) = canonical(rule.name.as_bytes(), &mut buffer) {
                by_name.entry(name.into()).or_default().push(index);
            }
        }
        Self { rules, by_name }
    }

    /// The engines' metrics, and before them those of a mapping.
    ///
    /// # Errors
    /// If the mapping cannot be read or means nothing: a misspelt key is named.
    pub fn with_mapping(path: &Path) -> Result<Self, MappingError> {
        let mut rules = mapping::read(path)?;
        rules.extend(table::rules());
        Ok(Self::new(rules))
    }

    /// The rules for a metric of this name, by their numbers.
    pub fn of(&self, name: &[u8]) -> &[u16] {
        let mut buffer = [0; NAME_BYTES_MAX];
        let found = canonical(name, &mut buffer).and_then(|name| self.by_name.get(name));
        found.map_or(&[], Vec::as_slice)
    }

    /// A rule by its number.
    pub fn get(&self, index: u16) -> Option<&Rule> {
        self.rules.get(usize::from(index))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }
}

/// The name that two spellings have in common; `None` if it is longer than any that is known.
fn canonical<'b>(name: &[u8], buffer: &'b mut [u8; NAME_BYTES_MAX]) -> Option<&'b [u8]> {
    let name = name.strip_prefix(b"ray_").unwrap_or(name);
    let buffer = buffer.get_mut(..name.len())?;
    for (to, from) in buffer.iter_mut().zip(name) {
        *to = if *from == b':' { b'_' } else { *from };
    }
    Some(buffer)
}

#[cfg(test)]
mod tests {
    use super::{Engine, Field, Rules};

    #[test]
    fn names_are_found_in_all_their_spellings() {
        let rules = Rules::default();
        for name in ["vllm:num_requests_running", "ray_vllm_num_requests_running", "ray_vllm:num_requests_running"] {
            let found: Vec<_> = rules.of(name.as_bytes()).iter().filter_map(|index| rules.get(*index)).collect();
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!((found[0].engine, found[0].field), (Engine::Vllm, Field::Running), "{name}");
        }
        assert_eq!(rules.of(b"sglang_num_queue_reqs"), rules.of(b"sglang:num_queue_reqs"));
        assert!(rules.of(b"vllm:num_requests_runing").is_empty());
        assert!(rules.of(&[b'a'; 4096]).is_empty());
        assert!(rules.of(b"").is_empty());
    }

    #[test]
    fn every_sum_has_its_count() {
        let rules = Rules::default();
        for (sum, count) in [(Field::TokenSeconds, Field::Tokens), (Field::RequestSeconds, Field::Requests)] {
            for rule in rules.iter().filter(|rule| rule.field == sum) {
                let partner = rules
                    .iter()
                    .any(|other| other.field == count && (other.engine, other.choice) == (rule.engine, rule.choice));
                assert!(partner, "{}", rule.name);
            }
        }
    }
}
