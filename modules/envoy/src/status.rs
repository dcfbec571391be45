//! The pages on the admin interface, in JSON: what is known of the hosts, the demand for
//! scalers, and why a host would be chosen.

mod explain;

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

use evenkeel_runtime::Reason;
use serde_json::{Map, Value, json};

use crate::artifact::Artifact;
use crate::clock;
use crate::demand;
use crate::region::{self, Region, Registration};

/// Paths, and what they show.
pub(crate) const PAGES: [(&str, &str); 3] = [
    ("/evenkeel", "Evenkeel: hosts, decisions and artifacts"),
    ("/evenkeel/scale", "Evenkeel: demand in replicas, for scalers"),
    ("/evenkeel/explain", "Evenkeel: scores of all hosts (?cluster=NAME&prompt_tokens=N)"),
];

/// Status and body for a path with its query.
pub(crate) fn page(path: &str) -> (u32, String) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query: HashMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let regions = region::all();
    let answer = match path {
        "/evenkeel/scale" if query.contains_key("cluster") => {
            one_cluster(&regions, &query).map(|region| scale(&[region]))
        }
        "/evenkeel/scale" => Ok(scale(&regions.iter().map(|region| &**region).collect::<Vec<_>>())),
        "/evenkeel/explain" => one_cluster(&regions, &query).and_then(|region| explain::explain(region, &query)),
        _ => Ok(overview(&regions)),
    };
    match answer {
        Ok(value) => (200, value.to_string()),
        Err(complaint) => (400, json!({ "error": complaint }).to_string()),
    }
}

/// The cluster that the query names, or the only one.
fn one_cluster<'r>(regions: &'r [std::sync::Arc<Region>], query: &HashMap<&str, &str>) -> Result<&'r Region, String> {
    let names = || regions.iter().map(|region| region.cluster()).collect::<Vec<_>>().join(", ");
    match (query.get("cluster"), regions) {
        (Some(name), _) => {
            let found = regions.iter().find(|region| region.cluster() == *name);
            found
                .map(|region| &**region)
                .ok_or_else(|| format!("no cluster {name:?} uses evenkeel; there are: {}", names()))
        }
        (None, [only]) => Ok(only),
        (None, _) => Err(format!("say which with ?cluster=NAME; there are: {}", names())),
    }
}

fn overview(regions: &[std::sync::Arc<Region>]) -> Value {
    let clusters: Vec<Value> = regions.iter().map(|region| cluster(region)).collect();
    let artifacts: Vec<Value> = Artifact::all().iter().map(|artifact| describe(artifact)).collect();
    json!({ "clusters": clusters, "artifacts": artifacts })
}

fn describe(artifact: &Artifact) -> Value {
    let mut fields = artifact.identity().json();
    fields.insert("path".into(), artifact.path().to_string_lossy().into());
    fields.insert("swaps".into(), artifact.swaps().into());
    fields.insert("refusals".into(), artifact.refusals().into());
    Value::Object(fields)
}

fn cluster(region: &Region) -> Value {
    let upstream = region.upstream();
    let state = upstream.state();
    let counters = upstream.counters();
    let mut decisions: Map<String, Value> = Reason::ALL
        .iter()
        .zip(counters.decisions)
        .map(|(reason, count)| (reason.name().into(), count.into()))
        .collect();
    decisions.insert("too_many_hosts".into(), region.unscored.load(Relaxed).into());
    let (hosts_total, hosts_without_slot) = region.host_counts();
    let now_us = clock::now_us();
    let hosts: Vec<Value> = region.hosts().iter().filter_map(|host| describe_host(region, host, now_us)).collect();
    let time = upstream.choice_time();
    json!({
        "cluster": region.cluster(),
        "arrivals_per_s": state.arrivals_per_s(),
        "decisions": decisions,
        "shadow": {
            "agreed": region.shadow_agreed.load(Relaxed),
            "differed": region.shadow_differed.load(Relaxed),
        },
        "hosts_total": hosts_total,
        "hosts_not_scored": hosts_without_slot,
        "decision_ns": {
            "count": time.total(),
            "sum": time.sum_ns(),
            "p50": time.quantile_ns(0.5),
            "p99": time.quantile_ns(0.99),
        },
        "demand": demand_of(region),
        "artifact": region.used().map(|used| used.artifact.path().to_string_lossy().into_owned()),
        "hosts": hosts,
    })
}

/// Demand of clusters by their names, as the NGINX module's page has it; shares of several
/// proxies add up.
fn scale(regions: &[&Region]) -> Value {
    regions.iter().map(|region| (region.cluster().to_owned(), demand_of(region))).collect()
}

fn demand_of(region: &Region) -> Value {
    let Some(used) = region.used() else { return json!({ "upstream": region.cluster() }) };
    let upstream = region.upstream();
    let reading = demand::read(&upstream, used.artifact.current().model(), &used.scale);
    json!({
        "upstream": region.cluster(),
        "demand": reading.replicas,
        "present_per_s": reading.present_per_s,
        "forecast_per_s": reading.forecast_per_s,
        "history_days": reading.history_days,
        "decide_p99_s": upstream.choice_time().quantile_ns(0.99) as f64 * 1e-9,
        "artifacts_taken": used.artifact.swaps(),
        "artifacts_refused": used.artifact.refusals(),
    })
}

/// Describes a host; unknown numbers are null, as JSON has no NaN.
fn describe_host(region: &Region, registration: &Registration, now_us: u64) -> Option<Value> {
    let upstream = region.upstream();
    let host = upstream.state().host(registration.slot)?;
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
        "failure_share": host.failure_share(now_us),
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
