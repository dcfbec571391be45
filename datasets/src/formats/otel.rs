//! `OpenTelemetry` spans with the attributes of generative AI, as JSON: a line of the OTLP file
//! exporter holds `resourceSpans`, other exporters write a span a line.
//!
//! A span is a request where it has token counts: `gen_ai.usage.input_tokens` and
//! `gen_ai.usage.output_tokens`, or the older names `…prompt_tokens` and `…completion_tokens`.
//! Times are `startTimeUnixNano` and `endTimeUnixNano`. Other spans are left out and counted.

use super::timed::Timed;
use crate::row::{Context, Fault, identity};
use crate::{Reason, Request};
use serde_json::Value;
use std::collections::VecDeque;

const PROMPT: [&str; 3] = ["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens"];
const OUTPUT: [&str; 3] =
    ["gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens"];
const FIRST_TOKEN_S: [&str; 3] =
    ["gen_ai.latency.time_to_first_token", "gen_ai.server.time_to_first_token", "gen_ai.response.time_to_first_token"];
const SESSION: [&str; 3] = ["gen_ai.conversation.id", "session.id", "conversation.id"];
const HOST: [&str; 2] = ["server.address", "host.name"];

/// Appends the requests of a line.
pub(crate) fn line(line: &[u8], context: &mut Context, requests: &mut VecDeque<Timed>) -> Result<(), Fault> {
    let value: Value = serde_json::from_slice(line)
        .map_err(|error| Fault::new("line", line, format!("a JSON object with spans ({error})")))?;
    match value.get("resourceSpans").or_else(|| value.get("resource_spans")) {
        Some(resources) => {
            for resource in list(resources) {
                let scopes = resource.get("scopeSpans").or_else(|| resource.get("scope_spans"));
                for scope in scopes.map(list).unwrap_or_default() {
                    for one in scope.get("spans").map(list).unwrap_or_default() {
                        span(one, context, requests)?;
                    }
                }
            }
            Ok(())
        }
        None => span(&value, context, requests),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn span(span: &Value, context: &mut Context, requests: &mut VecDeque<Timed>) -> Result<(), Fault> {
    let name = || span.get("name").and_then(Value::as_str).unwrap_or("without a name").to_owned();
    let count = |names: &[&str], what: &'static str| match names.iter().find_map(|name| attribute(span, name)) {
        None => Ok(None),
        Some(value) => {
            let tokens = text(value).parse::<u32>();
            tokens.map(Some).map_err(|_| Fault::new(what, text(value).as_bytes(), crate::row::TOKENS))
        }
    };
    let (prompt, output) = (count(&PROMPT, PROMPT[0])?, count(&OUTPUT, OUTPUT[0])?);
    let operation = attribute(span, "gen_ai.operation.name").map(text).unwrap_or_default();
    let is_whole = matches!(operation.as_str(), "invoke_agent" | "create_agent" | "execute_tool" | "invoke_workflow");
    if prompt.is_none() && output.is_none() || is_whole {
        context.count(Reason::Protocol, || format!("span {}", name()));
        return Ok(());
    }
    let status = span.get("status").and_then(|status| status.get("code").or_else(|| status.get("status_code")));
    let is_error = status.map(text).is_some_and(|code| code == "2" || code.ends_with("ERROR"));
    if is_error && !context.include().failures {
        context.count(Reason::Failure, || format!("span {}", name()));
        return Ok(());
    }
    let time = |names: [&'static str; 3]| {
        let value = names.iter().find_map(|name| span.get(name)).map(text).unwrap_or_default();
        let time_ns = value.parse::<i64>().ok();
        time_ns
            .or_else(|| crate::input::time::written(value.as_bytes()).map(|written| written.time_ns))
            .ok_or_else(|| Fault::new(names[0], value.as_bytes(), "a time in ns since 1970, or ISO 8601"))
    };
    let start_ns = time(["startTimeUnixNano", "start_time_unix_nano", "start_time"])?;
    let end_ns = time(["endTimeUnixNano", "end_time_unix_nano", "end_time"])?;
    let first_s = FIRST_TOKEN_S.iter().find_map(|name| attribute(span, name)).map(text);
    let session = SESSION.iter().find_map(|name| attribute(span, name)).map(text);
    let host = HOST.iter().find_map(|name| attribute(span, name)).map(text).unwrap_or_default();
    let request = Request {
        service_s: (end_ns.saturating_sub(start_ns).max(0) as f64 / 1e9) as f32,
        first_byte_s: first_s.and_then(|value| value.parse().ok()).filter(|s: &f32| *s >= 0.0).unwrap_or(f32::NAN),
        session: session.map_or(Request::NO_SESSION, |session| identity(session.as_bytes())),
        upstream: context.upstreams.index(host.as_bytes())?,
        ..Request::new(0.0, prompt.unwrap_or(0), output.unwrap_or(0))
    };
    requests.push_back(Timed::new(start_ns, request));
    Ok(())
}

/// An attribute's value, in OTLP's list of keys and values or in a plain object.
fn attribute<'a>(span: &'a Value, name: &str) -> Option<&'a Value> {
    match span.get("attributes")? {
        Value::Array(list) => {
            let pair = list.iter().find(|pair| pair.get("key").and_then(Value::as_str) == Some(name))?;
            pair.get("value")?.as_object()?.values().next()
        }
        attributes => attributes.get(name),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
