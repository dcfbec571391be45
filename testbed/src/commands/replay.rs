//! `evenkeel-testbed replay`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use evenkeel_datasets::{LoadOptions, Trace, load_trace};
use evenkeel_testbed::clock::Clock;
use evenkeel_testbed::replay;
use evenkeel_testbed::replay::client::ClientOptions;
use evenkeel_testbed::replay::plan::Plan;
use evenkeel_testbed::replay::summary::Summary;
use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};

use crate::cli::ReplayArgs;

pub(crate) fn run(arguments: &ReplayArgs) -> Result<()> {
    for (name, value) in [("rate scale", arguments.rate_scale), ("time scale", arguments.time_scale)] {
        if !(value > 0.0 && value.is_finite()) {
            bail!("the {name} is {value}, expected a positive number");
        }
    }
    let plan = Arc::new(Plan::new(load(arguments)?, arguments.rate_scale, arguments.requests, arguments.seed));
    let clock = Clock::start(arguments.time_scale);
    eprintln!(
        "{} requests over {:.0} s of service time, {:.0} s on the wall",
        plan.requests.len(),
        plan.duration_s(),
        plan.duration_s() / clock.time_scale()
    );
    let mut log = arguments.out.as_deref().map(create).transpose()?;
    let start_epoch_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let options = client_options(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let observations = runtime.block_on(async {
        let mut receiver = replay::start(Arc::clone(&plan), options, clock)?;
        let mut observations = Vec::with_capacity(plan.requests.len());
        while let Some(observation) = receiver.recv().await {
            if let Some(log) = &mut log {
                replay::log::write(log, &plan, &observation, start_epoch_s)?;
            }
            observations.push(observation);
        }
        anyhow::Ok(observations)
    })?;
    if let Some(mut log) = log {
        log.flush()?;
    }
    let summary = Summary::new(&observations, arguments.warm_up_share);
    print!("{}", summary.table());
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&summary.json())?;
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

fn load(arguments: &ReplayArgs) -> Result<Trace> {
    let columns = arguments.columns.as_deref().map(str::parse).transpose().context("--columns")?;
    let options = LoadOptions {
        columns,
        seed: arguments.seed,
        sort: arguments.sort,
        start_s: arguments.start_s,
        end_s: arguments.end_s,
        ..LoadOptions::default()
    };
    Ok(load_trace(&arguments.trace, arguments.format, &options)?)
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    Ok(BufWriter::new(File::create(path).with_context(|| format!("{} cannot be written", path.display()))?))
}

fn client_options(arguments: &ReplayArgs) -> Result<ClientOptions> {
    let target: Uri = arguments.target.parse().with_context(|| format!("--target {}", arguments.target))?;
    let Some(authority) = target.authority().filter(|_| target.scheme_str() == Some("http")) else {
        bail!("--target is {}, expected http://HOST:PORT", arguments.target);
    };
    let authority = match authority.port() {
        Some(_) => authority.to_string(),
        None => format!("{authority}:80"),
    };
    let path = target.path_and_query().map(ToString::to_string).filter(|path| path != "/");
    Ok(ClientOptions {
        authority,
        path,
        model: arguments.model_name.clone(),
        stream: !arguments.no_stream,
        deadline_s: arguments.deadline_s,
        headers: arguments.header.iter().map(|header| parse_header(header)).collect::<Result<_>>()?,
    })
}

fn parse_header(header: &str) -> Result<(HeaderName, HeaderValue)> {
    let (name, value) = header.split_once(':').with_context(|| format!("--header {header}: expected NAME:VALUE"))?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}
