//! The page on the admin interface: JSON, of what is known of the hosts.

use evenkeel_runtime::Reason;
use serde_json::{Value, json};

use crate::artifact::Artifact;
use crate::clock;
use crate::region::{self, Region, Registration};

/// Status and body for a path with its query.
pub(crate) fn page(_path: &str) -> (u32, String) {
    let clusters: Vec<Value> = region::all().iter().map(|region| cluster(region)).collect();
    let artifacts: Vec<Value> = Artifact::all().iter().map(|artifact| describe(artifact)).collect();
    (200, json!({ "clusters": clusters, "artifacts": artifacts }).to_string())
}

fn describe(artifact: &Artifact) -> Value {
    let current = artifact.current();
    json!({
        "path": artifact.path().to_string_lossy(),
        "swaps": artifact.swaps(),
        "refusals": artifact.refusals(),
        "metadata": serde_json::from_str::<Value>(current.model().metadata_json()).unwrap_or(Value::Null),
    })
}

fn cluster(region: &Region) -> Value {
    let state = region.state();
    let decisions: serde_json::Map<String, Value> =
        Reason::ALL.iter().map(|reason| (name(*reason).into(), state.decisions(*reason).into())).collect();
    let now_us = clock::now_us();
    let hosts: Vec<Value> = region.hosts().iter().filter_map(|host| describe_host(region, host, now_us)).collect();
    json!({
        "cluster": region.cluster(),
        "arrivals_per_s": state.arrivals_per_s(),
        "decisions": decisions,
        "hosts": hosts,
    })
}

/// What is not known is null: JSON has no NaN.
fn describe_host(region: &Region, registration: &Registration, now_us: u64) -> Option<Value> {
    let state = region.state();
    let host = state.host(registration.slot)?;
    let telemetry = host.telemetry();
    Some(json!({
        "host": &*registration.address,
        "in_flight": host.in_flight(),
        "in_flight_prompt_tokens": host.in_flight_prompt_tokens(),
        "sent_total": host.sent_total(),
        "done_total": host.done_total(),
        "failed_total": host.failed_total(),
        "weight": host.weight(),
        "latency_s": host.latency_ewma_s(),
        "first_byte_s": host.ttft_ewma_s(),
        "step_s": host.local_step_s(),
        "failure_share": host.failure_share(),
        "silence_s": host.silence_s(now_us),
        "report": {
            "age_s": host.telemetry_age_s(now_us),
            "running": telemetry.running,
            "waiting": telemetry.waiting,
            "pending_prefill_tokens": telemetry.pending_prefill_tokens,
            "kv_use": telemetry.kv_use,
            "step_s": telemetry.step_s,
        },
    }))
}

/// The reasons' names, as in the NGINX module.
fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::Policy => "policy",
        Reason::OnlyHost => "only_host",
        Reason::NoPolicy => "no_policy",
        Reason::NoScore => "no_score",
        Reason::NoHost => "no_host",
    }
}
