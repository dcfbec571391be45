//! The listing of a service model.

use std::fmt;

use evenkeel_runtime::{Engine, Fifo, Llm, ServiceModel};

/// Meaning, value and unit.
type Field = (&'static str, f32, &'static str);

/// Writes every field with its unit and meaning.
pub(super) fn write(f: &mut fmt::Formatter<'_>, service: &ServiceModel) -> fmt::Result {
    // By name, so that a new field is not forgotten here.
    let ServiceModel {
        engine,
        prompt_tokens_mean,
        output_tokens_mean,
        step_typical_s,
        latency_typical_s,
        ttft_typical_s,
        queue_weight,
        kv_weight,
        delay_weight,
        herding_weight,
    } = *service;
    let (kind, of_kind) = match engine {
        Engine::Llm(llm) => ("language model, continuous batching", llm_fields(llm)),
        Engine::Fifo(fifo) => ("first in, first out", fifo_fields(fifo)),
    };
    writeln!(f, "\nService: {kind}")?;
    let common = [
        ("mean prompt", prompt_tokens_mean, "tokens"),
        ("mean output", output_tokens_mean, "tokens"),
        ("typical step or service time", step_typical_s, "s"),
        ("typical latency", latency_typical_s, "s"),
        ("typical time to first token", ttft_typical_s, "s"),
        ("estimate, weight of the queue", queue_weight, ""),
        ("estimate, weight of KV overflow", kv_weight, ""),
        ("estimate, weight of delay to others", delay_weight, ""),
        ("selection, weight against herding", herding_weight, ""),
    ];
    for (name, value, unit) in of_kind.into_iter().chain(common) {
        let value = if value != 0.0 && value.abs() < 1e-3 { format!("{value:e}") } else { value.to_string() };
        let line = format!("  {name:<36} {value:>12} {unit}");
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

fn llm_fields(llm: Llm) -> Vec<Field> {
    let Llm {
        step_base_s,
        step_per_request_s,
        step_per_kv_token_s,
        step_per_prefill_token_s,
        batch_max,
        kv_capacity_tokens,
    } = llm;
    vec![
        ("step, empty batch", step_base_s, "s"),
        ("step, per decoding request", step_per_request_s, "s"),
        ("step, per token in the KV cache", step_per_kv_token_s, "s"),
        ("step, per prefilled prompt token", step_per_prefill_token_s, "s"),
        ("largest batch", batch_max, "requests"),
        ("KV cache", kv_capacity_tokens, "tokens"),
    ]
}

fn fifo_fields(fifo: Fifo) -> Vec<Field> {
    let Fifo { service_mean_s, servers } = fifo;
    vec![("mean service time", service_mean_s, "s"), ("servers of a host", servers, "")]
}
