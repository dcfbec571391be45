//! Observations as a log that `evenkeel train --trace` reads.
//!
//! The fields are those of NGINX's JSON log (`docs/nginx.md`), one object a line, and further
//! ones that the loader steps over. Times are service time.

use std::io::{self, Write};

use evenkeel_env::Status;
use serde_json::{Map, Value, json};

use super::observation::Observation;
use super::plan::Plan;

/// Writes one line. `start_epoch_s`: Unix time at which the replay began.
///
/// # Errors
/// If the line cannot be written.
pub fn write(out: &mut impl Write, plan: &Plan, observation: &Observation, start_epoch_s: f64) -> io::Result<()> {
    let request = &plan.requests[observation.index].request;
    let Observation { due_s, latency_s, .. } = *observation;
    let is_answered = observation.status == Status::Answered;
    let mut line = Map::new();
    let mut set = |name: &str, value: Value| line.insert(name.to_owned(), value);
    set("msec", json!(to_ms(start_epoch_s + due_s + latency_s)));
    set("request_time", json!(to_ms(latency_s)));
    set("status", json!(observation.code));
    set("upstream_addr", json!(observation.host.as_deref().unwrap_or("-")));
    // What failed tells nothing of how long requests take.
    set("upstream_header_time", seconds(is_answered.then_some(observation.first_token_s)));
    set("upstream_response_time", seconds(is_answered.then_some(latency_s)));
    set("prompt_tokens", json!(request.prompt_tokens));
    set("output_tokens", json!(if is_answered { request.output_tokens } else { observation.output_tokens }));
    set("lag", seconds(Some(observation.lag_s)));
    set("first_token", seconds(Some(observation.first_token_s)));
    set("between_tokens", seconds(Some(observation.between_tokens_s())));
    set("gap_max", seconds(Some(observation.gap_max_s)));
    if let Some(error) = &observation.error {
        set("error", json!(error));
    }
    writeln!(out, "{}", Value::Object(line))
}

/// Seconds, to the millisecond, as a number; `-` for none.
fn seconds(value: Option<f64>) -> Value {
    match value {
        Some(value) if value.is_finite() => json!(to_us(value.max(0.0))),
        _ => json!("-"),
    }
}

fn to_ms(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

fn to_us(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}
