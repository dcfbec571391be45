//! Commands and their arguments.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use evenkeel_datasets::Format;
use evenkeel_testbed::emulator::{StreamHead, orca};

/// Emulated inference hosts in real time, and a replayer of traces: proof outside of the simulator.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-testbed", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Emulate inference hosts, each on a port of its own.
    Host(HostArgs),
    /// Send a trace's requests when the trace says so, and measure.
    Replay(ReplayArgs),
    /// Compare proxies that are running, in front of hosts that this starts.
    Compare(CompareArgs),
    /// Compare proxies in front of hosts that run already, such as real engines.
    CompareRunning(CompareRunningArgs),
    /// Show two proxies side by side on a live page, in front of hosts that this starts.
    Demo(DemoArgs),
    /// Write a trace of conversations that share long beginnings: what the demonstration replays.
    Conversations(ConversationsArgs),
    /// Fit an artifact to hosts with a time scale.
    Faster(FasterArgs),
}

#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    /// Ports, e.g. 9001-9008 or 9001,9005.
    #[arg(long)]
    pub(crate) ports: Ports,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) address: IpAddr,
    /// Speeds of the hosts; fewer than ports are taken in turn.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    pub(crate) speeds: Vec<f64>,
    /// Seconds of service time in a second on the wall.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) time_scale: f64,
    /// What the hosts run, as JSON [default: about a 13B model on one A100].
    #[arg(long, value_name = "FILE")]
    pub(crate) service_model: Option<PathBuf>,
    /// Port for faults and for looking at the hosts.
    #[arg(long)]
    pub(crate) admin_port: Option<u16>,
    /// Milliseconds on the wall between two events of a stream.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) stream_interval_ms: u64,
    /// When the head of a streamed response is sent.
    #[arg(long, value_enum, default_value_t = StreamHead::AtOnce)]
    pub(crate) stream_head: StreamHead,
    /// Load reports in response headers, for requests that ask.
    #[arg(long, value_enum, default_value_t = orca::Metrics::Vllm)]
    pub(crate) orca: orca::Metrics,
    /// Tokens in a block of the prefix cache.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) block_tokens: u32,
    /// Name of the model.
    #[arg(long, default_value = "emulated")]
    pub(crate) model_name: String,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The trace.
    #[arg(long, value_name = "PATH")]
    pub(crate) trace: PathBuf,
    /// Format of the trace [default: found from the contents].
    #[arg(long, value_name = "NAME")]
    pub(crate) format: Option<Format>,
    /// For --format csv: which column holds what, e.g. `arrival=ts,prompt=in,output=out,unit=ms`.
    #[arg(long, value_name = "MAP")]
    pub(crate) columns: Option<String>,
    /// Sort the requests by arrival instead of refusing time that goes backwards.
    #[arg(long)]
    pub(crate) sort: bool,
    /// Leave out what arrives earlier than this, in seconds from the trace's start.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) start_s: f64,
    /// Leave out what arrives later than this, in seconds from the trace's start.
    #[arg(long, default_value_t = f64::INFINITY)]
    pub(crate) end_s: f64,
    /// Where to, http://HOST:PORT, with a path if it is another than /v1/completions.
    #[arg(long, value_name = "URL")]
    pub(crate) target: String,
    /// Replay so many times as fast as the trace was recorded.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) rate_scale: f64,
    /// Seconds of service time in a second on the wall: that of the hosts.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) time_scale: f64,
    /// Give a request up so many seconds of service time after it was due.
    #[arg(long, default_value_t = f64::INFINITY)]
    pub(crate) deadline_s: f64,
    /// Most requests to send.
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    pub(crate) requests: usize,
    /// Share of the requests, from the first on, that figures leave out.
    #[arg(long, default_value_t = 0.1)]
    pub(crate) warm_up_share: f64,
    /// Ask for whole responses instead of streams.
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// A header of every request, NAME:VALUE; repeatable.
    #[arg(long, value_name = "NAME:VALUE")]
    pub(crate) header: Vec<String>,
    /// Name of the model.
    #[arg(long, default_value = "emulated")]
    pub(crate) model_name: String,
    /// Seed of the prompts' text, and of what loading draws at random.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Log, one JSON object a request, which `evenkeel train --trace` reads.
    #[arg(long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,
    /// Write every figure to this file, as JSON.
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
}

/// Hosts, load and trace.
#[derive(Debug, Args)]
pub(crate) struct SettingArgs {
    /// The trace; its test part is replayed [default: the synthetic service].
    #[arg(long, value_name = "PATH")]
    pub(crate) trace: Option<PathBuf>,
    /// Format of the trace [default: found from the contents].
    #[arg(long, value_name = "NAME")]
    pub(crate) format: Option<Format>,
    /// What the hosts run, as JSON [default: about a 13B model on one A100].
    #[arg(long, value_name = "FILE")]
    pub(crate) service_model: Option<PathBuf>,
    /// Speeds of the hosts.
    #[arg(long, value_delimiter = ',', default_value = "1,1.6,2.5,1,1.6,2.5,1,1.6")]
    pub(crate) speeds: Vec<f64>,
    /// Port of the first host; the others follow.
    #[arg(long)]
    pub(crate) first_port: u16,
    /// Seconds of service time in a second on the wall.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) time_scale: f64,
    /// Offered work as a share of the fleet's capacity.
    #[arg(long, default_value_t = 0.8)]
    pub(crate) load: f64,
    /// No host is slowed from time to time.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Mean length of the times when a host is slowed, in seconds of service time.
    #[arg(long, default_value_t = 20.0)]
    pub(crate) slow_mean_s: f64,
    /// Requests of a replay.
    #[arg(long, default_value_t = 4000)]
    pub(crate) requests: usize,
    /// Give a request up so many seconds of service time after it was due.
    #[arg(long, default_value_t = 120.0)]
    pub(crate) deadline_s: f64,
    /// Milliseconds on the wall between two scrapes by the agent, if there is one.
    #[arg(long)]
    pub(crate) telemetry_ms: Option<f64>,
    /// Responses carry full load reports, rather than those of vLLM.
    #[arg(long)]
    pub(crate) piggyback: bool,
    /// When the head of a streamed response is sent.
    #[arg(long, value_enum, default_value_t = StreamHead::FirstToken)]
    pub(crate) stream_head: StreamHead,
    /// Seed of the first repeat.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    pub(crate) setting: SettingArgs,
    /// The proxies, as a JSON list of `name`, `authority`, `simulated_as`, `is_built_in`.
    #[arg(long, value_name = "FILE")]
    pub(crate) proxies: PathBuf,
    /// The artifact that the proxies use, fitted to the time scale.
    #[arg(long, value_name = "FILE.ekm")]
    pub(crate) model: Option<PathBuf>,
    /// Replays of each proxy, with different seeds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) repeats: u64,
    /// Write every figure to this file, as JSON.
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
    /// Plot the figures in this file.
    #[arg(long, value_name = "PATH")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CompareRunningArgs {
    /// The trace; its test part is replayed.
    #[arg(long, value_name = "PATH")]
    pub(crate) trace: PathBuf,
    /// Format of the trace [default: found from the contents].
    #[arg(long, value_name = "NAME")]
    pub(crate) format: Option<Format>,
    /// The proxies, as a JSON list of `name`, `authority`, `simulated_as`, `is_built_in`.
    #[arg(long, value_name = "FILE")]
    pub(crate) proxies: PathBuf,
    /// Requests a second, on average over a replay.
    #[arg(long)]
    pub(crate) rate_per_s: f64,
    /// Requests of a replay.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    pub(crate) requests: u64,
    /// Replays of each proxy, with different seeds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) repeats: u64,
    /// Seed of the first repeat.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Give a request up so many seconds after it was due.
    #[arg(long, default_value_t = 300.0)]
    pub(crate) deadline_s: f64,
    /// Name of the model.
    #[arg(long)]
    pub(crate) model_name: String,
    /// Write every figure to this file, as JSON.
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) setting: SettingArgs,
    /// The baseline's proxy, HOST:PORT, in front of the hosts from --first-port on.
    #[arg(long)]
    pub(crate) left: String,
    /// What it is called.
    #[arg(long, default_value = "NGINX least_conn")]
    pub(crate) left_name: String,
    /// The other proxy, in front of as many hosts, whose ports follow.
    #[arg(long)]
    pub(crate) right: String,
    /// What it is called.
    #[arg(long, default_value = "NGINX with Evenkeel")]
    pub(crate) right_name: String,
    /// Artifact whose forecaster foresees the demand.
    #[arg(long, value_name = "FILE.ekm")]
    pub(crate) model: PathBuf,
    /// Port of the page.
    #[arg(long, default_value_t = 8800)]
    pub(crate) port: u16,
}

#[derive(Debug, Args)]
pub(crate) struct ConversationsArgs {
    /// File to write, in Mooncake's format.
    #[arg(short, long, value_name = "FILE.jsonl")]
    pub(crate) output: PathBuf,
    /// Seed of the conversations.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct FasterArgs {
    /// The artifact.
    #[arg(long, value_name = "FILE.ekm")]
    pub(crate) model: PathBuf,
    /// How many times as fast the service runs: the hosts' time scale.
    #[arg(long)]
    pub(crate) factor: f64,
    /// Artifact to write.
    #[arg(short, long, value_name = "FILE.ekm")]
    pub(crate) output: PathBuf,
}

/// Ports: single ones and ranges, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports(pub(crate) Vec<u16>);

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut ports = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let port = |text: &str| text.trim().parse::<u16>().map_err(|_| format!("{text:?} is no port"));
            let (first, last) = (port(first)?, port(last)?);
            if first > last {
                return Err(format!("{part}: the first port is greater than the last"));
            }
            ports.extend(first..=last);
        }
        Ok(Self(ports))
    }
}
