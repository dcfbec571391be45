//! One client of the synthetic service: its size, its arrivals and its tokens.

use super::{OUTPUT_TOKENS_MAX, PROMPT_TOKENS_MAX};
use crate::random::{self, Pcg64Mcg};
use evenkeel_numbers::random::mix;
use libm::{exp, lgamma, log};

const CLIENTS: u64 = 32;
const RATE_PER_S: f64 = 20.0;
const PROMPT_TOKENS_MEAN: f64 = 1200.0;
const OUTPUT_TOKENS_MEAN: f64 = 250.0;

/// What one client does, on average and over time.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Identifies the draws that all clients of the service share.
    pub(super) service_seed: u64,
    /// Identifies the client's own draws.
    pub(super) seed: u64,
    /// Requests per second, averaged over a week without drift and bursts.
    pub(super) rate_per_s: f64,
    /// Coefficient of variation of the inter-arrival times.
    pub(super) cv: f64,
    gaps: Gaps,
    prompt: Tokens,
    output: Tokens,
    /// Height of the day's wave, on the logarithm of the rate.
    pub(super) daily_height: f64,
    /// Height of its second harmonic: the dent at noon.
    pub(super) noon_height: f64,
    /// Hour of the day's peak.
    pub(super) peak_hour: f64,
    /// The rate at weekends, relative to other days.
    pub(super) weekend: f64,
    /// Bursts a day.
    pub(super) bursts_per_day: f64,
}

/// Distribution of inter-arrival times with mean 1.
#[derive(Clone, Copy, Debug)]
enum Gaps {
    Gamma { shape: f64 },
    Weibull { shape: f64, scale: f64 },
}

/// Log-normal token counts.
#[derive(Clone, Copy, Debug)]
struct Tokens {
    mu: f64,
    sigma: f64,
}

impl Tokens {
    fn mean(self) -> f64 {
        exp(self.mu + 0.5 * self.sigma * self.sigma)
    }
}

impl Client {
    /// The time to the next arrival, in units of its mean.
    pub(super) fn gap(&self, rng: &mut Pcg64Mcg) -> f64 {
        match self.gaps {
            Gaps::Gamma { shape } => random::gamma(rng, shape, 1.0 / shape),
            Gaps::Weibull { shape, scale } => random::weibull(rng, shape, scale),
        }
    }

    pub(super) fn prompt_tokens(&self, rng: &mut Pcg64Mcg) -> u32 {
        random::log_normal(rng, self.prompt.mu, self.prompt.sigma).clamp(1.0, PROMPT_TOKENS_MAX) as u32
    }

    pub(super) fn output_tokens(&self, rng: &mut Pcg64Mcg) -> u32 {
        random::log_normal(rng, self.output.mu, self.output.sigma).clamp(1.0, OUTPUT_TOKENS_MAX) as u32
    }
}

/// The clients of the service that `seed` describes.
pub(super) fn clients(seed: u64) -> Vec<Client> {
    // Few clients send most: of the 162 behind ServeGen's `m-large` windows the first sends
    // 16 % of the requests, the first five 43 %, ten 63 % and twenty 78 %; shares in proportion
    // to 1/(rank + 3) give 13, 42, 61 and 84 %.
    let shares: Vec<f64> = (0..CLIENTS).map(|rank| 1.0 / (rank as f64 + 3.0)).collect();
    let total: f64 = shares.iter().sum();
    let mut clients: Vec<Client> =
        shares.iter().enumerate().map(|(rank, share)| client(seed, rank as u64, RATE_PER_S * share / total)).collect();
    // Clients differ, and the first few weigh much: hold the service's means, not each client's.
    let scale = |mean: f64, target: f64| log(target / mean);
    let mean = |tokens: fn(&Client) -> Tokens| {
        clients.iter().map(|client| client.rate_per_s * tokens(client).mean()).sum::<f64>() / RATE_PER_S
    };
    let prompt_shift = scale(mean(|client| client.prompt), PROMPT_TOKENS_MEAN);
    let output_shift = scale(mean(|client| client.output), OUTPUT_TOKENS_MEAN);
    for client in &mut clients {
        client.prompt.mu += prompt_shift;
        client.output.mu += output_shift;
    }
    clients
}

fn client(service_seed: u64, rank: u64, rate_per_s: f64) -> Client {
    let seed = mix(service_seed ^ mix(rank + 100));
    let rng = &mut random::generator(seed, 0);
    // Rate-weighted quantiles of the CV in ServeGen's `m-large` windows: 0.91 at 5 %, 1.19 at
    // 50 %, 2.2 at 75 %. Its upper tail, beyond 10, belongs to clients which send in batches;
    // it is cut at 5 here.
    let cv = (0.9 + random::log_normal(rng, -1.1, 1.3)).min(5.0);
    // Of the fits there, 79 % are Gamma and 21 % Weibull.
    let gaps = if random::uniform(rng) < 0.79 { Gaps::Gamma { shape: 1.0 / (cv * cv) } } else { weibull(cv) };
    Client {
        service_seed,
        seed,
        rate_per_s,
        cv,
        gaps,
        // Log-normal lengths of differing clients. In `m-large` the quartiles of the clients'
        // mean prompts are 437, 940 and 1489 tokens (a deviation of about 0.9 in the logarithm)
        // and the deviations within a client 0.16, 0.32 and 0.55; outputs have 44, 99, 216 and
        // 0.33, 0.58, 0.84. Azure's code and conversation services (Splitwise, ISCA'24: median
        // prompts of 1500 and 1020 tokens, median outputs of 13 and 129) lie within that.
        prompt: Tokens { mu: random::normal(rng, 6.8, 0.8), sigma: deviation(rng, 0.40, 0.2, 1.0) },
        output: Tokens { mu: random::normal(rng, 4.8, 0.8), sigma: deviation(rng, 0.62, 0.3, 1.1) },
        // BurstGPT (arXiv 2401.17644) reports a daily and a weekly period: busy working hours,
        // quiet nights and weekends. In `m-large` the hours of the day lie between 0.79 and 1.14
        // of the mean in sum, and single clients go much further; its quietest days are at 0.6.
        daily_height: 0.25 + 0.75 * random::uniform(rng),
        noon_height: 0.25 * random::uniform(rng),
        peak_hour: random::normal(rng, 14.5, 2.0),
        weekend: 0.4 + 0.6 * random::uniform(rng),
        bursts_per_day: random::exponential(rng, 2.0),
    }
}

/// A deviation around `median`, within bounds.
fn deviation(rng: &mut Pcg64Mcg, median: f64, min: f64, max: f64) -> f64 {
    random::log_normal(rng, log(median), 0.4).clamp(min, max)
}

/// The Weibull distribution with mean 1 and the given coefficient of variation, by bisection on
/// `1 + cv² = Γ(1 + 2/shape) / Γ(1 + 1/shape)²`, whose right side falls as the shape grows.
fn weibull(cv: f64) -> Gaps {
    let target = log(1.0 + cv * cv);
    let (mut low, mut high) = (0.1, 20.0);
    for _ in 0..60 {
        let shape: f64 = 0.5 * (low + high);
        if lgamma(1.0 + 2.0 / shape) - 2.0 * lgamma(1.0 + 1.0 / shape) > target { low = shape } else { high = shape }
    }
    let shape = 0.5 * (low + high);
    Gaps::Weibull { shape, scale: exp(-lgamma(1.0 + 1.0 / shape)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_mean_one_and_the_right_variation() {
        let clients = clients(9);
        let mut rng = random::generator(1, 1);
        for gaps in [Gaps::Gamma { shape: 1.0 / 2.25 }, weibull(1.5)] {
            let client = Client { gaps, ..clients[0].clone() };
            let draws: Vec<f64> = (0..200_000).map(|_| client.gap(&mut rng)).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let variance = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / draws.len() as f64;
            assert!((mean - 1.0).abs() < 0.02 && (variance.sqrt() - 1.5).abs() < 0.06, "{gaps:?} {mean} {variance}");
        }
    }

    #[test]
    fn the_clients_add_up() {
        let clients = clients(1);
        let rate: f64 = clients.iter().map(|client| client.rate_per_s).sum();
        assert!((rate - RATE_PER_S).abs() < 1e-9);
        let prompt: f64 = clients.iter().map(|client| client.rate_per_s * client.prompt.mean()).sum();
        assert!((prompt / rate - PROMPT_TOKENS_MEAN).abs() < 1e-6);
    }
}
