//! Prometheus' text format, of which only what is wanted is looked at.
//!
//! Pages are a host's, and so untrusted: lines that make no sense are skipped, no line is
//! looked at twice, nothing is kept of a page but a few sums.

use evenkeel_runtime::Telemetry;
use memchr::{memchr, memchr_iter};

use crate::names::{Engine, Field, Names, Rule};

/// What a page says, by engine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Page {
    engines: [Sums; Engine::COUNT],
}

/// What a page says in the names of one engine, summed over labels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    running: Option<f64>,
    active: Option<f64>,
    waiting: Option<f64>,
    pending_prefill: Option<f64>,
    kv_use: Option<f64>,
    step_sum_s: Option<f64>,
    step_count: Option<f64>,
}

impl Page {
    /// Reads a page.
    pub fn parse(text: &[u8], names: &Names) -> Self {
        let mut page = Self::default();
        let mut begin = 0;
        for end in memchr_iter(b'\n', text).chain([text.len()]) {
            let line = &text[begin..end];
            begin = end + 1;
            // Comments are most of a page.
            if line.first().is_some_and(|byte| *byte != b'#') {
                page.line(line, names);
            }
        }
        page
    }

    /// Whether it had anything of use.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn line(&mut self, line: &[u8], names: &Names) {
        let name_end = line.iter().position(|byte| matches!(byte, b'{' | b' ' | b'\t')).unwrap_or(line.len());
        let (name, rest) = line.split_at(name_end);
        let mut sample = None;
        for rule in names.of(name) {
            // Found only once a rule asks: most lines are nobody's.
            let Some((labels, value)) = *sample.get_or_insert_with(|| labels_and_value(rest)) else { return };
            if has_label(labels, rule) {
                self.engines[rule.engine as usize].take(rule.field, value * rule.scale);
            }
        }
    }

    /// The first engine whose metrics are there.
    fn sums(&self) -> Sums {
        self.engines.into_iter().find(|sums| *sums != Sums::default()).unwrap_or_default()
    }
}

impl Sums {
    fn take(&mut self, field: Field, value: f64) {
        let sum = |known: &mut Option<f64>| *known = Some(known.unwrap_or(0.0) + value);
        match field {
            Field::Running => sum(&mut self.running),
            Field::Active => sum(&mut self.active),
            Field::Waiting => sum(&mut self.waiting),
            Field::PendingPrefill => sum(&mut self.pending_prefill),
            Field::StepSum => sum(&mut self.step_sum_s),
            Field::StepCount => sum(&mut self.step_count),
            Field::KvUse => self.kv_use = Some(self.kv_use.unwrap_or(0.0).max(value)),
        }
    }
}

fn has_label(labels: &[u8], rule: &Rule) -> bool {
    let Some(label) = &rule.label else { return true };
    labels.windows(label.len()).any(|window| window == label.as_bytes())
}

/// What stands between braces, and the number behind; a timestamp after it is left out.
fn labels_and_value(rest: &[u8]) -> Option<(&[u8], f64)> {
    let (labels, value) = match rest.strip_prefix(b"{") {
        None => (&rest[..0], rest),
        Some(inner) => {
            let end = closing_brace(inner)?;
            (&inner[..end], &inner[end + 1..])
        }
    };
    let value = value.trim_ascii();
    let value = &value[..value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len())];
    let value: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    value.is_finite().then_some((labels, value))
}

/// Where the labels end: braces within quotes do not count.
fn closing_brace(inner: &[u8]) -> Option<usize> {
    let first = memchr(b'}', inner)?;
    if memchr(b'"', &inner[..first]).is_none() {
        return Some(first);
    }
    let (mut quoted, mut escaped) = (false, false);
    inner.iter().position(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' => return !quoted,
            _ => {}
        }
        false
    })
}

/// Makes telemetry of pages: steps are told by how two pages in a row differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reader {
    before: Option<(f64, f64)>,
    step_s: Option<f64>,
}

/// What a new measurement of the step weighs against those before it.
const STEP_WEIGHT: f64 = 0.5;

impl Reader {
    /// Takes in a page.
    pub fn telemetry(&mut self, page: &Page) -> Telemetry {
        let page = page.sums();
        if let (Some(sum_s), Some(count)) = (page.step_sum_s, page.step_count)
            && let Some((sum_before_s, count_before)) = self.before.replace((sum_s, count))
            // Counters that went back are those of a host that was restarted.
            && count > count_before
            && sum_s >= sum_before_s
        {
            let step_s = (sum_s - sum_before_s) / (count - count_before);
            self.step_s = Some(self.step_s.map_or(step_s, |known| known + STEP_WEIGHT * (step_s - known)));
        }
        let known = |value: Option<f64>| value.map_or(f32::NAN, |value| value as f32);
        let less = |active: f64| (active - page.waiting.unwrap_or(0.0)).max(0.0);
        Telemetry {
            running: known(page.running.or(page.active.map(less))),
            waiting: known(page.waiting),
            pending_prefill_tokens: known(page.pending_prefill),
            kv_use: known(page.kv_use),
            step_s: known(self.step_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Page, Reader};
    use crate::names::Names;

    fn telemetry(pages: &[&str]) -> evenkeel_runtime::Telemetry {
        let mut reader = Reader::default();
        let names = Names::default();
        let mut last = evenkeel_runtime::Telemetry::UNKNOWN;
        for page in pages {
            last = reader.telemetry(&Page::parse(page.as_bytes(), &names));
        }
        last
    }

    #[test]
    fn engines_are_understood() {
        let vllm = telemetry(&[
            "# HELP vllm:num_requests_running Number of requests.\n\
             # TYPE vllm:num_requests_running gauge\n\
             vllm:num_requests_running{engine=\"0\",model_name=\"a{b}\\\"\"} 3.0\n\
             vllm:num_requests_running{engine=\"1\",model_name=\"a\"} 2.0 1700000000000\n\
             vllm:num_requests_waiting{engine=\"0\"} 1\nvllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n\
             vllm:inter_token_latency_seconds_bucket{le=\"0.1\"} 7\n\
             vllm:inter_token_latency_seconds_sum{engine=\"0\"} 10.0\nvllm:inter_token_latency_seconds_count 100\n",
            "vllm:num_requests_running 5\nvllm:num_requests_waiting 1\nvllm:kv_cache_usage_perc 0.25\n\
             vllm:inter_token_latency_seconds_sum 10.5\nvllm:inter_token_latency_seconds_count 120",
        ]);
        assert_eq!([vllm.running, vllm.waiting, vllm.kv_use, vllm.step_s], [5.0, 1.0, 0.25, 0.025]);
        assert!(vllm.pending_prefill_tokens.is_nan());
        let sglang =
            telemetry(&["sglang:num_running_reqs{m=\"x\"} 4\nsglang:num_queue_reqs 2\nsglang:token_usage 5e-1"]);
        assert_eq!([sglang.running, sglang.waiting, sglang.kv_use], [4.0, 2.0, 0.5]);
        let triton = telemetry(&["nv_trt_llm_request_metrics{model=\"m\",request_type=\"active\"} 9\n\
             nv_trt_llm_request_metrics{model=\"m\",request_type=\"waiting\"} 4\n\
             nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"fraction\"} 0.75\n"]);
        assert_eq!([triton.running, triton.waiting, triton.kv_use], [5.0, 4.0, 0.75]);
        let tgi = telemetry(&["tgi_batch_current_size 8\ntgi_queue_size 1\n"]);
        assert_eq!([tgi.running, tgi.waiting], [8.0, 1.0]);
    }

    #[test]
    fn a_page_in_the_names_of_two_engines_is_not_counted_twice() {
        let both =
            telemetry(&["sglang:num_running_reqs 3\nvllm:num_requests_running{} 1\nvllm:num_requests_running 2\n"]);
        assert_eq!(both.running, 3.0);
    }

    #[test]
    fn garbage_is_skipped() {
        let garbage = "\n{}\n} 1\nvllm:num_requests_running\nvllm:num_requests_running{ 1\n\
            vllm:num_requests_running{a=\"} 1\nvllm:num_requests_running NaN\nvllm:num_requests_running x\n\
            vllm:num_requests_running 1e999\n\u{fffd}\u{0}";
        assert!(Page::parse(garbage.as_bytes(), &Names::default()).is_empty());
        assert!(Page::parse(&[0xFF; 10_000], &Names::default()).is_empty());
    }

    #[test]
    fn a_restart_does_not_make_steps_negative() {
        let page = |sum: f64, count: u32| {
            format!("vllm:inter_token_latency_seconds_sum {sum}\nvllm:inter_token_latency_seconds_count {count}\n")
        };
        let pages = [page(10.0, 100), page(11.0, 150), page(0.0, 0), page(0.04, 2)];
        let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
        assert!((telemetry(&pages).step_s - 0.02).abs() < 1e-6);
        assert!((telemetry(&pages[..3]).step_s - 0.02).abs() < 1e-6, "an idle host keeps its last step");
    }
}
