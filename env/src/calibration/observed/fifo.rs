//! A FIFO service's times, its servers, and its hosts' speeds.
//!
//! A response that met an idle host took its service time alone. With `k` servers, so did one
//! that met up to `k − 1` others; the first number of others that lengthens responses is `k`.

use super::{Observed, ObservedError, Visit, error, hosts, median};
use crate::host::ServiceOptions;
use crate::host::fifo::FifoOptions;
use evenkeel_datasets::Trace;

/// Most servers of a host that are told apart.
const SERVERS_MAX: usize = 64;
/// Responses that met so many others, needed to say that these made no difference.
const MEETINGS_MIN: usize = 20;
/// By how much a median may be longer and still count as the same.
const LONGER: f64 = 1.25;

pub(super) fn observe(trace: &Trace, visits: &[Vec<Visit>]) -> Result<Observed, ObservedError> {
    let met: Vec<Vec<(usize, f64)>> = visits.iter().map(|visits| meetings(visits)).collect();
    let alone: Vec<Vec<f64>> = met.iter().map(|met| with_others(met, 0).collect()).collect();
    let speeds: Vec<f64> = alone.iter().map(|times_s| 1.0 / median(times_s.clone())).collect();
    let told: Vec<usize> = alone.iter().map(Vec::len).collect();
    let (hosts, slowest) = hosts(trace, &speeds, &told, visits)?;
    // In service times of each host, so that all can be taken together.
    let relative = |others: usize| -> Vec<f64> {
        let of_host = |(met, speed): (&Vec<(usize, f64)>, &f64)| -> Vec<f64> {
            with_others(met, others).map(|time_s| time_s * speed).collect()
        };
        met.iter().zip(&speeds).flat_map(of_host).collect()
    };
    let makes_no_difference = |others: &usize| {
        let times = relative(*others);
        times.len() >= MEETINGS_MIN && median(times) <= LONGER
    };
    let servers = 1 + (1..SERVERS_MAX).take_while(makes_no_difference).count();
    let times = relative(0);
    // A slowed host's times are longer by a factor of at least 2 or so: they weigh on the mean.
    // Logarithms of lognormal times have the same spread whatever the speed.
    let logarithms: Vec<f64> = times.iter().map(|time| libm::log(*time)).collect();
    let mean = logarithms.iter().sum::<f64>() / logarithms.len() as f64;
    let variance = logarithms.iter().map(|ln| (ln - mean) * (ln - mean)).sum::<f64>() / logarithms.len() as f64;
    let options = FifoOptions {
        servers: servers as u32,
        // The median is exp(−variance / 2) times the mean.
        service_mean_s: libm::exp(0.5 * variance) / slowest,
        service_variation: libm::sqrt(libm::exp(variance) - 1.0),
    };
    let error = error(times.into_iter());
    Ok(Observed { service: ServiceOptions::Fifo(options), hosts, error })
}

/// Of each visit the number of others that it met, and how long it took.
fn meetings(visits: &[Visit]) -> Vec<(usize, f64)> {
    let mut ends_s: Vec<f64> = visits.iter().map(|visit| visit.end_s).collect();
    ends_s.sort_by(f64::total_cmp);
    let mut arrivals_s: Vec<f64> = visits.iter().map(|visit| visit.arrival_s).collect();
    arrivals_s.sort_by(f64::total_cmp);
    let met = |visit: &Visit| {
        let arrived = arrivals_s.partition_point(|at_s| *at_s < visit.arrival_s);
        let ended = ends_s.partition_point(|at_s| *at_s <= visit.arrival_s);
        (arrived.saturating_sub(ended), visit.end_s - visit.arrival_s)
    };
    visits.iter().map(met).collect()
}

fn with_others(met: &[(usize, f64)], others: usize) -> impl Iterator<Item = f64> {
    met.iter().filter(move |(met, _)| *met == others).map(|(_, time_s)| *time_s)
}
