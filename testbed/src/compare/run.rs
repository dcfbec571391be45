//! One replay through one proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_env::Status;
use hyper::header::{HeaderName, HeaderValue};

use super::{Proxy, Setting};
use crate::clock::Clock;
use crate::emulator::faults::Fault;
use crate::emulator::server::HostServer;
use crate::emulator::{EmulatorOptions, StreamHead, World, orca};
use crate::replay::client::{Client, ClientOptions};
use crate::replay::observation::Observation;
use crate::replay::plan::Plan;
use crate::replay::{self};

/// The hosts of a comparison, on fixed ports, as long as it lasts.
#[derive(Debug)]
pub struct Hosts {
    servers: Vec<Arc<HostServer>>,
    clock: Clock,
}

impl Hosts {
    /// Starts hosts on the ports from `first_port` on, on the present runtime.
    ///
    /// # Errors
    /// If a port is taken.
    pub async fn start(setting: &Setting, first_port: u16, stream_head: StreamHead) -> std::io::Result<Self> {
        let world = World::start(EmulatorOptions {
            service: setting.service,
            speeds: setting.speeds.clone(),
            time_scale: setting.time_scale,
            stream_head,
            orca: if setting.piggyback { orca::Metrics::Full } else { orca::Metrics::Vllm },
            ..EmulatorOptions::default()
        })?;
        let mut servers = Vec::new();
        for (index, port) in (0..setting.speeds.len()).zip(first_port..) {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            servers.push(HostServer::start(Arc::clone(&world), index, address).await?);
        }
        Ok(Self { servers, clock: *world.clock() })
    }

    /// The hosts' own servers.
    pub fn servers(&self) -> &[Arc<HostServer>] {
        &self.servers
    }

    /// The hosts' clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Lets all hosts begin afresh: idle, at their own speed, with empty caches.
    pub async fn renew(&self) {
        for server in &self.servers {
            server.command(Fault::Heal);
            server.command(Fault::Crash);
            server.command(Fault::Restart { warm_up_s: 0.0, slowness: 1.0 });
        }
        // Proxies and the agent find out that their connections are gone, and come back.
        tokio::time::sleep(Duration::from_millis(700)).await;
    }

    /// Lets antagonists come and go from now on, as in the simulator under this seed; until
    /// the handle is aborted.
    pub fn antagonise(&self, setting: &Setting, seed: u64) -> tokio::task::JoinHandle<()> {
        let mut changes: Vec<_> =
            self.servers.iter().map(|server| setting.antagonists.changes(seed, server.index()).peekable()).collect();
        let (servers, clock, begin_s) = (self.servers.clone(), self.clock, self.clock.now_s());
        tokio::spawn(async move {
            loop {
                let next = changes.iter_mut().enumerate().filter_map(|(host, changes)| Some((changes.peek()?.0, host)));
                let Some((at_s, host)) = next.min_by(|a, b| a.0.total_cmp(&b.0)) else { return };
                tokio::time::sleep_until(clock.instant(begin_s + at_s).into()).await;
                if let Some((_, slowness)) = changes[host].next() {
                    servers[host].command(Fault::Slow(slowness));
                }
            }
        })
    }
}

/// Replays the repeat's window through a proxy.
///
/// # Errors
/// If no thread can be started.
pub async fn replay_through(
    setting: &Setting,
    hosts: &Hosts,
    proxy: &Proxy,
    seed: u64,
) -> std::io::Result<Vec<Observation>> {
    hosts.renew().await;
    let plan = Arc::new(Plan::at_load(setting.window(seed), &setting.scenario(), seed));
    let antagonists = hosts.antagonise(setting, seed);
    let mut receiver = replay::start(plan, client_options(setting, &proxy.authority), hosts.clock())?;
    let mut observations = Vec::new();
    while let Some(observation) = receiver.recv().await {
        observations.push(observation);
    }
    antagonists.abort();
    Ok(observations)
}

/// Seconds on the wall that a replay takes: until its last request is due, and some for that
/// one's answer and for the hosts to begin afresh.
pub fn wall_s(setting: &Setting, seed: u64) -> f64 {
    const BETWEEN_WALL_S: f64 = 2.0;
    let plan = Plan::at_load(setting.window(seed), &setting.scenario(), seed);
    plan.duration_s() / setting.time_scale + BETWEEN_WALL_S
}

/// Waits until a proxy answers a request by way of a host. One that looked for its hosts before
/// they were there may take a while.
///
/// # Errors
/// If it does not within half a minute.
pub async fn wait_until_ready(setting: &Setting, hosts: &Hosts, proxy: &Proxy) -> std::io::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(30);
    const PAUSE: Duration = Duration::from_millis(200);
    let begin = tokio::time::Instant::now();
    let mut window = setting.window(0);
    window.requests.truncate(1);
    let plan = Plan::new(window, 1.0, 1, 0);
    let client = Client::new(client_options(setting, &proxy.authority), hosts.clock());
    loop {
        let observation = client.send(&plan, 0, hosts.clock().now_s()).await;
        if observation.status == Status::Answered && observation.host.is_some() {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            let why = observation.error.unwrap_or_else(|| "the answer came from no host".to_owned());
            let message = format!("{} at {} does not serve: {why}", proxy.name, proxy.authority);
            return Err(std::io::Error::other(message));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Requests as all comparisons send them: streamed, asking for load reports.
pub fn client_options(setting: &Setting, authority: &str) -> ClientOptions {
    ClientOptions {
        authority: authority.to_owned(),
        path: None,
        model: "emulated".to_owned(),
        stream: true,
        deadline_s: setting.deadline_s,
        headers: vec![(HeaderName::from_static(orca::FORMAT_HEADER), HeaderValue::from_static("TEXT"))],
    }
}
