//! The table of the engines' metrics. docs/agent.md has the same for people.
//!
//! Sources: vLLM `v1/metrics/loggers.py` and `engine/metrics.py` of 0.6; SGLang
//! `observability/metrics_collector.py`; TensorRT-LLM `metrics/collector.py`; TGI's
//! `docs/source/reference/metrics.md`; `LMDeploy` `metrics/loggers.py`; llama.cpp
//! `tools/server/server-context.cpp`; Triton's `docs/user_guide/metrics.md` and those of its
//! TensorRT-LLM and vLLM backends; NIM's, Dynamo's, `MLServer`'s and `BentoML`'s guides to metrics.

use super::{Engine, Field, Filter, Over, Rule, Value};

/// Name, field, choice.
type Row = (&'static str, Field, u8);
/// Name, label, its value, field, choice.
type LabelledRow = (&'static str, &'static str, &'static str, Field, u8);

const VLLM: &[Row] = &[
    ("vllm:num_requests_running", Field::Running, 0),
    ("vllm:num_requests_waiting", Field::Waiting, 0),
    // 0.6: turned out to main memory, and waiting to come back.
    ("vllm:num_requests_swapped", Field::Waiting, 0),
    ("vllm:kv_cache_usage_perc", Field::KvUse, 0),
    // Until 0.10.
    ("vllm:gpu_cache_usage_perc", Field::KvUse, 1),
    ("vllm:inter_token_latency_seconds_sum", Field::TokenSeconds, 0),
    ("vllm:inter_token_latency_seconds_count", Field::Tokens, 0),
    // Until 0.11, where a page has both.
    ("vllm:time_per_output_token_seconds_sum", Field::TokenSeconds, 1),
    ("vllm:time_per_output_token_seconds_count", Field::Tokens, 1),
    ("vllm:request_time_per_output_token_seconds_sum", Field::RequestSeconds, 0),
    ("vllm:request_time_per_output_token_seconds_count", Field::Requests, 0),
];

const SGLANG: &[Row] = &[
    ("sglang:num_running_reqs", Field::Running, 0),
    ("sglang:num_queue_reqs", Field::Waiting, 0),
    ("sglang:num_grammar_queue_reqs", Field::Waiting, 0),
    // A decode worker's: waiting for room, and for the KV cache from a prefill worker.
    ("sglang:num_decode_prealloc_queue_reqs", Field::Waiting, 0),
    ("sglang:num_decode_transfer_queue_reqs", Field::Waiting, 0),
    // A prefill worker's, by two names. Those in flight to a decode worker wait for nothing.
    ("sglang:num_prefill_bootstrap_queue_reqs", Field::Waiting, 0),
    ("sglang:num_prefill_prealloc_queue_reqs", Field::Waiting, 0),
    ("sglang:token_usage", Field::KvUse, 0),
    ("sglang:max_total_num_tokens", Field::KvCapacity, 0),
    ("sglang:max_running_requests_under_SLO", Field::BatchLimit, 0),
    ("sglang:inter_token_latency_seconds_sum", Field::TokenSeconds, 0),
    ("sglang:inter_token_latency_seconds_count", Field::Tokens, 0),
    // Until 0.4: once per request.
    ("sglang:time_per_output_token_seconds_sum", Field::RequestSeconds, 0),
    ("sglang:time_per_output_token_seconds_count", Field::Requests, 0),
];

const TRTLLM_SERVE: &[Row] = &[
    ("trtllm_num_requests_running", Field::Running, 0),
    ("trtllm_num_requests_waiting", Field::Waiting, 0),
    ("trtllm_total_context_tokens", Field::PendingPrefill, 0),
    ("trtllm_kv_cache_utilization", Field::KvUse, 0),
    ("trtllm_kv_cache_max_blocks", Field::KvBlocks, 0),
    ("trtllm_kv_cache_tokens_per_block", Field::KvBlockTokens, 0),
    ("trtllm_max_batch_size_runtime", Field::BatchLimit, 0),
    ("trtllm_max_batch_size_static", Field::BatchLimit, 1),
    ("trtllm_time_per_output_token_seconds_sum", Field::RequestSeconds, 0),
    ("trtllm_time_per_output_token_seconds_count", Field::Requests, 0),
];

const TGI: &[Row] = &[
    ("tgi_batch_current_size", Field::Running, 0),
    ("tgi_queue_size", Field::Waiting, 0),
    ("tgi_request_mean_time_per_token_duration_sum", Field::RequestSeconds, 0),
    ("tgi_request_mean_time_per_token_duration_count", Field::Requests, 0),
];

const LMDEPLOY: &[Row] = &[
    ("lmdeploy:num_requests_running", Field::Running, 0),
    ("lmdeploy:num_requests_waiting", Field::Waiting, 0),
    // In front of the engine: for a free handle.
    ("lmdeploy:num_api_requests_waiting", Field::Waiting, 0),
    ("lmdeploy:gpu_cache_usage_perc", Field::KvUse, 0),
    ("lmdeploy:iter_token_latency_sum", Field::TokenSeconds, 0),
    ("lmdeploy:iter_token_latency_count", Field::Tokens, 0),
    ("lmdeploy:time_per_output_token_seconds_sum", Field::RequestSeconds, 0),
    ("lmdeploy:time_per_output_token_seconds_count", Field::Requests, 0),
];

const LLAMA_CPP: &[Row] = &[
    ("llamacpp:requests_processing", Field::Running, 0),
    ("llamacpp:requests_deferred", Field::Waiting, 0),
    // Until spring 2025.
    ("llamacpp:kv_cache_usage_ratio", Field::KvUse, 0),
    // They move when a request ends; the throughput gauges are set back by every reader.
    ("llamacpp:tokens_predicted_seconds_total", Field::TokenSeconds, 0),
    ("llamacpp:tokens_predicted_total", Field::Tokens, 0),
    ("llamacpp:n_decode_total", Field::Steps, 0),
];

const NIM: &[Row] = &[
    ("num_requests_running", Field::Running, 0),
    ("num_requests_waiting", Field::Waiting, 0),
    ("num_request_max", Field::BatchLimit, 0),
    ("gpu_cache_usage_perc", Field::KvUse, 0),
    ("time_per_output_token_seconds_sum", Field::TokenSeconds, 0),
    ("time_per_output_token_seconds_count", Field::Tokens, 0),
];

const TRITON: &[LabelledRow] = &[
    ("nv_trt_llm_request_metrics", "request_type", "scheduled", Field::Running, 0),
    ("nv_trt_llm_request_metrics", "request_type", "active", Field::Active, 0),
    ("nv_trt_llm_request_metrics", "request_type", "waiting", Field::Waiting, 0),
    ("nv_trt_llm_request_metrics", "request_type", "max", Field::BatchLimit, 0),
    ("nv_trt_llm_kv_cache_block_metrics", "kv_cache_block_type", "fraction", Field::KvUse, 0),
    ("nv_trt_llm_kv_cache_block_metrics", "kv_cache_block_type", "max", Field::KvBlocks, 0),
    ("nv_trt_llm_kv_cache_block_metrics", "kv_cache_block_type", "tokens_per", Field::KvBlockTokens, 0),
    (
        "nv_trt_llm_inflight_batcher_metrics",
        "inflight_batcher_specific_metric",
        "total_context_tokens",
        Field::PendingPrefill,
        0,
    ),
];

/// All rules, of the engines in their order.
pub(super) fn rules() -> Vec<Rule> {
    let tables = [
        (Engine::Vllm, VLLM),
        (Engine::Sglang, SGLANG),
        (Engine::TrtllmServe, TRTLLM_SERVE),
        (Engine::Tgi, TGI),
        (Engine::Lmdeploy, LMDEPLOY),
        (Engine::LlamaCpp, LLAMA_CPP),
        (Engine::Nim, NIM),
    ];
    let rows = tables.into_iter().flat_map(|(engine, rows)| rows.iter().map(move |row| rule(engine, *row)));
    let mut rules: Vec<Rule> = rows.collect();
    rules.push(info(
        "vllm:cache_config_info",
        Engine::Vllm,
        &["kv_cache_size_tokens"],
        &["num_gpu_blocks", "block_size"],
    ));
    rules.push(info("sglang:cache_config_info", Engine::Sglang, &["num_pages", "page_size"], &[]));
    rules.extend(TRITON.iter().map(|(name, label, value, field, choice)| Rule {
        filter: Filter::Label(label, value),
        ..rule(Engine::Triton, (name, *field, *choice))
    }));
    // What waits in front of a backend. The durations beside it are whole requests', no steps.
    let pending = ("nv_inference_pending_request_count", Field::Waiting, 1);
    rules.push(Rule { over: Over::Models, ..rule(Engine::Triton, pending) });
    let in_flight = ("dynamo_component_inflight_requests", Field::Active, 0);
    rules.push(Rule { filter: Filter::Label("dynamo_endpoint", "generate"), ..rule(Engine::Dynamo, in_flight) });
    // MLServer's queues are histograms of past lengths: no present length is told.
    rules.push(rule(Engine::MlServer, ("rest_server_requests_in_progress", Field::Active, 0)));
    for (name, choice) in [("bentoml_service_request_in_progress", 0), ("bentoml_api_server_request_in_progress", 1)] {
        rules.push(Rule { over: Over::Services, ..rule(Engine::BentoMl, (name, Field::Active, choice)) });
    }
    rules
}

fn rule(engine: Engine, (name, field, choice): Row) -> Rule {
    let over = if matches!(field, Field::KvUse | Field::KvBlockTokens) { Over::Max } else { Over::Sum };
    Rule { engine, name: name.to_owned(), filter: Filter::Any, field, choice, over, value: Value::Scaled(1.0) }
}

/// A metric whose labels are the numbers: their product is the KV cache's tokens.
fn info(name: &'static str, engine: Engine, first: &'static [&'static str], second: &'static [&'static str]) -> Rule {
    Rule { value: Value::Labels(first, second), ..rule(engine, (name, Field::KvCapacity, 1)) }
}
