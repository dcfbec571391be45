//! `evenkeel-agent check`: what is understood of a host, from which metrics, what is missing,
//! and what to do about it, in lines of 80 columns.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::clock;
use crate::discovery::Host;
use crate::engines::{Engine, Field, Rules};
use crate::page::Page;
use crate::probe::{Probe, Seen};
use crate::reading::{Found, Reader, StepSource};
use crate::scrape::ScrapeOptions;

/// The findings at a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// For people.
    pub text: String,
    /// Set if the host's load is known.
    pub is_usable: bool,
}

/// Pause between pages while a step is waited for.
const PAUSE: Duration = Duration::from_millis(200);
/// Columns of a terminal.
const COLUMNS: usize = 80;

/// Asks a host, for so long as it takes to see tokens, at most `patience`.
pub async fn host(host: &Host, options: &ScrapeOptions, rules: &Rules, patience: Duration) -> Report {
    let mut probe = Probe::new(host, options);
    let mut reader = Reader::default();
    let begin = Instant::now();
    let mut result = probe.ask(rules).await;
    let took = begin.elapsed();
    while let Ok(Seen::Page(page)) = &result {
        reader.take(page, rules, clock::now_us());
        reader.slots(probe.slots);
        if reader.step_s.is_some() || reader.step_source().is_none() || begin.elapsed() + PAUSE > patience {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        match probe.ask(rules).await {
            // What was seen stays seen.
            Err(_) => break,
            next => result = next,
        }
    }
    let url = probe.url();
    match result {
        Ok(Seen::Page(page)) => understood(&url, &probe, took, &page, rules, &reader),
        Ok(Seen::Resting | Seen::LeftAlone) => {
            let mut text = format!("{url}\n");
            let asleep = "the server sleeps or has no model loaded. It was not woken, nor made to load one.";
            wrapped(&mut text, "  Nothing runs there: ", asleep);
            Report { text, is_usable: true }
        }
        Err(error) => {
            let mut text = format!("{url}\n");
            wrapped(&mut text, "  Nothing usable: ", &format!("{error}."));
            Report { text, is_usable: false }
        }
    }
}

fn understood(url: &str, probe: &Probe, took: Duration, page: &Page, rules: &Rules, reader: &Reader) -> Report {
    let load = &reader.load;
    let engine = load.running.or(load.waiting).or(load.kv_use).map(|found| found.engine);
    let mut text = format!("{url}\n");
    let size = format!("{:.1} kB in {:.0} ms", probe.page_bytes as f64 / 1e3, took.as_secs_f64() * 1e3);
    let Some(engine) = engine else {
        let _ = writeln!(text, "  A page of metrics, {size}, without any that says how busy the host is.");
        wrapped(&mut text, "  To do: ", idle_advice());
        return Report { text, is_usable: false };
    };
    let engines =
        load.engines.map_or_else(String::new, |count| format!(", {count} engine{}", if count == 1 { "" } else { "s" }));
    let _ = writeln!(text, "  {}{engines}, {size}\n", engine.title());
    let rows = [
        ("running", load.running, ""),
        ("waiting", load.waiting, ""),
        ("to prefill", load.pending_prefill_tokens, " tokens"),
        ("KV cache in use", load.kv_use, " %"),
        ("KV cache", load.kv_capacity_tokens, " tokens"),
        ("batch limit", load.batch_limit, ""),
    ];
    let mut missing = Vec::new();
    for (title, found, unit) in rows {
        let Some(found) = found else {
            missing.push(title);
            continue;
        };
        let number = if unit == " %" { format!("{:.1}", found.value * 100.0) } else { found.value.to_string() };
        row(&mut text, title, &format!("{number}{unit}"), &sources(page, rules, found, probe));
    }
    match (reader.step_s, reader.step_source()) {
        (Some(step_s), Some(source)) => {
            row(&mut text, "step", &format!("{:.2} ms", step_s * 1e3), &step_sources(page, rules, source));
        }
        (None, Some(source)) => row(&mut text, "step", "no tokens", &step_sources(page, rules, source)),
        (_, None) => missing.push("step"),
    }
    if page.dropped > 0 {
        let plural = if page.dropped == 1 { "" } else { "s" };
        let dropped =
            format!("{} number{plural} of the page: not a number, negative, or larger than any host's.", page.dropped);
        text.push('\n');
        wrapped(&mut text, "  Dropped: ", &dropped);
    }
    if !missing.is_empty() {
        text.push('\n');
        wrapped(&mut text, "  Missing: ", &format!("{}.", missing.join(", ")));
        wrapped(&mut text, "  To do: ", advice(engine, &missing));
    }
    Report { text, is_usable: true }
}

fn row(text: &mut String, title: &str, value: &str, from: &str) {
    let head = format!("  {title:<16} {value:>16}  ");
    wrapped(text, &head, from);
}

/// The names of the metrics that a number is from.
fn sources(page: &Page, rules: &Rules, found: Found, probe: &Probe) -> String {
    let names = |field| page.names(rules, found.engine, field).collect::<Vec<_>>();
    let text = match found.field {
        Field::Active if page.names(rules, found.engine, Field::Waiting).next().is_some() => {
            format!("{} less waiting", names(Field::Active).join(" + "))
        }
        Field::KvBlocks => {
            format!("{} × {}", names(Field::KvBlocks).join(" + "), names(Field::KvBlockTokens).join(" + "))
        }
        field => names(field).join(" + "),
    };
    if text.is_empty() && probe.slots.is_some() { "total_slots of /props".to_owned() } else { text }
}

fn step_sources(page: &Page, rules: &Rules, source: StepSource) -> String {
    let sum = match source.count {
        Field::Requests => Field::RequestSeconds,
        Field::Steps => Field::Steps,
        _ => Field::TokenSeconds,
    };
    let name = page.names(rules, source.engine, sum).next().unwrap_or_default();
    let name = name.strip_suffix("_sum").unwrap_or(&name);
    match source.count {
        Field::Requests => format!("{name}, of requests that ended"),
        Field::Steps => format!("{name}, timed by the pages"),
        _ => name.to_owned(),
    }
}

fn idle_advice() -> &'static str {
    "an engine that has not served yet may show nothing else: send it a request, and check again. If it stays so, \
     this is another server's page: give the path or port of the engine's own, or name its metrics with --mapping."
}

/// Suggests a remedy for missing metrics.
fn advice(engine: Engine, missing: &[&str]) -> &'static str {
    let lacks_load = missing.contains(&"running") || missing.contains(&"waiting");
    match engine {
        Engine::LlamaCpp => {
            "nothing: llama.cpp tells no more. Its tokens are counted when a request ends; until then steps are timed \
             by n_decode_total."
        }
        Engine::Triton if lacks_load => {
            "Triton's own metrics count what waits, not what runs. With TensorRT-LLM, start Triton with \
             --allow-metrics=true; with vLLM, set REPORT_CUSTOM_METRICS in the model's config.pbtxt."
        }
        Engine::Triton => {
            "nothing: Triton has no time per token (a request's duration is none). Clients' own times are used."
        }
        Engine::TrtllmServe => {
            "start trtllm-serve with return_perf_metrics: true and enable_iter_perf_stats: true in its options."
        }
        Engine::Sglang if lacks_load => "start SGLang with --enable-metrics.",
        Engine::Dynamo => {
            "a Dynamo worker shows its engine's metrics from the first request on: send it one, and check again."
        }
        Engine::MlServer | Engine::BentoMl => {
            "this server counts what is in progress and no more. If an engine runs behind it, give the engine's own \
             page with metrics=URL, or name further metrics with --mapping."
        }
        Engine::Mapped => "name further metrics in the mapping, if the page has them.",
        _ => "nothing: what is missing is not told by this engine or version, and done without.",
    }
}

/// Writes words after a head, in lines of 80 columns with the head's width as indent, or less
/// for words that are too long for that.
fn wrapped(text: &mut String, head: &str, words: &str) {
    let longest = words.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0);
    let mut column = head.chars().count();
    let indent = column.min(COLUMNS.saturating_sub(longest));
    text.push_str(head);
    for (number, word) in words.split_whitespace().enumerate() {
        let (length, space) = (word.chars().count(), usize::from(number > 0));
        if column + space + length > COLUMNS {
            text.truncate(text.trim_end_matches(' ').len());
            let _ = write!(text, "\n{:indent$}", "");
            column = indent;
        } else if number > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, wrapped};

    #[test]
    fn lines_have_eighty_columns() {
        let mut text = String::new();
        let words = "word ".repeat(60);
        wrapped(&mut text, "  To do: ", &words);
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert!(
            text.lines().count() > 3 && text.lines().skip(1).all(|line| line.starts_with("         word")),
            "{text}"
        );
        assert_eq!(text.split_whitespace().filter(|word| *word == "word").count(), 60);
        let long = "m".repeat(60);
        let mut text = String::new();
        wrapped(&mut text, &" ".repeat(37), &format!("{long} + {long}"));
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert_eq!(text.matches(&long).count(), 2);
    }
}
