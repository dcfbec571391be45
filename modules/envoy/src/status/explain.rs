//! Explanation of a choice: the scores that a decision would be made from now.

use std::collections::HashMap;

use evenkeel_runtime::Eligible;
use evenkeel_runtime::decide::scratch_len;
use evenkeel_runtime::state::HOSTS_MAX;
use evenkeel_runtime::telemetry_file::host_key as key_of;
use evenkeel_runtime::upstream::Facts;
use serde_json::{Value, json};

use crate::clock;
use crate::decimal;
use crate::region::Region;

/// Scores of a cluster's hosts for a request with so many prompt tokens, of a class or with so
/// many tokens to generate at most, as if all of them were healthy. Changes nothing.
pub(super) fn explain(region: &Region, query: &HashMap<&str, &str>) -> Result<Value, String> {
    let used = region.used().ok_or("the cluster has no load balancer yet")?;
    let number = |name| query.get(name).map_or(0, |value: &&str| decimal::parse(value.as_bytes()));
    let facts = Facts {
        prompt_tokens: number("prompt_tokens"),
        output_tokens_max: number("max_tokens"),
        class: query.get("class").map_or(0, |class| key_of(class.as_bytes())),
        ..Facts::default()
    };
    let upstream = region.upstream();
    let now_us = clock::now_us();
    let artifact = used.artifact.current();
    let model = artifact.model();
    let mut cached_tokens = [0; HOSTS_MAX];
    let output_tokens = upstream.resolve(Some(model.service()), &facts, now_us, &mut cached_tokens).output_tokens;
    let hosts = region.hosts();
    let mut mask = vec![0_u64; upstream.state().host_end().div_ceil(64)];
    for host in &hosts {
        if let Some(word) = mask.get_mut(host.slot as usize / 64) {
            *word |= 1 << (host.slot % 64);
        }
    }
    let address = |slot: u32| hosts.iter().find(|host| host.slot == slot).map(|host| &*host.address);
    let mut scratch = vec![0.0; scratch_len(model, hosts.len())];
    let mut scores = Vec::new();
    let explanation = upstream.explain(Some(model), &facts, Eligible::Mask(&mask), now_us, &mut scratch, |host| {
        if host.eligible {
            scores.push(json!({
                "host": address(host.host),
                "score": host.score,
                "estimate_s": host.estimate_s,
                "residual": host.residual,
                "in_flight": host.in_flight,
                "telemetry_age_s": host.telemetry_age_s,
            }));
        }
    });
    Ok(json!({
        "cluster": region.cluster(),
        "prompt_tokens": facts.prompt_tokens,
        "output_tokens": if output_tokens == 0 { Value::Null } else { output_tokens.into() },
        "reason": explanation.reason.name(),
        "best": explanation.best.map(address),
        "runner_up": explanation.runner_up.map(address),
        "margin": explanation.margin,
        "hosts": scores,
    }))
}
