//! The kinds of life by name: in the measure in which the benchmark shows each, and at random
//! for training.

use rand_pcg::Pcg64Mcg;

use super::{Claims, Exchanges, Join, Nights, Patience, Retries, Spell, Spells};
use crate::fleet::Crashes;
use crate::host::ServiceOptions;
use crate::liar::{Liar, Lie};
use crate::random::{below, between, log_between, uniform};
use crate::scenario::Scenario;
use crate::workload::Workload;

/// What a benchmark can add to a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeKind {
    /// The fastest host is 20 times as slow for a tenth of the time, another 3 times.
    SlowSpells,
    /// Nothing arrives for five minutes, three times (of a FIFO service: half a minute).
    IdleNights,
    /// Six hosts crash, one after the other, and come back with cold caches, which balancers
    /// hear of.
    Restarts,
    /// A quarter of the hosts join when a third of the time is over.
    Joins,
    /// One host answers a fifth of its requests with an error, which is tried again elsewhere.
    Errors,
    /// One host refuses all its requests within milliseconds.
    NoWork,
    /// A tenth of the requests claim a thousandth to a thousand times their prompts, a fifth of
    /// the others claim nothing.
    WrongClaims,
    /// One host reports a step that is a thousand times too short, another repeats its first
    /// report for ever, a third reports that it is idle.
    Liars,
    /// One in fifty requests opens an exchange of two minutes that is no work (of a FIFO service:
    /// of twelve seconds).
    LongExchanges,
    /// One client in five leaves after half to five typical latencies.
    Aborts,
    /// Turns of sessions wait for the turn before. As the reference for traces without think
    /// times.
    ClosedLoop,
    /// As [`Restarts`](Self::Restarts), where heads of responses come at once, so that nothing
    /// can be tried again.
    EarlyHeads,
}

/// Share of the random settings in which each kind occurs.
const RANDOM_SHARE: f64 = 0.04;

/// Crashes in a setting with restarts.
const RESTARTS: usize = 6;

impl LifeKind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::SlowSpells,
        Self::IdleNights,
        Self::Restarts,
        Self::Joins,
        Self::Errors,
        Self::NoWork,
        Self::WrongClaims,
        Self::Liars,
        Self::LongExchanges,
        Self::Aborts,
        Self::ClosedLoop,
        Self::EarlyHeads,
    ];

    /// Name, lower case with underscores.
    pub fn name(self) -> &'static str {
        match self {
            Self::SlowSpells => "slow_spells",
            Self::IdleNights => "idle_nights",
            Self::Restarts => "restarts",
            Self::Joins => "joins",
            Self::Errors => "errors",
            Self::NoWork => "no_work",
            Self::WrongClaims => "wrong_claims",
            Self::Liars => "liars",
            Self::LongExchanges => "long_exchanges",
            Self::Aborts => "aborts",
            Self::ClosedLoop => "closed_loop",
            Self::EarlyHeads => "early_heads",
        }
    }

    /// The host that something is wrong with, if it is but one.
    pub fn faulty_host(self) -> Option<usize> {
        matches!(self, Self::Errors | Self::NoWork | Self::Liars).then_some(0)
    }

    /// Adds it to a setting, in the measure in which the benchmark shows it. Times go by the
    /// span of the replay.
    #[must_use]
    pub fn applied_to(self, mut scenario: Scenario, workload: &Workload) -> Scenario {
        let span_s = scenario.span_s(workload);
        let hosts = scenario.fleet.hosts();
        let unit_s = unit_s(&scenario);
        match self {
            Self::SlowSpells => {
                let fastest = scenario.fleet.fastest();
                let spell = |host, at_s, slowness| Spell { host, at_s, lasts_s: 0.1 * span_s, slowness };
                let scheduled =
                    vec![spell(fastest, 0.3 * span_s, 20.0), spell((fastest + 1) % hosts, 0.6 * span_s, 3.0)];
                scenario.life.spells = Spells { scheduled, ..Spells::NONE };
            }
            Self::IdleNights => scenario.life.nights = Nights { count: 3, lasts_s: 15.0 * unit_s },
            Self::Restarts | Self::EarlyHeads => {
                let at_s = |index: usize| (0.2 + 0.1 * index as f64) * span_s;
                let crash = |index| crate::fleet::Crash { host: index * 5 % hosts, at_s: at_s(index) };
                let (down_s, warm_up_s) = (0.03 * span_s, 0.05 * span_s);
                let scheduled = (0..RESTARTS).map(crash).collect();
                scenario.crashes = Crashes { scheduled, down_s, warm_up_s, ..Crashes::NONE };
                scenario.life.restarts_announced = true;
                if self == Self::EarlyHeads {
                    scenario.life.head_after_s = 0.001 * unit_s;
                }
            }
            Self::Joins => {
                let late = (0..hosts / 4).map(|index| Join { host: 4 * index + 2, at_s: span_s / 3.0 });
                scenario.life.joins = late.collect();
            }
            Self::Errors => {
                scenario.liars = vec![Liar { host: 0, lie: Lie::FailsFast { share: 0.2, after_s: 0.005 } }];
                scenario.life.retries = Retries { on_error: true, untried_only: true };
            }
            Self::NoWork => scenario.liars = vec![Liar { host: 0, lie: Lie::NO_WORK }],
            Self::WrongClaims => {
                scenario.life.claims = Claims { wrong_share: 0.1, factor_max: 1000.0, unknown_share: 0.2 };
            }
            Self::Liars => {
                let lies =
                    [Lie::ReportsStep { factor: 1e-3 }, Lie::RepeatsReport { for_s: f64::INFINITY }, Lie::ReportsIdle];
                // Of the three speeds of the reference fleet one each.
                let liars = [0, 4, 8].into_iter().zip(lies).map(|(host, lie)| Liar { host, lie });
                scenario.liars = liars.filter(|liar| liar.host < hosts).collect();
            }
            Self::LongExchanges => scenario.life.exchanges = Exchanges { share: 0.02, mean_s: 6.0 * unit_s },
            Self::Aborts => {
                let typical_s = f64::from(workload.service_model(&scenario.service).latency_typical_s);
                let (min_s, max_s) = (0.5 * typical_s, 5.0 * typical_s);
                scenario.life.patience = Patience { leaving_share: 0.2, min_s, max_s, hosts_work_on: false };
            }
            Self::ClosedLoop => scenario.life.closed_loop = true,
        }
        scenario
    }

    /// Adds it in a random measure.
    fn add_random(self, scenario: &mut Scenario, rng: &mut Pcg64Mcg) {
        let hosts = scenario.fleet.hosts();
        let unit_s = unit_s(scenario);
        let Scenario { crashes, liars, life, .. } = scenario;
        match self {
            Self::SlowSpells => {
                life.spells = Spells {
                    every_mean_s: unit_s * log_between(rng, 5.0, 50.0),
                    lasts_min_s: 0.05 * unit_s,
                    lasts_max_s: 30.0 * unit_s,
                    ..Spells::NONE
                };
            }
            Self::IdleNights => {
                life.nights = Nights { count: 1 + below(rng, 2) as u32, lasts_s: unit_s * log_between(rng, 0.5, 5.0) };
            }
            Self::Restarts | Self::EarlyHeads => {
                *crashes = Crashes {
                    up_mean_s: unit_s * log_between(rng, 5.0, 50.0),
                    down_s: unit_s * between(rng, 0.1, 1.0),
                    warm_up_s: unit_s * between(rng, 0.2, 2.0),
                    warm_up_slowness: between(rng, 1.5, 3.0),
                    ..Crashes::NONE
                };
                life.restarts_announced = uniform(rng) < 0.5;
                life.retries.untried_only = uniform(rng) < 0.5;
                if self == Self::EarlyHeads {
                    life.head_after_s = unit_s * log_between(rng, 2e-4, 1e-2);
                }
            }
            Self::Joins => {
                let count = 1 + below(rng, (hosts / 3).max(1));
                let late = draw_hosts(hosts, count.min(hosts - 1), rng);
                life.joins =
                    late.into_iter().map(|host| Join { host, at_s: unit_s * between(rng, 0.0, 3.0) }).collect();
            }
            Self::Errors => {
                life.retries = Retries { on_error: uniform(rng) < 0.5, untried_only: uniform(rng) < 0.5 };
                let fails = |rng: &mut Pcg64Mcg| Lie::FailsFast {
                    share: log_between(rng, 0.02, 1.0),
                    after_s: log_between(rng, 1e-3, 5e-2),
                };
                add_liars(liars, hosts, 1 + below(rng, 2), rng, fails);
            }
            Self::NoWork => {
                // Either a host that is set up wrongly, or clients that ask for what is not there.
                let is_host = uniform(rng) < 0.5;
                let share = if is_host { between(rng, 0.3, 1.0) } else { between(rng, 0.02, 0.3) };
                let refuses = |rng: &mut Pcg64Mcg| Lie::NoWork { share, after_s: log_between(rng, 1e-3, 5e-2) };
                add_liars(liars, hosts, if is_host { 1 } else { hosts }, rng, refuses);
            }
            Self::WrongClaims => {
                life.claims = Claims {
                    wrong_share: between(rng, 0.02, 0.3),
                    factor_max: log_between(rng, 3.0, 1e6),
                    unknown_share: between(rng, 0.0, 0.5),
                };
            }
            Self::Liars => {
                const FACTORS: [f64; 6] = [0.0, 1e-6, 1e-3, 0.1, 10.0, 1000.0];
                let lies = |rng: &mut Pcg64Mcg| match below(rng, 4) {
                    0 => Lie::ReportsIdle,
                    1 => Lie::RepeatsReport { for_s: f64::INFINITY },
                    2 => Lie::RepeatsReport { for_s: unit_s * log_between(rng, 0.1, 3.0) },
                    _ => Lie::ReportsStep { factor: FACTORS[below(rng, FACTORS.len())] },
                };
                add_liars(liars, hosts, 1 + below(rng, 3), rng, lies);
            }
            Self::LongExchanges => {
                life.exchanges =
                    Exchanges { share: log_between(rng, 0.002, 0.05), mean_s: unit_s * log_between(rng, 0.5, 3.0) };
            }
            Self::Aborts => {
                life.patience = Patience {
                    leaving_share: between(rng, 0.05, 0.5),
                    min_s: 0.05 * unit_s,
                    max_s: 1.5 * unit_s,
                    hosts_work_on: uniform(rng) < 0.5,
                };
            }
            Self::ClosedLoop => life.closed_loop = true,
        }
    }
}

/// Adds each kind by chance: most settings stay as they are.
pub(crate) fn add_random(scenario: &mut Scenario, rng: &mut Pcg64Mcg) {
    for kind in LifeKind::ALL {
        if uniform(rng) < RANDOM_SHARE {
            kind.add_random(scenario, rng);
        }
    }
}

/// The time in which a service changes, in seconds: as long as a slow period of its antagonists
/// in the reference setting.
fn unit_s(scenario: &Scenario) -> f64 {
    match scenario.service {
        ServiceOptions::Llm(_) => 20.0,
        ServiceOptions::Fifo(_) => 2.0,
    }
}

/// Different hosts at random.
fn draw_hosts(hosts: usize, count: usize, rng: &mut Pcg64Mcg) -> Vec<usize> {
    let mut all: Vec<usize> = (0..hosts).collect();
    for index in 0..count {
        all.swap(index, index + below(rng, hosts - index));
    }
    all.truncate(count);
    all
}

/// Lets different hosts at random lie, those that do so already left out.
fn add_liars(
    liars: &mut Vec<Liar>,
    hosts: usize,
    count: usize,
    rng: &mut Pcg64Mcg,
    mut lie: impl FnMut(&mut Pcg64Mcg) -> Lie,
) {
    for host in draw_hosts(hosts, count.min(hosts), rng) {
        let lie = lie(rng);
        if liars.iter().all(|liar| liar.host != host) {
            liars.push(Liar { host, lie });
        }
    }
}
