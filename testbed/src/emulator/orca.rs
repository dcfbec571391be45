//! Load reports in response headers: ORCA's `endpoint-load-metrics`, in text or JSON.
//!
//! As vLLM does, when the request carries `endpoint-load-metrics-format: text` or `json`.
//! vLLM reports the two metrics below and only with whole responses, not with streams.

use std::fmt::Write as _;

use evenkeel_env::host::HostReport;

/// The request's header that asks for a report.
pub const FORMAT_HEADER: &str = "endpoint-load-metrics-format";
/// The response's header that has it.
pub const HEADER: &str = "endpoint-load-metrics";

/// What reports contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Metrics {
    /// There are none.
    Off,
    /// As vLLM: use of the KV cache and requests waiting; not with streams.
    Vllm,
    /// All that the balancer can make use of; with streams too.
    Full,
}

/// The value of the header, if the request asked for one and this host gives one. `report` is
/// in wall time.
pub fn header(metrics: Metrics, asked: Option<&[u8]>, is_stream: bool, report: &HostReport) -> Option<String> {
    let asked = asked?.trim_ascii();
    let named = match metrics {
        Metrics::Off => return None,
        Metrics::Vllm if is_stream => return None,
        Metrics::Vllm => vllm(report),
        Metrics::Full => full(report),
    };
    if asked.eq_ignore_ascii_case(b"text") {
        Some(text(&named))
    } else if asked.eq_ignore_ascii_case(b"json") {
        Some(json(&named))
    } else {
        None
    }
}

fn vllm(report: &HostReport) -> Vec<(&'static str, f64)> {
    vec![("kv_cache_usage_perc", report.kv_use), ("num_requests_waiting", f64::from(report.waiting))]
}

fn full(report: &HostReport) -> Vec<(&'static str, f64)> {
    let mut named = vllm(report);
    named.push(("num_requests_running", f64::from(report.running)));
    named.push(("pending_prefill_tokens", report.pending_prefill_tokens as f64));
    named.push(("time_per_output_token_seconds", report.step_s));
    named
}

fn text(named: &[(&str, f64)]) -> String {
    let pairs: Vec<String> = named.iter().map(|(name, value)| format!("named_metrics.{name}={value}")).collect();
    format!("TEXT {}", pairs.join(", "))
}

fn json(named: &[(&str, f64)]) -> String {
    let mut header = "JSON {\"named_metrics\": {".to_owned();
    for (index, (name, value)) in named.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        let _ = write!(header, "{comma}\"{name}\": {value:?}");
    }
    header + "}}"
}

#[cfg(test)]
mod tests {
    use super::{Metrics, header};
    use evenkeel_env::host::HostReport;
    use evenkeel_runtime::orca;

    const REPORT: HostReport =
        HostReport { running: 3, waiting: 2, pending_prefill_tokens: 512, kv_use: 0.375, step_s: 0.0625 };

    #[test]
    fn both_forms_are_what_the_runtime_reads() {
        for format in ["text", "TEXT", "json", "JSON "] {
            let value = header(Metrics::Full, Some(format.as_bytes()), true, &REPORT).unwrap();
            assert_eq!(orca::parse(value.as_bytes()), Some(REPORT.telemetry()), "{value}");
        }
        let value = header(Metrics::Vllm, Some(b"text"), false, &REPORT).unwrap();
        assert_eq!(value, "TEXT named_metrics.kv_cache_usage_perc=0.375, named_metrics.num_requests_waiting=2");
    }

    #[test]
    fn nobody_is_told_who_did_not_ask() {
        assert_eq!(header(Metrics::Full, None, false, &REPORT), None);
        assert_eq!(header(Metrics::Full, Some(b"xml"), false, &REPORT), None);
        assert_eq!(header(Metrics::Vllm, Some(b"text"), true, &REPORT), None);
        assert_eq!(header(Metrics::Off, Some(b"text"), false, &REPORT), None);
    }
}
