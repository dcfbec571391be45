//! What an LLM host is like.

/// How long a step takes on a host of speed 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepModel {
    /// Empty batch, in seconds.
    pub base_s: f64,
    /// For each decoding request, in seconds.
    pub per_request_s: f64,
    /// For each token in the KV cache of a decoding request, in seconds.
    pub per_kv_token_s: f64,
    /// For each prompt token prefilled in the step, in seconds.
    pub per_prefill_token_s: f64,
}

impl StepModel {
    /// Length of one step, in seconds, at speed 1.
    pub fn step_s(&self, decoding: u64, kv_tokens: u64, prefill_tokens: u64) -> f64 {
        self.base_s
            + self.per_request_s * decoding as f64
            + self.per_kv_token_s * kv_tokens as f64
            + self.per_prefill_token_s * prefill_tokens as f64
    }
}

/// Parameters of an LLM host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LlmOptions {
    /// How long a step takes.
    pub step: StepModel,
    /// Most requests that run at once, prefilling or decoding; at most 65,536.
    pub batch_max: u32,
    /// Most prompt tokens prefilled in one step.
    pub prefill_tokens_per_step: u32,
    /// Tokens that fit in the KV cache.
    pub kv_capacity_tokens: u32,
    /// Size of the prefix cache as a share of the KV cache, on top of what running requests
    /// hold. Above 1 it stands for blocks that are offloaded to main memory; 0 turns prefix
    /// caching off.
    pub prefix_cache_share: f64,
}

impl Default for LlmOptions {
    /// About a 13-billion-parameter model on one A100 with 80 GB.
    fn default() -> Self {
        Self {
            step: StepModel { base_s: 0.015, per_request_s: 1e-4, per_kv_token_s: 0.3e-6, per_prefill_token_s: 1e-4 },
            batch_max: 128,
            prefill_tokens_per_step: 2048,
            kv_capacity_tokens: 60_000,
            prefix_cache_share: 1.0,
        }
    }
}
