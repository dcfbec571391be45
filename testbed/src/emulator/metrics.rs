//! `/metrics` in vLLM's and in SGLang's names, Prometheus text.
//!
//! Times are wall time: whoever scrapes lives there.

use std::fmt::Write as _;

use evenkeel_env::host::HostReport;

use super::host::Counters;

/// The page of one host.
pub fn page(model: &str, report: &HostReport, counters: &Counters, time_scale: f64) -> String {
    let mut page = Page { text: String::with_capacity(4096), labels: format!("model_name=\"{model}\"") };
    let wall = |service_s: f64| service_s / time_scale;
    page.labels.insert_str(0, "engine=\"0\",");
    page.gauge(
        "vllm:num_requests_running",
        "Number of requests in model execution batches.",
        f64::from(report.running),
    );
    page.gauge("vllm:num_requests_waiting", "Number of requests waiting to be processed.", f64::from(report.waiting));
    page.gauge("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", report.kv_use);
    page.counter("vllm:prompt_tokens_total", "Number of prefill tokens processed.", counters.prompt_tokens);
    page.counter("vllm:generation_tokens_total", "Number of generation tokens processed.", counters.generated_tokens);
    page.counter("vllm:prefix_cache_queries_total", "Prefix cache queries, in tokens.", counters.prompt_tokens);
    page.counter("vllm:prefix_cache_hits_total", "Prefix cache hits, in tokens.", counters.cached_tokens);
    page.counter("vllm:request_success_total", "Count of successfully processed requests.", counters.answered);
    page.summary(
        "vllm:time_to_first_token_seconds",
        "Time to first token in seconds.",
        wall(counters.ttft_s),
        counters.first_tokens,
    );
    page.summary(
        "vllm:inter_token_latency_seconds",
        "Inter-token latency in seconds.",
        wall(counters.between_tokens_s),
        counters.later_tokens,
    );
    page.summary(
        "vllm:e2e_request_latency_seconds",
        "End to end request latency in seconds.",
        wall(counters.latency_s),
        counters.answered,
    );
    page.labels = format!("model_name=\"{model}\"");
    page.gauge("sglang:num_running_reqs", "The number of running requests.", f64::from(report.running));
    page.gauge("sglang:num_queue_reqs", "The number of requests in the waiting queue.", f64::from(report.waiting));
    page.gauge("sglang:token_usage", "The token usage.", report.kv_use);
    let throughput = if report.running > 0 { f64::from(report.running) / wall(report.step_s) } else { 0.0 };
    page.gauge("sglang:gen_throughput", "The generation throughput (token/s).", throughput);
    let hits = counters.cached_tokens as f64 / counters.prompt_tokens.max(1) as f64;
    page.gauge("sglang:cache_hit_rate", "The prefix cache hit rate.", hits);
    page.text
}

struct Page {
    text: String,
    labels: String,
}

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.describe(name, help, "gauge");
        self.sample(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.describe(name, help, "counter");
        self.sample(name, "", value as f64);
    }

    /// A histogram with no bucket but the last.
    fn summary(&mut self, name: &str, help: &str, sum: f64, count: u64) {
        self.describe(name, help, "histogram");
        let _ = writeln!(self.text, "{name}_bucket{{{},le=\"+Inf\"}} {count}", self.labels);
        self.sample(name, "_sum", sum);
        self.sample(name, "_count", count as f64);
    }

    fn describe(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, suffix: &str, value: f64) {
        let _ = writeln!(self.text, "{name}{suffix}{{{}}} {value}", self.labels);
    }
}
