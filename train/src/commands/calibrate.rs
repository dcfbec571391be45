//! `evenkeel calibrate`: a fleet and its service from a log of the real ones.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use evenkeel_datasets::load_trace_with_report;
use evenkeel_env::calibration::observed::{Observed, ObservedHost, observe};
use evenkeel_env::host::{ServiceOptions, file};
use evenkeel_env::workload::TokenMeans;

use crate::data;
use crate::input::InputArgs;
use crate::output::write_whole;

/// File of the hosts' speeds.
const FLEET: &str = "fleet.json";
/// File of the service model.
const SERVICE: &str = "service.json";

/// Arguments of `evenkeel calibrate`.
#[derive(Clone, Debug, Args)]
pub struct CalibrateArgs {
    /// Log with upstream addresses and times: NGINX or Envoy, as JSON. For a language model with
    /// token counts and the time to the first byte.
    #[arg(long, value_name = "LOG")]
    pub trace: PathBuf,
    /// How to read it.
    #[command(flatten)]
    pub input: InputArgs,
    /// Folder for fleet.json (for --fleet) and service.json (for --service-model).
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
}

/// Estimates, prints what was found, and writes it.
pub fn run(arguments: &CalibrateArgs) -> Result<()> {
    let options = data::options(&arguments.input, 0)?;
    let (trace, understanding) = load_trace_with_report(&arguments.trace, arguments.input.format, &options)?;
    println!("{understanding}");
    let observed = observe(&trace)?;
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("--out: cannot create {}", arguments.out.display()))?;
    write_whole(&arguments.out.join(FLEET), fleet(&observed.hosts)?.as_bytes())?;
    write_whole(&arguments.out.join(SERVICE), file::to_json(&observed.service).as_bytes())?;
    print!("{}", table(&observed, &TokenMeans::of(&trace.requests)));
    println!(
        "{}: {FLEET} for --fleet, {SERVICE} for --service-model, of `evenkeel train` and `eval`",
        arguments.out.display()
    );
    Ok(())
}

/// The hosts as a fleet file.
fn fleet(hosts: &[ObservedHost]) -> Result<String> {
    // No more digits than mean something.
    let kind = |host: &ObservedHost| {
        let speed = (host.speed * 1e3).round() / 1e3;
        serde_json::json!({ "name": host.address, "speed": speed, "count": 1 })
    };
    Ok(serde_json::to_string_pretty(&hosts.iter().map(kind).collect::<Vec<_>>())?)
}

fn table(observed: &Observed, means: &TokenMeans) -> String {
    let mut text = format!("{:<40}{:>8}{:>10}\n", "host", "speed", "requests");
    for host in &observed.hosts {
        let _ = writeln!(text, "{:<40}{:>8.2}{:>10}", host.address, host.speed, host.requests);
    }
    let what = match observed.service {
        ServiceOptions::Llm(llm) => {
            let step = &llm.step;
            let _ = writeln!(
                text,
                "a step at speed 1: {:.1} ms + {:.0} µs a request + {:.0} ns a token in the KV cache + {:.0} µs a \
                 prompt token\nprompts of {:.0} tokens, outputs of {:.0}, on average",
                1e3 * step.base_s,
                1e6 * step.per_request_s,
                1e9 * step.per_kv_token_s,
                1e6 * step.per_prefill_token_s,
                means.prompt,
                means.output
            );
            "time to decode a response"
        }
        ServiceOptions::Fifo(fifo) => {
            let _ = writeln!(
                text,
                "service time at speed 1: {:.1} ms on average, coefficient of variation {:.2}, {} at once",
                1e3 * fifo.service_mean_s,
                fifo.service_variation,
                fifo.servers
            );
            "service time, its own spread included,"
        }
    };
    let (median, p90) = (100.0 * observed.error.median, 100.0 * observed.error.p90);
    let _ = writeln!(text, "{what} off by {median:.0} % (median), {p90:.0} % (p90)");
    text
}
