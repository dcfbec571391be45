//! The result of `inference-perf`, a request an entry: `per_request_lifecycle_metrics.json`.
//!
//! A list of objects with `start_time` and `end_time` (s, on the benchmark's own clock), the
//! request's and the response's text, which are stepped over, `error`, and `info`: token counts and
//! the times of the output tokens. Releases differ in where `info` has them; counts that the server
//! stated (`server_usage`) come before those of the client.

use super::bench::{Results, parse};
use super::timed::{Account, Measured};
use crate::row::Context;
use crate::{DataError, Format, Reason, input::Input};
use serde::Deserialize;
use serde::de::{IgnoredAny, SeqAccess, Visitor};

#[derive(Deserialize)]
struct One {
    start_time: f64,
    end_time: Option<f64>,
    info: Option<Info>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    error_type: Option<String>,
}

#[derive(Default, Deserialize)]
struct Info {
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
    #[serde(default)]
    output_token_times: First,
    request_metrics: Option<RequestMetrics>,
    response_metrics: Option<ResponseMetrics>,
}

#[derive(Deserialize)]
struct RequestMetrics {
    text: Option<Text>,
}

#[derive(Deserialize)]
struct Text {
    input_tokens: Option<f64>,
}

#[derive(Deserialize)]
struct ResponseMetrics {
    output_tokens: Option<f64>,
    #[serde(default)]
    output_token_times: First,
    server_usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<f64>,
    completion_tokens: Option<f64>,
}

/// The first number of a list, of which the rest is not kept.
#[derive(Default)]
struct First(Option<f64>);

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = First;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of times, or null")
            }

            fn visit_unit<E>(self) -> Result<First, E> {
                Ok(First(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First, A::Error> {
                let first = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }
        deserializer.deserialize_any(List)
    }
}

/// The requests of a result, in order of arrival. Failed ones are counted and left out.
pub(crate) fn requests(input: Input, context: &mut Context) -> Result<Results, DataError> {
    let path = input.path().to_owned();
    let list: Vec<One> = parse(
        input,
        Format::InferencePerf,
        "expected per_request_lifecycle_metrics.json, which inference-perf writes with `report: request_lifecycle: \
         per_request: true`",
    )?;
    let mut account = Account { time: "seconds on the benchmark's own clock", ..Account::default() };
    let mut results = Vec::with_capacity(list.len());
    for one in list {
        if let Some(error) = one.error.as_ref().filter(|_| !context.include().failures) {
            context.count(Reason::Failure, || error.error_type.clone().unwrap_or_else(|| "an error".to_owned()));
            continue;
        }
        let measured = one.measured();
        results.push(measured.request(&mut account).map_err(|fault| fault.of_file(&path, Format::InferencePerf))?);
    }
    results.sort_by_key(|timed| timed.arrival_ns);
    Ok((results, account))
}

impl One {
    fn measured(self) -> Measured<'static> {
        let info = self.info.unwrap_or_default();
        let response = info.response_metrics.as_ref();
        let usage = response.and_then(|response| response.server_usage.as_ref());
        let text = info.request_metrics.as_ref().and_then(|request| request.text.as_ref());
        let first_s = info.output_token_times.0.or_else(|| response.and_then(|response| response.output_token_times.0));
        let prompt = [
            ("info.response_metrics.server_usage.prompt_tokens", usage.and_then(|usage| usage.prompt_tokens)),
            ("info.request_metrics.text.input_tokens", text.and_then(|text| text.input_tokens)),
            ("info.input_tokens", info.input_tokens),
        ];
        let output = [
            ("info.response_metrics.server_usage.completion_tokens", usage.and_then(|usage| usage.completion_tokens)),
            ("info.response_metrics.output_tokens", response.and_then(|response| response.output_tokens)),
            ("info.output_tokens", info.output_tokens),
        ];
        let first_of = |values: [(&'static str, Option<f64>); 3]| {
            values.into_iter().find(|(_, value)| value.is_some()).unwrap_or(values[2])
        };
        Measured {
            start_s: ("start_time", Some(self.start_time)),
            whole_s: ("end_time", self.end_time.map(|end_s| end_s - self.start_time)),
            first_byte_s: ("info.…output_token_times", first_s.map(|first_s| first_s - self.start_time)),
            prompt: first_of(prompt),
            output: first_of(output),
            session: ("", None),
        }
    }
}
