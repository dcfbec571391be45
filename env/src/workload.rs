//! The trace that is replayed, and the sizes that balancers expect of its requests.

use std::sync::Arc;

use evenkeel_datasets::Trace;
use evenkeel_runtime::{Engine, Fifo, Llm, ServiceModel};

use crate::host::ServiceOptions;
use crate::host::llm::LlmOptions;
use crate::sizes::SizeModel;

/// A trace to replay, and what is expected of request sizes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Workload {
    pub(crate) trace: Arc<Trace>,
    pub(crate) sizes: Arc<SizeModel>,
    /// Means of the training trace, known to balancers.
    pub(crate) training: TokenMeans,
}

/// Means over requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TokenMeans {
    /// Prompt length in tokens.
    pub prompt: f64,
    /// Output length in tokens.
    pub output: f64,
    /// Tokens of context, summed over the tokens generated: E\[output·(prompt + output/2)\].
    pub context: f64,
    /// Measured service time in seconds, NaN where the trace has none.
    pub service_s: f64,
}

impl TokenMeans {
    /// Over the given requests.
    pub fn of(requests: &[evenkeel_datasets::Request]) -> Self {
        let mut sums = Self::default();
        let mut timed = 0u32;
        for request in requests {
            let (prompt, output) = (f64::from(request.prompt_tokens), f64::from(request.output_tokens.max(1)));
            sums.prompt += prompt;
            sums.output += output;
            sums.context += output * (prompt + 0.5 * output);
            if request.service_s.is_finite() {
                sums.service_s += f64::from(request.service_s);
                timed += 1;
            }
        }
        let count = requests.len().max(1) as f64;
        Self {
            prompt: sums.prompt / count,
            output: sums.output / count,
            context: sums.context / count,
            service_s: if timed > 0 { sums.service_s / f64::from(timed) } else { f64::NAN },
        }
    }
}

impl Workload {
    /// Replays `trace`. What balancers and size-blind oracles expect of requests comes from
    /// `training`, so that nothing is learned from a test split.
    ///
    /// # Panics
    /// If either trace is empty.
    pub fn new(trace: Trace, training: &Trace) -> Self {
        assert!(!trace.requests.is_empty(), "the trace to replay is empty");
        assert!(!training.requests.is_empty(), "the training trace is empty");
        Self {
            trace: Arc::new(trace),
            sizes: Arc::new(SizeModel::new(training)),
            training: TokenMeans::of(&training.requests),
        }
    }

    /// The trace that is replayed.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What balancers are told of a service: its parameters, the training trace's means,
    /// and what is typical of a host of speed 1 under half its load.
    pub fn service_model(&self, service: &ServiceOptions) -> ServiceModel {
        let means = &self.training;
        let (engine, (step_s, latency_s, ttft_s)) = match service {
            ServiceOptions::Llm(llm) => (Engine::Llm(llm_model(llm)), typical_llm(llm, means)),
            ServiceOptions::Fifo(fifo) => {
                let mean_s = if means.service_s.is_nan() { fifo.service_mean_s } else { means.service_s };
                let model = Fifo { service_mean_s: mean_s as f32, servers: fifo.servers as f32 };
                (Engine::Fifo(model), (mean_s, mean_s, mean_s))
            }
        };
        ServiceModel {
            engine,
            prompt_tokens_mean: means.prompt.max(1.0) as f32,
            output_tokens_mean: means.output.max(1.0) as f32,
            step_typical_s: step_s as f32,
            latency_typical_s: latency_s as f32,
            ttft_typical_s: ttft_s as f32,
            queue_weight: 1.0,
            kv_weight: 1.0,
            delay_weight: 1.0,
            herding_weight: 0.0,
        }
    }
}

fn llm_model(options: &LlmOptions) -> Llm {
    Llm {
        step_base_s: options.step.base_s as f32,
        step_per_request_s: options.step.per_request_s as f32,
        step_per_kv_token_s: options.step.per_kv_token_s as f32,
        step_per_prefill_token_s: options.step.per_prefill_token_s as f32,
        batch_max: options.batch_max as f32,
        kv_capacity_tokens: options.kv_capacity_tokens as f32,
    }
}

/// Work of one request, in host-seconds at speed 1: the share of a host's time that it
/// takes up when the host is saturated.
///
/// A saturated LLM host decodes `B = min(batch_max, kv_capacity / mean context)` requests
/// in each step, so that a request takes `prompt·per_prefill_token + output·(base / B +
/// per_request) + per_kv_token·Σ context` seconds of it. Cached prefixes are not counted:
/// with them a host carries more.
pub(crate) fn llm_work_s(options: &LlmOptions, batch: f64, prompt: f64, output: f64, context: f64) -> f64 {
    let step = &options.step;
    prompt * step.per_prefill_token_s
        + output * (step.base_s / batch + step.per_request_s)
        + context * step.per_kv_token_s
}

/// Requests that a saturated host decodes at once.
pub(crate) fn saturated_batch(options: &LlmOptions, means: &TokenMeans) -> f64 {
    let context = means.context / means.output;
    (f64::from(options.kv_capacity_tokens) / context).clamp(1.0, f64::from(options.batch_max))
}

/// Step, latency and time to first token under a quarter of the saturated batch.
fn typical_llm(options: &LlmOptions, means: &TokenMeans) -> (f64, f64, f64) {
    let batch = (0.25 * saturated_batch(options, means)).max(1.0);
    let context = means.context / means.output;
    let step = &options.step;
    let decoding_s = step.base_s + batch * (step.per_request_s + step.per_kv_token_s * context);
    let prefill_s = step.per_prefill_token_s * means.prompt;
    // Each of the batch was prefilled while the others decoded.
    let step_s = decoding_s + batch * prefill_s / means.output;
    let ttft_s = 1.5 * decoding_s + prefill_s;
    (step_s, ttft_s + means.output * step_s, ttft_s)
}
