//! What is replayed: one trace on one fleet, seen by balancers in one way, at one load.

use anyhow::{Result, ensure};
use evenkeel_env::fleet::{Antagonists, Fleet};
use evenkeel_env::liar::{Liar, Lie};
use evenkeel_env::metrics::MetricsOptions;
use evenkeel_env::telemetry::TelemetryOptions;
use evenkeel_env::{Scenario, Workload};
use evenkeel_runtime::ServiceKind;
use serde::{Deserialize, Serialize};

use super::preset::{self, Point, Study};
use crate::data::host_model;
use crate::evaluate::options::{Fault, FleetChoice, SettingArgs, TelemetryContents, TelemetryPeriod};

/// After this long the client of a language model gives up, in seconds: the default of
/// `OpenAI`'s client libraries.
const LLM_TIMEOUT_S: f64 = 600.0;
/// The host that misleads the balancers, in scenarios where one does.
const LIAR: usize = 0;

/// A setting in which every policy is replayed.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What identifies it in tables and files.
    pub label: Label,
    /// What the simulator is told.
    pub scenario: Scenario,
    /// What arrives.
    pub workload: Workload,
    /// How its outcomes are judged.
    pub judgement: MetricsOptions,
    /// The host that crashes or lies, if one does.
    pub faulty_host: Option<usize>,
}

/// A setting in the words of the results: `scenario` in the JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// Name of the trace.
    pub trace: String,
    /// `llm` or `fifo`.
    pub service: String,
    /// Name of the fleet.
    pub fleet: String,
    /// Its hosts.
    pub hosts: usize,
    /// Balancers that decide, each alone.
    pub balancers: usize,
    /// Milliseconds between polls of a host, 0 for perfect knowledge; `null` where all
    /// telemetry is lost.
    pub telemetry_ms: Option<f64>,
    /// What reports hold.
    #[serde(default)]
    pub telemetry_kind: TelemetryContents,
    /// Offered work as a share of the fleet's capacity.
    pub load: f64,
    /// Whether polls are the only telemetry: no reports with responses, no probes.
    pub polled_only: bool,
    /// Whether hosts are slowed down from time to time.
    pub antagonists: bool,
    /// What goes wrong.
    pub fault: Fault,
}

impl Label {
    /// The setting in words, all but trace and load.
    pub fn describe(&self) -> String {
        let telemetry = match self.telemetry_ms {
            None => "no telemetry".to_owned(),
            Some(0.0) => "perfect telemetry".to_owned(),
            Some(period_ms) if self.polled_only => format!("polled every {} alone", milliseconds(period_ms)),
            Some(period_ms) => format!("telemetry every {}", milliseconds(period_ms)),
        };
        let contents = match self.telemetry_kind {
            TelemetryContents::Full => "",
            TelemetryContents::Vllm => " as vLLM tells",
        };
        let fault = match self.fault {
            Fault::None => "",
            Fault::Crash => ", a crash",
            Fault::ReportsIdle => ", one reports idle",
            Fault::FailsFast => ", one fails fast",
            Fault::SlowSpells => ", slow spells",
            Fault::IdleNights => ", idle nights",
            Fault::Restarts => ", restarts",
            Fault::Joins => ", a quarter joins late",
            Fault::Errors => ", one fails now and then",
            Fault::NoWork => ", one refuses everything",
            Fault::WrongClaims => ", wrong claims",
            Fault::Liars => ", reports lie",
            Fault::LongExchanges => ", long exchanges",
            Fault::Aborts => ", clients leave",
            Fault::ClosedLoop => ", closed loop",
            Fault::EarlyHeads => ", restarts and early heads",
        };
        format!(
            "{} {}{} hosts, {} balancer{}, {telemetry}{contents}{fault}",
            self.hosts,
            if self.antagonists { "" } else { "quiet " },
            self.fleet,
            self.balancers,
            if self.balancers == 1 { "" } else { "s" },
        )
    }

    /// Whether the two differ in nothing but the load.
    pub fn is_same_but_for_load(&self, other: &Self) -> bool {
        Self { load: 0.0, ..self.clone() } == Self { load: 0.0, ..other.clone() }
    }
}

fn milliseconds(period_ms: f64) -> String {
    if period_ms >= 1000.0 { format!("{} s", period_ms * 1e-3) } else { format!("{period_ms} ms") }
}

/// All settings of some studies on some traces, each once.
///
/// # Errors
/// If a file that describes a fleet cannot be read.
pub fn settings(
    studies: &[Study],
    arguments: &SettingArgs,
    service: ServiceKind,
    workloads: &[Workload],
) -> Result<Vec<Setting>> {
    let mut settings: Vec<Setting> = Vec::new();
    for workload in workloads {
        for study in studies {
            for point in study.points() {
                if point.fault == Fault::ClosedLoop && !has_think_times(workload) {
                    let name = &workload.trace().name;
                    ensure!(
                        arguments.fault.is_none(),
                        "--fault closed-loop: the trace {name} has no think times of sessions, so no turn waits for \
                         another; give a trace that has some (`evenkeel dataset stats` tells sessions), or leave it out"
                    );
                    eprintln!("{name}: closed-loop is left out, there are no think times of sessions");
                    continue;
                }
                let setting = Setting::new(&point, arguments, service, workload)?;
                if !settings.iter().any(|known| known.label == setting.label) {
                    settings.push(setting);
                }
            }
        }
    }
    Ok(settings)
}

/// Whether turns of sessions can wait for the turn before.
fn has_think_times(workload: &Workload) -> bool {
    workload.trace().requests.iter().any(|request| request.think_s.is_finite())
}

impl Setting {
    fn new(point: &Point<'_>, arguments: &SettingArgs, kind: ServiceKind, workload: &Workload) -> Result<Self> {
        let fleet = match point.fleet {
            FleetChoice::Het => Fleet::het(point.hosts),
            FleetChoice::Hom => Fleet::hom(point.hosts),
            FleetChoice::TwoClass => Fleet::two_class(point.hosts),
            FleetChoice::File(path) => Fleet::read(path)
                .map_err(|error| anyhow::anyhow!("--fleet: {error} (or one of `het`, `hom`, `two-class`)"))?,
        };
        let (base, service_name) = match kind {
            ServiceKind::Llm => (Scenario::llm(fleet), "llm"),
            ServiceKind::Fifo => (Scenario::fifo(fleet), "fifo"),
        };
        let service = host_model(kind, arguments.service_model.as_deref())?;
        let service_model = workload.service_model(&service);
        let mut judgement = MetricsOptions::for_service(&service_model);
        if kind == ServiceKind::Llm {
            judgement.failed_latency_s = LLM_TIMEOUT_S;
        }
        judgement.failed_latency_s = arguments.timeout_s.unwrap_or(judgement.failed_latency_s);
        judgement.slo_latency_s = arguments.slo_latency_s.unwrap_or(judgement.slo_latency_s);
        judgement.slo_ttft_s = arguments.slo_ttft_s.unwrap_or(judgement.slo_ttft_s);

        let telemetry_ms = match point.telemetry {
            TelemetryPeriod::Every(period_ms) => Some(period_ms),
            TelemetryPeriod::Lost => None,
        };
        let polled = match telemetry_ms {
            None => TelemetryOptions::none(),
            Some(0.0) => TelemetryOptions::instant(),
            Some(period_ms) => TelemetryOptions::polled(period_ms * 1e-3),
        };
        let polled = TelemetryOptions { kind: point.kind.into(), ..polled };
        let polled_only = point.polled_only || telemetry_ms.is_none();
        let telemetry =
            if polled_only { polled } else { TelemetryOptions { piggyback: true, probes_per_request: 3, ..polled } };
        let mut scenario = Scenario {
            service,
            balancers: point.balancers,
            telemetry,
            antagonists: if point.quiet { Antagonists::NONE } else { base.antagonists },
            load: point.load,
            requests_max: arguments.requests.unwrap_or(preset::effort(None).requests) as usize,
            timeout_s: judgement.failed_latency_s,
            ..base
        };
        let faulty_host = match point.fault {
            Fault::None => None,
            Fault::Crash => {
                scenario = scenario.with_crash(workload);
                scenario.crashes.scheduled.first().map(|crash| crash.host)
            }
            Fault::ReportsIdle | Fault::FailsFast => {
                let lie = if point.fault == Fault::FailsFast { Lie::FAILS_FAST } else { Lie::ReportsIdle };
                scenario.liars = vec![Liar { host: LIAR, lie }];
                Some(LIAR)
            }
            fault => fault.life().and_then(|kind| {
                scenario = kind.applied_to(scenario.clone(), workload);
                kind.faulty_host()
            }),
        };
        let label = Label {
            trace: workload.trace().name.clone(),
            service: service_name.to_owned(),
            fleet: scenario.fleet.name.clone(),
            hosts: scenario.fleet.hosts(),
            balancers: point.balancers,
            telemetry_ms,
            // Of no reports there is but one kind.
            telemetry_kind: if telemetry_ms.is_none() { TelemetryContents::Full } else { point.kind },
            load: point.load,
            polled_only,
            antagonists: !point.quiet,
            fault: point.fault,
        };
        Ok(Self { label, scenario, workload: workload.clone(), judgement, faulty_host })
    }
}
