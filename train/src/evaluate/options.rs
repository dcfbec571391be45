//! Options of a benchmark: the settings in which policies are replayed.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use evenkeel_env::life::LifeKind;
use evenkeel_env::telemetry::TelemetryKind;
use evenkeel_runtime::ServiceKind;
use evenkeel_runtime::state::HOSTS_MAX;

/// What is replayed. Lists are combined: every load with every number of hosts, and so on.
#[derive(Clone, Debug, Default, Args)]
pub struct SettingArgs {
    /// What the hosts run [default: what the model serves, or what the traces hold].
    #[arg(long, value_enum)]
    pub service: Option<ServiceChoice>,
    /// Offered loads, as shares of the fleet's capacity; above 1 is overload
    /// [default: 0.5,0.7,0.8,0.9].
    #[arg(long, value_name = "SHARES", value_delimiter = ',', value_parser = parse_load)]
    pub loads: Option<Vec<f64>>,
    /// Hosts of the fleet; a fleet from a file has its own number [default: 16].
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = parse_hosts)]
    pub hosts: Option<Vec<usize>>,
    /// Balancers that decide, each with its own view [default: 4].
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = parse_balancers)]
    pub balancers: Option<Vec<usize>>,
    /// Milliseconds between two polls of a host's telemetry; 0 for perfect knowledge, `lost`
    /// for none [default: 250].
    #[arg(long, value_name = "TIMES", value_delimiter = ',')]
    pub telemetry_ms: Option<Vec<TelemetryPeriod>>,
    /// What reports hold: all that the runtime can use, or what vLLM's metrics tell (requests
    /// running and waiting, KV cache use) [default: full].
    #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',')]
    pub telemetry_kind: Option<Vec<TelemetryContents>>,
    /// The hosts' speeds: `het` (1, 1.6, 2.5), `hom`, `two-class` (1, 2), or a JSON file
    /// like `[{"name": "a100", "speed": 1.0, "count": 6}]` [default: het].
    #[arg(long, value_name = "NAME|FILE", value_delimiter = ',')]
    pub fleet: Option<Vec<FleetChoice>>,
    /// What the hosts run: a JSON file, as `evenkeel calibrate` writes it [default: about a
    /// 13-billion-parameter model on one A100, or two servers of a FIFO service].
    #[arg(long, value_name = "FILE")]
    pub service_model: Option<PathBuf>,
    /// What goes wrong during a replay [default: none].
    #[arg(long, value_enum, value_delimiter = ',')]
    pub fault: Option<Vec<Fault>>,
    /// Telemetry by polling alone: not with responses, no probes.
    #[arg(long)]
    pub polled_only: bool,
    /// No host is slowed from time to time.
    #[arg(long)]
    pub quiet: bool,
    /// Most requests of a replay [default: 12000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(100..))]
    pub requests: Option<u32>,
    /// After this long a client gives up; a request that failed or was given up counts as
    /// having taken at least this long [default: 600 for llm, 200 service times for fifo].
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub timeout_s: Option<f64>,
    /// Goodput counts answers within this latency [default: 30 for llm, 10 service times
    /// for fifo].
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub slo_latency_s: Option<f64>,
    /// Goodput counts answers whose first token or byte came within this time
    /// [default: 2 for llm, 10 service times for fifo].
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub slo_ttft_s: Option<f64>,
}

/// A prepared set of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// A few replays in seconds, to see that all is well; its intervals say little.
    Quick,
    /// Every axis of the protocol at chosen points: at most 15 minutes on two cores.
    Standard,
    /// The whole protocol.
    Full,
    /// The reference at 70 % beside each kind of what happens to real fleets (`--fault`), two
    /// seeds: a minute or two.
    Life,
}

/// What the hosts run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ServiceChoice {
    /// Language models with continuous batching.
    Llm,
    /// Services that answer first come, first served.
    Fifo,
}

impl From<ServiceChoice> for ServiceKind {
    fn from(choice: ServiceChoice) -> Self {
        match choice {
            ServiceChoice::Llm => Self::Llm,
            ServiceChoice::Fifo => Self::Fifo,
        }
    }
}

/// How often a host's telemetry is polled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TelemetryPeriod {
    /// Every so many milliseconds; 0 for perfect knowledge at every decision.
    Every(f64),
    /// Never: no report reaches the balancers, in any way.
    Lost,
}

impl FromStr for TelemetryPeriod {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(period_ms) if period_ms == 0.0 || (period_ms >= 1.0 && period_ms.is_finite()) => {
                Ok(Self::Every(period_ms))
            }
            _ if text == "lost" => Ok(Self::Lost),
            _ => Err("expected milliseconds (0, or at least 1) or `lost`".to_owned()),
        }
    }
}

/// What a host's report holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TelemetryContents {
    /// All that the runtime can use.
    #[default]
    Full,
    /// Requests running and waiting, KV cache use and step time, but not the waiting prompt tokens.
    Vllm,
}

impl From<TelemetryContents> for TelemetryKind {
    fn from(contents: TelemetryContents) -> Self {
        match contents {
            TelemetryContents::Full => Self::Full,
            TelemetryContents::Vllm => Self::Vllm,
        }
    }
}

/// The hosts' speeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetChoice {
    /// Three classes: 1, 1.6 and 2.5.
    Het,
    /// All alike.
    Hom,
    /// Two classes: 1 and 2.
    TwoClass,
    /// As a file says.
    File(PathBuf),
}

impl FromStr for FleetChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "het" => Self::Het,
            "hom" => Self::Hom,
            "two-class" => Self::TwoClass,
            path => Self::File(path.into()),
        })
    }
}

/// What goes wrong during a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Nothing.
    None,
    /// The fastest host crashes half-way and is down for a tenth of the time.
    Crash,
    /// One host reports that it is idle, whatever it does.
    ReportsIdle,
    /// One host answers every request with an error at once.
    FailsFast,
    /// The fastest host is 20 times as slow for a tenth of the time, then another 3 times.
    SlowSpells,
    /// Nothing arrives for some minutes, three times.
    IdleNights,
    /// Six hosts crash one after the other; balancers hear of their restarts.
    Restarts,
    /// A quarter of the hosts join after a third of the time.
    Joins,
    /// One host answers a fifth of its requests with an error, which is tried again elsewhere.
    Errors,
    /// One host refuses every request at once, as with `404 Not Found`.
    NoWork,
    /// Requests claim a thousandth to a thousand times their prompts, or nothing.
    WrongClaims,
    /// One host reports a step of a thousandth, one repeats its first report, one reports idle.
    Liars,
    /// One in fifty requests opens an exchange of minutes that is no work, as a `WebSocket`.
    LongExchanges,
    /// One client in five leaves if it is not answered in time.
    Aborts,
    /// Turns of sessions wait for the turn before; for traces with think times.
    ClosedLoop,
    /// As `restarts`, where heads of responses come at once, so that nothing is tried again.
    EarlyHeads,
}

impl Fault {
    /// The kind of life that it is, if it is one.
    pub fn life(self) -> Option<LifeKind> {
        Some(match self {
            Self::None | Self::Crash | Self::ReportsIdle | Self::FailsFast => return None,
            Self::SlowSpells => LifeKind::SlowSpells,
            Self::IdleNights => LifeKind::IdleNights,
            Self::Restarts => LifeKind::Restarts,
            Self::Joins => LifeKind::Joins,
            Self::Errors => LifeKind::Errors,
            Self::NoWork => LifeKind::NoWork,
            Self::WrongClaims => LifeKind::WrongClaims,
            Self::Liars => LifeKind::Liars,
            Self::LongExchanges => LifeKind::LongExchanges,
            Self::Aborts => LifeKind::Aborts,
            Self::ClosedLoop => LifeKind::ClosedLoop,
            Self::EarlyHeads => LifeKind::EarlyHeads,
        })
    }
}

fn parse_load(text: &str) -> Result<f64, String> {
    number_between(text, 0.01, 10.0, "a share of the capacity, such as 0.7")
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    number_between(text, 1e-4, 1e6, "seconds")
}

fn number_between(text: &str, min: f64, max: f64, what: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| (min..=max).contains(value));
    value.ok_or_else(|| format!("expected {what}, from {min} to {max}"))
}

fn parse_hosts(text: &str) -> Result<usize, String> {
    count_up_to(text, HOSTS_MAX)
}

fn parse_balancers(text: &str) -> Result<usize, String> {
    count_up_to(text, 10_000)
}

/// Parses a whole number from 1 to `max`.
pub(crate) fn count_up_to(text: &str, max: usize) -> Result<usize, String> {
    let value = text.parse::<usize>().ok().filter(|value| (1..=max).contains(value));
    value.ok_or_else(|| format!("expected a whole number from 1 to {max}"))
}
