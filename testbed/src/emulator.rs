//! Emulated inference hosts: many in one process, each on a port of its own.
//!
//! | Part | What it does |
//! |---|---|
//! | [`world`] | the hosts, and the thread that lets their events happen on time |
//! | [`host`] | one host: the model, the requests on it, what it counted |
//! | [`faults`] | what goes wrong on command |
//! | [`server`] | listening, connections, which handler a request goes to |
//! | [`openai`] | requests and responses in the form of `OpenAI`'s interface |
//! | [`prompt`] | how many tokens a prompt has, and its prefix blocks |
//! | [`body`] | response bodies: whole, streamed, cut off |
//! | [`metrics`] | `/metrics` in vLLM's and in SGLang's names |
//! | [`sglang`] | what SGLang's router asks of a host |
//! | [`orca`] | load reports in response headers |
//! | [`admin`] | the port on which faults are commanded and hosts looked at |

pub mod admin;
pub mod body;
pub mod faults;
pub mod host;
pub mod metrics;
pub mod openai;
pub mod orca;
pub mod prompt;
pub mod server;
pub mod sglang;
pub mod world;

use std::time::Duration;

use evenkeel_env::host::ServiceOptions;
use evenkeel_env::host::llm::LlmOptions;

pub use world::World;

/// What the hosts are like.
#[derive(Clone, Debug)]
pub struct EmulatorOptions {
    /// What they run.
    pub service: ServiceOptions,
    /// Speed of each; 1 is the host that `service` describes.
    pub speeds: Vec<f64>,
    /// Seconds of service time in a second on the wall.
    pub time_scale: f64,
    /// Tokens in a block of the prefix cache.
    pub block_tokens: u32,
    /// Wall time between two events of a stream, each with the tokens generated since.
    pub stream_interval: Duration,
    /// When the head of a streamed response is sent.
    pub stream_head: StreamHead,
    /// What load reports in response headers contain.
    pub orca: orca::Metrics,
    /// Name of the model.
    pub model: String,
}

impl Default for EmulatorOptions {
    fn default() -> Self {
        Self {
            service: ServiceOptions::Llm(LlmOptions::default()),
            speeds: vec![1.0],
            time_scale: 1.0,
            block_tokens: 16,
            stream_interval: Duration::from_millis(20),
            stream_head: StreamHead::AtOnce,
            orca: orca::Metrics::Vllm,
            model: "emulated".to_owned(),
        }
    }
}

/// When the head of a streamed response is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StreamHead {
    /// Before the first token is there, as vLLM does.
    AtOnce,
    /// With the first token, as SGLang does.
    FirstToken,
}
