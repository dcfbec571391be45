//! The listing of a service model.

use std::fmt;

use evenkeel_runtime::{ServiceKind, ServiceModel};

/// Writes every field with its unit and meaning.
pub(super) fn write(f: &mut fmt::Formatter<'_>, service: &ServiceModel) -> fmt::Result {
    // By name, so that a new field is not forgotten here.
    let ServiceModel {
        kind,
        step_base_s,
        step_per_request_s,
        step_per_kv_token_s,
        step_per_prefill_token_s,
        batch_max,
        kv_capacity_tokens,
        prompt_tokens_mean,
        output_tokens_mean,
        service_mean_s,
        servers,
        step_typical_s,
        latency_typical_s,
        ttft_typical_s,
        queue_weight,
        kv_weight,
        delay_weight,
        herding_weight,
    } = *service;
    let kind = match kind {
        ServiceKind::Llm => "language model, continuous batching",
        ServiceKind::Fifo => "first in, first out",
    };
    writeln!(f, "\nService: {kind}")?;
    for (name, value, unit) in [
        ("step, empty batch", step_base_s, "s"),
        ("step, per decoding request", step_per_request_s, "s"),
        ("step, per token in the KV cache", step_per_kv_token_s, "s"),
        ("step, per prefilled prompt token", step_per_prefill_token_s, "s"),
        ("largest batch", batch_max, "requests"),
        ("KV cache", kv_capacity_tokens, "tokens"),
        ("mean prompt", prompt_tokens_mean, "tokens"),
        ("mean output", output_tokens_mean, "tokens"),
        ("mean service time", service_mean_s, "s"),
        ("servers of a host", servers, ""),
        ("typical step or service time", step_typical_s, "s"),
        ("typical latency", latency_typical_s, "s"),
        ("typical time to first token", ttft_typical_s, "s"),
        ("estimate, weight of the queue", queue_weight, ""),
        ("estimate, weight of KV overflow", kv_weight, ""),
        ("estimate, weight of delay to others", delay_weight, ""),
        ("selection, weight against herding", herding_weight, ""),
    ] {
        let value = if value != 0.0 && value.abs() < 1e-3 { format!("{value:e}") } else { value.to_string() };
        let line = format!("  {name:<36} {value:>12} {unit}");
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}
