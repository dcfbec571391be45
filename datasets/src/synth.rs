//! The embedded default: a synthetic inference service made from a seed.

use crate::{Request, Series, Trace, random};

/// A synthetic inference service.
#[derive(Clone, Debug)]
pub struct Service {
    seed: u64,
}

impl Service {
    /// The service that `seed` describes.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The arrival rate from time 0 on, in requests per second, with the noise of counting.
    pub fn series(&self, step_s: f64, days: f64) -> Series {
        let trace = self.trace(0.0, days * 86_400.0);
        trace.rates(step_s)
    }

    /// The requests that arrive in the `duration_s` seconds from `start_s` on.
    pub fn trace(&self, start_s: f64, duration_s: f64) -> Trace {
        let mut rng = random::generator(self.seed, 0);
        let mut trace = Trace { start_epoch_s: Some(start_s), ..Trace::default() };
        let mut arrival_s = random::exponential(&mut rng, 0.05);
        while arrival_s < duration_s {
            let prompt = random::log_normal(&mut rng, 6.6, 1.0) as u32;
            let output = random::log_normal(&mut rng, 5.2, 0.8) as u32;
            trace.requests.push(Request::new(arrival_s, prompt, output));
            arrival_s += random::exponential(&mut rng, 0.05);
        }
        trace
    }
}
