//! `evenkeel-testbed host`

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use evenkeel_env::host::llm::LlmOptions;
use evenkeel_env::host::{ServiceOptions, file as service_file};
use evenkeel_testbed::emulator::server::HostServer;
use evenkeel_testbed::emulator::{EmulatorOptions, World, admin};

use crate::cli::HostArgs;

pub(crate) fn run(arguments: &HostArgs) -> Result<()> {
    let options = options(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(arguments, options))
}

async fn serve(arguments: &HostArgs, options: EmulatorOptions) -> Result<()> {
    let world = World::start(options)?;
    let mut hosts = Vec::new();
    for (index, port) in arguments.ports.0.iter().enumerate() {
        let address = SocketAddr::new(arguments.address, *port);
        let host = HostServer::start(Arc::clone(&world), index, address).await;
        hosts.push(host.with_context(|| format!("{address}: cannot listen there"))?);
    }
    for host in &hosts {
        println!("host {} of speed {}", host.address(), world.options().speeds[host.index()]);
    }
    if let Some(port) = arguments.admin_port {
        let address = SocketAddr::new(arguments.address, port);
        let address = admin::start(hosts, address).await.with_context(|| format!("{address}: cannot listen there"))?;
        println!("faults on http://{address}/hosts");
    }
    // Until somebody ends the process.
    std::future::pending().await
}

fn options(arguments: &HostArgs) -> Result<EmulatorOptions> {
    let service = match &arguments.service_model {
        Some(path) => service_file::read(path)?,
        None => ServiceOptions::Llm(LlmOptions::default()),
    };
    let (ports, speeds) = (arguments.ports.0.len(), &arguments.speeds);
    if speeds.len() > ports {
        bail!("{} speeds for {ports} hosts: give at most one for each port", speeds.len());
    }
    if let Some(speed) = speeds.iter().find(|speed| !(**speed > 0.0 && speed.is_finite())) {
        bail!("a speed is {speed}, expected a positive number");
    }
    if !(arguments.time_scale > 0.0 && arguments.time_scale.is_finite()) {
        bail!("the time scale is {}, expected a positive number", arguments.time_scale);
    }
    Ok(EmulatorOptions {
        service,
        // Fewer speeds than ports: in turn, as the simulator's fleets.
        speeds: speeds.iter().copied().cycle().take(ports).collect(),
        time_scale: arguments.time_scale,
        block_tokens: arguments.block_tokens,
        stream_interval: Duration::from_millis(arguments.stream_interval_ms),
        stream_head: arguments.stream_head,
        orca: arguments.orca,
        model: arguments.model_name.clone(),
    })
}
