//! A fleet and its service, estimated from a log that names upstream hosts and times.
//!
//! Speeds are relative: the slowest host's is 1, and the service is what it runs. Estimates are
//! robust to hosts that are slowed from time to time, as long as they mostly are not; a host
//! that always is, is a slow one.
//!
//! What the log must hold of a request: the host's address, when it arrived, and how long the
//! host took ([`Request::service_s`]); for a language model the token counts and the time to the
//! first byte too. What other requests the host had at the same time is taken from the log
//! itself, which must therefore be that of all traffic.
//!
//! [`Request::service_s`]: evenkeel_datasets::Request::service_s

mod fifo;
mod llm;

use evenkeel_datasets::{Request, Trace};

use super::FitError;
use crate::host::ServiceOptions;
use crate::metrics::Sample;

/// Requests of a host from which on its speed can be told.
const REQUESTS_MIN: usize = 20;

/// What a log tells of those who answered it.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// What a host of speed 1 runs. What a log cannot tell is as by default.
    pub service: ServiceOptions,
    /// The hosts, in the order of the log's addresses.
    pub hosts: Vec<ObservedHost>,
    /// Error of the estimate: time to decode a response (LLM), or of a response that met an idle
    /// host (FIFO), over its estimate.
    pub error: FitError,
}

/// One host of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedHost {
    /// Its address.
    pub address: String,
    /// Its speed relative to the slowest host.
    pub speed: f64,
    /// Requests that tell of its speed.
    pub requests: usize,
}

/// Why a log tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum ObservedError {
    /// No request names a host and a time.
    #[error(
        "{trace}: no request has both an upstream address and a response time; expected a log with them \
         (NGINX: upstream_addr, upstream_response_time; Envoy: upstream_host, duration)"
    )]
    Nothing {
        /// Name of the log.
        trace: String,
    },
    /// A language model's requests lack what its step time is told by.
    #[error(
        "{trace}: of {found} requests the host, times and token counts are known; expected at least {expected}: \
         log the time to the first byte (upstream_header_time) and the tokens of prompt and output"
    )]
    Decoding {
        /// Name of the log.
        trace: String,
        /// Requests that tell something.
        found: usize,
        /// Requests needed.
        expected: usize,
    },
    /// Too little is known of a host.
    #[error(
        "{trace}: {found} requests tell of the speed of {address}, expected at least {REQUESTS_MIN}; use a longer log, \
         or leave the host out of it"
    )]
    Host {
        /// Name of the log.
        trace: String,
        /// The host's address.
        address: String,
        /// Requests that tell of it.
        found: usize,
    },
}

/// Estimates the fleet and its service: a language model's where the log has token counts, else
/// a FIFO service's.
///
/// # Errors
/// If the log does not tell enough.
pub fn observe(trace: &Trace) -> Result<Observed, ObservedError> {
    let mut visits = vec![Vec::new(); trace.upstreams.len()];
    for request in &trace.requests {
        if let (Some(own), Some(visit)) = (visits.get_mut(usize::from(request.upstream)), Visit::of(request)) {
            own.push(visit);
        }
    }
    if visits.iter().all(Vec::is_empty) {
        return Err(ObservedError::Nothing { trace: trace.name.clone() });
    }
    if trace.has_tokens() { llm::observe(trace, &visits) } else { fifo::observe(trace, &visits) }
}

/// A request's stay at its host, in seconds of the log.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Visit {
    arrival_s: f64,
    /// NaN where unknown.
    first_byte_s: f64,
    end_s: f64,
    prompt_tokens: f64,
    output_tokens: f64,
}

impl Visit {
    fn of(request: &Request) -> Option<Self> {
        let end_s = request.arrival_s + f64::from(request.service_s);
        (end_s.is_finite() && request.service_s > 0.0).then(|| Self {
            arrival_s: request.arrival_s,
            first_byte_s: request.arrival_s + f64::from(request.first_byte_s),
            end_s,
            prompt_tokens: f64::from(request.prompt_tokens),
            output_tokens: f64::from(request.output_tokens),
        })
    }
}

/// The hosts with these speeds; the slowest's is set to 1. Returns what it was.
///
/// Hosts of which the log has no request at all are left out.
fn hosts(
    trace: &Trace,
    speeds: &[f64],
    told: &[usize],
    visits: &[Vec<Visit>],
) -> Result<(Vec<ObservedHost>, f64), ObservedError> {
    let present = |host: &usize| !visits[*host].is_empty();
    let known: Vec<usize> = (0..speeds.len()).filter(present).collect();
    if let Some(&host) = known.iter().find(|host| told[**host] < REQUESTS_MIN) {
        let (trace, address) = (trace.name.clone(), trace.upstreams[host].clone());
        return Err(ObservedError::Host { trace, address, found: told[host] });
    }
    let slowest = known.iter().map(|host| speeds[*host]).fold(f64::INFINITY, f64::min);
    let host = |&host: &usize| ObservedHost {
        address: trace.upstreams[host].clone(),
        speed: speeds[host] / slowest,
        requests: told[host],
    };
    Ok((known.iter().map(host).collect(), slowest))
}

/// Median; NaN of nothing.
fn median(values: Vec<f64>) -> f64 {
    Sample::new(values).quantile(0.5)
}

/// Error of estimates, given measured times over estimated ones.
fn error(ratios: impl Iterator<Item = f64>) -> FitError {
    let errors = Sample::new(ratios.map(|ratio| (1.0 / ratio - 1.0).abs()).collect());
    FitError { median: errors.quantile(0.5), p90: errors.quantile(0.9) }
}
