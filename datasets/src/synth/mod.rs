//! The embedded default: a synthetic inference service made from a seed.
//!
//! A [`Service`] is 32 clients, each with a rate that follows the day and the week, drifts and
//! bursts, with Gamma or Weibull inter-arrival times, and with log-normal prompt and output
//! lengths of its own. Together they send about 20 requests a second, prompts of about 1200
//! tokens and outputs of about 250. That a service is best described client by client is the
//! finding of `ServeGen` (arXiv 2505.09999); where the parameters come from is said beside them.
//!
//! Time 0 is midnight before a Monday, [`EPOCH_S`] on the Unix clock.

mod client;
mod demand;

use crate::{Request, Series, SeriesUnit, Trace, random};
use client::Client;
use demand::{CELL_S, Demand};
use evenkeel_numbers::random::mix;
use random::Pcg64Mcg;

/// Unix time of the service's time 0: midnight before Monday, 1 January 2024, UTC.
pub const EPOCH_S: f64 = 1_704_067_200.0;

/// Longest prompt in tokens.
const PROMPT_TOKENS_MAX: f64 = 32_768.0;
/// Longest output in tokens.
const OUTPUT_TOKENS_MAX: f64 = 8_192.0;

/// A synthetic inference service.
///
/// Equal seeds describe equal services, and a service answers equal questions alike, on every
/// machine.
#[derive(Clone, Debug)]
pub struct Service {
    seed: u64,
    clients: Vec<Client>,
}

impl Service {
    /// The service that `seed` describes.
    pub fn new(seed: u64) -> Self {
        Self { seed, clients: client::clients(seed) }
    }

    /// The arrival rate from time 0 on, in requests per second, with the noise of counting.
    ///
    /// The counts that a renewal process leaves in a long interval have the variance `cv²` times
    /// their mean (Cox, Renewal Theory, 1962). Here their sum over the clients is drawn from the
    /// Gamma distribution of the same mean and variance and rounded, which costs the same
    /// however many requests there are.
    ///
    /// # Panics
    ///
    /// When `step_s` is not a positive, finite number.
    pub fn series(&self, step_s: f64, days: f64) -> Series {
        assert!(step_s.is_finite() && step_s > 0.0, "the step of a series must be positive, not {step_s}");
        let len = (days * 86_400.0 / step_s) as usize;
        let mut mean = vec![0.0; len];
        let mut variance = vec![0.0; len];
        for client in &self.clients {
            let mut demand = Demand::new(client);
            for index in 0..len {
                let count = demand.integral(index as f64 * step_s, (index + 1) as f64 * step_s);
                mean[index] += count;
                variance[index] += client.cv * client.cv * count;
            }
        }
        let mut rng = random::generator(self.seed, 1);
        let count = |(mean, variance): (f64, f64)| random::gamma(&mut rng, mean * mean / variance, variance / mean);
        let counts = mean.into_iter().zip(variance).map(count);
        Series {
            unit: SeriesUnit::PerSecond,
            name: self.name(),
            start_epoch_s: EPOCH_S,
            step_s,
            values: counts.map(|count| (count.round() / step_s) as f32).collect(),
            gaps: Vec::new(),
        }
    }

    /// The requests that arrive in the `duration_s` seconds from `start_s` on.
    pub fn trace(&self, start_s: f64, duration_s: f64) -> Trace {
        let mut requests = Vec::new();
        for client in &self.clients {
            let stream = mix(start_s.to_bits()) ^ client.seed;
            let mut rng = random::generator(self.seed, stream);
            arrivals(client, start_s, duration_s, &mut rng, &mut requests);
        }
        // Stable, so that equal times keep the order of the clients.
        requests.sort_by(|a, b| a.arrival_s.total_cmp(&b.arrival_s));
        Trace { name: self.name(), start_epoch_s: Some(EPOCH_S + start_s), requests, ..Trace::default() }
    }

    fn name(&self) -> String {
        format!("synthetic service, seed {}", self.seed)
    }
}

/// Appends one client's requests of `[start_s, start_s + duration_s)`.
///
/// The inter-arrival times have mean 1 on a clock that runs with the client's rate, so that the
/// rate may change between any two arrivals without distorting either.
fn arrivals(client: &Client, start_s: f64, duration_s: f64, rng: &mut Pcg64Mcg, requests: &mut Vec<Request>) {
    let mut demand = Demand::new(client);
    // The first arrival is met at a random point of its interval.
    let mut wait = client.gap(rng) * random::uniform(rng);
    let mut cell = (start_s / CELL_S).floor();
    let end_s = start_s + duration_s;
    while cell * CELL_S < end_s {
        let rate_per_s = demand.rate_per_s(cell * CELL_S);
        let mut now_s = start_s.max(cell * CELL_S);
        let cell_end_s = end_s.min((cell + 1.0) * CELL_S);
        while now_s + wait / rate_per_s < cell_end_s {
            now_s += wait / rate_per_s;
            requests.push(Request::new(now_s - start_s, client.prompt_tokens(rng), client.output_tokens(rng)));
            wait = client.gap(rng);
        }
        wait -= (cell_end_s - now_s) * rate_per_s;
        cell += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_as_described() {
        let service = Service::new(1);
        let rate_per_s = service.series(600.0, 7.0).mean();
        let trace = service.trace(86_400.0, 43_200.0);
        let n = trace.requests.len() as f64;
        let mean = |tokens: fn(&Request) -> u32| trace.requests.iter().map(|r| f64::from(tokens(r))).sum::<f64>() / n;
        let (prompt, output) = (mean(|r| r.prompt_tokens), mean(|r| r.output_tokens));
        assert!((17.0..23.0).contains(&rate_per_s), "{rate_per_s} requests/s");
        assert!((1000.0..1400.0).contains(&prompt), "{prompt} prompt tokens");
        assert!((200.0..300.0).contains(&output), "{output} output tokens");
    }

    #[test]
    fn the_trace_and_the_series_agree() {
        let service = Service::new(3);
        let (start_s, step_s) = (2.0 * 86_400.0, 600.0);
        let trace = service.trace(start_s, 86_400.0).rates(step_s);
        let series = service.series(step_s, 3.0).slice(288, 288 + 144);
        assert_eq!(trace.start_epoch_s, series.start_epoch_s);
        assert!((trace.mean() / series.mean() - 1.0).abs() < 0.02, "{} and {}", trace.mean(), series.mean());
        let (mut both, mut a, mut b) = (0.0, 0.0, 0.0);
        for (x, y) in trace.values.iter().zip(&series.values) {
            let (x, y) = (f64::from(*x) - trace.mean(), f64::from(*y) - series.mean());
            both += x * y;
            a += x * x;
            b += y * y;
        }
        let correlation = both / (a * b).sqrt();
        assert!(correlation > 0.9, "correlation {correlation}");
    }

    #[test]
    fn equal_seeds_repeat_and_others_differ() {
        let trace = |seed| Service::new(seed).trace(3600.0, 60.0);
        assert_eq!(trace(5).requests.len(), trace(5).requests.len());
        assert!(trace(5).requests.iter().zip(&trace(5).requests).all(|(a, b)| a.arrival_s == b.arrival_s));
        assert_ne!(trace(5).requests[0].arrival_s, trace(6).requests[0].arrival_s);
        // The same bits on every machine.
        let last = *trace(5).requests.last().unwrap();
        assert_eq!((last.arrival_s.to_bits(), last.prompt_tokens, last.output_tokens), (4633602533759483776, 731, 152));
    }
}
