//! The protocol: which settings are replayed.
//!
//! A study varies some axes around the reference: 16 heterogeneous hosts with antagonists,
//! 4 balancers, telemetry every 250 ms, with every response and by 3 probes a request.

use clap::ValueEnum;

use crate::evaluate::options::{Fault, FleetChoice, Preset, SettingArgs, TelemetryContents, TelemetryPeriod};

/// Loads under saturation at which policies are told apart.
const LOADS: [f64; 4] = [0.5, 0.7, 0.8, 0.9];
/// The nine loads of Prequal's evaluation (NSDI 2024): from 0.75, each 10/9 of the one before.
const PREQUAL_LOADS: [f64; 9] = [0.75, 0.83, 0.93, 1.03, 1.14, 1.27, 1.41, 1.57, 1.74];
/// Ages of polled telemetry.
const TELEMETRY: [TelemetryPeriod; 6] = [
    TelemetryPeriod::Every(0.0),
    TelemetryPeriod::Every(50.0),
    TelemetryPeriod::Every(200.0),
    TelemetryPeriod::Every(2000.0),
    TelemetryPeriod::Every(10_000.0),
    TelemetryPeriod::Lost,
];

/// One point of a study.
#[derive(Clone, Debug)]
pub struct Point<'s> {
    /// The hosts' speeds.
    pub fleet: &'s FleetChoice,
    /// Number of hosts, unless the fleet has its own.
    pub hosts: usize,
    /// Number of balancers.
    pub balancers: usize,
    /// How often hosts are polled.
    pub telemetry: TelemetryPeriod,
    /// What reports hold.
    pub kind: TelemetryContents,
    /// Polls alone, no reports with responses, no probes.
    pub polled_only: bool,
    /// No antagonists.
    pub quiet: bool,
    /// What goes wrong.
    pub fault: Fault,
    /// Offered load.
    pub load: f64,
}

/// Settings that are combinations of lists.
#[derive(Clone, Debug)]
pub struct Study {
    loads: Vec<f64>,
    hosts: Vec<usize>,
    balancers: Vec<usize>,
    telemetry: Vec<TelemetryPeriod>,
    kinds: Vec<TelemetryContents>,
    fleets: Vec<FleetChoice>,
    faults: Vec<Fault>,
    polled_only: bool,
    quiet: bool,
}

impl Study {
    /// The reference at these loads.
    fn reference(loads: &[f64]) -> Self {
        Self {
            loads: loads.to_vec(),
            hosts: vec![16],
            balancers: vec![4],
            telemetry: vec![TelemetryPeriod::Every(250.0)],
            kinds: vec![TelemetryContents::Full],
            fleets: vec![FleetChoice::Het],
            faults: vec![Fault::None],
            polled_only: false,
            quiet: false,
        }
    }

    /// The same with the values that the user gave.
    fn with(mut self, arguments: &SettingArgs) -> Self {
        fn replace<T: Clone>(values: &mut Vec<T>, given: Option<&Vec<T>>) {
            if let Some(given) = given {
                values.clone_from(given);
            }
        }
        replace(&mut self.loads, arguments.loads.as_ref());
        replace(&mut self.hosts, arguments.hosts.as_ref());
        replace(&mut self.balancers, arguments.balancers.as_ref());
        replace(&mut self.telemetry, arguments.telemetry_ms.as_ref());
        replace(&mut self.kinds, arguments.telemetry_kind.as_ref());
        replace(&mut self.fleets, arguments.fleet.as_ref());
        replace(&mut self.faults, arguments.fault.as_ref());
        self.polled_only |= arguments.polled_only;
        self.quiet |= arguments.quiet;
        self
    }

    /// All combinations; the loads of a setting follow one another.
    pub fn points(&self) -> Vec<Point<'_>> {
        let mut points = Vec::new();
        for fleet in &self.fleets {
            for &hosts in &self.hosts {
                for &balancers in &self.balancers {
                    for (&telemetry, &kind) in pairs(&self.telemetry, &self.kinds) {
                        for (&fault, &load) in pairs(&self.faults, &self.loads) {
                            points.push(Point {
                                fleet,
                                hosts,
                                balancers,
                                telemetry,
                                kind,
                                polled_only: self.polled_only,
                                quiet: self.quiet,
                                fault,
                                load,
                            });
                        }
                    }
                }
            }
        }
        points
    }
}

/// Each of the first with each of the second, which change fastest.
fn pairs<'a, A, B>(first: &'a [A], second: &'a [B]) -> impl Iterator<Item = (&'a A, &'a B)> {
    first.iter().flat_map(move |a| second.iter().map(move |b| (a, b)))
}

/// How much is replayed and tuned where the user does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Seeds of each setting and policy.
    pub seeds: u64,
    /// Most requests of a replay.
    pub requests: u32,
    /// Candidates for the parameters of each rule; 0 for the published defaults alone.
    pub tuning_budget: usize,
}

/// What a preset takes.
pub fn effort(preset: Option<Preset>) -> Effort {
    match preset {
        None => Effort { seeds: 6, requests: 12_000, tuning_budget: 0 },
        Some(Preset::Quick) => Effort { seeds: 2, requests: 1500, tuning_budget: 0 },
        Some(Preset::Standard) => Effort { seeds: 6, requests: 4000, tuning_budget: 24 },
        Some(Preset::Full) => Effort { seeds: 10, requests: 20_000, tuning_budget: 96 },
        Some(Preset::Life) => Effort { seeds: 2, requests: 2000, tuning_budget: 0 },
    }
}

/// The settings of `eval`: a preset's, or the reference at four loads, with the user's
/// values in place of both.
pub fn evaluation(preset: Option<Preset>, arguments: &SettingArgs) -> Vec<Study> {
    let studies = match preset {
        None => vec![Study::reference(&LOADS)],
        Some(Preset::Quick) => vec![Study::reference(&[0.7, 0.9])],
        Some(Preset::Standard) => protocol(&Extent {
            loads: &[0.5, 0.7, 0.8, 0.9, 0.95],
            variation_loads: &[0.7, 0.9],
            hosts: &[8, 32, 64],
            balancers: &[1, 16, 100],
        }),
        Some(Preset::Full) => protocol(&Extent {
            loads: &[0.5, 0.6, 0.7, 0.8, 0.9, 0.95],
            variation_loads: &[0.5, 0.7, 0.8, 0.9],
            hosts: &[8, 32, 64, 128],
            balancers: &[1, 4, 16, 100],
        }),
        Some(Preset::Life) => {
            let lives = Fault::value_variants().iter().copied().filter(|fault| fault.life().is_some());
            let faults = std::iter::once(Fault::None).chain(lives).collect();
            vec![Study { faults, ..Study::reference(&[0.7]) }]
        }
    };
    studies.into_iter().map(|study| study.with(arguments)).collect()
}

/// The settings in which `tune` searches: the reference, or what the user gave.
pub fn tuning(arguments: &SettingArgs) -> Vec<Study> {
    vec![Study::reference(&[0.5, 0.7, 0.9]).with(arguments)]
}

struct Extent {
    loads: &'static [f64],
    variation_loads: &'static [f64],
    hosts: &'static [usize],
    balancers: &'static [usize],
}

fn protocol(extent: &Extent) -> Vec<Study> {
    let varied = || Study::reference(extent.variation_loads);
    let polled = || Study { polled_only: true, ..varied() };
    vec![
        Study::reference(extent.loads),
        Study::reference(&PREQUAL_LOADS),
        Study { balancers: extent.balancers.to_vec(), ..polled() },
        Study { balancers: extent.balancers.to_vec(), ..varied() },
        Study { telemetry: TELEMETRY.to_vec(), ..polled() },
        Study { kinds: vec![TelemetryContents::Vllm], ..polled() },
        Study { hosts: extent.hosts.to_vec(), ..varied() },
        Study { fleets: vec![FleetChoice::TwoClass], ..varied() },
        Study { fleets: vec![FleetChoice::Hom], quiet: true, ..varied() },
        Study { faults: vec![Fault::Crash, Fault::ReportsIdle, Fault::FailsFast], loads: vec![0.7], ..varied() },
    ]
}
