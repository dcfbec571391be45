//! What a warm replica carries at the objective, found in the simulator that has every
//! request; and how far the fluid of this module is from it.

use crate::fleet::{Antagonists, Crashes, Fleet};
use crate::host::ServiceOptions;
use crate::metrics::MetricsOptions;
use crate::outcome::{Outcome, Status};
use crate::policies::LeastRequest;
use crate::scenario::Scenario;
use crate::simulation::simulate;
use crate::telemetry::TelemetryOptions;
use crate::workload::{TokenMeans, Workload};

use super::{ReplicaOptions, Replicas, TICK_S};

/// Replicas of the fleet that is loaded: one alone would wait for nobody and help nobody.
const REPLICAS: usize = 8;

/// Loads between which the capacity is sought, as shares of the work that a saturated
/// fleet does, and halvings of that interval.
const LOADS: [f64; 2] = [0.02, 2.0];
const HALVINGS: usize = 10;

/// How a replica is loaded and judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CapacityOptions {
    /// What it runs.
    pub service: ServiceOptions,
    /// Its speed, as hosts of a fleet have it.
    pub speed: f64,
    /// The service's objective.
    pub objective: MetricsOptions,
    /// Share of the requests that may miss it.
    pub missed_share_max: f64,
    /// Requests of each run.
    pub requests: usize,
    /// Runs at each load, each with another seed.
    pub seeds: u64,
}

/// What a warm replica carries.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Capacity {
    /// Requests a second.
    pub requests_per_s: f64,
    /// Their prompt tokens a second.
    pub prompt_tokens_per_s: f64,
    /// Their output tokens a second.
    pub output_tokens_per_s: f64,
    /// Share of the work that a saturated replica does.
    pub load: f64,
}

/// One load beside what the fluid says of it.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct FluidPoint {
    /// Demand over capacity.
    pub demand_over_capacity: f64,
    /// Share of the requests that missed the objective in the simulator.
    pub missed_share: f64,
    /// The share that the fluid says.
    pub fluid_missed_share: f64,
}

/// The greatest rate at which no more requests miss the objective than may: by bisection of
/// the load on a fleet of warm, equal replicas that nothing disturbs, balanced by least
/// requests. Replicas that are starting are left out: they would carry nothing and count.
///
/// # Panics
/// If a number of the options is not positive.
pub fn capacity(workload: &Workload, options: &CapacityOptions) -> Capacity {
    assert!(options.requests > 0 && options.seeds > 0 && options.speed > 0.0, "nothing to measure: {options:?}");
    let [mut carried, mut too_much] = LOADS;
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(carried, too_much);
        if missed_share(workload, options, middle) <= options.missed_share_max {
            carried = middle;
        } else {
            too_much = middle;
        }
    }
    let means = TokenMeans::of(&workload.trace().requests);
    let requests_per_s = rate_per_s(&means, options, carried);
    Capacity {
        requests_per_s,
        prompt_tokens_per_s: requests_per_s * finite(means.prompt),
        output_tokens_per_s: requests_per_s * finite(means.output),
        load: carried,
    }
}

/// The fluid beside the simulator, at these demands over the capacity that was found.
pub fn fluid_error(
    workload: &Workload,
    options: &CapacityOptions,
    capacity: &Capacity,
    demands: &[f64],
) -> Vec<FluidPoint> {
    let means = TokenMeans::of(&workload.trace().requests);
    let one = |demand: &f64| FluidPoint {
        demand_over_capacity: *demand,
        missed_share: missed_share(workload, options, demand * capacity.load),
        fluid_missed_share: {
            let arriving_per_s = demand * capacity.requests_per_s * REPLICAS as f64;
            let span_s =
                options.requests as f64 / (rate_per_s(&means, options, demand * capacity.load) * REPLICAS as f64);
            fluid_missed_share(capacity.requests_per_s, arriving_per_s, span_s)
        },
    };
    demands.iter().map(one).collect()
}

/// Requests a second of one replica at a load.
fn rate_per_s(means: &TokenMeans, options: &CapacityOptions, load: f64) -> f64 {
    load * scenario(options, load).capacity_per_s(means) / REPLICAS as f64
}

fn scenario(options: &CapacityOptions, load: f64) -> Scenario {
    let fleet = Fleet::cycle("replicas", &[options.speed], REPLICAS);
    let base = match options.service {
        ServiceOptions::Llm(_) => Scenario::llm(fleet),
        ServiceOptions::Fifo(_) => Scenario::fifo(fleet),
    };
    Scenario {
        service: options.service,
        balancers: 1,
        telemetry: TelemetryOptions::none(),
        antagonists: Antagonists::NONE,
        crashes: Crashes::NONE,
        load,
        requests_max: options.requests,
        timeout_s: options.objective.failed_latency_s,
        ..base
    }
}

/// Share of the requests that miss the objective at a load, over all seeds.
fn missed_share(workload: &Workload, options: &CapacityOptions, load: f64) -> f64 {
    let scenario = scenario(options, load);
    let one = |seed: u64| {
        let mut policy = LeastRequest::new(REPLICAS);
        missed(&simulate(&scenario, workload, &mut policy, seed), &options.objective)
    };
    (0..options.seeds).map(one).sum::<f64>() / options.seeds as f64
}

fn missed(outcome: &Outcome, objective: &MetricsOptions) -> f64 {
    let measured = outcome.measured();
    let good = measured.iter().filter(|record| {
        record.status == Status::Answered
            && record.latency_s <= objective.slo_latency_s
            && record.ttft_s <= objective.slo_ttft_s
    });
    1.0 - good.count() as f64 / measured.len().max(1) as f64
}

/// What [`Replicas`] say of a constant demand on a warm fleet.
fn fluid_missed_share(replica_per_s: f64, arriving_per_s: f64, span_s: f64) -> f64 {
    let options = ReplicaOptions::new(replica_per_s, 0.0);
    let replicas = REPLICAS as u32;
    let mut fleet = Replicas::new(&options, replica_per_s * (REPLICAS as f64 - 0.5), 0);
    let ticks = (span_s / TICK_S).ceil().max(1.0) as usize;
    (0..ticks).map(|_| fleet.step(replicas, arriving_per_s).missed_share).sum::<f64>() / ticks as f64
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}
